"""Routes: ours send each severity to its receiver, and any configuration is read as Alertmanager reads it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from drill.alerting.generate import alert_groups
from drill.alerting.routing import (
    Matcher,
    Routing,
    alertmanager_config,
    for_sandbox,
    inhibited_by,
    load_routing,
    parse_matcher,
    receivers_for,
    timings,
)
from drill.slo.sloth import load_sloth
from drill.target.sandbox.programs import search_path

ROOT = Path(__file__).parents[2]
RECEIVER = {"page": "pagerduty", "ticket": "slack", "log": "log"}
ODD = """\
route:
  receiver: all
  group_wait: 10s
  routes:
    - matchers: ['{team="db", env=~"prod|live"}']
      receiver: dba
      group_interval: 1m
      continue: true
      routes:
        - match: {severity: page}
          receiver: dba-phone
          group_wait: 1s
    - match_re: {env: prod.*}
      receiver: ops
    - matchers: ['owner=""']
      receiver: nobody
      mute_time_intervals: [nights]
inhibit_rules:
  - source_match: {severity: page}
    target_matchers: ['severity!="page"']
    equal: [team]
  - source_matchers: ['alertname=~"Node.*"']
    target_matchers: ['alertname=~"Node.*"']
    equal: [node]
receivers: [{name: all}, {name: dba}, {name: dba-phone}, {name: ops}, {name: nobody}]
"""


def routing(text: str) -> Routing:
    found, problems = load_routing(text)
    assert problems == []
    assert found is not None
    return found


def labels_of_all_alerts() -> list[dict[str, str]]:
    slos = []
    for file in sorted((ROOT / "prometheus/slo").glob("*.yaml")):
        slos += load_sloth(file.read_text(), str(file))[0]
    return [{"alertname": r.alert, **r.labels} for group in alert_groups(slos) for r in group.rules]


def amtool(*arguments: str) -> str:
    path = shutil.which("amtool", path=os.pathsep.join(search_path()))
    if path is None:
        pytest.skip("amtool is not installed")
    ran = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=30)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_every_alert_reaches_the_receiver_of_its_severity() -> None:
    ours = routing((ROOT / "prometheus/alertmanager-config.yaml").read_text())
    found = labels_of_all_alerts()
    assert len(found) == 35
    for labels in found:
        assert receivers_for(ours, labels) == (RECEIVER[labels["severity"]],)


def test_amtool_accepts_the_configuration() -> None:
    config = str(ROOT / "prometheus/alertmanager-config.yaml")
    assert "SUCCESS" in amtool("check-config", config)


ROUTE_TESTS = ROOT / "prometheus/tests/routes.sh"


def run_route_tests(*arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("amtool", path=os.pathsep.join(search_path())) is None:
        pytest.skip("amtool is not installed")
    env = {**os.environ, "PATH": os.pathsep.join(search_path())}
    return subprocess.run(["sh", str(ROUTE_TESTS), *arguments], capture_output=True, text=True, timeout=60, env=env)


def test_the_committed_route_tests_hold() -> None:
    assert ROUTE_TESTS.read_text().count("\nexpect ") == len(labels_of_all_alerts())
    ran = run_route_tests()
    assert (ran.returncode, ran.stderr) == (0, "")


def test_the_committed_route_tests_notice_a_page_that_goes_elsewhere(tmp_path: Path) -> None:
    broken = tmp_path / "alertmanager.yaml"
    text = (ROOT / "prometheus/alertmanager-config.yaml").read_text()
    broken.write_text(text.replace("receiver: pagerduty", "receiver: slack"))
    ran = run_route_tests(str(broken))
    assert ran.returncode == 1
    assert ran.stderr.count("not routed to pagerduty: alertname=") == 10


def test_secrets_stand_in_files() -> None:
    config = yaml.safe_load(alertmanager_config())
    for receiver in config["receivers"]:
        for kind, entries in receiver.items():
            if kind != "name":
                keys = {key for entry in entries for key in entry}
                assert not keys & {"routing_key", "service_key", "api_url", "password", "bearer_token"}


def test_a_faster_tier_silences_the_slower_ones_of_its_own_slo_only() -> None:
    ours = routing(alertmanager_config())
    page = {"sloth_id": "cart-latency", "burn_tier": "fast", "severity": "page"}
    ticket = {"sloth_id": "cart-latency", "burn_tier": "medium", "severity": "ticket"}
    other = {"sloth_id": "cart-availability", "burn_tier": "slow", "severity": "log"}
    assert inhibited_by(ours, ticket, [page]) == page
    assert inhibited_by(ours, page, [ticket]) is None
    assert inhibited_by(ours, other, [page, ticket]) is None
    assert inhibited_by(ours, {"alertname": "CartNoTraffic", "severity": "ticket"}, [page]) is None


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"team": "db", "env": "prod", "owner": "x"}, ("dba", "ops")),
        ({"team": "db", "env": "live", "severity": "page", "owner": "x"}, ("dba-phone",)),
        ({"team": "db", "env": "production", "owner": "x"}, ("ops",)),
        ({"env": "a-prod", "owner": "x"}, ("all",)),
        ({"env": "test"}, ("nobody",)),
    ],
)
def test_odd_trees_are_walked_as_amtool_walks_them(
    labels: dict[str, str], expected: tuple[str, ...], tmp_path: Path
) -> None:
    assert receivers_for(routing(ODD), labels) == expected
    (tmp_path / "am.yml").write_text(ODD.replace("      mute_time_intervals: [nights]\n", ""))
    pairs = [f"{name}={value}" for name, value in labels.items()]
    said = amtool("config", "routes", "test", f"--config.file={tmp_path / 'am.yml'}", *pairs)
    assert said.strip().split(",") == list(expected)


def test_timings_are_inherited_and_default() -> None:
    odd = routing(ODD)
    assert timings(odd, {"team": "db", "env": "live", "severity": "page", "owner": "x"}) == (1.0, 60.0)
    assert timings(odd, {"env": "x", "owner": "x"}) == (10.0, 300.0)


def test_an_alert_that_is_source_and_target_does_not_inhibit_its_like() -> None:
    a = {"alertname": "NodeDown", "node": "1"}
    assert inhibited_by(routing(ODD), a, [a, {"alertname": "NodeSlow", "node": "1"}]) is None


def test_the_sandbox_keeps_routes_and_inhibition_and_divides_times() -> None:
    text = for_sandbox(alertmanager_config(), "http://127.0.0.1:9/in/", 60)
    before, after = routing(alertmanager_config()), routing(text)
    assert after.inhibit == before.inhibit
    assert timings(after, {"severity": "page"}) == (0.5, 5.0)
    for labels in labels_of_all_alerts():
        assert receivers_for(after, labels) == receivers_for(before, labels)
    hooks = {r["name"]: [h["url"] for h in r["webhook_configs"]] for r in yaml.safe_load(text)["receivers"]}
    assert hooks["pagerduty"] == ["http://127.0.0.1:9/in/pagerduty"]
    assert "secrets" not in text


def test_amtool_accepts_the_sandbox_form(tmp_path: Path) -> None:
    (tmp_path / "am.yml").write_text(for_sandbox(alertmanager_config(), "http://127.0.0.1:9", 60))
    assert "SUCCESS" in amtool("check-config", str(tmp_path / "am.yml"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('a="b"', Matcher("a", "=", "b")),
        ("a=b", Matcher("a", "=", "b")),
        ('a =~ "x,\\"y"', Matcher("a", "=~", 'x,"y')),
        ('a!~"b|c"', Matcher("a", "!~", "b|c")),
        ('a!=""', Matcher("a", "!=", "")),
    ],
)
def test_matchers_are_parsed(text: str, expected: Matcher) -> None:
    assert parse_matcher(text) == expected


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("receiver: ops", "receiver: opps", 14, "not defined"),
        ("group_wait: 10s", "group_wait: 10", 3, "not a duration"),
        ("'owner=\"\"'", "'owner'", 15, "not a matcher"),
        ("'owner=\"\"'", "'owner=~\"(\"'", 15, "not a regular expression"),
    ],
)
def test_mistakes_are_named_at_their_line(old: str, new: str, line: int, said: str) -> None:
    found, problems = load_routing(ODD.replace(old, new, 1))
    assert found is None
    assert [(p.line, said in p.message) for p in problems] == [(line, True)]
