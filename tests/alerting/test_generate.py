"""Generated files: the committed ones are current, servers' own tools accept them, and each alert is tested."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from drill.alerting import promql
from drill.alerting.artifacts import artifacts, rule_tests
from drill.alerting.generate import alert_groups, check, recording_groups
from drill.alerting.rulefile import prometheus_rule, read_groups, rule_file
from drill.alerting.windows import PAIRS, fast_forwarded
from drill.cli.app import main
from drill.core.errors import ProblemsFound
from drill.slo.model import Slo
from drill.slo.sloth import load_sloth
from drill.target.sandbox.programs import search_path

ROOT = Path(__file__).parents[2]
OWN = {"sloth_window", "sloth_objective", "sloth_mode", "sloth_spec"}


def shipped() -> list[Slo]:
    slos = []
    for file in sorted((ROOT / "prometheus/slo").glob("*.yaml")):
        found, problems = load_sloth(file.read_text(), str(file))
        assert problems == []
        slos += found
    return slos


def tool(name: str, *arguments: str) -> str:
    path = shutil.which(name, path=os.pathsep.join(search_path()))
    if path is None:
        pytest.skip(f"{name} is not installed")
    ran = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=240)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def test_committed_files_are_what_is_generated() -> None:
    """Run `drill slo generate` when this fails."""
    made = {**artifacts(shipped()), **rule_tests(shipped())}
    assert [path for path, text in made.items() if (ROOT / path).read_text() != text] == []
    committed = {f"prometheus/tests/{file.name}" for file in (ROOT / "prometheus/tests").iterdir()}
    assert committed == {path for path in made if path.startswith("prometheus/tests/")}


@pytest.mark.parametrize("name", ["scenario", "report", "drill", "config"])
def test_committed_schemas_are_what_is_printed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Run `make generate` when this fails."""
    assert main(["schema", name]) == 0
    assert (ROOT / f"schemas/{name}.v1.json").read_text() == capsys.readouterr().out
    assert {file.name for file in (ROOT / "schemas").glob("*.json")} >= {f"{name}.v1.json"}


def test_three_alerts_per_slo_with_the_fixed_windows() -> None:
    groups = alert_groups(shipped())
    for slo in shipped():
        rules = [rule for group in groups for rule in group.rules if rule.labels.get("sloth_id") == slo.sloth_id]
        assert [(r.labels["severity"], r.labels["burn_tier"]) for r in rules] == [
            ("page", "fast"), ("ticket", "medium"), ("log", "slow"),
        ]  # fmt: skip
        windows = [re.findall(r"ratio_rate(\w+)\{", rule.expr) for rule in rules]
        assert windows == [["5m", "1h"], ["30m", "6h"], ["6h", "3d"]]
        assert {rule.labels["tier"] for rule in rules} == {slo.labels["tier"]}


def test_fast_forward_divides_windows_and_says_so_in_every_name() -> None:
    timing = fast_forwarded(60)
    groups = recording_groups(shipped(), timing) + alert_groups(shipped(), timing)
    assert {group.interval_s for group in groups} == {1.0}
    recorded = {rule.record: rule for group in groups for rule in group.rules if rule.record}
    assert recorded["slo:sli_error:ratio_rate5s"].labels["sloth_window"] == "5s"
    assert "[72m]" in recorded["slo:sli_error:ratio_rate72m"].expr
    assert recorded["slo:time_period:days"].expr == "vector(0.5)"
    text = rule_file(groups)
    assert "ratio_rate1h" not in text
    assert "ratio_rate1m{" in text


def test_sloths_series_and_labels_are_all_there() -> None:
    """The names existing dashboards and users' own rules rely on."""
    (group, meta) = recording_groups(shipped()[:1])
    windows = {rule.labels["sloth_window"]: rule.record for rule in group.rules}
    names = ["5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d"]
    assert windows == {window: f"slo:sli_error:ratio_rate{window}" for window in names}
    assert {rule.record for rule in meta.rules} == {
        "slo:objective:ratio", "slo:error_budget:ratio", "slo:time_period:days", "slo:current_burn_rate:ratio",
        "slo:period_burn_rate:ratio", "slo:period_error_budget_remaining:ratio", "sloth_slo_info",
    }  # fmt: skip
    for rule in (*group.rules, *meta.rules):
        assert {"sloth_id", "sloth_service", "sloth_slo", "tier", "owner"} <= rule.labels.keys()


def test_an_objective_that_can_never_burn_fast_enough_is_refused_with_its_place() -> None:
    weak = shipped()[0].with_(objective_percent="90")
    problems = check([weak])
    assert [p.line for p in problems] == [weak.line]
    assert "can never fire" in problems[0].message
    assert "93.06" in problems[0].hint
    with pytest.raises(ProblemsFound):
        alert_groups([weak])


def test_a_disabled_page_is_left_out_and_the_rest_stays() -> None:
    text = (ROOT / "prometheus/slo/cart.yaml").read_text()
    text = text.replace(
        "name: CartLatencyBudgetBurn", "name: CartLatencyBudgetBurn\n      page_alert: {disable: true}"
    )
    slos, problems = load_sloth(text, "cart.yaml")
    assert problems == []
    rules = [r for group in alert_groups(slos) for r in group.rules if r.labels.get("sloth_id") == "cart-latency"]
    assert [rule.labels["severity"] for rule in rules] == ["ticket", "log"]


def test_every_alert_names_a_runbook_that_exists() -> None:
    for group in alert_groups(shipped()):
        for rule in group.rules:
            name = rule.annotations["runbook_url"].rpartition("/runbooks/")[2]
            assert (ROOT / "runbooks" / name).is_file()


def test_the_no_traffic_alert_takes_no_part_in_what_drills_expect_of_an_slo() -> None:
    quiet = alert_groups(shipped())[-1]
    assert quiet.name == "slo-no-traffic"
    assert len(quiet.rules) == 5
    assert all("sloth_id" not in rule.labels and "burn_tier" not in rule.labels for rule in quiet.rules)


def test_reading_what_was_written_gives_the_same_rules() -> None:
    groups = alert_groups(shipped())
    for text in (rule_file(groups), prometheus_rule(groups, "slos", {"release": "x"})):
        read, problems = read_groups(text, "x.yaml")
        assert problems == []
        plain = [group.with_(file="", rules=tuple(r.with_(line=0) for r in group.rules)) for group in read]
        assert plain == groups


def test_every_metric_the_dashboard_asks_for_exists() -> None:
    board = json.loads((ROOT / "grafana/slo-dashboard.json").read_text())
    recorded = {rule.record for group in recording_groups(shipped()) for rule in group.rules}
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    asked = {s.name for query in queries for s in promql.selectors(promql.parse(query))}
    assert asked <= recorded | {"ALERTS"}
    assert {"slo:period_error_budget_remaining:ratio", "slo:error_budget:ratio", "ALERTS"} <= asked
    for variable in board["templating"]["list"][1:]:
        assert re.search(r"label_values\((slo:objective:ratio)", variable["definition"])


def test_the_dashboard_shows_every_threshold_and_the_drills() -> None:
    board = json.loads((ROOT / "grafana/slo-dashboard.json").read_text())
    lines = [
        panel["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]["value"]
        for panel in board["panels"]
        if panel["title"].startswith("Burn rate") and panel["type"] == "timeseries"
    ]
    assert lines == [pair.factor for pair in PAIRS]
    assert board["annotations"]["list"][0]["target"]["tags"] == ["drill"]
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_panels_of_the_dashboard_do_not_overlap() -> None:
    board = json.loads((ROOT / "grafana/slo-dashboard.json").read_text())
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken
        taken |= cells


def test_promtool_accepts_the_rules_of_every_speed(tmp_path: Path) -> None:
    for factor in (1, 60, 7):
        timing = fast_forwarded(factor)
        groups = recording_groups(shipped(), timing) + alert_groups(shipped(), timing)
        (tmp_path / f"{factor}.yaml").write_text(rule_file(groups))
    said = tool("promtool", "check", "rules", *(str(tmp_path / f"{factor}.yaml") for factor in (1, 60, 7)))
    assert said.count("185 rules found") == 3


def test_every_burn_alert_has_a_committed_test_where_it_fires_and_one_where_it_does_not() -> None:
    fires, silent = set(), set()
    for file in (ROOT / "prometheus/tests").glob("*.yaml"):
        for test in yaml.safe_load(file.read_text())["tests"]:
            for case in test["alert_rule_test"]:
                for alert in case["exp_alerts"]:
                    labels = alert["exp_labels"]
                    fires.add((case["alertname"], labels["severity"]))
                if not case["exp_alerts"]:
                    silent.add(case["alertname"])
    rules = [rule for group in alert_groups(shipped()) for rule in group.rules]
    assert fires == {(rule.alert, rule.labels["severity"]) for rule in rules}
    assert silent == {rule.alert for rule in rules}


@pytest.mark.e2e
@pytest.mark.parametrize("service", ["cart", "catalog", "checkout", "payment", "recommendations"])
def test_promtool_passes_the_committed_rule_tests(service: str) -> None:
    assert "SUCCESS" in tool("promtool", "test", "rules", str(ROOT / f"prometheus/tests/{service}.yaml"))
