"""`drill slo`: rules from any form of SLO file, and what is wrong with files that can be read."""

from pathlib import Path

import pytest
import yaml

from drill.cli.app import main

ROOT = Path(__file__).parents[2]
CASES = ROOT / "tests/slo/cases"


def test_all_rules_as_one_file_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    files = [
        str(CASES / name) for name in ("sloth/events.yaml", "pyrra/ratio-grouped.yaml", "openslo/alert-policy.yaml")
    ]
    assert main(["slo", "generate", *files, "--out", "-"]) == 0
    groups = yaml.safe_load(capsys.readouterr().out)["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
    assert alerts >= {"FerriesLate", "ErrorBudgetBurn", "BurntBread"}


def test_as_prometheusrule(capsys: pytest.CaptureFixture[str]) -> None:
    args = [
        "slo",
        "generate",
        str(CASES / "sloth/crd.yaml"),
        "--format",
        "crd",
        "--out",
        "-",
        "--fast-forward",
        "60",
    ]
    assert main(args) == 0
    crd = yaml.safe_load(capsys.readouterr().out)
    assert crd["kind"] == "PrometheusRule"
    assert "ratio_rate5s" in str(crd["spec"]["groups"])


def test_fast_forward_divides_group_times_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["slo", "generate", str(CASES / "sloth/events.yaml"), "--out", str(tmp_path), "--fast-forward", "60"]
    assert main(args) == 0
    route = yaml.safe_load((tmp_path / "prometheus/alertmanager-config.yaml").read_text())["route"]
    assert (route["group_wait"], route["group_interval"], route["repeat_interval"]) == ("500ms", "5s", "4m")


def test_mistakes_of_all_files_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(CASES / name) for name in ("sloth/sli-plugin.yaml", "openslo/quarter-window.yaml")]
    assert main(["slo", "generate", *files, "--out", "-"]) == 2
    err = capsys.readouterr().err
    assert "sli-plugin.yaml:7:7: SLI plugins are Go code" in err
    assert "quarter-window.yaml:7:27: duration '1Q' has no fixed length" in err


def test_a_period_shorter_than_a_window_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "short.yaml"
    file.write_text((CASES / "pyrra/ratio.yaml").read_text().replace("window: 30d", "window: 2d"))
    assert main(["slo", "generate", str(file), "--out", "-"]) == 2
    assert "the log alert looks 3d back in a period of 2d" in capsys.readouterr().err


def test_shipped_slos_and_routes_are_sound(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["slo", "lint"]) == 0
    out, err = capsys.readouterr()
    assert "nothing to complain about" in out
    assert "not checked" in out + err


def test_lint_exits_2_with_file_and_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "metrics.txt"
    page.write_text('# TYPE departures_total counter\ndepartures_total{late="no"} 7\n')
    code = main(["slo", "lint", str(CASES / "sloth/events.yaml"), "--metrics", str(page)])
    err = capsys.readouterr().err
    assert code == 2
    assert "events.yaml:5:1: 'ferry-departures': the alert FerriesLate has no runbook" in err
    assert "born with the first one" in err


def test_lint_of_rules_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["slo", "lint", "--rules", str(ROOT / "tests/alerting/cases/names-that-lie.yaml")]) == 2
    assert "names-that-lie.yaml:4:1: err:ratio_rate1h reads a window of 10m" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "code"), [("<html>", 2), ("", 2)])
def test_a_page_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, code: int) -> None:
    page = tmp_path / "metrics.txt"
    page.write_text(text)
    assert main(["slo", "lint", "--metrics", str(page)]) == code
    assert "is no page of metrics" in capsys.readouterr().err


def test_a_url_that_does_not_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["slo", "lint", "--metrics", "http://127.0.0.1:9/metrics"]) == 3
    assert "does not answer" in capsys.readouterr().err
