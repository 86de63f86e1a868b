"""`drill abort` and `drill recover`: ending runs from outside, and cleaning up after dead ones."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from drill.cli.settings import AbortResult, RecoveredRun, RecoverResult
from drill.cli.state import abort_marker, live_runs
from drill.core.actions import describe
from drill.core.errors import Refused, Unavailable, UndoIncomplete
from drill.journal import events as e
from drill.journal.journal import read_journal
from drill.target.sandbox import Sandbox, running, sweep

ABORT_WITHIN_S = 60.0
"""How long `drill abort` waits for live runs to undo and end."""


def check_not_aborted() -> None:
    """Raise Refused while an abort is in force."""
    marker = abort_marker()
    if marker.exists():
        raise Refused(
            "an abort is in force on this machine, no drill starts",
            hint="`drill abort --clear` allows drills again",
        )


@contextmanager
def hear_aborts(abort: threading.Event) -> Iterator[None]:
    """While inside, this process is listed as a live run, and SIGTERM or SIGUSR1 sets *abort*."""
    entry = live_runs() / str(os.getpid())
    entry.write_text(json.dumps({"created": psutil.Process().create_time()}))
    main = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP) if main else ()
    before = {number: signal.signal(number, lambda *_: abort.set()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        entry.unlink(missing_ok=True)


def abort(clear: bool = False) -> AbortResult:
    """Forbid new runs, ask every live one to undo and end, and wait for that; or with *clear* allow runs again."""
    marker = abort_marker()
    if clear:
        marker.unlink(missing_ok=True)
        return AbortResult(marker)
    marker.write_text(json.dumps({"at": time.time(), "by": os.getuid()}))
    live = list(_live())
    for process in live:
        process.send_signal(signal.SIGUSR1)
    _, alive = psutil.wait_procs(live, timeout=ABORT_WITHIN_S)
    ended = [f"run with process id {process.pid}" for process in live if process not in alive]
    return AbortResult(marker, tuple(ended))


def _live() -> Iterator[psutil.Process]:
    """Yield the live runs; entries of dead processes, or of others that got their id, are removed."""
    for entry in live_runs().iterdir():
        try:
            process = psutil.Process(int(entry.name))
            created = json.loads(entry.read_text())["created"]
            if abs(process.create_time() - created) < 1:
                yield process
                continue
        except (psutil.NoSuchProcess, ValueError, KeyError, OSError):
            pass
        entry.unlink(missing_ok=True)


def recover(out: Path, run_dir: Path | None = None) -> RecoverResult:
    """Undo what dead runs left, by their journals alone, and sweep dead sandboxes; twice is harmless.

    A sandbox vanishes with its first process, and its faults with it: what is left to do is to remove
    directories it could not, and to write into the journal that the run was recovered.
    """
    swept = (*sweep(), *_sweep_faults())
    folders = [run_dir] if run_dir else sorted(path.parent for path in out.glob("*/journal.jsonl"))
    runs = [found for folder in folders if (found := _recover_run(folder))]
    return RecoverResult(tuple(runs), swept)


def _sweep_faults() -> Iterator[str]:
    """Clear living sandboxes of what dead runners left in them; yield what was removed."""
    for name in running():
        try:
            removed, remains = Sandbox.attach(name).sweep()
        except Unavailable:
            continue  # it is ending, or another version's: its faults end with it
        yield from (f"{name}: {what}" for what in removed)
        if remains:
            raise UndoIncomplete(
                f"the sandbox {name} still has: {'; '.join(remains)}", hint=f"drill sandbox down {name}"
            )


def _recover_run(folder: Path) -> RecoveredRun | None:
    read = read_journal(folder / "journal.jsonl")
    started = next((event for event in read.events if isinstance(event, e.RunStarted)), None)
    if started is None or any(isinstance(event, e.RunFinished | e.Recovered) for event in read.events):
        return None
    if psutil.pid_exists(started.pid) and _is_drill(started.pid):
        return None
    undone = tuple(describe(event.undo) for event in read.events if isinstance(event, e.UndoRecorded))
    _append_recovered(folder / "journal.jsonl", len(read.events), undone)
    return RecoveredRun(folder, undone)


def _is_drill(pid: int) -> bool:
    return any(process.pid == pid for process in _live())


def _append_recovered(path: Path, seq: int, undone: tuple[str, ...]) -> None:
    """Cut a half-written last line off and add what was done; the whole lines before it stay as they are."""
    whole = b"".join(path.read_bytes().splitlines(keepends=True)[:seq])
    line = e.Recovered(seq=seq, at=time.time(), undone=undone).model_dump_json().encode() + b"\n"
    with path.open("r+b") as file:
        file.truncate(len(whole))
        file.seek(len(whole))
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
