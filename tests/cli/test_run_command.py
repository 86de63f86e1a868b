"""`drill run` from options to exit code; the engine is played by a story, the report is the real one."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from drill.core.errors import ExitCode, ProblemsFound, Unavailable
from drill.core.problems import Problem
from drill.plan.model import Finding


def test_without_a_terminal_there_is_one_line_per_event_and_the_verdict_at_the_end(shell: Any) -> None:
    assert shell("run", "latency-spike", "--service", "checkout") == ExitCode.PASS
    lines = shell.out.splitlines()
    assert lines[0] == "drill latency-spike on checkout, in the embedded sandbox on this machine"
    assert lines[1].startswith("windows tested: fast-forward 60: page 14.4x over 1m+5s (in production 1h+5m)")
    assert any(line.startswith("T+  10.5s") and "is FIRING since T+10.0s, as predicted" in line for line in lines)
    assert "verdict: pass" in lines
    assert lines[-1] == f"report: {Path('drill-runs/20231114T221321Z-latency-spike/report.html')}"
    assert shell.err == ""


def test_json_is_the_report_and_nothing_else_on_standard_output(shell: Any) -> None:
    assert shell("run", "latency-spike", "--format", "json") == ExitCode.PASS
    report = json.loads(shell.out)
    assert report["schema"] == "drill.report/v1"
    assert report["verdict"] == "pass"
    assert "is FIRING" in shell.err


def test_quiet_json_is_silent_on_standard_error(shell: Any) -> None:
    shell("run", "latency-spike", "--format", "json", "--quiet")
    assert shell.err == ""
    assert json.loads(shell.out)["scenario"] == "latency-spike"


def test_options_become_settings(shell: Any, tmp_path: Path) -> None:
    shell("run", "latency-spike", "--service", "cart", "--set", "delay=1s", "--set", "delay=2s", "--real-time",
          "--seed", "7", "--out", "here", "--force", "--yes")  # fmt: skip
    ((name, settings),) = shell.wiring.compiled
    assert name == "latency-spike"
    assert settings.sets == {"delay": "2s", "service": "cart"}
    assert (settings.fast_forward, settings.seed, settings.out) == (1.0, 7, Path("here"))
    assert settings.force
    assert settings.assume_yes


def test_repeat_counts_seeds_up_and_prints_a_table_and_the_worst_exit_code(shell: Any) -> None:
    shell.wiring.exit_codes = [0, 3, 1]
    assert shell("run", "latency-spike", "--repeat", "3", "--seed", "5", "--junit", "all.xml") == ExitCode.UNKNOWN
    assert [settings.seed for _, settings in shell.wiring.compiled] == [5, 6, 7]
    table = shell.out.splitlines()[-3:]
    assert [line.split()[0] for line in table] == ["latency-spike"] * 3
    root = ET.parse("all.xml").getroot()
    suites = root.findall("testsuite")
    assert len(suites) == 3
    assert int(root.get("tests", "")) == sum(int(suite.get("tests", "")) for suite in suites)


def test_several_runs_in_json_are_an_array(shell: Any) -> None:
    shell("run", "latency-spike", "--repeat", "2", "--format", "json", "--quiet")
    assert [report["verdict"] for report in json.loads(shell.out)] == ["pass", "pass"]


def test_all_mistakes_of_all_scenarios_come_before_anything_is_touched(shell: Any) -> None:
    shell.wiring.plans["a"] = ProblemsFound(
        [Problem("a.yaml", 3, 5, "unknown fault 'lag'", "did you mean 'latency'?")]
    )
    shell.wiring.plans["b"] = ProblemsFound([Problem("b.yaml", 1, 1, "the file is empty")])
    assert shell("run", "latency-spike", "a", "b") == ExitCode.USAGE
    assert shell.wiring.ran == 0
    assert "a.yaml:3:5: unknown fault 'lag'" in shell.err
    assert "b.yaml:1:1: the file is empty" in shell.err
    assert "2 problems found" in shell.err


def test_a_blocking_finding_refuses_and_force_overrides(shell: Any) -> None:
    block = Finding(level="block", check="prediction", text="it cannot fire", fix="make it last 2m")
    shell.wiring.plans["latency-spike"] = shell.wiring.plans["latency-spike"].with_(findings=(block,))
    assert shell("run", "latency-spike") == ExitCode.USAGE
    assert shell.wiring.ran == 0
    assert "it cannot fire" in shell.err
    assert "make it last 2m" in shell.err
    assert shell("run", "latency-spike", "--force") == ExitCode.PASS
    assert "✗ it cannot fire" in shell.out


def test_a_target_outside_the_sandbox_needs_a_yes(shell: Any) -> None:
    shell.wiring.plans["latency-spike"] = shell.wiring.plans["latency-spike"].with_(target="prod-eu")
    assert shell("run", "latency-spike", "--target", "prod-eu") == ExitCode.USAGE
    assert shell.wiring.ran == 0
    assert "prod-eu would be touched" in shell.err
    assert shell("run", "latency-spike", "--target", "prod-eu", "--yes") == ExitCode.PASS
    assert "target prod-eu" in shell.out


def test_one_run_that_cannot_start_says_why(shell: Any) -> None:
    shell.wiring.errors = [Unavailable("Prometheus did not start", hint="see `drill doctor`")]
    assert shell("run", "latency-spike") == ExitCode.UNKNOWN
    assert "drill: Prometheus did not start" in shell.err
    assert "hint: see `drill doctor`" in shell.err


def test_in_a_batch_a_run_that_cannot_start_does_not_end_the_others(shell: Any) -> None:
    shell.wiring.errors = [Unavailable("Prometheus did not start")]
    assert shell("run", "latency-spike", "--repeat", "2", "--junit", "x.xml") == ExitCode.UNKNOWN
    assert shell.wiring.ran == 2
    root = ET.parse("x.xml").getroot()
    assert root.get("errors") == "1"
    assert "did not run: Prometheus did not start" in shell.out


def test_a_display_that_fails_does_not_end_the_drill(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("width 0")

    monkeypatch.setattr("drill.cli.view.View.see", broken)
    assert shell("run", "latency-spike") == ExitCode.PASS
    assert shell.err.count("the display failed (ZeroDivisionError: width 0)") == 1


def test_an_abort_ends_the_batch(shell: Any) -> None:
    shell.wiring.exit_codes = [ExitCode.ABORTED]
    assert shell("run", "latency-spike", "--repeat", "3") == ExitCode.ABORTED
    assert shell.wiring.ran == 1
    assert "2 more runs were not started" in shell.err


def test_an_incomplete_undo_is_said_last_and_loudest(shell: Any) -> None:
    shell.wiring.exit_codes = [ExitCode.UNDO_INCOMPLETE]
    assert shell("run", "latency-spike") == ExitCode.UNDO_INCOMPLETE
    assert "UNDO INCOMPLETE" in shell.err
    assert "drill recover drill-runs" in shell.err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "which scenario?"),
        (("latency-spike", "--all"), "not both"),
        (("--tag", "no-such-tag"), "no scenario has the tag no-such-tag"),
        (("latency-spike", "--set", "delay"), "expected NAME=VALUE"),
        (("latency-spike", "--service", "a", "--set", "service=b"), "contradict each other"),
        (("latency-spike", "--repeat", "0"), "Invalid value for '--repeat'"),
        (("latency-spike", "--fast-forward", "0.5"), "Invalid value for '--fast-forward'"),
    ],
)
def test_wrong_usage_exits_2(shell: Any, args: tuple[str, ...], said: str) -> None:
    assert shell("run", *args) == ExitCode.USAGE
    assert said in shell.err
    assert shell.wiring.ran == 0


SCENARIO = """\
apiVersion: drill/v1
kind: Scenario
metadata: {name: %s, title: T, tags: [mine], owner: me}
hypothesis: It fires.
parameters:
  service: {type: string, required: %s%s}
injections:
  - {id: a, fault: pause, target: {service: "${service}"}, at: 0s, for: 1m}
expect:
  alerts: [{match: {slo: a, severity: page}}]
"""


def test_a_tag_runs_what_has_it_and_the_sandbox_gives_a_missing_service(shell: Any, tmp_path: Path) -> None:
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "one.yaml").write_text(SCENARIO % ("one", "true", ""))
    (tmp_path / "scenarios" / "two.yaml").write_text(SCENARIO % ("two", "false", ", default: cart"))
    shell.wiring.plans |= {"one": shell.wiring.plans["latency-spike"], "two": shell.wiring.plans["latency-spike"]}
    assert shell("run", "--tag", "mine") == ExitCode.PASS
    assert [(name, dict(settings.sets)) for name, settings in shell.wiring.compiled] == [
        ("one", {"service": "checkout"}),
        ("two", {}),
    ]
    assert shell("run", "--tag", "mine", "--set", "nobody=1") == ExitCode.USAGE
    assert "none of these scenarios has the parameter 'nobody'" in shell.err
