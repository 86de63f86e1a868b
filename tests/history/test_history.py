"""Index, comparison, coverage and policy, on real journals of a small world with a truth."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from drill.alerting.rulefile import Group, Rule
from drill.core.clock import rfc3339
from drill.history.compare import compare
from drill.history.coverage import MEANINGS, Coverage, coverage, is_of
from drill.history.coverage_text import rows, summary, to_html, to_openmetrics
from drill.history.index import FILE, Index, PastRun
from drill.history.policy import (
    DAY_S,
    Limits,
    Proof,
    check_actions,
    check_budgets,
    check_pages,
    check_runbooks,
    closing_runs,
)
from drill.report.build import build
from drill.report.model import Report
from drill.report.write import write_all
from drill.verify import judge
from drill.verify.model import AlertVerdict
from verify.journals import GOOD, PAGE, STRANGER, T0, TICKET, World, firing, journal, plan
from verify.mutants import ALERT_MUTANTS

NOW = T0 + 10 * DAY_S


def report(world: World = GOOD) -> Report:
    events = journal(world)
    return build(plan(), events, judge(plan(), events))


def run(world: World = GOOD, name: str = "run", at: float = T0) -> PastRun:
    """A run as if it had been started at *at*."""
    made = report(world).model_copy(update={"started_at": rfc3339(at), "finished_at": rfc3339(at + 60)})
    return PastRun(name, at, made)


def kept(out: Path, name: str, world: World = GOOD) -> Path:
    folder = out / name
    folder.mkdir(parents=True)
    events = journal(world)
    (folder / "plan.json").write_text(plan().model_dump_json())
    (folder / "journal.jsonl").write_text("".join(event.model_dump_json() + "\n" for event in events))
    write_all(folder, plan(), events)
    return folder


def rule(labels: dict[str, str], **more: object) -> Rule:
    own = {name: value for name, value in labels.items() if name != "alertname"}
    return Rule(alert=labels["alertname"], expr="1", labels=own, **more)  # type: ignore[arg-type]


OTHER = {**PAGE, "alertname": "OtherFastBurn", "sloth_id": "cart-latency", "sloth_service": "cart"}
GROUPS = [Group(name="g", interval_s=30, rules=(rule(PAGE), rule(TICKET), rule(OTHER), Rule(record="r", expr="1")))]


def covered(*runs: PastRun, now: float = NOW) -> Coverage:
    return coverage(GROUPS, runs, now)


# --- the index


def test_the_index_finds_runs_without_a_report_and_names_what_it_cannot_read(tmp_path: Path) -> None:
    kept(tmp_path, "20260101T000000Z-a")
    (kept(tmp_path, "20260102T000000Z-b") / "report.json").unlink()
    (tmp_path / "20260103T000000Z-c").mkdir()
    (tmp_path / "20260103T000000Z-c" / "journal.jsonl").write_text("junk\n")
    (tmp_path / "notes").mkdir()
    with Index(tmp_path) as index:
        assert [found.name for found in index.runs()] == ["20260101T000000Z-a", "20260102T000000Z-b"]
        assert {found.report.verdict for found in index.runs()} == {"pass"}
        assert index.unreadable == ["20260103T000000Z-c"]


def test_the_index_follows_what_happens_to_the_files(tmp_path: Path) -> None:
    first = kept(tmp_path, "a")
    with Index(tmp_path) as index:
        assert len(index.runs()) == 1
    kept(tmp_path, "b")
    changed = json.loads((first / "report.json").read_text()) | {"headline": "changed by hand"}
    (first / "report.json").write_text(json.dumps(changed))
    with Index(tmp_path) as index:
        assert {found.name: found.report.headline for found in index.runs()}["a"] == "changed by hand"
        assert len(index.runs()) == 2
    for file in first.iterdir():
        file.unlink()
    with Index(tmp_path) as index:
        assert [found.name for found in index.runs()] == ["b"]


@pytest.mark.parametrize("harm", ["junk", "version", "empty", "directory"])
def test_an_index_that_is_harmed_is_made_anew_from_the_files(harm: str, tmp_path: Path) -> None:
    kept(tmp_path, "a")
    Index(tmp_path).close()
    file = tmp_path / FILE
    if harm == "junk":
        file.write_bytes(b"not a database" * 100)
    elif harm == "empty":
        file.write_bytes(b"")
    elif harm == "version":
        db = sqlite3.connect(file)
        db.execute("PRAGMA user_version = 99")
        db.close()
    else:
        file.unlink()
        file.mkdir()
    with Index(tmp_path) as index:
        assert [found.name for found in index.runs()] == ["a"]


def test_without_a_directory_there_is_nothing_and_nothing_is_made(tmp_path: Path) -> None:
    with Index(tmp_path / "none") as index:
        assert index.runs() == []
    assert not (tmp_path / "none").exists()


# --- coverage


def test_a_good_run_proves_its_rule_and_only_that() -> None:
    page, ticket, other = covered(run()).rules
    assert (page.state, page.proven_at) == ("proven", rfc3339(T0 + 60))
    assert page.proof_age_s == pytest.approx(10 * DAY_S - 60)
    assert ticket.state in ("fired", "untested")
    assert ticket.proven_at is None
    assert other.state == "untested"


@pytest.mark.parametrize("name", sorted(ALERT_MUTANTS))
def test_no_run_with_something_wrong_proves_the_rule(name: str) -> None:
    """Every mutant of the judge's tests: whatever is wrong with the alert, it is no proof."""
    made = report(ALERT_MUTANTS[name][1])
    page = covered(PastRun("x", T0, made)).rules[0]
    assert page.proven_at is None
    assert page.state not in ("proven", "untested")


@pytest.mark.parametrize("verdict", ["unknown", "aborted"])
def test_an_alert_on_time_in_a_run_that_shows_nothing_is_no_proof(verdict: str) -> None:
    made = report().model_copy(update={"verdict": verdict})
    assert covered(PastRun("x", T0, made)).rules[0].state == "unknown"


def in_training(made: PastRun, occasion: str = "training") -> PastRun:
    return PastRun(made.name, made.started_at, made.report.model_copy(update={"occasion": occasion}))


@pytest.mark.parametrize("occasion", ["training", "proof"])
@pytest.mark.parametrize("name", sorted(ALERT_MUTANTS))
def test_a_training_or_a_runbooks_proof_says_nothing_against_a_rule(name: str, occasion: str) -> None:
    """Whatever an alert did wrong: the target was being repaired meanwhile."""
    made = in_training(PastRun("x", T0, report(ALERT_MUTANTS[name][1])), occasion)
    assert {one.state for one in covered(made).rules} <= {"untested", "proven"}
    assert covered(made).rules[0].state == "untested"


def test_a_training_proves_what_it_measured_and_keeps_older_words() -> None:
    assert covered(in_training(run())).rules[0].state == "proven"
    assert [one.state for one in covered(in_training(run())).rules[1:]] == ["untested", "untested"]
    failed = judged(AlertVerdict.LATE)
    later = in_training(judged(AlertVerdict.NEVER, firing_at=None, labels={}))
    assert covered(failed, later).rules[0].state == "late"
    silent_run = PastRun("x", T0, report().model_copy(update={"verdict": "aborted"}))
    assert covered(in_training(silent_run)).rules[0].state == "untested"


def judged(verdict: AlertVerdict, **changes: object) -> PastRun:
    """A run a day later in which the page got *verdict*."""
    good = run(name=verdict.value, at=T0 + DAY_S)
    alert = good.report.alerts[0].model_copy(update={"verdict": verdict, **changes})
    return PastRun(good.name, good.started_at, good.report.model_copy(update={"alerts": (alert,)}))


def test_a_later_failure_takes_the_state_but_the_old_proof_keeps_its_date() -> None:
    found = covered(run(), judged(AlertVerdict.NEVER, firing_at=None, labels={}))
    assert found.rules[0].state == "silent"
    assert found.rules[0].proven_at == rfc3339(T0 + 60)
    assert check_pages(found, Limits())[0].text.endswith("failed its last drill: silent")


def test_an_unknown_outcome_takes_nothing_from_an_older_proof() -> None:
    unknown = judged(AlertVerdict.NO_EVIDENCE)
    assert covered(run(), unknown).rules[0].state == "proven"
    assert covered(unknown).rules[0].state == "unknown"


def test_an_alert_belongs_to_the_rule_whose_labels_it_does_not_contradict() -> None:
    alert = report().alerts[0]
    assert is_of(rule(PAGE), alert)
    assert not is_of(rule(TICKET), alert)
    assert not is_of(rule({**PAGE, "burn_tier": "slow"}), alert)
    assert is_of(rule({**PAGE, "team": "{{ $labels.team }}"}), alert)
    silent = alert.model_copy(update={"labels": {}, "match": {"sloth_id": PAGE["sloth_id"], "severity": "page"}})
    assert is_of(rule(PAGE), silent)
    assert not is_of(rule(OTHER), silent)
    assert not is_of(rule(PAGE), silent.model_copy(update={"match": {}}))


def test_a_stranger_that_fires_is_noise_of_its_rule() -> None:
    made = report(replace(GOOD, spans=(*GOOD.spans, firing(STRANGER, 20.3, 30.3))))
    groups = [Group(name="g", interval_s=30, rules=(rule(STRANGER),))]
    assert coverage(groups, [PastRun("x", T0, made)], NOW).rules[0].state == "noise"


def test_the_matrix_is_shown_in_every_form() -> None:
    found = covered(run(name="20260101-x"))
    assert summary(found) == "1 of 3 alert rules are proven, 1 of 2 that page"
    assert rows(found)[0][:4] == ("SLOLatencyFastBurn fast", "page", "proven", "9d23h")
    page = to_html(found)
    assert '<a href="./20260101-x/report.html"' in page
    assert "<script" not in page
    assert Coverage.model_validate_json(found.model_dump_json(by_alias=True)) == found


def test_openmetrics_is_read_back_by_prometheus_s_own_parser() -> None:
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    families = {one.name: one for one in text_string_to_metric_families(to_openmetrics(covered(run())))}
    (proven,) = families["drill_alert_last_proven_timestamp_seconds"].samples
    assert proven.labels["alert"] == "SLOLatencyFastBurn"
    assert proven.value == pytest.approx(T0 + 60)
    states = families["drill_alert_coverage_state"].samples
    assert len(states) == 3 * len(MEANINGS)
    assert sum(sample.value for sample in states) == 3


# --- policy


def test_a_page_needs_a_proof_that_is_young_enough() -> None:
    def texts(now: float) -> list[str]:
        return [one.text for one in check_pages(covered(run(), now=now), Limits())]

    assert texts(NOW) == ["OtherFastBurn fast (cart) was never proven"]
    assert len(texts(T0 + 60 + 90 * DAY_S)) == 1
    assert (
        texts(T0 + 61 + 90 * DAY_S)[0]
        == "SLOLatencyFastBurn fast (checkout) was proven 90d1s ago, at most 90d is allowed"
    )


@pytest.mark.parametrize(("left", "breached"), [(0.2, 0), (0.19, 1), (-0.5, 1), (float("nan"), 1)])
def test_the_budget_has_a_floor_and_no_number_is_below_it(left: float, breached: int) -> None:
    assert len(check_budgets({"checkout-latency": left}, Limits())) == breached


def with_action(made: PastRun, due: str) -> PastRun:
    from drill.report.model import ActionItem

    item = ActionItem(title="Mend the route", owner="sre", due=due, why="it was misrouted")
    return PastRun(
        made.name, made.started_at, made.report.model_copy(update={"action_items": (item,), "verdict": "fail"})
    )


def test_an_action_is_overdue_after_its_day_until_a_later_run_is_green() -> None:
    bad = with_action(run(name="bad"), "2027-01-10")
    assert check_actions([bad], date(2027, 1, 10)) == []
    (breach,) = check_actions([bad], date(2027, 1, 11))
    assert "Mend the route" in breach.text
    before, after = run(name="before", at=T0 - DAY_S), run(name="after", at=T0 + DAY_S)
    assert len(check_actions([before, bad], date(2027, 1, 11))) == 1
    assert check_actions([bad, after], date(2027, 1, 11)) == []
    again = with_action(run(name="again", at=T0 + DAY_S), "2027-03-01")
    again = PastRun("again", again.started_at, again.report.model_copy(update={"verdict": "pass"}))
    (breach,) = check_actions([bad, again], date(2027, 1, 11))
    assert "due 2027-01-10" in breach.text  # green, but it asks for the same again
    assert len(check_actions([bad, in_training(after)], date(2027, 1, 11))) == 1  # a training closes nothing
    assert closing_runs([bad, after], "bad") == {"Mend the route": "after"}
    assert closing_runs([bad, in_training(after)], "bad") == {}
    assert check_actions([in_training(bad)], date(2027, 1, 11)) == []
    other = PastRun("other", after.started_at, after.report.model_copy(update={"service": "cart"}))
    assert len(check_actions([bad, other], date(2027, 1, 11))) == 1


def test_a_runbook_needs_a_proof_of_the_text_there_is() -> None:
    wanted = {"a": "s1", "b": "s2", "c": "s3", "d": "s4"}
    proofs = {"a": Proof(NOW - DAY_S), "b": Proof(NOW - DAY_S, current=False), "c": Proof(NOW - 91 * DAY_S)}
    found = [one.text for one in check_runbooks(wanted, proofs, Limits(), NOW)]
    assert found == ["b was changed since it was proven", "c was proven 91d ago", "d was never proven"]


# --- compare


def test_a_run_compared_with_itself_shows_no_difference() -> None:
    found = compare(report(), report())
    assert found.unlike == ()
    assert not [row for row in found.rows if row.before != row.after or row.change not in ("", "+0 s", "+0 %")]


def test_what_differs_is_said_and_what_is_no_pair_first() -> None:
    good = report()
    alert = good.alerts[0].model_copy(update={"firing_after_s": (good.alerts[0].firing_after_s or 0) + 5})
    later = good.model_copy(
        update={"verdict": "fail", "alerts": (alert,), "parameters": {"delay": "1s"}, "source_sha256": "f" * 64}
    )
    found = compare(good, later)
    assert "the scenario's file was changed in between" in found.unlike
    assert any(one.startswith("parameter delay") for one in found.unlike)
    changes = {row.what.strip(): row.change for row in found.rows}
    assert changes["verdict"] == "worse"
    assert changes["fired after"] == "+5 s"
    assert {row.what: row.change for row in compare(later, good).rows}["verdict"] == "better"
