"""Starting the child of an activity, waiting for it, and ending it with all it started."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

import psutil

from drill.core.activities import Call
from drill.core.errors import ActionFailed, Unavailable

CHILD = "drill.target.activities.child"


@dataclass(frozen=True)
class Answer:
    """What an activity answered (JSON-like), whether that is good, and the Unix time at which it was known."""

    output: Any
    good: bool
    at: float


def begin(call: Call) -> subprocess.Popen[bytes]:
    """Start the child of *call* in a session of its own; the thread that does this must outlive it."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", CHILD, str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(call.model_dump_json().encode())
        process.stdin.close()
    process.stdin = None
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill the child and everything it started, also what left its process group, and collect it."""
    kill_all(_descendants(process.pid))
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def kill_all(processes: list[psutil.Process]) -> None:
    """Kill every one of *processes*; those that are gone already do not matter."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def answer_of(call: Call, said: bytes, status: int) -> Answer:
    """Read what the child wrote. Raises Unavailable when it could not run the activity, or ended without a word."""
    if status or not said.strip():
        why = f"signal {-status}" if status < 0 else f"exit status {status}"
        raise Unavailable(f"{title(call)} ended without an answer ({why})")
    answer = json.loads(said)
    if "error" in answer:
        raise Unavailable(f"{title(call)} failed: {answer['error']}")
    return Answer(answer["output"], bool(answer["good"]), time.time())


def run_call(call: Call) -> Answer:
    """Run *call* to its end or its deadline. Raises Unavailable when it gave no answer."""
    process = begin(call)
    try:
        said, _ = process.communicate(timeout=call.activity.timeout_s)
    except subprocess.TimeoutExpired:
        end(process)
        raise Unavailable(too_late(call)) from None
    except BaseException:
        end(process)
        raise
    return answer_of(call, said, process.returncode)


def do_call(call: Call) -> Answer:
    """Run the action *call*. Raises ActionFailed when it failed, or its answer says so."""
    try:
        answer = run_call(call)
    except Unavailable as error:
        raise ActionFailed(str(error)) from None
    if not answer.good:
        raise ActionFailed(f"{title(call)} failed: it answered {shortly(answer.output)}")
    return answer


def title(call: Call) -> str:
    """Name *call* in a sentence."""
    return f"activity '{call.activity.name}'" if call.activity.name else "the activity"


def too_late(call: Call) -> str:
    """Say that *call* was killed at its deadline."""
    return f"{title(call)} did not end within {call.activity.timeout_s:g} s and was killed"


def shortly(output: Any, length: int = 200) -> str:
    """Return an answer as text of at most *length* characters."""
    text = json.dumps(output, default=repr)
    return text if len(text) <= length else f"{text[: length - 1]}…"
