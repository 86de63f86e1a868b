"""Reads a drill file into a checked Drill, or into all that is wrong with it, at once and with places.

Owns what a drill file may mean beyond its shape: scenarios that exist with parameters they have, roles that are
known, times that can be. Refuses to raise for anything a person can write into a file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from drill.core.errors import UsageError
from drill.core.problems import Problem, did_you_mean
from drill.gameday.announce import PLACEHOLDERS, unknown_placeholders
from drill.gameday.due import due
from drill.gameday.model import Drill, ScenarioCall
from drill.scenario.library import ENDINGS, find, shipped_roots
from drill.scenario.loader import load as load_scenario
from drill.scenario.words import Subject, problems_of, shorten
from drill.scenario.yamltree import MAX_BYTES, Document, Node, plain, read

Faults = Mapping[str, type[BaseModel]]
_SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class LoadedDrill:
    """What one file gave: a drill, or problems (then ``drill`` is None). ``sha256`` is of the file's bytes."""

    path: Path
    sha256: str
    drill: Drill | None
    problems: tuple[Problem, ...]
    document: Document = field(repr=False)

    def problem_at(self, path: tuple[str | int, ...], message: str, hint: str = "") -> Problem:
        """Make a problem at the value *path* leads to, or at its nearest part that is in the file."""
        if self.document.root is None:
            return Problem(str(self.path), 0, 0, message, hint)
        return self.document.problem(_at(self.document.root, *path), message, hint)

    @property
    def folder(self) -> Path:
        """Where the paths in the file begin."""
        return self.path.parent


def load(path: Path, faults: Faults) -> LoadedDrill:
    """Load the drill file at *path*. Never raises for what is in the file."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        problem = Problem(str(path), 0, 0, f"the file cannot be read: {error.strerror or error}")
        return LoadedDrill(path, "", None, (problem,), Document(str(path)))
    document = read(data, str(path))
    drill = _validate(document, path, faults) if document.root is not None else None
    problems = tuple(
        sorted(dict.fromkeys(document.problems), key=lambda one: (one.file != str(path), one.line, one.column))
    )
    return LoadedDrill(path, hashlib.sha256(data).hexdigest(), None if problems else drill, problems, document)


def _validate(document: Document, path: Path, faults: Faults) -> Drill | None:
    root = document.root
    assert root is not None
    data = plain(root)
    drill = None
    told = {(problem.line, problem.column) for problem in document.problems}
    try:
        drill = Drill.model_validate(data, by_alias=True, by_name=False)
    except ValidationError as error:
        found = problems_of(error, Subject(document, root, data, Drill, lambda _: ""))
        document.problems += [one for one in found if (one.line, one.column) not in told]
    _scenarios(document, root, path.parent, faults)
    _schedule(document, _at(root, "schedule") if "schedule" in _keys(root) else None)
    if drill is not None:
        _people(document, root, drill)
        _texts(document, root, drill)
        _identity(document, root, drill, path)
    return drill


def _keys(node: Node) -> Mapping[str, Node]:
    return node.value if isinstance(node.value, dict) else {}


def _at(node: Node, *path: str | int) -> Node:
    """The node *path* leads to, or the last one on the way that is there."""
    for part in path:
        inner: Any = node.value
        there = part in inner if isinstance(inner, dict) else isinstance(inner, list) and part in range(len(inner))
        if not there:
            break
        node = inner[part]
    return node


def scenario_file(name: str, folder: Path) -> Path:
    """Return the scenario's file: a path is looked up from *folder* first. Raises UsageError."""
    beside = folder / name
    if name.endswith(ENDINGS["scenarios"]) and beside.is_file():
        return beside
    return find(name, shipped_roots("scenarios"))


def _scenarios(document: Document, root: Node, folder: Path, faults: Faults) -> None:
    """Check every call that has the right shape, also when other parts of the file are wrong."""
    section = _keys(root).get("scenarios")
    if section is None or not isinstance(section.value, list):
        return
    ids: dict[str, Node] = {}
    for node in section.value:
        name = _keys(node).get("id")
        if name is not None and isinstance(name.value, str) and name.value:
            if name.value in ids:
                where = f"line {ids[name.value].line + 1}"
                document.report(name, f"the id '{shorten(name.value)}' is used twice", f"first at {where}")
            ids.setdefault(name.value, name)
        try:
            call = ScenarioCall.model_validate(plain(node), by_alias=True, by_name=False)
        except ValidationError:
            continue  # told by the validation of the whole file
        _call(document, node, call, folder, faults)


def _call(document: Document, node: Node, call: ScenarioCall, folder: Path, faults: Faults) -> None:
    place = _at(node, "scenario")
    try:
        file = scenario_file(call.scenario, folder)
    except UsageError as error:
        document.report(place, str(error), error.hint)
        return
    loaded = load_scenario(file, faults=faults, overrides=call.with_, placeholders=True)
    given = _at(node, "with")
    for problem in loaded.problems:
        name = problem.file.removeprefix("--set ")
        if name != problem.file and name in _keys(given):
            at = given.keys[name] if "unknown parameter" in problem.message else given.value[name]
            hint = problem.hint
            document.report(at, problem.message.replace("unknown parameter", "the scenario has no parameter"), hint)
    mistakes = [problem for problem in loaded.problems if not problem.file.startswith("--set ")]
    if mistakes:
        message = f"the scenario's file has {len(mistakes)} mistake{'s' if len(mistakes) != 1 else ''}"
        document.report(place, message, f"`drill validate {file}` shows them")
    elif loaded.scenario is not None:
        for name, parameter in loaded.scenario.parameters.items():
            if parameter.required and name not in call.with_:
                hint = f"with: {{{name}: …}}" + (f" ({parameter.description})" if parameter.description else "")
                document.report(place, f"the scenario needs '{name}' under 'with'", hint)


def _schedule(document: Document, node: Node | None) -> None:
    """Check cron expression and time zone, each by itself."""
    if node is None:
        return
    for key, cron, zone in (("cron", None, "UTC"), ("timezone", "0 0 * * *", None)):
        place = _keys(node).get(key)
        if place is None or not isinstance(place.value, str):
            continue
        try:
            due(cron or place.value, zone or place.value, _SOME_DAY, _SOME_DAY + timedelta(minutes=1))
        except ValueError as error:
            message, _, rest = str(error).partition(": ")
            document.report(place, message, rest)
    for item in _list(_keys(node).get("blackout")):
        for key in ("from", "to"):
            place = _keys(item).get(key)
            if place is not None and isinstance(place.value, str) and not _is_time(place.value):
                document.report(place, f"'{shorten(place.value)}' is not a day", "write it as 2026-12-24")
    since = _keys(node).get("since")
    if since is not None and isinstance(since.value, str) and not _is_time(since.value):
        document.report(since, f"'{shorten(since.value)}' is not a day", "write it as 2026-12-24")


def _list(node: Node | None) -> list[Node]:
    return node.value if node is not None and isinstance(node.value, list) else []


def _is_time(text: str) -> bool:
    """False for what looks like a day and is none (the shape is told by the model)."""
    if not text[:1].isdigit():
        return True
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return len(text) not in (10, 16)
    return True


def _people(document: Document, root: Node, drill: Drill) -> None:
    present: set[str] = set()
    for index, participant in enumerate(drill.participants):
        present.add(participant.role)
        if participant.role not in drill.roles:
            place = _at(root, "participants", index, "role")
            hint = did_you_mean(participant.role[:80], drill.roles) or "add it under 'roles'"
            document.report(place, f"unknown role '{shorten(participant.role)}'", hint)
    for role, need in drill.roles.items():
        if need == "required" and drill.participants and role not in present:
            hint = f"participants: add {{name: …, role: {role}}}"
            document.report(_at(root, "roles", role), f"nobody has the required role '{shorten(role)}'", hint)


def _texts(document: Document, root: Node, drill: Drill) -> None:
    for key, text in (("start", drill.announcements.start), ("result", drill.announcements.result)):
        for name in unknown_placeholders(text):
            place = _at(root, "announcements", key)
            hint = did_you_mean(name[:80], PLACEHOLDERS)
            document.report(place, f"nothing is known as '{{{shorten(name)}}}'", hint)


def _identity(document: Document, root: Node, drill: Drill, path: Path) -> None:
    name: Any = drill.metadata.name
    if path.suffix in ENDINGS["drills"] and path.stem != name:
        place = _at(root, "metadata", "name")
        document.report(
            place, f"the name '{name}' differs from the file's", f"name: {path.stem}, or rename the file"
        )
