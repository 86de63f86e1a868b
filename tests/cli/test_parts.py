"""The smaller parts: the plan's text, interrupts, past runs, JUnit, tables, prediction from numbers."""

from __future__ import annotations

import io
import json
import signal
import threading
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from drill.cli import junit
from drill.cli.console import Console, plain_table
from drill.cli.interrupt import AbortOnSignal, undo_within_s
from drill.cli.past import find_run, past_runs
from drill.cli.plan_text import plan_text, timeline
from drill.cli.settings import RecoveredRun, RecoverResult, SandboxInfo
from drill.core.errors import ExitCode, UsageError


def test_plan_says_actions_undo_radius_prediction_and_price(plan: Any) -> None:
    text = plan_text(plan)
    for said in (
        "do    checkout-0: delay by 400 ms ± 20 ms packets ingress to port 8080 (nfqueue)",
        "undo  checkout-0: remove the fault and verify that nothing is left",
        "slow: latency by nfqueue: the kernel has no netem; T0 for 30s",
        "3 of 3 replicas of checkout (100%)",
        "fires 8s to 12s after the fault is in effect",
        "delivered 8.5s to 12.5s after it → pagerduty",
        "checkout-latency ticket, 4s to 9s after the effect → slack",
        "at most 5% of a service's error budget",
        "windows tested: fast-forward 60: page 14.4x over 1m+5s (in production 1h+5m)",
    ):
        assert said in text


def test_the_timeline_puts_the_interval_inside_the_fault_at_scale(plan: Any) -> None:
    fault, page, ticket, axis, legend = timeline(plan)
    column = fault.index("█")
    assert page.index("▒") > column
    # 8 s of 38 s in 60 columns, and the fault's end at 30 s.
    assert page.index("▒") - column == int(8 / 38 * 60)
    assert fault.rindex("█") - column == round(30 / 38 * 60) - 1
    assert "▒" in ticket
    assert axis.strip().startswith("T0")
    assert axis.strip().endswith("T+38s")
    assert "must start to fire" in legend


def test_an_alert_that_cannot_fire_says_why(plan: Any) -> None:
    expected = plan.expected[0]
    never = expected.predicted.with_(fires=False, firing_s=None, why="the fault is 20 s too short")
    text = plan_text(plan.with_(expected=(expected.with_(predicted=never),)))
    assert "does NOT fire: the fault is 20 s too short" in text


def test_the_first_signal_aborts_and_the_second_does_not_skip_the_undo(plan: Any) -> None:
    abort, told, now = threading.Event(), [], [100.0]
    guard = AbortOnSignal(abort, told.append, undo_within_s(plan), clock=lambda: now[0])
    before = signal.getsignal(signal.SIGINT)
    with guard:
        signal.raise_signal(signal.SIGINT)
        assert abort.is_set()
        now[0] += 4.0
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
    assert "aborting" in told[0]
    assert told[1] == "the undo is under way and is not skipped: at most 11 s left"


def run_dir(out: Path, name: str, journal: str = "", report: str | None = None) -> Path:
    path = out / name
    path.mkdir(parents=True)
    (path / "journal.jsonl").write_text(journal)
    if report is not None:
        (path / "report.json").write_text(report)
    return path


def test_past_runs_are_newest_first_and_say_what_is_missing(tmp_path: Path) -> None:
    run_dir(tmp_path, "20260101T000000Z-a", '{"kind":"run-finished"}\n', '{"verdict": "pass", "scenario": "a"}')
    run_dir(tmp_path, "20260103T000000Z-c", '{"kind":"t0"}\n')
    run_dir(tmp_path, "20260102T000000Z-b", '{"kind":"run-finished"}\n', "{broken")
    (tmp_path / "not-a-run").mkdir()
    assert [(run.scenario, run.verdict) for run in past_runs(tmp_path)] == [
        ("c", "unfinished"),
        ("b", "no report"),
        ("a", "pass"),
    ]
    assert past_runs(tmp_path / "nothing") == []


def test_a_run_is_found_by_path_name_scenario_and_last(tmp_path: Path) -> None:
    old, new = run_dir(tmp_path, "20260101T000000Z-a"), run_dir(tmp_path, "20260102T000000Z-a")
    assert find_run(str(old), tmp_path) == old
    assert find_run("20260101", tmp_path) == old
    assert find_run("a", tmp_path) == new
    assert find_run("last", tmp_path) == new
    with pytest.raises(UsageError, match="there is no run 'b'"):
        find_run("b", tmp_path)
    with pytest.raises(UsageError, match="no run 'last'"):
        find_run("last", tmp_path / "empty")


def test_junit_files_become_one_with_the_sums(tmp_path: Path) -> None:
    one, two = tmp_path / "1.xml", tmp_path / "2.xml"
    one.write_text('<testsuites><testsuite name="a" tests="2" failures="1" time="1.5"/></testsuites>')
    two.write_text('<testsuite name="b" tests="3" errors="1" skipped="1" time="0.25"/>')
    junit.write(junit.merge([one, two], [("c", "no Prometheus")]), tmp_path / "deep" / "all.xml")
    root = ET.parse(tmp_path / "deep" / "all.xml").getroot()
    assert {name: root.get(name) for name in ("tests", "failures", "errors", "skipped", "time")} == {
        "tests": "6", "failures": "1", "errors": "2", "skipped": "1", "time": "1.750"
    }  # fmt: skip
    assert [suite.get("name") for suite in root] == ["a", "b", "c"]


def test_tables_align_without_trailing_spaces() -> None:
    assert plain_table(("a", "long"), [("xyz", "1"), ("x", "")]) == "A    LONG\nxyz  1\nx"


def test_quiet_silences_talk_but_not_data_and_errors() -> None:
    out, err = io.StringIO(), io.StringIO()
    console = Console(quiet=True, out=out, err=err)
    console.say("talk")
    console.data("data")
    console.warn("warning")
    assert (out.getvalue(), err.getvalue()) == ("data\n", "warning\n")


def test_a_terminal_that_knows_only_ascii_does_not_end_a_drill() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    Console(out=stream).data("400 ms ± 20 → pagerduty")
    assert raw.getvalue() == b"400 ms ? 20 ? pagerduty\n"


def test_recover_exits_5_as_long_as_something_is_left() -> None:
    left = RecoveredRun(Path("x"), ("a",), ("b",))
    assert RecoverResult((RecoveredRun(Path("x"), ("a",)),)).exit_code == ExitCode.PASS
    assert RecoverResult((left,)).exit_code == ExitCode.UNDO_INCOMPLETE


BURN = ("predict", "burn", "--objective", "99.9", "--factor", "14.4", "--long", "1h", "--short", "5m",
        "--error-ratio", "5%")  # fmt: skip


def test_predict_burn_gives_the_contract_in_json(shell: Any) -> None:
    assert shell(*BURN, "--duration", "25m", "--format", "json") == 0
    answer = json.loads(shell.out)
    assert list(answer) == [
        "fires", "crossing_s", "firing_s", "delivered_s", "resolved_s", "budget_percent", "price_percent", "why",
    ]  # fmt: skip
    assert answer["fires"] is True
    assert answer["crossing_s"] == pytest.approx(3600 * 0.0144 / 0.05)  # W·theta/e1
    assert answer["price_percent"] == pytest.approx(2.0)
    assert answer["delivered_s"][0] == pytest.approx(answer["firing_s"][0] + 30)


def test_predict_burn_that_never_fires_has_no_times(shell: Any) -> None:
    shell(*BURN, "--duration", "60s", "--format", "json")
    answer = json.loads(shell.out)
    assert answer["fires"] is False
    assert answer["firing_s"] is None
    assert answer["why"]
    assert shell(*BURN, "--duration", "60s") == 0
    assert shell.out.startswith("does not fire\n")


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (("--duration", "5"), "'5' is not a duration"),
        (("--duration", "5m", "--error-ratio", "0.05"), "'0.05' is not a percentage"),
        (("--duration", "5m", "--objective", "100"), "'100' is not an objective"),
    ],
)
def test_predict_burn_refuses_numbers_without_units(shell: Any, extra: tuple[str, ...], said: str) -> None:
    assert shell(*BURN, *extra) == ExitCode.USAGE
    assert said in shell.err


def test_sandbox_up_status_down(shell: Any) -> None:
    assert shell("sandbox", "status") == 0
    assert "no sandbox is running" in shell.out
    assert shell("sandbox", "up") == 0
    assert "sandbox s1 (pid 7, fast-forward 60) is healthy\n  Prometheus  http://127.0.0.1:1" in shell.out
    assert shell("sandbox", "down") == 0
    assert shell.out == "ended sandbox s1\n"


def test_sandbox_down_without_a_name_ends_only_what_sandbox_up_started(shell: Any) -> None:
    """Another run of the same user has a sandbox too; it must outlive our `down`."""
    shell.wiring.sandboxes.append(SandboxInfo("theirs", 8, 60, {}))
    assert shell("sandbox", "down") == 0
    assert shell.out == "no sandbox was kept\n"
    shell("sandbox", "up")
    shell("sandbox", "status")
    assert "theirs (pid 8, fast-forward 60) is healthy: not started by `drill sandbox up`" in shell.out
    assert shell("sandbox", "down") == 0
    assert shell.out == "ended sandbox s1\n"
    assert [info.name for info in shell.wiring.sandboxes] == ["theirs"]
    assert shell("sandbox", "down", "theirs") == 0
    assert shell.wiring.sandboxes == []


def test_report_is_made_anew_from_plan_and_journal(shell: Any) -> None:
    shell("run", "latency-spike", "--quiet")
    assert shell("runs") == 0
    assert "20231114T221321Z-latency-spike  latency-spike  checkout  pass" in shell.out
    path = Path("drill-runs/20231114T221321Z-latency-spike")
    (path / "report.md").unlink()
    assert shell("report") == 0
    assert (path / "report.md").read_text().rstrip("\n") == shell.out.rstrip("\n")
    assert shell("report", "last", "--format", "json") == 0
    assert json.loads(shell.out)["verdict"] == "pass"
    assert shell("report", "latency-spike", "--format", "html-path") == 0
    assert shell.out.strip() == str((path / "report.html").resolve())
    (path / "plan.json").write_text("{}")
    assert shell("report") == ExitCode.USAGE
    assert "cannot be read as a run" in shell.err


def test_recover_and_abort_say_what_they_did(shell: Any) -> None:
    assert shell("recover") == 0
    assert shell.out == "nothing to recover\n"
    shell.wiring.recovered = RecoverResult((RecoveredRun(Path("r"), ("a",), ("nft table",)),), ("cgroup x",))
    assert shell("recover") == ExitCode.UNDO_INCOMPLETE
    assert "✗ STILL THERE: nft table" in shell.err
    assert shell("abort") == 0
    assert "aborted: run with process id 7" in shell.out
    assert shell("abort", "--clear") == 0
    assert shell.out == "runs are allowed again\n"


def test_an_address_is_never_broken_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is copied from there, its key included; other words are wrapped between words."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    address = "http://127.0.0.1:40000/0123456789abcdef/#0123456789abcdef0123456789abcdef"
    out = Terminal()
    console = Console(out=out)
    console.say(f"  in a browser: {address}", "bold")
    assert address in out.getvalue()
    console.say("word " * 20, "bold")
    assert all(line.count("word") <= 8 for line in out.getvalue().splitlines()[1:])
