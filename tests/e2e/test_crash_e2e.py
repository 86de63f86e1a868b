"""`drill run` dies, is stopped, runs out of disk, is aborted: it undoes, it says so, and `drill recover` closes the journal."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from drill.journal.journal import read_journal
from drill.target.sandbox import leftovers

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
RUN = ("run", "latency-spike", "--service", "checkout")


class Shell:
    """drill in processes of its own, with a state folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.out = folder / "out"
        self._environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state")}
        self._started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str, before: Sequence[str] = (), out: Path | None = None) -> subprocess.Popen[str]:
        command = [*before, sys.executable, "-m", "drill", *arguments]
        command += ["--out", str(out or self.out)] if arguments[0] in ("run", "recover") else []
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=self._environment
        )
        self._started.append(process)
        return process

    def __call__(self, *arguments: str) -> tuple[int, str]:
        return finished(self.start(*arguments))

    def end(self) -> None:
        for process in self._started:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
            process.kill()
            process.communicate()


def finished(process: subprocess.Popen[str], within: float = 120) -> tuple[int, str]:
    out, error = process.communicate(timeout=within)
    return process.returncode, out + error


@pytest.fixture
def drill(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    yield shell
    shell.end()


def journal_with(process: subprocess.Popen[str], out: Path, kind: str, within: float = 120) -> Path:
    """Wait until a journal below *out* has an event of *kind*."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        for path in out.glob("*/journal.jsonl"):
            if f'"kind":"{kind}"' in path.read_text():
                return path
        time.sleep(0.05)
    raise AssertionError(f"no {kind} within {within:g} s")


def sandbox_of(pid: int) -> str:
    """The sandbox whose keeper is a child of *pid*."""
    for one in leftovers.running():
        for process in leftovers.processes(one):
            with contextlib.suppress(OSError):
                if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1] == str(pid):
                    return one
    raise AssertionError("no sandbox")


def vanished(sandbox: str, within: float = 10) -> None:
    deadline = time.monotonic() + within
    while left := leftovers.left_of(sandbox):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def test_after_sigkill_the_sandbox_is_gone_and_recover_twice_at_once_writes_down_what_was_undone(
    drill: Shell,
) -> None:
    process = drill.start(*RUN)
    journal = journal_with(process, drill.out, "injection-effective")
    sandbox = sandbox_of(process.pid)
    process.kill()
    process.communicate()
    vanished(sandbox)
    both = [finished(one) for one in (drill.start("recover"), drill.start("recover"))]
    assert [code for code, _ in both] == [0, 0]
    assert sorted("nothing to recover" in said for _, said in both) == [False, True]
    read = read_journal(journal)
    assert read.damage == ""
    recovered = [event for event in read.events if event.kind == "recovered"]
    assert len(recovered) == 1
    assert len(recovered[0].undone) == 3
    assert recovered[0].remaining == ()
    assert drill("report", str(journal.parent))[0] == 3


def test_a_full_disk_stops_the_drill_which_undoes_and_says_so(drill: Shell, tmp_path: Path) -> None:
    """A tmpfs of 3 MB in a mount namespace of its own is filled while the fault is held."""
    small = tmp_path / "small"
    small.mkdir()
    inside = ["unshare", "-m", "sh", "-c", f'mount -t tmpfs -o size=3m none {small} && exec "$@"', "sh"]
    process = drill.start(*RUN, before=inside, out=small / "out")
    seen = Path(f"/proc/{process.pid}/root{small}")
    journal_with(process, seen / "out", "injection-effective")
    sandbox = sandbox_of(process.pid)
    with contextlib.suppress(OSError), (seen / "filler").open("wb", buffering=0) as filler:
        while filler.write(bytes(4096)):
            pass
    code, said = finished(process)
    assert code == 4, said
    assert "the journal cannot be written: No space left on device" in said
    assert "everything it did is undone" in said
    assert "Traceback" not in said
    vanished(sandbox)


@pytest.mark.parametrize("out", ["/proc/drill", "/dev/null/runs", "/etc/hostname"])
def test_an_output_that_cannot_be_written_is_said_before_anything_starts(drill: Shell, out: str) -> None:
    code, said = finished(drill.start(*RUN, out=Path(out)))
    assert code == 2
    assert out in said
    assert "Traceback" not in said
    assert "drill itself" not in said


def test_a_laptop_that_slept_ends_the_drill_and_never_blames_the_alert(drill: Shell) -> None:
    """Everything is stopped for longer than the lease: on waking up the faults are let go and the run is aborted."""
    process = drill.start(*RUN)
    journal = journal_with(process, drill.out, "injection-effective")
    everybody = [process.pid, *leftovers.processes(sandbox_of(process.pid))]
    for pid in everybody:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(9)
    for pid in everybody:
        os.kill(pid, signal.SIGCONT)
    code, said = finished(process)
    assert code == 4, said
    report = json.loads((journal.parent / "report.json").read_text())
    assert report["verdict"] == "aborted"
    assert "drill itself was stopped for" in journal.read_text()
    assert all(injection["clean"] for injection in report["injections"])


def test_abort_ends_every_run_and_forbids_new_ones_until_it_is_cleared(drill: Shell) -> None:
    process = drill.start(*RUN)
    journal_with(process, drill.out, "injection-effective")
    sandbox = sandbox_of(process.pid)
    code, said = drill("abort")
    assert (code, f"run with process id {process.pid}" in said) == (0, True), said
    assert finished(process)[0] == 4
    vanished(sandbox)
    code, said = drill(*RUN)
    assert (code, "drill abort --clear" in said) == (4, True)
    assert drill("abort")[0] == 0
    assert drill("abort", "--clear")[0] == 0
    again = drill.start(*RUN)
    # The journal of the aborted run is there too: a second one with a T0 must appear.
    deadline = time.monotonic() + 120
    while sum('"kind":"t0"' in path.read_text() for path in drill.out.glob("*/journal.jsonl")) < 2:
        assert again.poll() is None, again.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    again.send_signal(signal.SIGINT)
    assert finished(again)[0] == 4


def test_one_drill_per_service_of_a_kept_sandbox_and_none_of_its_faults_outlives_its_runner(drill: Shell) -> None:
    code, said = drill("sandbox", "up")
    assert code == 0, said
    name = said.split()[1]
    target = ("--target", f"sandbox:{name}")
    try:
        first = drill.start(*RUN, *target)
        journal = journal_with(first, drill.out, "injection-effective")
        code, said = drill(*RUN, *target)
        assert code == 4
        assert f"sandbox {name}/checkout is being drilled already, by the run {journal.parent.name}" in said
        first.kill()
        first.communicate()
        code, said = drill("recover")
        assert code == 0, said
        assert "undone, 0 left" in said
        assert leftovers.running().count(name) == 1
        third = drill.start(*RUN, *target)
        code, said = finished(third, 150)
        assert code in (0, 1, 3), said
        report = json.loads(max(drill.out.glob("*/report.json")).read_text())
        assert all(injection["clean"] for injection in report["injections"])
    finally:
        assert drill("sandbox", "down", name)[0] == 0
    assert leftovers.left_of(name) == []
