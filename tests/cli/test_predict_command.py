"""`drill predict` answers for a scenario, by the sandbox's rules or by the user's own; nothing is touched."""

import json
from pathlib import Path
from typing import Any

import pytest

from drill.cli.app import main

ROOT = Path(__file__).parents[2]
OWN = ROOT / "tests/alerting/cases/by-hand-workbook.yaml"
ROUTES = ROOT / "prometheus/alertmanager-config.yaml"
KEYS = {"fires", "crossing_s", "firing_s", "delivered_s", "resolved_s", "budget_percent", "price_percent", "why"}


def run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    code = main(["predict", *map(str, args)])
    out, err = capsys.readouterr()
    return code, out, err


def alerts(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    code, out, err = run(capsys, *args, "--format", "json")
    assert code == 0, err
    return {f"{one['alertname']} {one['severity']}": one for one in json.loads(out)["alerts"]}


def test_every_alert_of_the_touched_slos(capsys: pytest.CaptureFixture[str]) -> None:
    found = alerts(capsys, "latency-spike", "--service", "checkout")
    assert list(found) == [f"CheckoutLatencyBudgetBurn {severity}" for severity in ("page", "ticket", "log")]
    page = found["CheckoutLatencyBudgetBurn page"]
    assert page.keys() >= KEYS
    assert page["fires"]
    assert page["price_percent"] == pytest.approx(2)
    assert page["delivered_s"][0] == pytest.approx(page["firing_s"][0] + 0.5)
    assert page["receivers"] == ["pagerduty"]


def test_the_plan_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    page = alerts(capsys, "latency-spike", "--service", "checkout")["CheckoutLatencyBudgetBurn page"]
    assert main(["plan", "latency-spike", "--service", "checkout", "--format", "json"]) == 0
    planned = json.loads(capsys.readouterr().out)["expected"][0]["predicted"]
    assert page["firing_s"] == [pytest.approx(edge, abs=0.001) for edge in planned["firing_s"]]


def test_text_has_windows_times_and_a_timeline(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "latency-spike", "--service", "checkout", "--real-time", "--history", "30d")
    assert code == 0
    assert "windows tested: the real ones: page 14.4x over 1h+5m" in out
    assert "CheckoutLatencyBudgetBurn (checkout-latency page)" in out
    assert "fires 8m" in out
    assert "→ pagerduty" in out
    assert "does NOT fire: the 6h window exceeds 6% only 21m36s after the start" in out
    assert "make the fault last at least" in out
    assert "█ fault" in out


def test_the_user_s_own_rules_and_routes(capsys: pytest.CaptureFixture[str]) -> None:
    """A service that only the rules know; two window pairs in one rule give one prediction."""
    args = ("high-error-rate", "--service", "shop", "--rules", str(OWN), "--alertmanager", str(ROUTES))
    found = alerts(capsys, *args, "--set", "percent=100%")
    assert list(found) == ["ShopBurns page"]
    page = found["ShopBurns page"]
    assert page["receivers"] == ["pagerduty"]
    assert page["fires"]
    assert page["delivered_s"][0] - page["firing_s"][0] == pytest.approx(30)
    without = alerts(capsys, *args[:5], "--set", "percent=100%")["ShopBurns page"]
    assert without["receivers"] == []


def test_history_baseline_and_traffic_matter(capsys: pytest.CaptureFixture[str]) -> None:
    args = ("high-error-rate", "--service", "shop", "--rules", str(OWN), "--set", "percent=100%")
    plain = alerts(capsys, *args)["ShopBurns page"]
    for more in (("--history", "20m"), ("--baseline", "0.1%"), ("--traffic", "3")):
        assert alerts(capsys, *args, *more)["ShopBurns page"]["crossing_s"] < plain["crossing_s"], more
    assert alerts(capsys, *args, "--scrape", "60s")["ShopBurns page"]["firing_s"][0] < plain["firing_s"][0]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("latency-spik", "--service", "checkout"), "latency-spike"),
        (("latency-spike", "--alertmanager", str(ROUTES)), "--alertmanager goes with --rules"),
        (
            (
                "latency-spike",
                "--service",
                "checkout",
                "--rules",
                str(ROOT / "tests/alerting/cases/not-burn-rate.yaml"),
            ),
            "no burn-rate alert",
        ),
        (("burn", "--objective", "99.9"), "Missing option"),
        (("latency-spike", "--nonsense"), "No such option"),
    ],
)
def test_what_cannot_be_predicted_is_said(
    capsys: pytest.CaptureFixture[str], args: tuple[str, ...], said: str
) -> None:
    code, _, err = run(capsys, *args)
    assert code == 2
    assert said in err
