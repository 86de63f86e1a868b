"""What a site forbids: freeze windows and protected targets, from ``safety.yaml``, looked at before every start.

The file is read from ``/etc/drill`` and from the user's configuration folder (``$DRILL_SAFETY`` names another one);
what any of them forbids is forbidden. A file that cannot be read forbids everything: failing open would be worse.

::

    freeze:
      - from: 2026-12-20T00:00:00Z
        until: 2027-01-02T00:00:00Z
        reason: end of year
        targets: ["prod*"]         # default: every target but the embedded sandbox
    protect: ["prod/payment", "*/ledger"]   # TARGET/SERVICE, with * and ?
    activities:                # Chaos Toolkit activities that scenarios may run without --allow-activities
      - process:/usr/bin/stress-ng
      - python:chaosaws.ec2.*
      - http:http://127.0.0.1:*
    runbooks:                  # TARGET: COMMAND that `drill runbook prove` may run outside of a sandbox
      - "kind-drill: kubectl -n shop rollout restart deploy/*"
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

import platformdirs
import yaml
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from drill.cli.state import state_dir
from drill.core.actions import RunActivity, UndoActivity
from drill.core.activities import AnyProvider, ProcessProvider, subject
from drill.core.clock import rfc3339
from drill.core.errors import Refused
from drill.plan.model import Plan
from drill.runbook.rules import why_not_one

SYSTEM = Path("/etc/drill/safety.yaml")
SANDBOX = "sandbox"
OURS = ("python:drill.chaostoolkit.k8s.*",)
"""What the faults named ``k8s/…`` run: drill's own code around drivers it knows."""
LARGEST = 1 << 16


class Freeze(BaseModel):
    """A time in which nothing starts; both ends with an offset from UTC."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    since: AwareDatetime = Field(alias="from")
    until: AwareDatetime
    reason: str = ""
    targets: tuple[str, ...] = ()

    def holds(self, target: str, now: datetime) -> bool:
        """True when nothing may start at *target* at *now*."""
        concerned = any(fnmatchcase(target, name) for name in self.targets) if self.targets else target != SANDBOX
        return concerned and self.since <= now < self.until


class Safety(BaseModel):
    """One file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    freeze: tuple[Freeze, ...] = ()
    protect: tuple[str, ...] = ()
    activities: tuple[str, ...] = ()
    runbooks: tuple[str, ...] = ()


def files() -> list[Path]:
    """Return the files that count on this machine, those that are there."""
    given = os.environ.get("DRILL_SAFETY", "")
    own = Path(given) if given else Path(platformdirs.user_config_path("drill")) / "safety.yaml"
    return [path for path in (SYSTEM, own) if path.exists() or (given and path == own)]


def check_allowed(target: str, services: Sequence[str], now: float) -> None:
    """Raise Refused when a file forbids a drill of *services* at *target* at *now* (Unix seconds)."""
    for path in files():
        safety = _read(path)
        _check_freeze(safety.freeze, target, now, path)
        for service in services:
            for pattern in safety.protect:
                if fnmatchcase(f"{target}/{service}", pattern):
                    raise Refused(
                        f"{target}/{service} is protected: '{pattern}' in {path}",
                        hint="drill another service, or have the owner of that file change it",
                    )


def check_activities(plan: Plan) -> None:
    """Raise Refused when *plan* runs a program, module or request of its own that no file allows."""
    if strange := _strange(activities_of(plan)):
        raise Refused(
            f"this scenario runs what is not drill's own and no rule allows: {', '.join(strange)}",
            hint="read it (`drill plan`), then --allow-activities, or a rule under `activities` in safety.yaml",
        )


def remember_undos(plan: Plan) -> None:
    """Note in the user's state which undos starting *plan* has allowed: anybody may write a journal."""
    for injection in plan.injections:
        for step in injection.steps:
            if isinstance(step.undo, UndoActivity):
                _note_of(step.undo).touch(mode=0o600)


def check_commands(target: str, commands: Iterable[str]) -> None:
    """Raise Refused when a runbook's *commands*, as they would be run at *target*, are not allowed by a file."""
    rules = [pattern for path in files() for pattern in _read(path).runbooks]
    for command in commands:
        plain = command.replace('"', "").strip()
        if why := why_not_one(command):
            raise Refused(
                f"`{plain}` is not played at {target}: {why}", hint="no rule allows that; play it in a sandbox"
            )
        if not any(fnmatchcase(f"{target}: {plain}", rule) for rule in rules):
            raise Refused(
                f"no rule allows `{plain}` at {target}",
                hint=f'read it, then in safety.yaml: runbooks: ["{target}: {plain}"]',
            )


def check_undo(undo: UndoActivity) -> None:
    """Raise Refused when nobody here started a run with *undo*, and no rule allows what it calls."""
    if not _note_of(undo).exists() and (strange := _strange([_named(undo.call.activity.provider)])):
        raise Refused(
            f"the journal wants to run {strange[0]}, and no run of this user on this machine was started with it",
            hint="read plan.json beside the journal, then `drill recover --allow-activities`",
        )


def _note_of(undo: UndoActivity) -> Path:
    folder = state_dir() / "allowed-undos"
    folder.mkdir(exist_ok=True, mode=0o700)
    return folder / hashlib.sha256(undo.model_dump_json().encode()).hexdigest()


def _strange(called: Iterable[str]) -> list[str]:
    rules = [*OURS, *(pattern for path in files() for pattern in _read(path).activities)]
    return [what for what in dict.fromkeys(called) if not any(fnmatchcase(what, rule) for rule in rules)]


def activities_of(plan: Plan) -> Iterator[str]:
    """Yield what the activities of *plan* call, the way rules name it; programs by their full path."""
    for injection in plan.injections:
        calls = [injection.effect.call] if injection.effect.call else []
        for step in injection.steps:
            if isinstance(step.action, RunActivity):
                calls += [step.action.call, step.action.undo]
        yield from (_named(call.activity.provider) for call in calls)


def _named(provider: AnyProvider) -> str:
    if isinstance(provider, ProcessProvider) and (found := shutil.which(os.path.expanduser(provider.path))):  # noqa: PTH111 - as chaoslib does
        provider = provider.with_(path=found)
    return subject(provider)


def _check_freeze(windows: Iterable[Freeze], target: str, now: float, path: Path) -> None:
    moment = datetime.fromtimestamp(now, UTC)
    for window in windows:
        if window.holds(target, moment):
            reason = f" ({window.reason})" if window.reason else ""
            end = rfc3339(window.until.timestamp())
            raise Refused(f"no drill starts at {target} before {end}{reason}: a freeze in {path}", hint="wait")


def _read(path: Path) -> Safety:
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST + 1)
        if len(text) > LARGEST:
            raise ValueError(f"larger than {LARGEST} bytes")
        data = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # nosec B506 - both are safe
        return Safety.model_validate(data if data is not None else {})
    except Exception as error:  # whatever is wrong with it: PyYAML also raises what it does not announce
        first = (
            error.errors()[0]["msg"] if isinstance(error, ValidationError) else (str(error) or "?").splitlines()[0]
        )
        raise Refused(f"{path} cannot be used: {first}", hint="nothing starts until it is correct") from None
