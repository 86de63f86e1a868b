"""Reads a kubectl command line: flags may stand anywhere before ``--``; unknown ones are refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

VALUE, SWITCH = "value", "switch"
COMMON: Mapping[str, str] = {"namespace": VALUE, "context": VALUE, "request-timeout": VALUE}
SHORT = {
    "n": "namespace", "l": "selector", "o": "output", "A": "all-namespaces", "p": "previous", "c": "container",
    "f": "follow", "w": "watch", "i": "stdin", "t": "tty",
}  # fmt: skip


class Refused(Exception):
    """What kubectl prints after ``error: `` (or *kind_of_error*); it ends with code 1."""

    def __init__(self, text: str, kind_of_error: str = "error: ") -> None:
        super().__init__(text)
        self.kind_of_error = kind_of_error


@dataclass(frozen=True)
class Line:
    """A command line after its verb: the operands, the flags, and what stands behind ``--``."""

    operands: tuple[str, ...]
    flags: Mapping[str, str]
    command: tuple[str, ...] = ()

    def flag(self, name: str, default: str = "") -> str:
        """The value of a flag, *default* when it was not given."""
        return self.flags.get(name, default)


def split(words: Sequence[str], known: Mapping[str, str], verb: str) -> Line:
    """Return *words* as a line; *known* maps long names to VALUE or SWITCH. Raises Refused."""
    flags: dict[str, str] = {}
    operands: list[str] = []
    command: tuple[str, ...] = ()
    every = {**COMMON, **known}
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        if word == "--":
            command = tuple(waiting)
            break
        if not word.startswith("-") or word == "-":
            operands.append(word)
            continue
        name, value = _read(word, waiting, every, verb)
        flags[name] = value
    return Line(tuple(operands), flags, command)


def _read(word: str, waiting: list[str], known: Mapping[str, str], verb: str) -> tuple[str, str]:
    name, equals, value = word.lstrip("-").partition("=")
    if not word.startswith("--"):
        short, rest = word[1], word[2:].removeprefix("=")
        name = SHORT.get(short, short)
        if known.get(name) == SWITCH and rest:  # -it
            waiting.insert(0, f"-{rest}")
            return name, "true"
        equals, value = ("=", rest) if rest else ("", "")
    kind = known.get(name)
    if kind is None:
        there = ", ".join(f"--{one}" for one in sorted(known) if one not in COMMON)
        raise Refused(f"the sandbox's kubectl does not know the flag {word} of {verb}; there is: {there or 'none'}")
    if kind == SWITCH:
        return name, value or "true"
    if not equals:
        if not waiting:
            raise Refused(f"flag needs an argument: {word}")
        value = waiting.pop(0)
    return name, value


def selector(text: str) -> dict[str, str]:
    """Read ``app=checkout,x=y``. Raises Refused for other operators."""
    chosen: dict[str, str] = {}
    for part in filter(None, text.split(",")):
        name, equals, value = part.replace("==", "=").partition("=")
        if not equals or name.endswith("!"):
            raise Refused(f"the sandbox's kubectl knows selectors like app=checkout, not '{part}'")
        chosen[name.strip()] = value.strip()
    return chosen
