"""Whatever stands in a file: a scenario or problems, never an exception, and places that are in the file."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from drill.core.problems import render
from drill.scenario.loader import load

FEW = settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
YAMLISH = st.text(st.sampled_from("abf1:-,[]{}&*!|>'\"%@`#?<$~. \n\t\r\x85é"), max_size=80)
PIECES = st.sampled_from(
    [
        "${service}", "${", "$${", "${x}", "*a", "&a ", "!!int ", "!x ", "<<: ", "~", "[", "]", "{", "}", "- ", ": ",
        "\t", "\n", "\r\n", "---\n", "12:30", "010", "1e400", "true", "null", '"', "'", "|\n", "> ", "#", "\ufeff",
        "\x00", "-1", "100%", "5m", "fires: {within: 1}", "with: ", "id: slow", "🙂", "\u2028",
    ]
)  # fmt: skip


def check(data: str | bytes, faults: Mapping[str, type[BaseModel]]) -> None:
    """Load *data* and hold what must always hold."""
    result = load(data, faults=faults, overrides={"service": "checkout"})
    assert (result.scenario is None) == bool(result.problems)
    for problem in result.problems:
        assert problem.message
        assert problem.width >= 1
        assert render(problem).startswith(problem.place)
        assert problem.column <= len(problem.source_line) + 1


@FEW
@given(text=st.one_of(st.text(max_size=200), YAMLISH))
def test_any_text(text: str, faults: Mapping[str, type[BaseModel]]) -> None:
    check(text, faults)


@FEW
@given(data=st.binary(max_size=200))
def test_any_bytes(data: bytes, faults: Mapping[str, type[BaseModel]]) -> None:
    check(data, faults)


@FEW
@given(edits=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 30), PIECES), min_size=1, max_size=4))
def test_any_edit_of_a_good_file(
    edits: list[tuple[int, int, str]], good: str, faults: Mapping[str, type[BaseModel]]
) -> None:
    for start, length, piece in edits:
        at = start % len(good)
        good = good[:at] + piece + good[at + length :]
    check(good, faults)


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)


@FEW
@given(line=st.integers(0, 100), value=VALUES)
def test_any_value_in_any_place(line: int, value: object, good: str, faults: Mapping[str, type[BaseModel]]) -> None:
    """JSON is YAML, so any value can be written behind any key."""
    import json

    lines = good.splitlines()
    number = line % len(lines)
    head, colon, _ = lines[number].partition(": ")
    lines[number] = f"{head}: {json.dumps(value)}" if colon else lines[number]
    check("\n".join(lines), faults)
