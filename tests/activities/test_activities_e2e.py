"""Activities in real processes: deadlines, guards that outlive a killed runner, undos played once, secrets masked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from drill.core.actions import RunActivity, UndoActivity, undo_of
from drill.core.activities import Activity, Call, ProcessProvider, PythonProvider, SecretSource, Surroundings
from drill.core.errors import ActionFailed, Unavailable
from drill.core.probes import Probe
from drill.target.activities import Activities, undo_once
from drill.target.activities.processes import run_call

pytestmark = pytest.mark.e2e
SH = "/bin/sh"


def sh(script: str, timeout_s: float = 20, tolerance: Any = None, around: Surroundings | None = None) -> Call:
    provider = ProcessProvider(type="process", path=SH, arguments=["-c", script])
    activity = Activity(name="script", provider=provider, timeout_s=timeout_s, tolerance=tolerance)
    return Call(activity=activity, surroundings=around or Surroundings())


def action(do: Call, undo: Call, hold_s: float = 60) -> RunActivity:
    return RunActivity(injection="one", service="checkout", call=do, undo=undo, hold_s=hold_s)


def undo(run: RunActivity) -> UndoActivity:
    found = undo_of(run)
    assert isinstance(found, UndoActivity)
    return found


def until(condition: Callable[[], object], within_s: float = 30) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def target(tmp_path: Path) -> Activities:
    return Activities(None, tmp_path)  # type: ignore[arg-type]  # no action here is for the wrapped target


def test_an_action_is_done_and_taken_back_once(target: Activities, tmp_path: Path) -> None:
    run = action(sh(f"echo do >> {tmp_path}/log"), sh(f"echo undo >> {tmp_path}/log"))
    target.execute(run)
    first = target.execute(undo(run))
    assert target.execute(undo(run)) == first, "the second time it is only read that it was done"
    assert (tmp_path / "log").read_text().split() == ["do", "undo"]


def test_a_failed_program_is_a_failed_action_although_chaos_toolkit_says_it_succeeded(target: Activities) -> None:
    with pytest.raises(ActionFailed, match='"status": 3'):
        target.execute(action(sh("exit 3"), sh("true")))


def test_an_action_is_killed_at_its_deadline_with_all_it_started(target: Activities, tmp_path: Path) -> None:
    script = f"setsid sleep 60 & echo $! > {tmp_path}/pid; sleep 60"
    with pytest.raises(ActionFailed, match="did not end within 8 s and was killed"):
        target.execute(action(sh(script, timeout_s=8), sh("true")))
    until(lambda: not alive(int((tmp_path / "pid").read_text())))


def test_what_an_action_left_running_ends_with_its_undo(target: Activities, tmp_path: Path) -> None:
    run = action(sh(f"setsid sleep 300 >/dev/null 2>&1 & echo $! > {tmp_path}/pid"), sh("true"))
    target.execute(run)
    pid = int((tmp_path / "pid").read_text())
    assert alive(pid)
    target.execute(undo(run))
    until(lambda: not alive(pid))


def test_an_undo_that_fails_is_said_and_can_be_tried_again(target: Activities, tmp_path: Path) -> None:
    run = action(sh("true"), sh(f"test -f {tmp_path}/now"))
    target.execute(run)
    with pytest.raises(ActionFailed, match='"status": 1'):
        target.execute(undo(run))
    (tmp_path / "now").touch()
    target.execute(undo(run))


RUNNER = """
import sys, time
from drill.core.actions import ACTION
from drill.target.activities import Activities
from pathlib import Path
Activities(None, Path(sys.argv[1])).execute(ACTION.validate_json(sys.argv[2]))
print("applied", flush=True)
time.sleep(600)
"""


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Callable[[RunActivity], subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start(run: RunActivity) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", RUNNER, str(tmp_path), run.model_dump_json()]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def applied(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "applied\n"


def test_the_guard_plays_the_undo_of_a_killed_runner(runner: Any, tmp_path: Path) -> None:
    process = runner(action(sh(f"touch {tmp_path}/fault"), sh(f"rm {tmp_path}/fault")))
    applied(process)
    assert (tmp_path / "fault").exists()
    killed = time.monotonic()
    os.killpg(process.pid, signal.SIGKILL)
    until(lambda: not (tmp_path / "fault").exists())
    assert time.monotonic() - killed < 15


def test_a_runner_killed_in_the_middle_of_an_action_leaves_neither_process_nor_fault(
    runner: Any, tmp_path: Path
) -> None:
    script = f"touch {tmp_path}/fault; echo $$ > {tmp_path}/pid; sleep 300"
    process = runner(action(sh(script, timeout_s=300), sh(f"rm -f {tmp_path}/fault")))
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    process.kill()
    until(lambda: not (tmp_path / "fault").exists())
    assert not alive(int((tmp_path / "pid").read_text()))


def test_a_stopped_runner_loses_its_lease(runner: Any, tmp_path: Path) -> None:
    process = runner(action(sh(f"touch {tmp_path}/fault"), sh(f"rm -f {tmp_path}/fault")))
    applied(process)
    process.send_signal(signal.SIGSTOP)
    until(lambda: not (tmp_path / "fault").exists(), within_s=25)


def test_a_fault_nobody_ends_is_ended_by_its_guards_own_clock(target: Activities, tmp_path: Path) -> None:
    target.execute(action(sh(f"touch {tmp_path}/fault"), sh(f"rm -f {tmp_path}/fault"), hold_s=3))
    until(lambda: not (tmp_path / "fault").exists(), within_s=20)


def test_with_runner_and_guard_killed_the_undo_is_played_from_the_journal(runner: Any, tmp_path: Path) -> None:
    run = action(sh(f"touch {tmp_path}/fault"), sh(f"rm -f {tmp_path}/fault; echo undo >> {tmp_path}/log"))
    process = runner(run)
    applied(process)
    guards = psutil.Process(process.pid).children()
    for one in (psutil.Process(process.pid), *guards):
        one.suspend()
    for one in (*guards, psutil.Process(process.pid)):
        one.kill()
    time.sleep(1)
    assert (tmp_path / "fault").exists(), "nobody is left who could have undone it"
    undo_once(tmp_path, undo(run))
    undo_once(tmp_path, undo(run))
    assert not (tmp_path / "fault").exists()
    assert (tmp_path / "log").read_text().split() == ["undo"]


def test_secrets_reach_the_activity_and_leave_it_masked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PLANTED", "open-sesame-4711")
    (tmp_path / "token").write_text("file-secret-0815\n")
    sources = {"ours": {"one": SecretSource(env="PLANTED"), "two": SecretSource(file=str(tmp_path / "token"))}}
    said = run_call(sh('echo "${one} ${two}"', around=Surroundings(secrets=sources)))
    assert said.output["stdout"] == "*** ***\n"
    failing = PythonProvider(type="python", module="os", func="stat", arguments={"path": "/${one}"})
    call = Call(activity=Activity(name="", provider=failing), surroundings=Surroundings(secrets=sources))
    with pytest.raises(Unavailable) as error:
        run_call(call)
    assert "open-sesame" not in str(error.value)


def test_a_secret_that_is_not_there_is_named_by_its_place(tmp_path: Path) -> None:
    around = Surroundings(secrets={"ours": {"one": SecretSource(env="NOT_THERE_AT_ALL")}})
    with pytest.raises(Unavailable, match="no variable NOT_THERE_AT_ALL"):
        run_call(sh("true", around=around))


def test_a_probe_counts_only_against_what_it_said_before(target: Activities, tmp_path: Path) -> None:
    ask = sh(f"cat {tmp_path}/list", tolerance={"type": "changed"})
    (tmp_path / "list").write_text("a")
    probe = Probe(kind="activity", replica="checkout-0", call=ask)
    assert target.measure(probe).value == 0
    assert target.measure(probe).value == 0
    (tmp_path / "list").write_text("b")
    found = target.measure(probe)
    assert found.value == 1
    assert json.loads(found.detail)["stdout"] == "b"


def test_output_that_an_activity_prints_is_not_taken_for_its_answer() -> None:
    provider = PythonProvider(type="python", module="builtins", func="print", arguments={"sep": "{}"})
    found = run_call(Call(activity=Activity(name="", provider=provider)))
    assert found.output is None
