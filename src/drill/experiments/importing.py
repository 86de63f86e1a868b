"""An experiment of Chaos Toolkit made into a scenario, with everything named that could not be carried over.

Owns what a method, its rollbacks and its hypothesis mean for a drill: every action becomes an injection, the
rollback that fits it its undo, and a probe of the hypothesis, turned round, the proof of its effect. Never raises
for what is in the file: mistakes and losses are problems with line and column.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from drill.core.activities import secrets_in
from drill.core.problems import Problem
from drill.faults.activities import tolerance_error
from drill.faults.k8s import PACKAGE, drivers
from drill.scenario.yamltree import Document, Node, plain, read

LASTS = "5m"
PROVIDER_KEYS = {
    "python": {"module", "func", "arguments", "secrets"},
    "http": {"url", "method", "headers", "arguments", "timeout", "verify_tls", "max_retries", "secrets"},
    "process": {"path", "arguments", "timeout", "secrets"},
}
KNOWN = {
    "title", "description", "tags", "configuration", "secrets", "steady-state-hypothesis", "method", "rollbacks",
    "version",
}  # fmt: skip
ACTIVITY = {"type", "name", "provider", "pauses", "background", "tolerance", "ref"}


@dataclass(frozen=True)
class Imported:
    """The scenario as YAML (empty when there can be none), what was lost on the way, and what is wrong."""

    text: str
    lost: tuple[Problem, ...]
    problems: tuple[Problem, ...] = ()


@dataclass
class _Import:
    """One import under way."""

    document: Document
    lost: list[Problem] = field(default_factory=list)
    named: dict[str, Node] = field(default_factory=dict)
    secret_lines: set[int] = field(default_factory=set)

    def lose(self, node: Node, message: str, hint: str = "", *, secret: bool = False) -> None:
        """Note that something at *node* is not carried over; the line of a *secret* is not shown."""
        self.lost.append(self.document.problem(node, message, hint))
        if secret:
            self.secret_lines.add(self.lost[-1].line)

    def told(self) -> tuple[Problem, ...]:
        """Return what was lost by place, each once."""
        lines = self.secret_lines
        shown = (replace(one, source_line="") if one.line in lines else one for one in self.lost)
        return tuple(sorted(dict.fromkeys(shown)))


def import_experiment(data: bytes, file: str, name: str = "") -> Imported:
    """Return the scenario that the experiment in *data* (JSON or YAML) becomes; *file* names it in problems."""
    if file.endswith(".json"):
        data = data.replace(b"\t", b" ")  # JSON's tabs between tokens; in its texts they are not allowed
    document = read(data, file)
    root = document.root
    if root is None or document.problems:
        return Imported("", (), tuple(document.problems))
    method = _get(root, "method")
    if not isinstance(root.value, dict) or method is None or not isinstance(method.value, list):
        problem = document.problem(
            root, "this is no experiment: it has no list 'method'", "is this the right file?"
        )
        return Imported("", (), (problem,))
    work = _Import(document)
    scenario = _scenario(work, root, name)
    if not scenario["injections"]:
        problem = document.problem(method, "no action in 'method' can become an injection", "see what was lost")
        return Imported("", work.told(), (problem,))
    return Imported(_text(scenario, file, work.told()), work.told())


def _scenario(work: _Import, root: Node, name: str) -> dict[str, Any]:
    title = _word(root, "title") or "imported experiment"
    for key, node in root.value.items():
        if key not in KNOWN:
            work.lose(root.keys.get(key, node), f"'{key}' is not carried over", LOSSES.get(key, ""))
    work.named = {_word(one, "name"): one for one in _all_activities(root)}
    hypothesis = _get(root, "steady-state-hypothesis")
    injections = list(_injections(work, root))
    return {
        "apiVersion": "drill/v1",
        "kind": "Scenario",
        "metadata": {
            "name": name or _slug(title),
            "title": _safe(title),
            "description": _safe(_word(root, "description")),
            "tags": [_safe(str(plain(tag))) for tag in _items(_get(root, "tags"))],
            "owner": "sre",
        },
        "hypothesis": _safe((_word(hypothesis, "title") if hypothesis else "") or title),
        "parameters": {
            "service": {"type": "string", "required": True, "description": "the service users feel it at"}
        },
        "injections": injections,
        "expect": {
            "alerts": [
                {
                    "match": {"slo": "${service}-availability", "severity": "page"},
                    "fires": "predicted",
                    "error_ratio": ["20%", "100%"],
                }
            ]
        },
        "guardrails": {"max_duration": "60m"},
    }


LOSSES = {
    "controls": "controls run code around activities; drill's journal records them all",
    "runtime": "drill always plays the undo",
    "extensions": "",
    "contributions": "use tags",
    "dry": "`drill plan` says what would be done",
}


def _injections(work: _Import, root: Node) -> Iterator[dict[str, Any]]:
    surroundings = {
        "configuration": _configuration(work, _get(root, "configuration")),
        "secrets": _secrets(work, _get(root, "secrets")),
    }
    resolved = (_resolved(work, node) for node in _items(_get(root, "rollbacks")))
    rollbacks = [one for one in resolved if one is not None and _get(one, "provider") is not None]
    actions, at = list[tuple[Node, float]](), 0.0
    for node in _items(_get(root, "method")):
        activity = _resolved(work, node)
        if activity is None:
            continue
        at += _pause(work, activity, "before")
        if _word(activity, "type") == "probe":
            work.lose(
                activity, "a probe in the method is not carried over", "drill watches the alerts all the time"
            )
        else:
            actions.append((activity, at))
        at += _pause(work, activity, "after")
    proof = _proof(work, _get(root, "steady-state-hypothesis"))
    ids: set[str] = set()
    for index, (activity, start) in enumerate(actions):
        undo = _undo_of(activity, rollbacks, index, len(actions))
        made = _injection(work, activity, undo, proof, surroundings)
        if made is None:
            continue
        if undo is not None and undo in rollbacks:
            rollbacks.remove(undo)
        lasts = _pause(work, activity, "after", again=True)
        if not lasts:
            work.lose(activity, f"how long it lasts is not said: 'for: {LASTS}' is taken", "change it to your need")
        identity = _unique(_slug(_word(activity, "name") or "injection"), ids)
        yield {
            "id": identity,
            "target": {"service": "${service}", "pods": 1},
            **made,
            **({"at": f"{start:g}s"} if start else {}),
            "for": f"{lasts:g}s" if lasts else LASTS,
        }
    for left in rollbacks:
        work.lose(left, "this rollback takes no action of the method back, so it is not carried over")


def _injection(
    work: _Import,
    activity: Node,
    undo: Node | None,
    proof: dict[str, Any] | None,
    surroundings: Mapping[str, Any],
) -> dict[str, Any] | None:
    provider = _get(activity, "provider")
    if provider is None:
        work.lose(activity, "an activity without 'provider' cannot be carried over")
        return None
    module, function = _word(provider, "module"), _word(provider, "func")
    if module.startswith("drill.chaostoolkit"):
        work.lose(provider, "this is drill itself: its scenario needs no import", "`drill run` plays it")
        return None
    for driver in drivers():
        if function == driver.function and module in (f"{PACKAGE}.{driver.module}", f"{PACKAGE}.actions"):
            given = _escaped(plain(arguments)) if (arguments := _get(provider, "arguments")) else {}
            if _get(provider, "secrets"):
                work.lose(provider.value["secrets"], "the context comes from drill's target, not from secrets")
            return {"fault": driver.name, "with": given}
    with_: dict[str, Any] = {"action": _activity(work, activity)}
    if undo is not None:
        with_["undo"] = _activity(work, undo)
    else:
        work.lose(activity, "no rollback takes this action back", "add 'undo': drill does nothing it cannot undo")
    if proof is not None:
        with_["probe"] = proof
    else:
        work.lose(
            activity, "nothing proves that it had an effect", "add 'probe' with a tolerance only the fault meets"
        )
    with_ |= {key: value for key, value in surroundings.items() if value}
    return {"fault": "chaostoolkit", "with": with_}


def _undo_of(activity: Node, rollbacks: list[Node], index: int, actions: int) -> Node | None:
    """The rollback that fits: the one of like name, or the only one, or the one at its place from the end."""
    name = set(_slug(_word(activity, "name")).split("-"))
    like = [one for one in rollbacks if len(name & set(_slug(_word(one, "name")).split("-"))) > len(name) / 2]
    if len(like) == 1:
        return like[0]
    if len(rollbacks) == 1 and (actions == 1 or index == actions - 1):
        return rollbacks[0]
    return rollbacks[-1] if rollbacks and len(rollbacks) == actions - index else None


def _activity(work: _Import, node: Node) -> dict[str, Any]:
    provider = node.value["provider"]
    kind = _word(provider, "type")
    for key in node.value:
        if key not in ACTIVITY:
            work.lose(node.keys.get(key, node), f"'{key}' of an activity is not carried over")
    kept: dict[str, Any] = {}
    for key, inner in provider.value.items() if isinstance(provider.value, dict) else ():
        if key != "type" and key not in PROVIDER_KEYS.get(kind, set()):
            work.lose(
                provider.keys.get(key, inner), f"'{key}' of a {kind or 'nameless'} provider is not carried over"
            )
            continue
        value = plain(inner)
        if next(secrets_in({key: value}), None):
            work.lose(inner, "this holds what looks like a secret, which never stands in a scenario",
                      "write $${name} and say where it stands under 'secrets'", secret=True)  # fmt: skip
            continue
        if value is not None:
            kept[key] = _escaped(value)
    name = _word(node, "name")
    return {**({"name": _safe(name)} if name else {}), "provider": kept}


def _proof(work: _Import, hypothesis: Node | None) -> dict[str, Any] | None:
    """The first probe of the hypothesis that can be turned round: the fault shows when it is not met any more."""
    found: dict[str, Any] | None = None
    for node in _items(_get(hypothesis, "probes") if hypothesis else None):
        probe = _resolved(work, node)
        if probe is None or _get(probe, "provider") is None:
            continue
        tolerance = plain(given) if (given := _get(probe, "tolerance")) is not None else None
        if found is not None:
            work.lose(probe, "only the first probe of the hypothesis is carried over")
        elif error := tolerance_error(tolerance):
            work.lose(given or probe, f"this tolerance cannot be carried over: {error}")
        else:
            found = {**_activity(work, probe), "tolerance": {"type": "not", "tolerance": _escaped(tolerance)}}
            work.lose(probe, "this probe proves the effect now, by not being met any more",
                      "a system that withstands the fault needs another probe, of the fault itself")  # fmt: skip
    return found


def _configuration(work: _Import, node: Node | None) -> dict[str, Any]:
    kept = {}
    for key, inner in node.value.items() if node is not None and isinstance(node.value, dict) else ():
        value = plain(inner)
        if isinstance(value, dict) and value.get("type") not in (None, "env"):
            work.lose(inner, f"configuration '{key}' is asked for at run time, which is not carried over")
        elif next(secrets_in({key: value} if isinstance(value, str) else {}), None):
            work.lose(
                inner,
                f"configuration '{key}' looks like a secret",
                "say where it stands under 'secrets'",
                secret=True,
            )
        else:
            kept[key] = _escaped(value)
    return kept


def _secrets(work: _Import, node: Node | None) -> dict[str, Any]:
    kept: dict[str, dict[str, Any]] = {}
    for group, entries in node.value.items() if node is not None and isinstance(node.value, dict) else ():
        if not isinstance(entries.value, dict):
            work.lose(entries, f"secret '{group}' is no group of secrets, so it is not carried over", secret=True)
            continue
        if _word(entries, "type") == "env":
            work.lose(entries, f"secret '{group}' is not in a group", "write it as GROUP: {NAME: {env: VARIABLE}}")
            continue
        for name, inner in entries.value.items():
            if _word(inner, "type") == "env" and _word(inner, "key"):
                kept.setdefault(group, {})[name] = {"env": _word(inner, "key")}
            elif _word(inner, "type"):
                what = f"secret '{group}.{name}' comes from {_word(inner, 'type')[:20]}, which is not carried over"
                work.lose(inner, what, "write {env: VARIABLE} or {file: PATH}")
            else:
                work.lose(inner, f"secret '{group}.{name}' stands in the file itself and is not carried over",
                          "write {env: VARIABLE} or {file: PATH}, and change that secret", secret=True)  # fmt: skip
    return kept


def _resolved(work: _Import, node: Node) -> Node | None:
    """The activity itself, or the one that it refers to."""
    if not isinstance(node.value, dict):
        work.lose(node, "this is no activity")
        return None
    reference = _word(node, "ref")
    if not reference:
        return node
    if reference not in work.named:
        work.lose(node, f"there is no activity '{reference}' to refer to")
        return None
    return work.named[reference]


def _pause(work: _Import, activity: Node, which: str, again: bool = False) -> float:
    pauses = _get(activity, "pauses")
    node = _get(pauses, which) if pauses else None
    if node is None:
        return 0.0
    value = plain(node)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e6:
        return float(value)
    if not again:
        work.lose(node, "a pause that is no number is not carried over")
    return 0.0


def _all_activities(root: Node) -> Iterator[Node]:
    hypothesis = _get(root, "steady-state-hypothesis")
    for list_ in (
        _get(hypothesis, "probes") if hypothesis else None,
        _get(root, "method"),
        _get(root, "rollbacks"),
    ):
        yield from (node for node in _items(list_) if isinstance(node.value, dict) and _word(node, "name"))


def _get(node: Node, key: str) -> Node | None:
    return node.value.get(key) if isinstance(node.value, dict) else None


def _items(node: Node | None) -> list[Node]:
    return node.value if node is not None and isinstance(node.value, list) else []


def _word(node: Node, key: str) -> str:
    found = _get(node, key)
    return found.value if found is not None and isinstance(found.value, str) else ""


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:40].strip("-") or "imported"


def _unique(name: str, taken: set[str]) -> str:
    unique, number = name, 2
    while unique in taken:
        unique, number = f"{name}-{number}", number + 1
    taken.add(unique)
    return unique


def _safe(text: str) -> str:
    return text.replace("${", "$${")


def _escaped(value: Any) -> Any:
    """Chaos Toolkit's ``${name}`` as a scenario has to write it."""
    if isinstance(value, str):
        return _safe(value)
    if isinstance(value, dict):
        return {key: _escaped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    return value


class _Plain(yaml.SafeDumper):
    """Writes every value out: a scenario a person reads has no anchors."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def _text(scenario: dict[str, Any], file: str, lost: Sequence[Problem]) -> str:
    lines = [f"# Made from {file} by `drill import chaostoolkit`. Read it before you run it."]
    lines += [f"#   {' '.join(f'{one.place}: {one.message}'.split())}" for one in lost]
    lines += [
        "# Chaos Toolkit knows no alerts: say under `expect` which one must fire, and what share of requests."
    ]
    body = yaml.dump(scenario, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=110)
    return "\n".join(lines) + "\n" + body
