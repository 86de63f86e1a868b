"""Hostile versions of good files: bytes, lines, values and structure are changed, and known traps put in.

``bench/fuzz.py`` makes hundreds of thousands of them, ``test_fuzz_files.py`` a few hundred.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

TRAPS = (
    "~", "null", "true", "yes", "0", "-1", "1e400", "-.inf", ".nan", "9" * 5000, "1_000", "010", "0o10", "0x", "0b2", "1:99:99",
    "2001-99-99", "2001-01-01", "2001-01-01T99:99:99Z", "=", "<<", "<<: 1", "<<: *a", "*a", "&a [*a]", "&a {b: *a}", "!!int x",
    "!!float x", "!!binary x", "!!timestamp x", "!!set {a, b}", "!!omap [a: 1]", "!!python/object:os.system x", "!x y", "[]",
    "{}", "[[]]", "{[a]: b}", "{{}: b}", "? a", "? [a]\n: b", "- - - a", "[" * 900, "{a: " * 900, "- " * 900, "a: " * 50,
    "&a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c]\n"
    "e: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e]",
    "---\n", "...\n", "%YAML 9.9\n---\n", "\ufeff", "\x00", "\x07", "\x85", "\u2028", "\ud7ff", "🙂", "é", "\t", "\r", "\r\n", "  ",
    '"', "'", '"\\x', '"\\uD800"', "|\n", ">+9\n", "|-", "`", "@", "%", "#", "${", "${service}", "$${", "${x:-y}", "../../etc/passwd",
    "<script>alert(1)</script>", "{{ 7*7 }}", "5m", "0s", "-5m", "1e9999s", "100%", "101%", "-1%", "64Mi", "999999999Ei", "1kbit",
    "rate(", "sum(rate(x[5m])) by (", "a" * 20000, "(" * 900, ".*" * 40, "(a+)+$", "[[:alpha:]]", "\\", "}", "]", "key: value",
    "\n```\n", "\n~~~drill\n", "\n## Steps\n", "\n---\n", "drill:exec", "{.drill}", "| a | b |\n|---|\n", "<!-- ", "[x](", "![", "**" * 500,
    "> " * 500, "* " * 400, '{"kind":"t0"}', '"seq":-1', '"at":1e999', '"at":NaN', '"seq":1.5', "null,", "Infinity", "\\ud800",
)  # fmt: skip


def mutated(text: str, others: Sequence[str], rng: random.Random) -> str:
    """Return *text* after one to five changes; *others* are spliced in."""
    for _ in range(rng.randint(1, 5)):
        text = rng.choice(_WAYS)(text, others, rng)
    return text[:200_000]


def _span(text: str, rng: random.Random, longest: int = 200) -> tuple[int, int]:
    start = rng.randint(0, len(text))
    return start, min(len(text), start + rng.randint(0, longest))


def _cut(text: str, _: Sequence[str], rng: random.Random) -> str:
    return text[: rng.randint(0, len(text))]


def _delete(text: str, _: Sequence[str], rng: random.Random) -> str:
    start, end = _span(text, rng)
    return text[:start] + text[end:]


def _repeat(text: str, _: Sequence[str], rng: random.Random) -> str:
    start, end = _span(text, rng)
    return text[:end] + text[start:end] * rng.choice([1, 2, 50]) + text[end:]


def _insert(text: str, _: Sequence[str], rng: random.Random) -> str:
    start, end = _span(text, rng, 3)
    return text[:start] + rng.choice(TRAPS) + text[end:]


def _value(text: str, _: Sequence[str], rng: random.Random) -> str:
    """Replace what follows a ``: `` on one line."""
    lines = text.split("\n")
    at = rng.randrange(len(lines))
    head, colon, _rest = lines[at].partition(": ")
    lines[at] = f"{head}: {rng.choice(TRAPS)}" if colon else rng.choice(TRAPS)
    return "\n".join(lines)


def _key(text: str, _: Sequence[str], rng: random.Random) -> str:
    lines = text.split("\n")
    at = rng.randrange(len(lines))
    head, colon, rest = lines[at].partition(":")
    indent = " " * (len(head) - len(head.lstrip()))
    lines[at] = f"{indent}{rng.choice(TRAPS)}{colon}{rest}"
    return "\n".join(lines)


def _indent(text: str, _: Sequence[str], rng: random.Random) -> str:
    lines = text.split("\n")
    start = rng.randrange(len(lines))
    for at in range(start, min(len(lines), start + rng.randint(1, 5))):
        lines[at] = rng.choice(["  " + lines[at], lines[at].lstrip(), "- " + lines[at], "\t" + lines[at]])
    return "\n".join(lines)


def _shuffle(text: str, _: Sequence[str], rng: random.Random) -> str:
    lines = text.split("\n")
    one, two = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[one], lines[two] = lines[two], lines[one]
    return "\n".join(lines)


def _splice(text: str, others: Sequence[str], rng: random.Random) -> str:
    other = rng.choice(others)
    start, end = _span(other, rng, 600)
    at = rng.randint(0, len(text))
    return text[:at] + other[start:end] + text[at:]


def _flip(text: str, _: Sequence[str], rng: random.Random) -> str:
    at = rng.randrange(len(text) + 1)
    return text[:at] + chr(rng.choice([rng.randrange(128), rng.randrange(0xD7FF)])) + text[at + 1 :]


def _number(text: str, _: Sequence[str], rng: random.Random) -> str:
    places = [at for at, letter in enumerate(text) if letter.isdigit()]
    if not places:
        return text
    at = rng.choice(places)
    return text[:at] + rng.choice(["-", "9" * 400, "0", ".", "e", "99", ""]) + text[at + 1 :]


_WAYS: tuple[Callable[[str, Sequence[str], random.Random], str], ...] = (
    _cut, _delete, _repeat, _insert, _insert, _value, _value, _value, _key, _indent, _shuffle, _splice, _flip, _number,
)  # fmt: skip
