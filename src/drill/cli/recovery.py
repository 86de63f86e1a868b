"""`drill recover`: cleaning up after dead runs, by their journals and by looking.

Doing it twice, or twice at once, is harmless. A sandbox vanishes with its first process, and its faults with it;
one that was kept clears up behind dead runners and is asked to look again. Then the journal of every dead run gets
a last line that says what was undone; what cannot be known is said in words.
"""

from __future__ import annotations

import fcntl
import json
import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from drill.cli.live_runs import lives
from drill.cli.safety import check_undo
from drill.cli.settings import RecoveredRun, RecoverResult
from drill.cli.state import state_dir
from drill.core.actions import AnyAction, UndoActivity, describe
from drill.core.clock import rfc3339
from drill.core.errors import DrillError, Unavailable
from drill.journal import events as e
from drill.journal.journal import ReadJournal, append_to, read_journal, writer_lives
from drill.target.activities import undo_once
from drill.target.sandbox import Sandbox, running, sweep

OTHER_WITHIN_S = 150.0
"""How long a second `drill recover` waits for the first one."""


def recover(out: Path, run_dir: Path | None = None, allow_activities: bool = False) -> RecoverResult:
    """Remove what dead runs and dead sandboxes left, and write into the journals what was done.

    *allow_activities* plays undos of activities also of runs that somebody else started.
    """
    with _alone():
        removed, remains = sweep_all()
        folders = [run_dir] if run_dir else sorted(path.parent for path in out.glob("*/journal.jsonl"))
        runs = [found for folder in folders if (found := _recover_run(folder, remains, allow_activities))]
    return RecoverResult(tuple(runs), tuple(removed), tuple(remains))


@contextmanager
def _alone() -> Iterator[None]:
    """One `drill recover` at a time; a second one waits, and goes on without waiting for ever."""
    with (state_dir() / "recover.lock").open("w") as lock:
        until = time.monotonic() + OTHER_WITHIN_S
        while time.monotonic() < until:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.1)
        yield


def sweep_all() -> tuple[list[str], list[str]]:
    """Remove dead sandboxes and what dead runners left in living ones; return what was removed and what remains."""
    removed, remains = sweep(), list[str]()
    for name in running():
        try:
            gone, left = Sandbox.attach(name).sweep()
        except Unavailable:
            continue  # it is ending, or not of this version: its faults end with it
        removed += [f"{name}: {what}" for what in gone]
        remains += [f"sandbox {name}: {what}; by hand: drill sandbox down {name}" for what in left]
    return removed, remains


def _recover_run(folder: Path, remains: Sequence[str], allow: bool) -> RecoveredRun | None:
    """Recover one run; None when there is nothing to do: it lives, or it ended and undid everything."""
    path = folder / "journal.jsonl"
    try:
        if writer_lives(path):
            return None
        read = read_journal(path)
    except OSError as error:
        return RecoveredRun(folder, note=f"the journal cannot be read: {error.strerror or error}")
    started = next((event for event in read.events if isinstance(event, e.RunStarted)), None)
    if started is None:
        return _nothing_known(folder, read)
    if _is_over(read) or lives(started.pid):
        return None
    if started.host != platform.node():
        return RecoveredRun(folder, note=f"it ran on the host {started.host}: run `drill recover` there")
    return _close(folder, read, remains, allow)


def _nothing_known(folder: Path, read: ReadJournal) -> RecoveredRun | None:
    """Nothing is touched before the first lines are on disk; a file that was harmed later tells nothing."""
    if not read.damage or _is_only_cut(folder / "journal.jsonl"):
        return RecoveredRun(folder, note="the run died before it touched anything")
    note = f"{read.damage}: what this run did cannot be known from it; no sandbox of a dead run is left here"
    return RecoveredRun(folder, note=note)


def _is_only_cut(path: Path) -> bool:
    return b"\n" not in path.read_bytes()


def _is_over(read: ReadJournal) -> bool:
    """True when the last word on undoing says that everything is undone."""
    for event in reversed(read.events):
        if isinstance(event, e.Recovered):
            return not event.remaining
        if isinstance(event, e.RunFinished):
            return event.undo_complete
    return False


def _close(folder: Path, read: ReadJournal, remains: Sequence[str], allow: bool) -> RecoveredRun:
    """Say in the journal that what the runner had not undone itself is gone now, or is not."""
    undos = not_undone(read.events)
    played, failed = _play(folder, [undo for undo in undos if isinstance(undo, UndoActivity)], allow)
    open_undos = tuple(describe(undo) for undo in undos if not isinstance(undo, UndoActivity))
    undone, remaining, note = open_undos, tuple(remains) if open_undos else (), read.damage
    if _target(folder) not in ("", "sandbox"):
        undone, remaining = (), tuple(f"{text}; by hand: see {folder / 'plan.json'}" for text in open_undos)
    undone, remaining = (*undone, *played), (*remaining, *failed)
    try:
        append_to(folder / "journal.jsonl", e.Recovered(undone=undone, remaining=remaining))
    except BlockingIOError:
        return RecoveredRun(folder, note="another `drill recover` is at it")
    except OSError as error:
        note = f"{note + '; ' if note else ''}the journal cannot be written ({error.strerror or error})"
    return RecoveredRun(folder, undone, remaining, note)


def _play(folder: Path, undos: Sequence[UndoActivity], allow: bool) -> tuple[list[str], list[str]]:
    """Play the undos of activities, which nothing else takes back, last first; what a guard played is done."""
    done, failed = list[str](), list[str]()
    for undo in reversed(undos):
        try:
            if not allow:
                check_undo(undo)
            at = undo_once(folder, undo)
            done.append(f"{describe(undo)}, done at {rfc3339(at)}")
        except DrillError as error:
            failed.append(f"{describe(undo)}: {error}; {error.hint or f'again: drill recover {folder}'}")
    return done, failed


def not_undone(events: Sequence[e.AnyEvent]) -> list[AnyAction]:
    """Return the undos that stand in the journal and were not done by the runner itself, in their order."""
    done = [event.action for event in events if isinstance(event, e.ActionDone)]
    recorded = [event.undo for event in events if isinstance(event, e.UndoRecorded)]
    return [undo for undo in recorded if undo not in done]


def _target(folder: Path) -> str:
    """The target in the plan beside the journal; empty when that cannot be read."""
    try:
        return str(json.loads((folder / "plan.json").read_text()).get("target", ""))
    except (OSError, ValueError, AttributeError):
        return ""
