"""Which commands of a runbook only look. Markdown is code here: whoever wrote it, nothing else runs without a yes.

A command only looks when it is one simple command that is known to change nothing: no pipe into something else, no
redirection, no substitution, no second command, no variable outside quotes. Everything else counts as changing,
whatever its author tagged it. Pure.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from itertools import pairwise

_LOOKING: Mapping[str, tuple[str, ...]] = {
    "kubectl": (
        "get", "describe", "logs", "top", "events", "version", "cluster-info", "explain", "rollout history",
        "rollout status", "config current-context", "auth can-i",
    ),
}  # fmt: skip
_INSIDE = frozenset({"df", "du", "ls", "cat", "ps", "wget", "getent", "env", "hostname", "tail", "find"})
"""What may be run in a pod by `kubectl exec`: it reads, or sends one request."""
_FIND_DEEDS = ("-delete", "-exec", "-execdir", "-ok", "-okdir", "-fprint", "-fls", "-fprintf", "-fprint0")
_WGET_DEEDS = ("--post", "--method", "--body", "-i", "--delete-after")
_VALUES = frozenset({"-n", "--namespace", "-l", "--selector", "-c", "--container", "--context", "-o", "--output"})
_QUOTED = re.compile(r"'[^']*'|\"[^\"`]*\"")


def why_changing(command: str) -> str:
    """Return why *command* may change something, in words; ``''`` when it only looks."""
    text = command.strip()
    if not text:
        return ""
    if len(text.splitlines()) > 1:
        return "it is more than one line"
    if "$(" in text or "`" in text or "${" in re.sub(r"\$\{[A-Z][A-Z0-9_]*\}", "", text):
        return "the shell would run or work out something inside it"
    bare = _QUOTED.sub("", text)
    if found := re.search(r"[;&|<>()]", bare):
        return f"it is more than one simple command ({found[0]})"
    if "$" in bare:
        return "a variable stands outside of quotes"
    try:
        words = shlex.split(text)
    except ValueError as error:
        return f"the shell cannot read it: {error}"
    return _why_words(words)


def _why_words(words: Sequence[str]) -> str:
    program, *rest = words
    verbs = _LOOKING.get(program)
    if verbs is None:
        return f"drill does not know what {program} does"
    end = rest.index("--") if "--" in rest else len(rest)
    operands = _operands(rest[:end])
    if not operands:
        return f"drill does not know what this {program} does"
    if operands[0] == "exec":
        return _why_exec(rest[end + 1 :])
    if operands[0] in verbs or " ".join(operands[:2]) in verbs:
        return ""
    return f"`{program} {' '.join(operands[: 2 if operands[0] in ('rollout', 'set') else 1])}` changes something"


def _operands(words: Sequence[str]) -> list[str]:
    found, waiting = [], iter(words)
    for word in waiting:
        if word in _VALUES:
            next(waiting, None)
        elif not word.startswith("-"):
            found.append(word)
    return found


def _why_exec(inside: Sequence[str]) -> str:
    if not inside or inside[0] not in _INSIDE:
        return f"`kubectl exec … {inside[0] if inside else ''}` may change something in the pod"
    if inside[0] == "find" and (deed := next((word for word in inside if word in _FIND_DEEDS), "")):
        return f"find {deed} changes something"
    if inside[0] == "wget":
        return _why_wget(inside)
    return ""


def _why_wget(inside: Sequence[str]) -> str:
    if any(word.startswith(_WGET_DEEDS) for word in inside):
        return "wget sends something"
    out = next((after for word, after in pairwise(inside) if word in ("-O", "-qO")), "")
    return "" if out == "-" or "-O-" in inside or "-qO-" in inside else "wget writes a file in the pod"
