"""Was the suspected cause right? Graded by what the words mean, never by an exact string, and with its reasons.

Words are brought to *concepts* ("delay", "slow", "lag" are one), phrases first ("no space left" is a full disk),
and what is denied ("not the network") is left out. A statement that names many causes at once names none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

from drill.core.values import Value
from drill.training.script import ScriptAnswer

PHRASES: dict[str, str] = {
    "no space left": "disk full",
    "out of space": "disk full",
    "file system": "disk",
    "out of memory": "memory kill",
    "oom killed": "memory kill",
    "memory limit": "memory",
    "crash loop": "crash",
    "crash looping": "crash",
    "restart loop": "crash",
    "round trip": "network latency",
    "on the way": "network",
    "cannot reach": "unreachable",
    "can not reach": "unreachable",
    "can t reach": "unreachable",
    "could not reach": "unreachable",
    "does not reach": "unreachable",
    "not reachable": "unreachable",
    "no connection": "unreachable",
    "no route": "unreachable",
    "connection refused": "unreachable",
    "connections refused": "unreachable",
    "connection reset": "unreachable",
    "cut off": "unreachable",
    "network policy": "unreachable",
    "5xx": "error",
    "does not answer": "unreachable",
    "both of": "two",
    "at once": "two",
    "not enough": "",
    "no more": "",
    "no longer": "",
    "not only": "",
}
WORDS: dict[str, str] = {
    "latency": "latency", "delay": "latency", "delayed": "latency", "delays": "latency", "slow": "latency",
    "slower": "latency", "slowness": "latency", "lag": "latency", "late": "latency", "jitter": "latency",
    "network": "network", "net": "network", "packet": "network", "packets": "network", "tc": "network",
    "netem": "network latency", "link": "network", "tcp": "network", "wire": "network",
    "cpu": "cpu", "cpus": "cpu", "throttled": "cpu", "throttling": "cpu", "throttle": "cpu", "quota": "cpu",
    "processor": "cpu", "compute": "cpu", "stress": "cpu", "saturation": "cpu", "saturated": "cpu",
    "disk": "disk", "volume": "disk", "storage": "disk", "filesystem": "disk", "enospc": "disk full",
    "full": "full", "space": "disk",
    "memory": "memory", "ram": "memory", "oom": "memory kill", "oomkilled": "memory kill", "leak": "memory",
    "crash": "crash", "crashed": "crash", "crashes": "crash", "crashing": "crash", "crashloop": "crash",
    "killed": "kill", "kill": "kill", "died": "crash", "dies": "crash", "dying": "crash", "restart": "crash",
    "restarts": "crash", "restarted": "crash", "restarting": "crash", "exited": "crash", "sigkill": "kill",
    "partition": "unreachable", "partitioned": "unreachable", "unreachable": "unreachable",
    "firewall": "unreachable", "blocked": "unreachable", "refused": "unreachable", "rejected": "unreachable",
    "isolated": "unreachable", "disconnected": "unreachable",
    "error": "error", "errors": "error", "fail": "error", "fails": "error", "failing": "error",
    "failed": "error", "failure": "error", "failures": "error", "500": "error", "500s": "error",
    "503": "error", "503s": "error",
    "replica": "replica", "replicas": "replica", "pod": "replica", "pods": "replica", "instance": "replica",
    "container": "replica", "one": "one", "single": "one", "bad": "one", "broken": "one", "faulty": "one",
    "two": "two", "both": "two", "neighbour": "neighbour", "neighbor": "neighbour", "limit": "limit",
    "loss": "loss", "lost": "loss", "drop": "loss", "dropped": "loss", "drops": "loss",
    "bandwidth": "bandwidth", "traffic": "traffic", "load": "traffic", "dependency": "dependency",
    "frozen": "pause", "hang": "pause", "hangs": "pause", "stopped": "pause", "paused": "pause",
    "policy": "policy", "release": "release", "deploy": "release", "deployment": "release", "rollout": "release",
}  # fmt: skip
FAMILIES: dict[str, frozenset[str]] = {
    "network": frozenset({"network", "latency", "loss", "bandwidth", "unreachable"}),
    "cpu": frozenset({"cpu"}),
    "disk": frozenset({"disk", "full"}),
    "memory": frozenset({"memory"}),
    "crash": frozenset({"crash", "kill", "pause"}),
    "release": frozenset({"release"}),
    "traffic": frozenset({"traffic"}),
}
"""Kinds of causes; a statement of more than the answer has, and one to spare, is a list and no suspicion."""
SAME: dict[str, frozenset[str]] = {"kill": frozenset({"crash"}), "crash": frozenset({"kill"})}
"""A killed process is a crash to whoever looks from outside."""
DENIALS = frozenset({"not", "no", "isn", "isnt", "never", "without", "neither", "nor"})
DENIED_WORDS = 3
FILLER = frozenset({"the", "a", "an", "of", "is", "it", "s", "t", "to", "and", "or", "in", "on"})

Outcome = Literal["right", "partly", "wrong"]


class Grade(Value):
    """How right a suspicion is; ``why`` is for the debrief and the facilitator: it tells the answer."""

    outcome: Outcome
    component: bool
    cause: bool
    why: str


def grade(text: str, component: str, answer: ScriptAnswer, services: Iterable[str], paged: str = "") -> Grade:
    """Grade what was suspected. *paged* is the service assumed when none is named."""
    names = list(services)
    named = _named(f"{component} {text}", names)
    component_ok, about_component = _component(named, answer.component, paged)
    cause_ok, about_cause = _cause(text, answer, names)
    outcome: Outcome = "right" if component_ok and cause_ok else "partly" if component_ok or cause_ok else "wrong"
    if outcome == "partly" and component_ok and not named:
        outcome = "wrong"  # nothing was said about the component, and the cause is wrong
    return Grade(outcome=outcome, component=component_ok, cause=cause_ok, why=f"{about_component}; {about_cause}")


def _named(text: str, services: list[str]) -> list[str]:
    lowered = text.lower()
    return [name for name in services if re.search(rf"(?<![a-z0-9]){re.escape(name)}(?![a-z])", lowered)]


def _component(named: list[str], wanted: str, paged: str) -> tuple[bool, str]:
    if not wanted:
        return True, "no component is asked for"
    if not named:
        right = paged == wanted
        return right, f"no component was named, so {paged or 'none'} was assumed; it is {wanted}"
    if wanted in named and len(named) <= 3:
        return True, f"the component is {wanted}, which was named"
    return False, f"the component is {wanted}, not {' and '.join(named)}"


def _cause(text: str, answer: ScriptAnswer, services: list[str]) -> tuple[bool, str]:
    phrases = [phrase for phrase in (answer.cause, *answer.accept) if phrase]
    if not phrases:
        return True, "no cause is asked for"
    said = concepts(text, services)
    wanted = [(phrase, _meant(phrase, services)) for phrase in phrases]
    cause = answer.cause or phrases[0]
    if not said:
        return _by_words(text, phrases, cause)
    allowed = {family for _, meant in wanted for family in families(meant)}
    listed = families(said) - allowed
    if len(listed) > (1 if allowed else 0):
        return False, f"it blames other things ({', '.join(sorted(listed))}); the cause is {cause}"
    for phrase, meant in wanted:
        if meant and all(_has(said, concept) for concept in meant):
            return True, f"it means '{phrase}' ({', '.join(sorted(meant))}), which is {_same(phrase, cause)}"
    best = max(wanted, key=lambda one: len(one[1] & said), default=("", frozenset()))
    missing = sorted(best[1] - said)
    near = f"; nearest is '{best[0]}', without {', '.join(missing)}" if best[1] & said else ""
    return False, f"it speaks of {', '.join(sorted(said))}; the cause is {cause}{near}"


def _by_words(text: str, phrases: list[str], cause: str) -> tuple[bool, str]:
    """Words no concept is known for: all words of an accepted phrase must be there."""
    words = set(_words(text))
    for phrase in phrases:
        wanted = set(_words(phrase)) - FILLER
        if wanted and wanted <= words:
            return True, f"it says '{phrase}', which is {_same(phrase, cause)}"
    return False, f"no cause was recognised in it; the cause is {cause}"


def _same(phrase: str, cause: str) -> str:
    return "the cause" if phrase == cause else f"accepted for {cause}"


def _has(said: frozenset[str], concept: str) -> bool:
    return concept in said or bool(SAME.get(concept, frozenset()) & said)


def _meant(phrase: str, services: list[str]) -> frozenset[str]:
    """The concepts of an accepted phrase; words like *one* decide only where nothing else is said."""
    found = concepts(phrase, services)
    weak = {"one", "limit", "policy"}
    return found - weak if found - weak else found


def families(meant: Iterable[str]) -> frozenset[str]:
    """Return the kinds of causes among *meant*."""
    found = set(meant)
    return frozenset(name for name, members in FAMILIES.items() if members & found)


def concepts(text: str, services: Iterable[str] = ()) -> frozenset[str]:
    """Return what *text* speaks of, without what it denies; names of services are no concepts."""
    names = "|".join(re.escape(name) for name in sorted(services, key=len, reverse=True))
    lowered = text.lower()
    if names:
        lowered = re.sub(rf"\b(?:{names})-\d\b", " replica ", lowered)
        lowered = re.sub(rf"\b(?:{names})\b", " ", lowered)
    line = " ".join(_words(lowered))
    for phrase, meaning in PHRASES.items():
        line = re.sub(rf"(?<!\S){re.escape(phrase)}(?!\S)", " ".join(f"={one}" for one in meaning.split()), line)
    found: set[str] = set()
    denied = 0
    for word in line.split():
        if word in DENIALS:
            denied = DENIED_WORDS
            continue
        if word in ("but", "so", "because", "it"):
            denied = 0
        meaning = word[1:] if word.startswith("=") else WORDS.get(word, "")
        if meaning and not denied:
            found.update(meaning.split())
        denied = max(0, denied - 1)
    return frozenset(found)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower().replace("crashloopbackoff", "crash loop"))
