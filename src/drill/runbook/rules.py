"""What commands do: which of a runbook only look, which of a shell changed something. The one place that knows.

Two questions, because what is unknown counts against whoever asks. Before a runbook's command is run, it must be
known to only look (Markdown is code here: whoever wrote it, nothing else runs without a yes): one simple command,
no pipe into something else, no redirection, no substitution, no second command, no variable outside quotes.
Everything else counts as changing, whatever its author tagged it. Of a command that somebody typed and that ran,
only what is known to change something is called an act. Pure.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise

_LOOKING: Mapping[str, tuple[str, ...]] = {
    "kubectl": (
        "get", "describe", "logs", "top", "events", "version", "cluster-info", "explain", "rollout history",
        "rollout status", "config current-context", "auth can-i",
    ),
}  # fmt: skip
_CHANGING = (
    "annotate", "apply", "autoscale", "cordon", "create", "delete", "drain", "edit", "expose", "label", "patch",
    "replace", "run", "scale", "set", "taint", "uncordon", "rollout pause", "rollout restart", "rollout resume",
    "rollout undo",
)  # fmt: skip
"""kubectl's commands that change something, whatever follows."""
_INSIDE = frozenset({"df", "du", "ls", "cat", "ps", "wget", "getent", "env", "hostname", "tail", "find"})
"""What may be run in a pod by `kubectl exec`: it reads, or sends one request."""
_CHANGING_INSIDE = frozenset({"rm", "truncate", "kill", "pkill", "mv", "cp", "tee", "dd", "tc", "iptables", "nft"})
_BEFORE = ("sudo", "env", "time", "watch")
"""What may stand before a command, as a variable's value may."""
_FIND_DEEDS = ("-delete", "-exec", "-execdir", "-ok", "-okdir", "-fprint", "-fls", "-fprintf", "-fprint0")
_WGET_DEEDS = ("--post", "--method", "--body", "-i", "--delete-after")
_VALUES = frozenset({"-n", "--namespace", "-l", "--selector", "-c", "--container", "--context", "-o", "--output"})
_QUOTED = re.compile(r"'[^']*'|\"[^\"`]*\"")


def why_changing(command: str) -> str:
    """Return why *command* may change something, in words; ``''`` when it only looks."""
    text = command.strip()
    if not text or (why := why_not_one(text)):
        return why if text else ""
    return _why_words(shlex.split(text))


def why_not_one(command: str) -> str:
    """Return why *command* is more than one simple command with whole words, ``''`` when it is just that.

    A rule with ``*`` in it can be trusted only for such: anything else may hide a second command behind the star.
    """
    text = command.strip()
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
        shlex.split(text)
    except ValueError as error:
        return f"the shell cannot read it: {error}"
    return ""


def _why_words(words: Sequence[str]) -> str:
    program, *rest = words
    verbs = _LOOKING.get(program)
    if verbs is None:
        return f"drill does not know what {program} does"
    outside, inside = _parted(rest)
    operands = _operands(outside)
    if not operands:
        return f"drill does not know what this {program} does"
    if operands[0] == "exec":
        return _why_exec(inside)
    if _is_among(operands, verbs):
        return ""
    return f"`{program} {' '.join(operands[: 2 if operands[0] in ('rollout', 'set') else 1])}` changes something"


def changes_something(line: str) -> bool:
    """Return True when some kubectl in the shell's *line* is known to change something."""
    return any(_is_act(command) for command in re.split(r"[;&|]+", line))


def _is_act(command: str) -> bool:
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    while words and ("=" in words[0] or words[0] in _BEFORE):
        words = words[1:]
    if not words or words[0].rpartition("/")[2] != "kubectl":
        return False
    outside, inside = _parted(words[1:])
    operands = _operands(outside)
    if not operands or any(word.startswith("--dry-run") for word in outside):
        return False
    return _changes_inside(inside) if operands[0] == "exec" else _is_among(operands, _CHANGING)


def _changes_inside(words: Sequence[str]) -> bool:
    text = " ".join(words)
    return ">" in text or bool(_CHANGING_INSIDE & set(re.findall(r"[a-z]+", text))) or "-delete" in text


def _parted(words: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Part the words of a kubectl from those that are run in the pod."""
    end = words.index("--") if "--" in words else len(words)
    return words[:end], words[end + 1 :]


def _is_among(operands: Sequence[str], verbs: Collection[str]) -> bool:
    return operands[0] in verbs or " ".join(operands[:2]) in verbs


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
