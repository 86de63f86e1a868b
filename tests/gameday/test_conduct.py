"""Holding a game day, told as conversations: an executor that answers what it is told to, and a clock by hand."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from drill.core.errors import ExitCode, Refused, Unavailable, UndoIncomplete
from drill.gameday import events as e
from drill.gameday.announce import Told
from drill.gameday.conduct import Left, Stage, StepResult, hold, pick_up, reason_to_stop
from drill.gameday.journal import FILE, GamedayJournal, is_alive, read_events, read_progress
from drill.gameday.model import StopRule
from drill.gameday.report import build, to_html, to_markdown


class Died(BaseException):
    """Stands for SIGKILL: nothing of ours handles it."""


class Players:
    """An executor: what each step does is in ``acts``; everything that was asked is in ``asked``."""

    def __init__(self, **acts: object) -> None:
        self.acts = acts
        self.asked: list[str] = []
        self.left = Left(undone=("remove the fault",))
        self.number = 0

    def run(self, step: e.PlannedStep, linked: Callable[[str], None], abort: threading.Event) -> StepResult:
        self.asked.append(f"run {step.id}")
        self.number += 1
        run = f"run-{self.number}-{step.id}"
        linked(run)
        act = self.acts.get(step.id, "pass")
        if isinstance(act, BaseException):
            raise act
        if act == "abort":
            abort.set()
            return StepResult(run, "aborted", ExitCode.ABORTED)
        codes = {"pass": 0, "fail": 1, "unknown": 3}
        return StepResult(run, act, codes[act], f"it was {act}", {"checkout-latency": 0.03})  # type: ignore[arg-type, index]

    def recover(self, run: str) -> Left:
        self.asked.append(f"recover {run}")
        return self.left


@pytest.fixture
def said() -> list[str]:
    return []


def start(folder: Path, *ids: str, order: str = "sequence", cooldown: float = 0.0) -> GamedayJournal:
    folder.mkdir(exist_ok=True)
    journal = GamedayJournal(folder)
    steps = tuple(e.PlannedStep(id=name, scenario=f"s-{name}", title=f"Title {name}") for name in ids)
    journal.append(
        e.Started(
            drill="day", title="The day", owner="sre", goal="g", hypothesis="h", sha256="0" * 64, drill_version="0",
            pid=1, target="sandbox", fast_forward=60, order=order, steps=steps, cooldown_s=cooldown,
        )
    )  # fmt: skip
    return journal


def stage(players: Players, said: list[str], **more: object) -> Stage:
    def announce(moment: str, values: object) -> list[Told]:
        said.append(f"announce {moment}")
        return [Told("slack", moment)]

    parts = {"stop": StopRule(), "frozen": lambda: "", "abort": threading.Event(), **more}
    return Stage(executor=players, announce=announce, say=said.append, **parts)  # type: ignore[arg-type]


def test_every_step_is_played_in_order_between_two_announcements(tmp_path: Path, said: list[str]) -> None:
    players = Players()
    with start(tmp_path, "a", "b") as journal:
        assert hold(journal, stage(players, said)) == 0
    progress = read_progress(tmp_path)
    assert players.asked == ["run a", "run b"]
    assert [one for one in said if one.startswith("announce ")] == ["announce start", "announce result"]
    assert [step.verdict for step in progress.steps] == ["pass", "pass"]
    assert progress.finished is not None
    assert progress.finished.verdict == "pass"


@pytest.mark.parametrize(("act", "code", "verdict"), [("fail", 1, "fail"), ("unknown", 3, "unknown")])
def test_the_worst_step_decides_and_the_rest_is_played_all_the_same(
    act: str, code: int, verdict: str, tmp_path: Path, said: list[str]
) -> None:
    players = Players(a=act)
    with start(tmp_path, "a", "b") as journal:
        assert hold(journal, stage(players, said)) == code
    assert players.asked == ["run a", "run b"]
    finished = read_progress(tmp_path).finished
    assert finished is not None
    assert finished.verdict == verdict


def test_the_stop_rule_ends_it_and_what_was_not_played_is_no_pass(tmp_path: Path, said: list[str]) -> None:
    players = Players(a="fail")
    with start(tmp_path, "a", "b") as journal:
        assert hold(journal, stage(players, said, stop=StopRule(on=("fail",)))) == ExitCode.UNKNOWN
    progress = read_progress(tmp_path)
    assert players.asked == ["run a"]
    assert progress.stopped == "a ended with fail (stop.on)"
    assert [step.state for step in progress.steps] == ["finished", "waiting"]


@pytest.mark.parametrize(
    ("error", "code"), [(UndoIncomplete("left", hint="by hand"), 5), (Refused("an abort is in force"), 4)]
)
def test_an_incomplete_undo_and_an_abort_always_stop(
    error: Exception, code: int, tmp_path: Path, said: list[str]
) -> None:
    players = Players(a=error)
    with start(tmp_path, "a", "b") as journal:
        assert hold(journal, stage(players, said)) == code
    assert players.asked == ["run a"]


def test_a_scenario_that_could_not_run_is_unknown_and_says_why(tmp_path: Path, said: list[str]) -> None:
    players = Players(a=Unavailable("no sandbox", hint="try again"))
    with start(tmp_path, "a", "b") as journal:
        assert hold(journal, stage(players, said)) == ExitCode.UNKNOWN
    first, second = read_progress(tmp_path).steps
    assert (first.verdict, first.error, second.verdict) == ("unknown", "no sandbox (try again)", "pass")


def test_ctrl_c_ends_the_run_and_the_day(tmp_path: Path, said: list[str]) -> None:
    players = Players(a="abort")
    with start(tmp_path, "a", "b") as journal:
        assert hold(journal, stage(players, said)) == ExitCode.ABORTED
    finished = read_progress(tmp_path).finished
    assert finished is not None
    assert finished.verdict == "aborted"


def test_an_abort_during_the_rest_ends_the_day_at_once(tmp_path: Path, said: list[str]) -> None:
    players, abort = Players(), threading.Event()
    with start(tmp_path, "a", "b", cooldown=3600.0) as journal:

        def say(text: str) -> None:
            said.append(text)
            if text.startswith("cool-down"):
                abort.set()

        on = stage(players, said, abort=abort)
        code = hold(journal, Stage(**{**vars(on), "say": say}))
    assert (code, players.asked) == (ExitCode.ABORTED, ["run a"])


def test_a_freeze_that_begins_in_the_middle_stops_it(tmp_path: Path, said: list[str]) -> None:
    answers = iter(["", "FREEZE is there"])
    with start(tmp_path, "a", "b") as journal:
        hold(journal, stage(Players(), said, frozen=lambda: next(answers)))
    assert read_progress(tmp_path).stopped == "change freeze: FREEZE is there"


def test_nothing_begins_after_the_longest_duration_divided_by_fast_forward(tmp_path: Path) -> None:
    with start(tmp_path, "a") as journal:
        progress = journal.progress
    assert progress.started is not None
    at, rule = progress.started.at, StopRule(max_duration="2h")  # type: ignore[arg-type]
    assert reason_to_stop(progress, rule, at + 119.0, "", False) == ""
    assert "longest duration" in reason_to_stop(progress, rule, at + 121.0, "", False)


def died(tmp_path: Path, said: list[str], **acts: object) -> None:
    """Hold a day of three steps until one of them dies."""
    journal = start(tmp_path, "a", "b", "c")
    with pytest.raises(Died):
        hold(journal, stage(Players(**acts), said))
    journal.close()


def test_after_a_crash_finished_steps_stay_and_the_interrupted_one_is_recovered_first(
    tmp_path: Path, said: list[str]
) -> None:
    died(tmp_path, said, b=Died())
    assert [step.state for step in read_progress(tmp_path).steps] == ["finished", "interrupted", "waiting"]
    players = Players()
    with GamedayJournal(tmp_path) as journal:
        on = stage(players, said)
        assert pick_up(journal, on, pid=2, skip=False)
        assert hold(journal, on) == 0
    progress = read_progress(tmp_path)
    assert players.asked == ["recover run-2-b", "run b", "run c"]
    assert [step.attempts for step in progress.steps] == [1, 2, 1]
    assert progress.steps[1].earlier_runs == ("run-2-b",)
    assert said.count("announce start") == 1  # nobody is told twice that it begins


def test_skip_recovers_but_does_not_repeat_and_that_is_no_pass(tmp_path: Path, said: list[str]) -> None:
    died(tmp_path, said, b=Died())
    players = Players()
    with GamedayJournal(tmp_path) as journal:
        on = stage(players, said)
        pick_up(journal, on, pid=2, skip=True)
        assert hold(journal, on) == ExitCode.UNKNOWN
    assert players.asked == ["recover run-2-b", "run c"]


def test_a_run_that_had_ended_before_the_crash_is_taken_as_it_is(tmp_path: Path, said: list[str]) -> None:
    died(tmp_path, said, b=Died())
    players = Players()
    players.left = Left(result=StepResult("run-2-b", "pass", 0, "it was there"))
    with GamedayJournal(tmp_path) as journal:
        on = stage(players, said)
        pick_up(journal, on, pid=2, skip=False)
        assert hold(journal, on) == 0
    assert players.asked == ["recover run-2-b", "run c"]
    assert read_progress(tmp_path).steps[1].headline == "it was there"


def test_what_cannot_be_undone_keeps_everything_else_from_beginning(tmp_path: Path, said: list[str]) -> None:
    died(tmp_path, said, b=Died())
    players = Players()
    players.left = Left(remaining=("a full disk",))
    with GamedayJournal(tmp_path) as journal:
        on = stage(players, said)
        assert not pick_up(journal, on, pid=2, skip=False)
        assert hold(journal, on) == ExitCode.UNDO_INCOMPLETE
    assert players.asked == ["recover run-2-b"]


def test_in_parallel_all_are_played_and_none_waits(tmp_path: Path, said: list[str]) -> None:
    players = Players(b="fail")
    with start(tmp_path, "a", "b", "c", order="parallel", cooldown=3600.0) as journal:
        assert hold(journal, stage(players, said)) == 1
    assert sorted(players.asked) == ["run a", "run b", "run c"]
    assert not any(isinstance(event, e.CooldownStarted) for event in read_events(tmp_path)[0])


def test_every_prefix_of_a_journal_can_be_read_reported_and_gone_on_with(tmp_path: Path, said: list[str]) -> None:
    """Wherever the process died, also inside a line: the next one finds its way."""
    with start(tmp_path / "whole", "a", "b") as journal:
        hold(journal, stage(Players(a="fail"), said))
    data = (tmp_path / "whole" / FILE).read_bytes()
    lines = data.splitlines(keepends=True)
    for count in range(1, len(lines)):
        for tail in (b"", lines[count][: len(lines[count]) // 2]):
            folder = tmp_path / f"{count}-{len(tail)}"
            folder.mkdir()
            (folder / FILE).write_bytes(b"".join(lines[:count]) + tail)
            events, _ = read_events(folder)
            report = build(folder.name, events, read_progress(folder))
            assert report is not None
            assert report.verdict != "pass"
            assert to_markdown(report)
            assert to_html(report)
            with GamedayJournal(folder) as journal:
                on = stage(Players(a="fail"), said)
                pick_up(journal, on, pid=2, skip=False)
                assert hold(journal, on) == 1
            assert read_progress(folder).finished is not None


def test_the_journal_has_one_writer_and_is_alive_as_long_as_that_is(tmp_path: Path) -> None:
    journal = start(tmp_path, "a")
    assert is_alive(tmp_path)
    with pytest.raises(Refused, match="under way in another process"):
        GamedayJournal(tmp_path)
    journal.close()
    assert not is_alive(tmp_path)


def test_the_report_shows_text_of_people_as_text(tmp_path: Path, said: list[str]) -> None:
    players = Players()
    with start(tmp_path, "a") as journal:
        journal.append(
            e.Checked(checks=(e.Check(check="people", level="ok", text="<script>alert(1)</script> | `x`"),))
        )
        hold(journal, stage(players, said))
    events, _ = read_events(tmp_path)
    report = build("day", events, read_progress(tmp_path))
    assert report is not None
    assert "<script>" not in to_html(report)
    assert "<script>" not in to_markdown(report)
    assert report.budget_spent_percent == {"checkout-latency": 3.0}
    assert report.steps[0].report == "../run-1-a/report.html"
