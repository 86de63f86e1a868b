"""What people write is kept word for word, outside of every generated file; steps and closed actions are in the report."""

from __future__ import annotations

from dataclasses import replace
from html import unescape
from pathlib import Path

from drill.history.index import PastRun
from drill.history.policy import closing_runs
from drill.report import Report, build
from drill.report.build import Beside
from drill.report.html import to_html
from drill.report.markdown import to_markdown
from drill.report.people import FILE, OPEN_PARTS, begin, parts_of, read_people, template
from drill.report.write import write_all
from drill.runbook.records import STEPS, Step, append
from drill.verify import judge
from verify.journals import GOOD, T0, World, journal, plan

TAKEN = Step(
    runbook="pod-crash", sha256="0", name="restart-one", tag="mitigate", outcome="contradicted", began=T0 + 2.75,
    ended=T0 + 9, command='kubectl delete pod "x"', why="burning within 20 s: expected <1, got 9", by="ops-1",
    role="ops", owner="team-runbooks",
)  # fmt: skip


def report_of(beside: Beside, world: World = GOOD) -> Report:
    events = journal(world)
    return build(plan(), events, judge(plan(), events), beside)


def test_a_step_that_did_not_help_is_in_the_timeline_and_an_action_of_the_runbooks_owner() -> None:
    report = report_of(Beside(steps=[TAKEN]))
    (row,) = [row for row in report.timeline if row.source == "people"]
    assert row.offset_s == 3.0  # the runner is a quarter of a second behind the server
    assert "ops-1: pod-crash, restart-one: contradicted" in row.text
    (item,) = [item for item in report.action_items if "restart-one" in item.title]
    assert (item.owner, item.closed_by) == ("team-runbooks", "")
    for text in (to_markdown(report), unescape(to_html(report))):
        assert "contradicted" in text
        assert "ops-1" in text


def test_a_step_that_helped_or_was_skipped_asks_for_nothing() -> None:
    fine = [TAKEN.with_(outcome="proven"), TAKEN.with_(outcome="skipped")]
    assert report_of(Beside(steps=fine)).action_items == report_of(Beside()).action_items


def test_every_row_of_the_timeline_has_a_question_to_ask() -> None:
    assert all(row.query for row in report_of(Beside(steps=[TAKEN])).timeline)


def test_what_people_wrote_survives_every_new_rendering(tmp_path: Path) -> None:
    words = "The cache was *warm*.\n\nNobody | expected that <b>at all</b>."
    (tmp_path / FILE).write_text(template("run-1", {"Lessons": words}))
    for _ in range(2):
        report = write_all(tmp_path, plan(), journal(GOOD))
        assert next(part.text for part in report.people if part.title == "Lessons") == words
        assert (tmp_path / FILE).read_text() == template("run-1", {"Lessons": words})
    shown = (tmp_path / "report.md").read_text()
    assert "> The cache was *warm*." in shown
    assert "<b>" not in shown
    assert "<b>at all" not in (tmp_path / "report.html").read_text()


def test_open_parts_are_marked_and_written_ones_are_not() -> None:
    shown = to_markdown(report_of(Beside(people={"Lessons": "Look first."})))
    assert "## Lessons\n" in shown
    assert shown.count("to be written by people") == len(OPEN_PARTS) - 1


def test_nothing_people_wrote_is_dropped() -> None:
    text = template("r", {"Decisions": "We waited."}).replace(
        "## Lessons", "## Our own heading\n\nmine\n\n## Lessons"
    )
    assert parts_of("loose words\n\n" + text) == {
        "Decisions": "We waited.", "Notes": "loose words\n\n# Postmortem of r: the people's part",
        "Our own heading": "mine",
    }  # fmt: skip
    assert parts_of(template("r", {})) == {}


def test_a_missing_file_means_that_nothing_is_written(tmp_path: Path) -> None:
    assert read_people(tmp_path) == {}


def test_steps_beside_the_journal_get_into_the_report(tmp_path: Path) -> None:
    append(tmp_path / STEPS, TAKEN)
    report = write_all(tmp_path, plan(), journal(GOOD))
    assert [(one.name, one.outcome) for one in report.steps] == [("restart-one", "contradicted")]


# ---- closing ----


def past(name: str, at: float, report: Report) -> PastRun:
    return PastRun(name, at, report)


def test_an_action_closes_by_a_later_green_run_of_the_same_drill_and_by_nothing_else() -> None:
    asking = report_of(Beside(steps=[TAKEN]))
    title = next(item.title for item in asking.action_items if "restart-one" in item.title)
    green = report_of(Beside())
    red = green.model_copy(update={"verdict": "fail"})
    other = green.model_copy(update={"service": "cart"})
    first = past("r1", 1.0, asking)
    for later in (red, other, asking):
        assert title not in closing_runs([first, past("r2", 2.0, later)], "r1")
    assert title not in closing_runs([past("r0", 0.5, green), first], "r1")
    assert (
        closing_runs([first, past("r2", 2.0, red), past("r3", 3.0, green), past("r4", 4.0, green)], "r1")[title]
        == "r3"
    )
    closed = report_of(Beside(steps=[TAKEN], closed={title: "r3"}))
    assert "- [x] Correct the step" in to_markdown(closed)
    assert "closed by the green run" in to_html(closed)


def test_a_skewed_clock_moves_steps_with_everything_else() -> None:
    world = replace(GOOD)
    report = report_of(Beside(steps=[TAKEN]), world)
    assert [row.at for row in report.timeline] == sorted(row.at for row in report.timeline)


def test_what_is_known_before_people_come_is_written_once_and_never_over_their_words(tmp_path: Path) -> None:
    begin(tmp_path, {"Roles": "- ic: Ada"})
    assert read_people(tmp_path) == {"Roles": "- ic: Ada"}
    (tmp_path / FILE).write_text("## Roles\n\nGrace led.\n")
    begin(tmp_path, {"Roles": "- ic: Ada"})
    assert read_people(tmp_path) == {"Roles": "Grace led."}
