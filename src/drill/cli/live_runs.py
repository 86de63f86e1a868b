"""The runs that are under way on this machine, and `drill abort`, which ends them and forbids new ones."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psutil

from drill.cli.settings import AbortResult
from drill.cli.state import abort_marker, live_runs
from drill.core.errors import Refused

ABORT_WITHIN_S = 60.0
"""How long `drill abort` waits for live runs to undo and end before it kills them."""


def check_not_aborted() -> None:
    """Raise Refused while an abort is in force."""
    if abort_marker().exists():
        raise Refused(
            "an abort is in force on this machine, no drill starts",
            hint="`drill abort --clear` allows drills again",
        )


_listed = threading.Lock(), [0]
"""How many times this process is listed: a game day lists itself and each run it holds."""


@contextmanager
def _on_the_list() -> Iterator[None]:
    entry = live_runs() / str(os.getpid())
    lock, count = _listed
    with lock:
        count[0] += 1
        entry.write_text(json.dumps({"created": psutil.Process().create_time()}))
    try:
        yield
    finally:
        with lock:
            count[0] -= 1
            if not count[0]:
                entry.unlink(missing_ok=True)


@contextmanager
def hear_aborts(abort: threading.Event) -> Iterator[None]:
    """While inside, this process is listed as a live run, and SIGTERM or SIGUSR1 sets *abort*.

    Raises Refused when an abort came between the first look and the listing.
    """
    main = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP) if main else ()
    before = {number: signal.signal(number, lambda *_: abort.set()) for number in numbers}
    try:
        with _on_the_list():
            check_not_aborted()
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def abort(clear: bool = False) -> AbortResult:
    """Forbid new runs, ask every live one to undo and end, and remove what is left; with *clear* allow runs again.

    A run that does not end in time is killed: its sandbox then vanishes with it.
    """
    marker = abort_marker()
    if clear:
        marker.unlink(missing_ok=True)
        return AbortResult(marker)
    marker.write_text(json.dumps({"at": time.time(), "by": os.getuid()}))
    live = list(live_processes())
    for number in (signal.SIGUSR1, signal.SIGCONT):  # one that was stopped hears nothing
        _send(live, number)
    alive = _wait(live, ABORT_WITHIN_S)
    _send(alive, signal.SIGKILL)
    alive = _wait(alive, 5)
    removed, remains = _sweep()
    return AbortResult(
        marker,
        stopped=tuple(f"run with process id {process.pid}" for process in live if process not in alive),
        removed=tuple(removed),
        remaining=(*remains, *(f"run with process id {one.pid}: it does not even end by SIGKILL" for one in alive)),
    )


def _wait(processes: Sequence[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait for the end of all; return those that live on."""
    until = time.monotonic() + seconds
    alive = list(processes)
    while (alive := [one for one in alive if _is_alive(one)]) and time.monotonic() < until:
        time.sleep(0.05)
    return alive


def _is_alive(process: psutil.Process) -> bool:
    """A process whose parent has not looked after it yet (a zombie) does nothing any more."""
    try:
        return process.is_running() and process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


def _sweep() -> tuple[list[str], list[str]]:
    from drill.cli.recovery import sweep_all

    return sweep_all()


def _send(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def live_processes() -> Iterator[psutil.Process]:
    """Yield the live runs; entries of dead processes, or of others that got their id, are removed."""
    for entry in live_runs().iterdir():
        try:
            process = psutil.Process(int(entry.name))
            created = json.loads(entry.read_text())["created"]
            if abs(process.create_time() - created) < 1 and _is_alive(process):
                yield process
                continue
        except (psutil.NoSuchProcess, ValueError, KeyError, TypeError, OSError):
            pass
        entry.unlink(missing_ok=True)


def lives(pid: int) -> bool:
    """True when *pid* is a run that is under way."""
    return any(process.pid == pid for process in live_processes())
