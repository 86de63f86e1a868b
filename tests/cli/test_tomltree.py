"""The places of TOML: each one cut out of the text again is the value, or the key, it is said to be of."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drill.cli.tomltree import read
from drill.scenario.yamltree import Document, Node, plain

TEXTS = {
    "tables": '[contexts.prod]\nkubernetes = "x"\n\n[contexts.prod.prometheus]   # why\nurl = "http://y"\n',
    "dotted keys": 'a.b.c = 1\na.b."d.e" = 2\n"f g".h = true\na . i = -0.5\n',
    "inline": 'x = { url = "http://y", headers = {A-B = "c", "d e" = \'f\'}, p.q = 1 }\n',
    "lists": "x = [ 1, 2,\n  3, # three\n  [ \"a\", 'b' ], { c = [true] },\n]\ny = []\nz = {}\n",
    "lists of tables": "[[p]]\nu = 1\n[[p]]\nu = 2\n[p.t]\nv = 3\n[[p.l]]\nw = 4\n[[p.l]]\nw = 5\n[[p]]\nu = 6\n",
    "texts": 'a = "x \\" # no comment"\nb = \'c:\\d\'\ne = """f\n"g" ""h"""\ni = \'\'\'j\n\'k\' \'\'\'\nl = ""\nm = \'\'\n',
    "text that ends with quotes": "a = \"\"\"say \"x\"\"\"\"\nb = '''it's'''''\nc = 1\n",
    "numbers": "a = 1_000\nb = 0xff\nc = 6.0e2\nd = inf\ne = 1979-05-27\nf = 1979-05-27 07:32:00\ng = 07:32:00\n",
    "windows line ends": 'a = 1\r\n[b]\r\nc = "d"\r\n',
    "no line end": "# first\n\n   a=1# last",
    "empty": "",
}


def values(node: Node, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Node]]:
    """Yield every value and every key below *node* with its path."""
    inner = node.value.items() if isinstance(node.value, dict) else enumerate(node.value)
    for key, child in inner:
        yield (*path, key), child
        if isinstance(child.value, dict | list):
            yield from values(child, (*path, key))


def keys(node: Node) -> Iterator[tuple[str, Node]]:
    """Yield every key below *node* as it is called, with its node."""
    if isinstance(node.value, dict):
        yield from node.keys.items()
    for child in node.value.values() if isinstance(node.value, dict) else node.value:
        if isinstance(child.value, dict | list):
            yield from keys(child)


def cut(document: Document, node: Node) -> str:
    lines = document.text.split("\n")
    lines = lines[node.line : node.end_line + 1]
    lines[-1] = lines[-1][: node.end_column]
    return "\n".join(lines)[node.column :]


def read_all(text: str) -> tuple[Document, Node]:
    document = read(text.encode(), "x.toml")
    assert document.problems == []
    assert document.root is not None
    return document, document.root


def as_told(value: Any) -> Any:
    """What tomllib says, dates as text."""
    if isinstance(value, dict):
        return {key: as_told(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_told(inner) for inner in value]
    return value if isinstance(value, str | bool | int | float) else str(value)


def check_places(text: str) -> None:
    document, root = read_all(text)
    assert plain(root) == as_told(tomllib.loads(document.text))
    for path, node in values(root):
        if not isinstance(node.value, dict | list):
            assert as_told(tomllib.loads(f"x = {cut(document, node)}"))["x"] == node.value, path
    for name, node in keys(root):
        assert next(iter(tomllib.loads(f"{cut(document, node)} = 0"))) == name


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_every_value_and_key_stands_where_it_is_said_to_stand(text: str) -> None:
    check_places(text)


SCALARS = st.one_of(
    st.integers(-(10**6), 10**6).map(str),
    st.booleans().map(lambda yes: str(yes).lower()),
    st.text("ab#,]}= '.[", max_size=6).map(lambda text: f'"{text}"'),
    st.text('ab#,]}= ".[', max_size=6).map(lambda text: f"'{text}'"),
    st.text("ab\n#'", max_size=6).map(lambda text: f'"""{text}"""'),
)
SPACE = st.sampled_from(["", " ", "\t"])
BREAKS = st.sampled_from(["", " ", "\n", " # c ]\n", "\n\n  "])
KEYS = st.sampled_from(["a", "b-c", "D_1", '"e f"', "'g.h'", '"a]"'])


def inline(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pair = st.tuples(SPACE, values, SPACE).map("".join)
    table = st.lists(pair, max_size=3).map(
        lambda texts: "{" + ",".join(f" k{index} ={text}" for index, text in enumerate(texts)) + "}"
    )
    items = st.lists(st.tuples(BREAKS, values, BREAKS).map("".join), max_size=3).map(
        lambda texts: f"[{','.join(texts)}]"
    )
    return st.one_of(table, items)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(KEYS, st.recursive(SCALARS, inline, max_leaves=6), BREAKS), max_size=5, unique_by=lambda p: p[0]
    )
)
def test_places_hold_for_any_nesting(pairs: list[tuple[str, str, str]]) -> None:
    tables = "".join(f"[t.{key}]\n{key} = {value}\n{space}\n" for key, value, space in pairs)
    lists = "".join(f"[[l]]\n{key}.x = {value}\n" for key, value, _ in pairs)
    check_places(tables + lists)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=60) | st.text("[]={}\"'.,#\n a1", max_size=40).map(str.encode))
def test_no_bytes_make_it_raise(data: bytes) -> None:
    document = read(data, "x.toml")
    assert (document.root is None) == bool(document.problems)


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ('a = 1\nb = "x\n', "x.toml:2:7", "closing quote"),
        ("a = yes\n", "x.toml:1:5", "quotes"),
        ("a = 1\na = 2\n", "x.toml:2:6", "overwrite"),
        ("a = [1,\n", "x.toml:1:8", "end of the file"),
        ("a 1\n", "x.toml:1:3", "'='"),
    ],
)
def test_what_is_no_toml_is_told_with_its_place(text: str, place: str, said: str) -> None:
    (problem,) = read(text.encode(), "x.toml").problems
    assert problem.place == place
    assert said in f"{problem.message} {problem.hint}"
