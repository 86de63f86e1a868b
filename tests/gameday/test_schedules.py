"""What other schedulers are told: never less than the schedule, read back by programs that are not ours."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from dateutil import tz as dateutil_tz
from dateutil.rrule import rrulestr
from hypothesis import given, settings
from hypothesis import strategies as st

from drill.gameday.artifacts import Wanted, crontab, github, k8s, on_calendar, systemd
from drill.gameday.cronparts import clock_change_hits, parts, plain_cron, utc_crons
from drill.gameday.due import due
from drill.gameday.ics import calendar, recurrence
from drill.gameday.model import Drill, Schedule

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
TEN_YEARS = timedelta(days=3653)
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe")
CRONS = (
    "0 10 * 1 2#3", "30 6 * * 3#1", "0 10 15 1,4,7,10 *", "0 9 L * *", "15 8,16 * * 1-5", "0 10 * * 5L", "45 17 1-7 * *",
    "30 2 * * *", "0 9 LW * *",
)  # fmt: skip


def drill(cron: str = "30 6 * * 3#1", zone: str = "Europe/Berlin", **schedule: Any) -> Drill:
    return Drill.model_validate({
        "apiVersion": "drill/v1", "kind": "Drill", "metadata": {"name": "day", "owner": "sre", "title": "Däy; one, two"},
        "goal": "Find out\nwhat happens: " + "ä" * 60, "hypothesis": "h", "scenarios": [{"scenario": "x"}],
        "schedule": {"cron": cron, "timezone": zone, **schedule},
    })  # fmt: skip


def wanted(found: Drill) -> Wanted:
    assert found.schedule is not None
    return Wanted(found, found.schedule, "drills/day.yaml", NOW)


def unfolded(text: str) -> list[str]:
    return text.replace("\r\n ", "").split("\r\n")


def expanded(text: str) -> set[datetime]:
    """Expand a calendar's one event by dateutil alone: its RRULE, RDATE, EXDATE and VTIMEZONE; in UTC."""
    lines = unfolded(text)
    event = lines[lines.index("BEGIN:VEVENT") : lines.index("END:VEVENT")]
    zone_lines = lines[lines.index("BEGIN:VTIMEZONE") : lines.index("END:VTIMEZONE") + 1]
    zone = dateutil_tz.tzical(StringIO("\n".join(zone_lines))).get()
    kept = [line for line in event if re.match("DTSTART|RRULE|RDATE|EXDATE", line)]
    rules = rrulestr("\n".join(re.sub(";TZID=[^:]*", "", line) for line in kept), compatible=True)
    until = (NOW + TEN_YEARS).replace(tzinfo=None)
    found = {
        local.replace(tzinfo=zone) for local in rules.between((NOW - timedelta(days=1)).replace(tzinfo=None), until)
    }
    return {dateutil_tz.resolve_imaginary(at).astimezone(UTC) for at in found}


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("cron", [cron for cron in CRONS if cron != "30 2 * * *"])
def test_over_ten_years_the_calendar_says_what_due_says(cron: str, zone: str) -> None:
    """Two readers of one schedule that share nothing: cronsim with zoneinfo, and RRULE with VTIMEZONE by dateutil."""
    found = drill(cron, zone)
    assert found.schedule is not None
    text = calendar(found, found.schedule, NOW, timedelta(hours=1))
    end = NOW + TEN_YEARS - timedelta(days=2)
    assert {at for at in expanded(text) if at <= end} == set(due(cron, zone, NOW, end))


def test_where_the_clock_skips_the_time_the_calendar_keeps_the_day() -> None:
    found = drill("30 2 * * *")
    assert found.schedule is not None
    text = calendar(found, found.schedule, NOW, timedelta(hours=1))
    by_calendar = {at.date() for at in expanded(text)}
    assert by_calendar >= {at.date() for at in due("30 2 * * *", "Europe/Berlin", NOW, NOW + timedelta(days=3600))}


def test_a_rule_that_rrule_cannot_say_becomes_dates() -> None:
    assert recurrence(parts("0 10 13 * 5")) is None  # the 13th, or a Friday
    found = drill("0 10 13 * 5")
    assert found.schedule is not None
    text = calendar(found, found.schedule, NOW, timedelta(hours=1))
    assert "RRULE" not in text
    end = NOW + timedelta(days=700)
    assert {at for at in expanded(text) if at <= end} == set(due("0 10 13 * 5", "Europe/Berlin", NOW, end))


def test_blackouts_are_left_out_of_the_calendar() -> None:
    found = drill(blackout=[{"from": "2026-12-18", "to": "2027-01-06"}])
    assert found.schedule is not None
    held = expanded(calendar(found, found.schedule, NOW, timedelta(hours=1)))
    assert datetime(2027, 1, 6, 5, 30, tzinfo=UTC) not in held
    assert datetime(2027, 2, 3, 5, 30, tzinfo=UTC) in held


def test_the_calendar_keeps_to_its_form() -> None:
    found = drill()
    assert found.schedule is not None
    text = calendar(found, found.schedule, NOW, timedelta(hours=1))
    assert text.endswith("END:VCALENDAR\r\n")
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
    lines = unfolded(text)
    assert "SUMMARY:Däy\\; one\\, two" in lines
    assert "DTSTAMP:20261123T120000Z" in lines
    assert any(line.startswith("DESCRIPTION:Find out\\nwhat") for line in lines)


def test_a_schedule_in_utc_needs_no_time_zone() -> None:
    found = drill("0 10 * * 1", "UTC")
    assert found.schedule is not None
    text = calendar(found, found.schedule, NOW, timedelta(hours=1))
    assert "VTIMEZONE" not in text
    assert "DTSTART:20261130T100000Z" in text


FIELDS = st.tuples(
    st.sampled_from(["0", "15,45", "*/20"]), st.sampled_from(["2", "10", "8-10", "*/6"]),
    st.sampled_from(["*", "1", "13,27", "L", "LW", "*/5"]), st.sampled_from(["*", "1,4,7,10", "2"]),
    st.sampled_from(["*", "1", "1-5", "2#2", "5L", "0,6"]),
).map(" ".join)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(FIELDS, st.sampled_from(ZONES))
def test_the_plain_expression_is_due_whenever_the_schedule_is(cron: str, zone: str) -> None:
    plain = plain_cron(cron)
    assert not set("#LW/") & set(plain)
    end = NOW + timedelta(days=120)
    assert set(due(cron, "UTC", NOW, end)) <= set(due(plain, "UTC", NOW, end))


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("cron", [*CRONS, "15,45 2 13,27 * 5L"])
def test_the_utc_expressions_together_are_due_whenever_the_schedule_is(cron: str, zone: str) -> None:
    end = NOW + timedelta(days=365)
    lines = utc_crons(cron, zone, NOW, years=1)
    covered = {at for line in lines for at in due(line, "UTC", NOW, end)}
    assert set(due(cron, zone, NOW, end)) <= covered


def test_a_zone_with_summer_time_needs_two_lines_in_utc() -> None:
    assert utc_crons("30 6 * * 3", "Europe/Berlin", NOW) == ["30 4 * 3-10 3", "30 5 * 1-3,10-12 3"]
    assert utc_crons("30 6 * * 3", "Asia/Tokyo", NOW) == ["30 21 * * 2"]


def test_clock_changes_that_hit_the_time_of_day_are_named() -> None:
    assert [at.date().isoformat() for at in clock_change_hits("30 2 * * *", "Europe/Berlin", NOW, 1)] == [
        "2027-03-28", "2027-10-31",
    ]  # fmt: skip
    assert clock_change_hits("0 10 * * *", "Europe/Berlin", NOW) == []


def test_the_crontab_line_asks_whether_it_is_due_and_says_what_it_cannot() -> None:
    text = crontab(wanted(drill()))
    *notes, zone, line = text.splitlines()
    assert zone == "CRON_TZ=Europe/Berlin"
    assert line == "30 6 * * 3 drill gameday run drills/day.yaml --yes --if-due 15m"
    assert any("starts at least as often" in note for note in notes)
    assert all(note.startswith("# ") for note in notes)


def test_the_cluster_gets_everything_the_job_needs_and_never_two_at_once() -> None:
    documents = {
        one["kind"]: one for one in yaml.safe_load_all(k8s(wanted(drill()), "apiVersion: drill/v1\nkind: Drill\n"))
    }
    assert set(documents) == {
        "ServiceAccount", "Role", "RoleBinding", "ConfigMap", "PersistentVolumeClaim", "CronJob",
    }  # fmt: skip
    spec = documents["CronJob"]["spec"]
    assert (spec["concurrencyPolicy"], spec["timeZone"], spec["schedule"]) == (
        "Forbid",
        "Europe/Berlin",
        "30 6 * * 3",
    )
    assert spec["jobTemplate"]["spec"]["backoffLimit"] == 0
    pod = spec["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == documents["ServiceAccount"]["metadata"]["name"]
    assert "--if-due" in pod["containers"][0]["command"]
    assert documents["ConfigMap"]["data"]["day.yaml"] == "apiVersion: drill/v1\nkind: Drill\n"
    rules = documents["Role"]["rules"]
    assert not any("*" in rule["verbs"] or "secrets" in rule["resources"] for rule in rules)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kubectl_reads_every_document(tmp_path: Path) -> None:
    (tmp_path / "day.yaml").write_text(k8s(wanted(drill()), "a: 1\n"))
    done = subprocess.run(
        ["kubectl", "create", "--dry-run=client", "--validate=false", "-o", "name", "-f", str(tmp_path / "day.yaml")],
        capture_output=True, text=True, timeout=30, env={"KUBECONFIG": "/dev/null", "PATH": "/usr/bin:/usr/local/bin"},
    )  # fmt: skip
    if "connect" in done.stderr or "refused" in done.stderr:
        pytest.skip("this kubectl asks a server even in a dry run")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 6


def test_github_counts_in_utc_and_drill_drops_what_is_not_due() -> None:
    text = github(wanted(drill("30 6 * * 3")))
    workflow = yaml.safe_load(text)
    assert len(workflow["on"]["schedule"]) == 2
    run = workflow["jobs"]["drill"]["steps"][3]["run"]
    assert "--if-due 50m" in run
    assert "GitHub counts in UTC" in text
    assert workflow["concurrency"]["cancel-in-progress"] is False


ANALYZE = shutil.which("systemd-analyze")


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("cron", CRONS)
def test_systemd_reads_the_calendar_events_as_due_does(cron: str) -> None:
    """systemd.time(7) prints the next times of an event; here the next six, against ours."""
    lines = on_calendar(Schedule(cron=cron, timezone="Europe/Berlin"))
    base = NOW.strftime("%Y-%m-%d %H:%M:%S UTC")
    seen: set[str] = set()
    for line in lines:
        done = subprocess.run(
            [str(ANALYZE), "calendar", "--iterations=60", f"--base-time={base}", line],
            capture_output=True, text=True, timeout=30, env={"TZ": "UTC", "PATH": "/usr/bin"},
        )  # fmt: skip
        assert done.returncode == 0, f"{line}: {done.stderr}"
        seen |= set(
            re.findall(
                r"(?:Next elapse|Iter(?:\.|ation) #\d+): \w+ (\d{4}-\d\d-\d\d \d\d:\d\d):00 UTC", done.stdout
            )
        )
    ours = [f"{at:%Y-%m-%d %H:%M}" for at in due(cron, "Europe/Berlin", NOW, NOW + timedelta(days=3000))][:6]
    superset = "LW" in cron
    assert set(ours) <= seen, f"{lines}"
    last = max(ours)
    assert superset or {one for one in seen if one <= last} == set(ours)


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    units = systemd(wanted(drill()))
    assert set(units) == {"drill-day.timer", "drill-day.service"}
    assert "Persistent=false" in units["drill-day.timer"]
    for name, text in units.items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [str(ANALYZE), "verify", "--man=no", "--recursive-errors=no", str(tmp_path / "drill-day.timer")],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    complaints = [line for line in done.stderr.splitlines() if "drill-day" in line]
    assert complaints == []
