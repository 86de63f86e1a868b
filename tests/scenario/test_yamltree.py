"""YAML from hostile and from ordinary hands: places kept, limits held, nothing silently something else."""

from __future__ import annotations

import pytest

from drill.core.problems import render
from drill.scenario.yamltree import MAX_DEPTH, MAX_NODES, Document, plain, read


def of(text: str | bytes) -> Document:
    return read(text.encode() if isinstance(text, str) else text, "f")


def only_problem(text: str | bytes) -> str:
    """Return place and message of the one problem *text* has."""
    problems = of(text).problems
    assert len(problems) == 1, [render(one) for one in problems]
    return f"{problems[0].place}: {problems[0].message}"


def value_of(text: str) -> object:
    document = of(text)
    assert document.problems == []
    assert document.root is not None
    return plain(document.root)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("Off", "Off"), ("y", "y"),
        ("true", True), ("False", False), ("~", None), ("null", None), ("", None),
        ("12", 12), ("-3", -3), ("+4", 4), ("0", 0), ("1.5", 1.5), ("-.5", -0.5), ("1e3", 1000.0), ("1.", 1.0),
        ("1e999", "1e999"), (".nan", ".nan"), (".inf", ".inf"), ("0x1f", "0x1f"), ("0o17", "0o17"),
        ("1_000", "1_000"), ("1" * 30, "1" * 30), ("2026-11-23", "2026-11-23"), ("1.2.3", "1.2.3"),
        ('"12"', "12"), ("'true'", "true"), ("5m", "5m"), ("50%", "50%"), ("=", "="), ("-", [None]),
    ],
)  # fmt: skip
def test_plain_scalars_are_what_yaml_1_2_says(text: str, value: object) -> None:
    found = value_of(f"a: {text}\n" if text != "-" else "a:\n  -\n")
    assert found == {"a": value}
    assert type(found["a"]) is type(value)  # type: ignore[index]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 12:30", "f:1:4: some YAML readers take 12:30 for a number in base 60"),
        ("a: 1:2:3.5", "f:1:4: some YAML readers take 1:2:3.5 for a number in base 60"),
        ("a: 010", "f:1:4: some YAML readers take 010 for a number in base 8"),
        ("a: -007", "f:1:4: some YAML readers take -007 for a number in base 8"),
        ("a: !!int 5", "f:1:4: YAML tags like '!!int' are not used here"),
        ("a: !foo [x]", "f:1:4: YAML tags like '!foo' are not used here"),
        ("a: !!python/name:os.system ''", "f:1:4: YAML tags like '!!python/name:os.system' are not used here"),
        ("a: ! x", "f:1:4: YAML tags like '!' are not used here"),
        ("<<: {a: 1}", "f:1:1: merge keys ('<<') are not supported"),
        ("? [a, b]\n: c", "f:1:3: a key must be a word, not a list or a mapping"),
        ("a: *b", "f:1:4: no anchor '&b' was set before"),
        ("a: &a [*a]", "f:1:8: '*a' repeats the value it is part of"),
        ("", "f:1:1: the file is empty"),
        ("# only this\n", "f:1:1: the file is empty"),
        ("a: 1\n---\nb: 2\n", "f:2:1: a second document begins here"),
        ("a: 1\n...\nb: 2\n", "f:3:1: nothing more was expected here"),
        ("a:\n\tb: 1\n", "f:2:1: a tab indents this line"),
        ("a:\n  \tb: 1\n", "f:2:3: a tab indents this line"),
        ("a: \tb: 1\n", "f:1:6: a ':' cannot stand here"),
        ("a: @b", "f:1:4: no value can begin with '@'"),
        ("a: `b`", "f:1:4: no value can begin with '`'"),
        ("a: %b", "f:1:4: no value can begin with '%'"),
        ("a: {b: 1", "f:2:1: a ',' or the closing '}' is missing"),
        ("a: 'b", "f:1:4: the closing quote is missing"),
        (r'a: "\q"', "f:1:5: an escape like this does not exist in double quotes"),
        ("a: b: c", "f:1:5: a ':' cannot stand here"),
        ("- a\nb: c", "f:2:1: expected the next item of the list"),
        ("a: 1}", None),
        ("%YAML 3.0\n---\na: 1", "f:1:1: this YAML version is not supported"),
        ("a: !x!y z", "f:1:4: YAML tags are not used here"),
        ("a: b\x00c", "f:1:5: the character U+0000 is not allowed in YAML"),
        ("a: b\x1b[31m", "f:1:5: the character U+001B is not allowed in YAML"),
        (b"a: 1\nb: \xe4\n", "f:2:4: the byte 0xE4 is not UTF-8"),
        (b"\xef\xbb\xbfa: \xff\n", "f:1:4: the byte 0xFF is not UTF-8"),
        ("a: 1".encode("utf-16"), "f:1:1: the file is UTF-16, not UTF-8"),
    ],
)
def test_each_mistake_has_its_place_and_words(text: str | bytes, message: str | None) -> None:
    if message is None:
        assert of(text).problems == []
    else:
        assert only_problem(text) == message


def test_a_key_given_twice_names_both_places() -> None:
    document = of("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n")
    assert [render(one) for one in document.problems] == [
        "f:5:3: the key 'c' is given twice\n      c: 3\n      ^\n"
        "  hint: it was given first at line 3, column 3: keep one of the two"
    ]
    assert document.root is not None
    assert plain(document.root) == {"a": 1, "b": {"c": 1, "d": 2}}


@pytest.mark.parametrize(
    "text", ["\ufeffa: 1\nb: [x]\n", "a: 1\r\nb: [x]\r\n", "a: 1\rb: [x]\r", "---\na: 1\nb: [x]\n...\n"]
)
def test_bom_line_ends_and_document_marks_are_accepted(text: str) -> None:
    assert value_of(text) == {"a": 1, "b": ["x"]}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\x85", "\u2028"])
def test_places_count_characters_and_every_kind_of_line_end(end: str) -> None:
    problem = of(f"# ü{end}'ä€𝄞': 1{end}b: [ä, 010]").problems[0]
    assert (problem.place, problem.source_line, problem.width) == ("f:3:8", "b: [ä, 010]", 3)


def test_a_byte_order_mark_does_not_move_columns() -> None:
    assert of("\ufeffa: 010").problems[0].place == "f:1:4"


def test_a_file_over_the_limit_is_not_parsed() -> None:
    document = of(b"a: [" * 3_000_000)
    assert [one.message for one in document.problems] == ["the file is larger than 1 MiB and was not read"]
    assert document.text == ""


def test_aliases_cannot_multiply_values() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    document = of("\n".join(lines))
    assert document.root is None
    assert document.problems[0].message == f"more than {MAX_NODES} values, repeated ones counted"


def test_aliases_cannot_multiply_text() -> None:
    document = of("a: &a " + "x" * 100_000 + "\nb: [" + "*a, " * 100 + "]\n")
    assert document.root is None
    assert document.problems[0].message == f"more than {MAX_NODES} values, repeated ones counted"


def test_aliases_cannot_multiply_depth() -> None:
    half = MAX_DEPTH // 2 + 1
    nested = "[" * half + "x" + "]" * half
    document = of(f"a: &a {nested}\nb: {'[' * half}*a{']' * half}\n")
    assert document.root is None
    assert document.problems[0].message == f"nested more than {MAX_DEPTH} levels deep"


def test_an_alias_is_its_anchors_value() -> None:
    assert value_of("a: &a {x: [1, text]}\nb: *a\n") == {"a": {"x": [1, "text"]}, "b": {"x": [1, "text"]}}


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? ", "a:\n" + " "])
def test_depth_is_limited(opening: str) -> None:
    text = "".join(" " * n + "a:\n" for n in range(200)) if "\n" in opening else opening * 100_000
    document = of(text)
    assert document.root is None
    assert document.problems[0].message == f"nested more than {MAX_DEPTH} levels deep"


def test_as_deep_as_allowed_is_read() -> None:
    assert of("[" * MAX_DEPTH + "]" * MAX_DEPTH).problems == []


def test_many_mistakes_are_cut_to_what_is_worth_reading() -> None:
    assert len(of("".join(f"k{n}: 010\n" for n in range(5000))).problems) == 100
