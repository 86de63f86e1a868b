"""`drill gameday` and its neighbours from options to exit code; runs are played by a story, the rest is real."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from drill.core.errors import ExitCode, Unavailable
from drill.gameday.journal import FILE, game_days, read_progress
from drill.plan.model import Plan

DAY = """\
apiVersion: drill/v1
kind: Drill
metadata: {name: day, title: The day, owner: sre}
goal: Know it.
hypothesis: It works.
scenarios:
  - {id: one, scenario: latency-spike, with: {service: checkout}}
  - {id: two, scenario: latency-spike, with: {service: checkout}, seed: 3, brief: Look closely.}
stop: {on: [unknown]}
"""


@pytest.fixture
def day(shell: Any, tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The drill file; its scenarios are played without any rest."""
    quick = plan.with_(group_interval_s=0.0)

    def compile_plan(name_or_path: str, settings: Any) -> Any:
        from types import SimpleNamespace

        shell.wiring.compiled.append((name_or_path, settings))
        return SimpleNamespace(plan=quick.with_(seed=settings.seed), loaded=None)

    monkeypatch.setattr(shell.wiring, "compile_plan", compile_plan)
    monkeypatch.setattr("drill.cli.occasion.GROUPS_OVER_S", 0.0)
    file = tmp_path / "day.yaml"
    file.write_text(DAY)
    return file


def test_run_plays_every_scenario_and_leaves_a_journal_and_a_report(shell: Any, day: Path) -> None:
    assert shell("gameday", "run", "day.yaml") == ExitCode.PASS
    (folder,) = game_days(Path("drill-runs"))
    assert {path.name for path in folder.iterdir()} == {
        FILE, "drill.yaml", "report.json", "report.md", "report.html",
    }  # fmt: skip
    report = json.loads((folder / "report.json").read_text())
    assert (report["verdict"], len(report["steps"])) == ("pass", 2)
    assert all((folder / step["report"]).is_file() for step in report["steps"])
    assert [settings.seed for _, settings in shell.wiring.compiled] == [0, 3]
    assert "Look closely." in shell.out
    assert "is FIRING" in shell.out
    assert shell.out.splitlines()[-1] == f"report: {folder / 'report.html'}"


def test_the_worst_exit_code_comes_out_and_what_was_not_played_is_no_pass(shell: Any, day: Path) -> None:
    shell.wiring.errors = [Unavailable("no sandbox")]
    assert shell("gameday", "run", "day.yaml", "--quiet") == ExitCode.UNKNOWN
    assert shell.wiring.ran == 1
    assert shell("gameday", "report", "day") == ExitCode.UNKNOWN
    assert "stop.on" in shell.out


def test_a_game_day_whose_runner_died_is_seen_and_gone_on_with(shell: Any, day: Path) -> None:
    shell.wiring.errors = [KeyError("died")]  # nothing of drill's own: as near to SIGKILL as one process gets
    shell("gameday", "run", "day.yaml")
    assert shell("gameday", "status", "day.yaml") == 1
    assert "one: interrupted" in shell.out
    assert "drill gameday resume day" in shell.out
    assert shell("gameday", "resume", "day.yaml") == ExitCode.PASS
    progress = read_progress(game_days(Path("drill-runs"))[0])
    assert [step.attempts for step in progress.steps] == [2, 1]
    assert shell("gameday", "resume", "day.yaml") == ExitCode.USAGE
    assert "no unfinished game day" in shell.err


def test_resume_refuses_a_file_that_was_changed(shell: Any, day: Path) -> None:
    shell.wiring.errors = [KeyError("died")]
    shell("gameday", "run", "day.yaml")
    day.write_text(DAY + "# another day\n")
    assert shell("gameday", "resume", "day.yaml") == ExitCode.USAGE
    assert "was changed since" in shell.err


def test_a_prerequisite_that_is_not_met_refuses_and_touches_nothing(shell: Any, day: Path) -> None:
    day.write_text(DAY + "roles: {ic: required}\nparticipants: [{name: Kim, role: ic}]\n"
                   "prerequisites: {people_confirmed: true, freeze_file: FREEZE}\n")  # fmt: skip
    assert shell("gameday", "run", "day.yaml") == ExitCode.ABORTED
    assert "ic: Kim has not said to be there" in shell.err
    assert not Path("drill-runs").exists()
    Path("FREEZE").write_text("month end\n")
    assert shell("gameday", "run", "day.yaml", "--confirm", "Kim") == ExitCode.ABORTED
    assert "FREEZE is there: month end" in shell.err
    Path("FREEZE").unlink()
    assert shell("gameday", "run", "day.yaml", "--confirm", "Kim") == ExitCode.PASS


def test_force_begins_all_the_same_and_the_report_says_so(shell: Any, day: Path) -> None:
    day.write_text(DAY + "roles: {ic: required}\nprerequisites: {people_confirmed: true}\n")
    assert shell("gameday", "run", "day.yaml", "--force") == ExitCode.PASS
    report = json.loads((game_days(Path("drill-runs"))[0] / "report.json").read_text())
    assert report["forced"] is True


SCHEDULED = DAY + "schedule: {cron: '* * * * *', timezone: UTC}\n"


def test_if_due_holds_it_once_for_each_time_and_never_in_a_blackout(shell: Any, day: Path) -> None:
    now = datetime.now(UTC)
    day.write_text(DAY + f"schedule: {{cron: '{now.minute} {now.hour} * * *'}}\n")
    assert shell("gameday", "run", "day.yaml", "--if-due", "15m") == ExitCode.PASS
    assert shell("gameday", "run", "day.yaml", "--if-due", "15m") == ExitCode.PASS
    assert "was held already for" in shell.out
    assert len(game_days(Path("drill-runs"))) == 1
    day.write_text(DAY + f"schedule: {{cron: '{now.minute} {(now.hour + 5) % 24} * * *'}}\n")
    assert shell("gameday", "run", "day.yaml", "--if-due", "15m") == ExitCode.PASS
    assert "is not due; nothing was done" in shell.out
    day.write_text(SCHEDULED.replace("UTC}", "UTC, blackout: [{from: 2000-01-01, to: 2999-01-01, reason: never}]}"))
    assert shell("gameday", "run", "day.yaml", "--if-due", "15m") == ExitCode.PASS
    assert "is not held now: never" in shell.out


def test_if_due_needs_a_schedule(shell: Any, day: Path) -> None:
    assert shell("gameday", "run", "day.yaml", "--if-due", "15m") == ExitCode.USAGE
    assert "has no schedule" in shell.err


def test_a_cool_down_that_is_too_short_is_a_mistake_with_its_place(
    shell: Any, day: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drill.cli.occasion.GROUPS_OVER_S", 60.0)
    day.write_text(DAY + "cooldown: 30s\n")
    assert shell("gameday", "plan", "day.yaml") == ExitCode.USAGE
    assert "day.yaml:10:11: a cool-down of 30s is too short" in shell.err
    assert "grouped for 1m" in shell.err


def test_plan_says_what_would_happen_and_makes_nothing(shell: Any, day: Path) -> None:
    assert shell("gameday", "plan", "day.yaml") == ExitCode.PASS
    assert "1. one: Latency spike (latency-spike on checkout)" in shell.out
    assert "nothing is asked for" in shell.out
    assert shell.wiring.ran == 0
    assert not Path("drill-runs").exists()


def test_missed_runs_are_reported_and_not_made_up_for(shell: Any, day: Path) -> None:
    day.write_text(DAY + "schedule: {cron: '0 10 * * 1', timezone: UTC, since: 2027-01-04}\n")
    assert shell("gameday", "status", "day.yaml", "--at", "2027-01-12T00:00") == 1
    assert [line for line in shell.out.splitlines() if "missed" in line] == [
        "  ! missed: Mon 2027-01-04 10:00 UTC",
        "  ! missed: Mon 2027-01-11 10:00 UTC",
    ]
    assert shell.wiring.ran == 0


def test_status_and_due_in_json_are_data_only(shell: Any, day: Path) -> None:
    day.write_text(DAY + "schedule: {cron: '0 10 * * 1', timezone: Europe/Berlin}\n")
    assert shell("gameday", "status", "day.yaml", "--format", "json") == 0
    assert json.loads(shell.out)[0]["state"] == "never held"
    assert shell("gameday", "due", "day.yaml", "--at", "2027-01-11T00:00", "--format", "json") == 0
    assert json.loads(shell.out) == [
        {"drill": "day", "at": "2027-01-11T09:00:00Z", "local": "Mon 2027-01-11 10:00 CET", "note": ""}
    ]


@pytest.mark.parametrize("wrong", ["soon", "2027-13-01"])
def test_a_time_that_is_none_is_refused(wrong: str, shell: Any, day: Path) -> None:
    assert shell("gameday", "due", "day.yaml", "--at", wrong) == ExitCode.USAGE
    assert "is not a time" in shell.err


@pytest.mark.parametrize("form", ["k8s", "systemd", "crontab", "github", "ics"])
def test_a_schedule_is_written_in_every_form_the_same_each_time(form: str, shell: Any, day: Path) -> None:
    day.write_text(DAY + "schedule: {cron: '0 10 * * 1', timezone: Europe/Berlin}\n")
    args = ("schedule", "day.yaml", "--as", form, "--at", "2026-11-23T12:00")
    assert shell(*args) == ExitCode.PASS
    first = shell.out
    shell(*args)
    assert shell.out == first != ""
    assert shell(*args, "--to", "here") == ExitCode.PASS
    assert sorted(path.name.split(".")[0] for path in Path("here").iterdir())[0] == "drill-day"


def test_a_drill_without_a_schedule_has_none_to_write(shell: Any, day: Path) -> None:
    assert shell("schedule", "day.yaml", "--as", "ics") == ExitCode.USAGE
    assert "has no schedule" in shell.err


RULES = """\
groups:
  - name: g
    rules:
      - alert: CheckoutLatencyBurn
        expr: vector(1)
        labels: {severity: page, sloth_id: checkout-latency, sloth_service: checkout}
      - alert: CartLatencyBurn
        expr: vector(1)
        labels: {severity: page, sloth_id: cart-latency, sloth_service: cart}
"""


def test_coverage_compare_and_policy_look_at_the_same_runs(shell: Any, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    shell("run", "latency-spike", "--repeat", "2", "--quiet")
    assert shell("coverage", "--rules", "rules.yaml") == 0
    assert "1 of 2 alert rules are proven, 1 of 2 that page" in shell.out
    assert shell("coverage", "--rules", "rules.yaml", "--format", "json") == 0
    assert [rule["state"] for rule in json.loads(shell.out)["rules"]] == ["proven", "untested"]
    assert Path("drill-runs/.index.sqlite").is_file()
    assert shell("compare", "20231114T221321Z", "20231114T221322Z", "--format", "json") == 0
    assert json.loads(shell.out)["unlike"] == []
    assert shell("policy", "check", "--rules", "rules.yaml", "--rule", "pages", "--at", "2023-12-01") == 1
    assert shell.out.splitlines()[0].startswith("✗ pages: CartLatencyBurn (cart) was never proven")
    assert shell.out.splitlines()[-1] == "1 reason"
    assert shell("policy", "check", "--rules", "rules.yaml", "--rule", "actions", "--at", "2023-11-20") == 0
    assert "the policy is met" in shell.out
    assert shell("policy", "check", "--rules", "rules.yaml", "--rule", "actions", "--at", "2024-01-01") == 1
    assert shell.out.count("has no green re-run") == 1  # both runs ask for it; the first day counts
    assert shell("runs") == 0  # goes on without the index


def test_a_budget_that_cannot_be_looked_at_is_unknown_and_not_met(shell: Any) -> None:
    assert shell("policy", "check", "--rule", "budget", "--prometheus", "http://127.0.0.1:9") == ExitCode.UNKNOWN


def test_wrong_rule_files_are_answered_with_their_place(shell: Any, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("groups: 3\n")
    assert shell("coverage", "--rules", "bad.yaml") == ExitCode.USAGE
    assert "bad.yaml:1" in shell.err
    assert shell("coverage", "--rules", "none.yaml") == ExitCode.USAGE
    assert "cannot be read" in shell.err


def test_where_a_secret_stands_is_no_secret_and_is_not_hidden(shell: Any) -> None:
    """A schema and a ConfigMap with three stars in them would be broken files."""
    import yaml

    from drill.gameday.schema import export
    from drill.scenario.library import packaged_root

    assert shell("schema", "drill") == 0
    assert shell.out == export()
    root = packaged_root("drills")
    assert root is not None
    assert shell("schedule", "q1-checkout", "--as", "k8s") == 0
    (config,) = [one for one in yaml.safe_load_all(shell.out) if one["kind"] == "ConfigMap"]
    assert config["data"]["q1-checkout.yaml"] == (root / "q1-checkout.yaml").read_text()
