"""`drill recover` on journals of dead runs: cut at every byte, damaged, of other hosts, alive, twice at once."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from drill.cli import recovery
from drill.cli.recovery import not_undone, recover
from drill.core.actions import HoldFault, PauseFault, ReleaseFault, RunActivity, UndoActivity, describe, undo_of
from drill.core.activities import Activity, Call, ProcessProvider
from drill.core.facts import Endpoints
from drill.journal import events as e
from drill.journal.journal import Journal, read_journal

HOST = "this-host"
DEAD_PID = 2**22 + 1
"""Above the largest process id Linux gives (PID_MAX_LIMIT)."""


def hold(replica: str) -> HoldFault:
    return HoldFault(injection="slow", replica=replica, fault=PauseFault(), deadline_s=30)


def story(host: str = HOST) -> Iterator[e.Event]:
    """Two faults are held, one of them is undone; then the runner dies."""
    yield e.RunStarted(
        run_id="r",
        plan_sha256="0",
        drill_version="1",
        pid=DEAD_PID,
        host=host,
        endpoints=Endpoints(prometheus="http://127.0.0.1:1", alertmanagers=()),
    )
    yield e.PhaseEntered(phase="baseline")
    for replica in ("checkout-0", "checkout-1"):
        yield e.UndoRecorded(injection="slow", action=hold(replica), undo=undo_of(hold(replica)))
        yield e.ActionStarted(injection="slow", action=hold(replica))
        yield e.ActionDone(injection="slow", action=hold(replica), done_at=2)
    yield e.ActionDone(injection="slow", action=ReleaseFault(injection="slow", replica="checkout-1"), done_at=3)


def run_dir(out: Path, name: str = "run", host: str = HOST) -> Path:
    folder = out / name
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text(json.dumps({"target": "sandbox"}))
    with Journal(folder / "journal.jsonl") as journal:
        for event in story(host):
            journal.append(event)
    return folder


@pytest.fixture(autouse=True)
def this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("platform.node", lambda: HOST)
    monkeypatch.setattr(recovery, "sweep_all", lambda: ([], []))


def test_it_writes_down_what_the_runner_had_not_undone_itself(tmp_path: Path) -> None:
    folder = run_dir(tmp_path / "out")
    (found,) = recover(tmp_path / "out").runs
    expected = (describe(ReleaseFault(injection="slow", replica="checkout-0")),)
    assert (found.undone, found.remaining) == (expected, ())
    back = read_journal(folder / "journal.jsonl")
    assert back.damage == ""
    assert isinstance(back.events[-1], e.Recovered)
    assert back.events[-1].undone == expected


def test_twice_changes_nothing(tmp_path: Path) -> None:
    folder = run_dir(tmp_path / "out")
    recover(tmp_path / "out")
    after = (folder / "journal.jsonl").read_bytes()
    assert recover(tmp_path / "out").runs == ()
    assert (folder / "journal.jsonl").read_bytes() == after


def test_twice_at_once_recovers_once(tmp_path: Path) -> None:
    folder = run_dir(tmp_path / "out")
    threads = [threading.Thread(target=recover, args=(tmp_path / "out",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kinds = [event.kind for event in read_journal(folder / "journal.jsonl").events]
    assert kinds.count("recovered") == 1


def test_cut_at_every_byte_it_recovers_or_says_that_nothing_was_touched(tmp_path: Path) -> None:
    whole = (run_dir(tmp_path / "whole") / "journal.jsonl").read_bytes()
    ends = [index + 1 for index, byte in enumerate(whole) if byte == 10]
    folder = tmp_path / "out" / "run"
    folder.mkdir(parents=True)
    for cut in range(len(whole)):
        journal = folder / "journal.jsonl"
        journal.write_bytes(whole[:cut])
        (found,) = recover(tmp_path / "out").runs
        if cut < ends[0]:
            assert "died before it touched anything" in found.note
            assert journal.read_bytes() == whole[:cut]
            continue
        back = read_journal(journal)
        kept = sum(end <= cut for end in ends)
        assert back.damage == ""
        assert len(back.events) == kept + 1
        assert len(found.undone) == len(not_undone(back.events))
        assert ("cut off" in found.note) == (cut not in ends)


def test_a_journal_harmed_at_its_head_is_said_to_tell_nothing(tmp_path: Path) -> None:
    folder = run_dir(tmp_path / "out")
    text = (folder / "journal.jsonl").read_bytes()
    (folder / "journal.jsonl").write_bytes(b"X" + text)
    (found,) = recover(tmp_path / "out").runs
    assert "cannot be known" in found.note
    assert (folder / "journal.jsonl").read_bytes() == b"X" + text


def test_what_remains_in_a_living_sandbox_is_loud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "sweep_all", lambda: ([], ["sandbox x: nft table drill_slow"]))
    run_dir(tmp_path / "out")
    result = recover(tmp_path / "out")
    assert result.exit_code == 5
    assert result.left == ("sandbox x: nft table drill_slow",)
    monkeypatch.setattr(recovery, "sweep_all", lambda: ([], []))
    assert recover(tmp_path / "out").exit_code == 0, "the second time it is gone"


def test_a_run_whose_own_undo_was_not_complete_is_recovered_too(tmp_path: Path) -> None:
    folder = tmp_path / "out" / "run"
    folder.mkdir(parents=True)
    with Journal(folder / "journal.jsonl") as journal:
        for event in story():
            journal.append(event)
        journal.append(e.RunFinished(aborted=False, undo_complete=False))
    assert len(recover(tmp_path / "out").runs) == 1


def test_runs_that_ended_well_and_runs_that_live_are_left_alone(tmp_path: Path) -> None:
    done = tmp_path / "out" / "done"
    done.mkdir(parents=True)
    with Journal(done / "journal.jsonl") as journal:
        for event in story():
            journal.append(event)
        journal.append(e.RunFinished(aborted=False, undo_complete=True))
    alive = tmp_path / "out" / "alive"
    alive.mkdir()
    with Journal(alive / "journal.jsonl") as journal:
        for event in story():
            journal.append(event)
        before = (alive / "journal.jsonl").read_bytes()
        assert recover(tmp_path / "out").runs == ()
        assert (alive / "journal.jsonl").read_bytes() == before


def test_a_run_of_another_host_is_named_and_not_touched(tmp_path: Path) -> None:
    folder = run_dir(tmp_path / "out", host="elsewhere")
    before = (folder / "journal.jsonl").read_bytes()
    (found,) = recover(tmp_path / "out").runs
    assert "elsewhere" in found.note
    assert (folder / "journal.jsonl").read_bytes() == before


def test_undos_of_a_target_this_function_cannot_reach_are_not_called_done(tmp_path: Path) -> None:
    folder = run_dir(tmp_path / "out")
    (folder / "plan.json").write_text(json.dumps({"target": "prod"}))
    result = recover(tmp_path / "out")
    assert result.exit_code == 5
    assert result.runs[0].undone == ()


def activity_story(folder: Path) -> Iterator[e.Event]:
    """An activity is done; then the runner and its guard die."""
    undo = UndoActivity(injection="flag", call=program("rm", "-f", str(folder / "flag")))
    do = RunActivity(
        injection="flag", service="checkout", call=program("touch", str(folder / "flag")), undo=undo.call, hold_s=60
    )
    yield next(story())
    yield e.UndoRecorded(injection="flag", action=do, undo=undo)
    yield e.ActionStarted(injection="flag", action=do)
    yield e.ActionDone(injection="flag", action=do, done_at=2)


def program(*words: str) -> Call:
    return Call(
        activity=Activity(name="x", provider=ProcessProvider(type="process", path=words[0], arguments=[*words[1:]]))
    )


@pytest.mark.e2e
def test_the_undo_of_an_activity_is_played_from_the_journal_wherever_it_was_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the line that records the undo is whole, it is played; before that nothing was done. Twice plays it once."""
    folder = tmp_path / "out" / "run"
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text(json.dumps({"target": "sandbox"}))
    with Journal(folder / "journal.jsonl") as written:
        for event in activity_story(tmp_path):
            written.append(event)
    whole = (folder / "journal.jsonl").read_bytes()
    ends = [index + 1 for index, byte in enumerate(whole) if byte == 10]
    flag = tmp_path / "flag"
    for end in (ends[0], ends[1] - 1, ends[1], ends[1] + 5, ends[2] + 1, ends[3]):
        for stale in (folder / "undone").glob("*"):
            stale.unlink()
        (folder / "journal.jsonl").write_bytes(whole[:end])
        flag.touch()
        (found,) = recover(tmp_path / "out", allow_activities=True).runs
        recorded = end >= ends[1]
        assert flag.exists() is not recorded, f"cut at byte {end} of {len(whole)}"
        assert len(found.undone) == recorded
        assert found.remaining == ()
        assert recover(tmp_path / "out", allow_activities=True).runs == ()


def test_an_undo_nobody_here_allowed_is_named_and_not_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRILL_SAFETY", str(tmp_path / "safety.yaml"))
    (tmp_path / "safety.yaml").write_text("")
    folder = tmp_path / "out" / "run"
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text(json.dumps({"target": "sandbox"}))
    with Journal(folder / "journal.jsonl") as written:
        for event in activity_story(tmp_path):
            written.append(event)
    (tmp_path / "flag").touch()
    result = recover(tmp_path / "out")
    assert (tmp_path / "flag").exists()
    assert result.exit_code == 5
    (left,) = result.left
    assert "drill recover --allow-activities" in left
