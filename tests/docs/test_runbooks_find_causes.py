"""The runbooks' PromQL, judged by Prometheus's own engine: well for a healthy shop, not well for the fault it is for.

Each world is 80 minutes of every series the cells ask for; the last ten minutes have one fault, made the way it
shows in the sandbox. promtool evaluates the shipped recording rules and every cell with an ``expect``.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml

from docs.runbook_pages import ALL_CELLS, ROOT, Cell, fill
from drill.alerting.promtool import Slope, counter
from drill.target.sandbox.programs import environment, find

pytestmark = pytest.mark.e2e

SCRAPE, FAULT_AT, END = 30.0, 4200.0, 4800.0
BUCKETS = ("0.05", "0.2", "0.5", "1.0", "+Inf")
CODES = ("200", "500", "503", "504")
SERVICES = {"checkout": 20.0, "payment": 10.0, "cart": 10.0, "catalog": 10.0, "recommendations": 10.0}
CALLED = ("payment", "cart", "catalog")
REPLICAS = 3
QUICK, HALF_SLOW, SLOW = 0.05, 0.5, 1.0
VARIABLES = {"SERVICE": "checkout", "NAMESPACE": "shop", "DEPENDENCY": "payment"}
JUDGED = [cell for cell in ALL_CELLS if cell.language == "promql" and "expect" in cell.attributes]
INSIDE = next(cell for cell in ALL_CELLS if str(cell) == "latency-spike/inside-share")
ASKED = [*JUDGED, replace(INSIDE, attributes={**INSIDE.attributes, "expect": "<0.3"})]
"""Also the one figure that people judge: latency-spike says that below 0.3 the time is lost on the way."""


@dataclass
class World:
    """Series as ``text -> values``; what a fault changes, it changes from ``FAULT_AT`` on."""

    series: dict[str, str] = field(default_factory=dict)

    def count(self, series: str, before: float, after: float) -> None:
        self.series[series] = counter([Slope(FAULT_AT, before), Slope(END, after)], SCRAPE)

    def gauge(self, series: str, before: float, after: float | str) -> None:
        """*after* as text is promtool's notation for the ten minutes of the fault."""
        head = f"{before}+0x{int(FAULT_AT / SCRAPE) - 1}"
        steps = int((END - FAULT_AT) / SCRAPE)
        self.series[series] = f"{head} {after if isinstance(after, str) else f'{after}+0x{steps}'}"

    def users(self, service: str, took: float, answers: dict[str, float], rate: float | None = None) -> None:
        """What the edge counts: *answers* are shares by code, *took* how long they take under the fault."""
        before = SERVICES[service]
        for code in CODES:
            now = (before if rate is None else rate) * answers.get(code, 0.0)
            was = before if code == "200" else 0.0
            labels = f'job="edge",instance="edge",service="{service}",code="{code}"'
            self._histogram("http_request_duration_seconds", labels, was, now, took)

    def replica(self, service: str, index: int, took: float, now: dict[str, float]) -> None:
        """What a replica counts; *now* are requests per second by code under the fault."""
        before = served(service)
        for code in CODES:
            labels = f'job="{service}",instance="{service}-{index}",code="{code}"'
            was = before if code == "200" else 0.0
            self._histogram("http_server_request_duration_seconds", labels, was, now.get(code, 0.0), took)

    def _histogram(self, name: str, labels: str, was: float, now: float, took: float) -> None:
        self.count(f"{name}_count{{{labels}}}", was, now)
        for le in BUCKETS:
            inside = now if took <= float(le) else 0.0
            self.count(f'{name}_bucket{{{labels},le="{le}"}}', was, inside)


def served(service: str) -> float:
    """Requests per second and replica when all is well, calls of checkout included."""
    calls = SERVICES["checkout"] if service in CALLED else 0.0
    return (SERVICES[service] + calls) / REPLICAS


def healthy() -> World:
    world = World()
    for service in SERVICES:
        world.users(service, QUICK, {"200": 1.0})
        for index in range(REPLICAS):
            labels = f'{{job="{service}",instance="{service}-{index}"}}'
            pod = f'{{namespace="shop",pod="{service}-{index}",container="main"}}'
            world.replica(service, index, QUICK, {"200": served(service)})
            world.gauge(f"up{labels}", 1, 1)
            world.gauge(f"process_start_time_seconds{labels}", 100, 100)
            world.gauge(f"process_resident_memory_bytes{labels}", 4e7, 4e7)
            world.count(f"process_cpu_seconds_total{labels}", 0.1, 0.1)
            world.count(f"container_cpu_cfs_periods_total{pod}", 10, 10)
            world.count(f"container_cpu_cfs_throttled_periods_total{pod}", 0.1, 0.1)
            world.count(f"container_cpu_usage_seconds_total{pod}", 0.1, 0.1)
            world.gauge(f"container_memory_working_set_bytes{pod}", 5e7, 5e7)
            volume = f'{{namespace="shop",persistentvolumeclaim="data-{service}-{index}"}}'
            world.gauge(f"kubelet_volume_stats_available_bytes{volume}", 8e9, 8e9)
            world.gauge(f"kubelet_volume_stats_capacity_bytes{volume}", 1e10, 1e10)
    return world


def latency_spike() -> World:
    """Users wait; the service, which starts its clock when a request arrives, notices nothing."""
    world = healthy()
    world.users("checkout", SLOW, {"200": 1.0})
    return world


def network_latency() -> World:
    world = latency_spike()
    for service in SERVICES:
        world.users(service, SLOW, {"200": 1.0})
    return world


def cpu_stress() -> World:
    """Both clocks see it: requests wait for a CPU inside the service, and some before it takes them in.

    The second was learnt from the real fault in the sandbox: the time lost on the way grows there too.
    """
    world = latency_spike()
    for index in range(REPLICAS):
        world.replica("checkout", index, HALF_SLOW, {"200": served("checkout")})
        pod = f'{{namespace="shop",pod="checkout-{index}",container="main"}}'
        world.count(f"container_cpu_cfs_throttled_periods_total{pod}", 0.1, 9)
        world.count(f"container_cpu_usage_seconds_total{pod}", 0.1, 0.2)
    return world


def heavier_requests() -> World:
    world = latency_spike()
    for index in range(REPLICAS):
        world.replica("checkout", index, SLOW, {"200": served("checkout")})
        world.count(f'process_cpu_seconds_total{{job="checkout",instance="checkout-{index}"}}', 0.1, 0.2)
    return world


def twice_the_traffic() -> World:
    world = healthy()
    world.users("checkout", QUICK, {"200": 1.0}, rate=2 * SERVICES["checkout"])
    for index in range(REPLICAS):
        world.replica("checkout", index, QUICK, {"200": 2 * served("checkout")})
        world.count(f'process_cpu_seconds_total{{job="checkout",instance="checkout-{index}"}}', 0.1, 0.2)
    return world


def high_error_rate() -> World:
    """Something in front of replica 0 answers every second request in its place."""
    world = healthy()
    world.users("checkout", QUICK, {"200": 5 / 6, "503": 1 / 6})
    world.replica("checkout", 0, QUICK, {"200": served("checkout") / 2})
    return world


def pod_kill() -> World:
    world = healthy()
    world.users("checkout", QUICK, {"200": 0.9, "503": 0.1})
    world.gauge('process_start_time_seconds{job="checkout",instance="checkout-0"}', 100, 7300)
    return world


def pause() -> World:
    """Nothing restarts, scrapes fail, users wait until they give up."""
    world = healthy()
    world.users("checkout", QUICK, {"200": 2 / 3, "504": 1 / 3})
    world.replica("checkout", 0, QUICK, {})
    world.gauge('up{job="checkout",instance="checkout-0"}', 1, 0)
    return world


def disk_full() -> World:
    world = healthy()
    world.users("checkout", QUICK, {"200": 2 / 3, "500": 1 / 3})
    world.replica("checkout", 0, QUICK, {"500": served("checkout")})
    volume = '{namespace="shop",persistentvolumeclaim="data-checkout-0"}'
    world.gauge(f"kubelet_volume_stats_available_bytes{volume}", 8e9, 0)
    return world


def dependency_down() -> World:
    """Checkout fails on all replicas; payment serves everybody else as ever."""
    world = healthy()
    world.users("checkout", QUICK, {"503": 1.0})
    for index in range(REPLICAS):
        world.replica("checkout", index, QUICK, {"503": served("checkout")})
        world.replica("payment", index, QUICK, {"200": SERVICES["payment"] / REPLICAS})
    return world


def dependency_dead() -> World:
    world = dependency_down()
    world.users("payment", QUICK, {"503": 1.0})
    for index in range(REPLICAS):
        world.replica("payment", index, QUICK, {})
        world.gauge(f'up{{job="payment",instance="payment-{index}"}}', 1, 0)
    return world


def no_traffic() -> World:
    world = healthy()
    world.users("checkout", QUICK, {}, rate=0.0)
    return world


WORLDS = {
    make.__name__: make
    for make in (
        healthy, latency_spike, network_latency, cpu_stress, heavier_requests, twice_the_traffic, high_error_rate,
        pod_kill, pause, disk_full, dependency_down, dependency_dead, no_traffic,
    )
}  # fmt: skip


def meets(cell: Cell) -> str:
    """PromQL that is 1 when the cell's answer meets its expectation and 0 when it does not (docs/runbooks.md)."""
    query, expect = fill(cell.body, **VARIABLES), cell.attributes["expect"]
    if expect == "empty":
        return f"((count({query}) == bool 0) or vector(1))"
    if expect == "nonempty":
        return f"((count({query}) > bool 0) or vector(0))"
    return f"((count(({query}) {expect}) == bool count({query})) or vector(0))"


NEEDED = {"slo:sli_error:ratio_rate5m", "slo:error_budget:ratio", "slo:current_burn_rate:ratio"}
"""What the cells read, and what that is made of; the windows of days would only cost time here."""


@cache
def needed_rules() -> dict[str, list[dict[str, Any]]]:
    groups = yaml.safe_load((ROOT / "prometheus" / "recording-rules.yaml").read_text())["groups"]
    kept = [
        {**group, "interval": "1m", "rules": [r for r in group["rules"] if r["record"] in NEEDED]}
        for group in groups
    ]
    return {"groups": [group for group in kept if group["rules"]]}


@cache
def answers(world: str) -> dict[str, bool]:
    """Ask promtool: every judged cell claims to be well, and its output says which ones are not."""
    with TemporaryDirectory() as folder:
        rules = Path(folder, "rules.yaml")
        rules.write_text(yaml.safe_dump(needed_rules()))
        series = [{"series": name, "values": values} for name, values in WORLDS[world]().series.items()]
        asked = [
            {
                "expr": meets(cell),
                "eval_time": f"{int(END)}s",
                "exp_samples": [{"labels": "{}", "value": 7 + index}],
            }
            for index, cell in enumerate(ASKED)
        ]
        test = {"interval": f"{int(SCRAPE)}s", "input_series": series, "promql_expr_test": asked}
        file = Path(folder, "test.yaml")
        file.write_text(yaml.safe_dump({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [test]}))
        command = [str(find("prometheus").with_name("promtool")), "test", "rules", str(file)]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment(), check=False)
    return read(ran.stdout + ran.stderr)


def read(output: str) -> dict[str, bool]:
    """No cell's answer is 7 or more, so promtool prints what it got for each, beside the number that names it."""
    pairs = re.findall(r"exp:\s*\{\} ([0-9.E+]+)\s*got:\s*\{\} ([01])E\+00", output)
    found = {str(ASKED[int(float(number)) - 7]): got == "1" for number, got in pairs}
    assert set(found) == {str(cell) for cell in ASKED}, output[-3000:]
    return found


def not_well(world: str, runbook: str) -> set[str]:
    said = answers(world)
    return {cell.name for cell in JUDGED if cell.runbook == runbook and not said[str(cell)]}


def test_in_a_healthy_shop_every_cell_is_well() -> None:
    assert [str(cell) for cell in JUDGED if not answers("healthy")[str(cell)]] == []


@pytest.mark.parametrize("cell", JUDGED, ids=str)
def test_every_cell_finds_something_in_some_world(cell: Cell) -> None:
    """A cell that is well whatever happens teaches nobody anything."""
    assert any(not answers(world)[str(cell)] for world in WORLDS)


@pytest.mark.parametrize(
    ("world", "runbook", "found"),
    [
        ("latency_spike", "latency-spike", {"burning", "on-the-way"}),
        ("latency_spike", "cpu-saturation", {"burning"}),
        ("network_latency", "latency-spike", {"burning", "on-the-way", "others"}),
        ("cpu_stress", "latency-spike", {"burning", "on-the-way"}),
        ("cpu_stress", "cpu-saturation", {"burning", "throttled"}),
        ("heavier_requests", "latency-spike", {"burning", "cpu-per-request-factor"}),
        ("heavier_requests", "cpu-saturation", {"burning", "cpu-per-request-factor"}),
        ("twice_the_traffic", "cpu-saturation", {"traffic-factor"}),
        ("twice_the_traffic", "oom-kill", {"traffic-factor"}),
        ("high_error_rate", "high-error-rate", {"burning", "codes", "share"}),
        ("high_error_rate", "disk-full", {"burning"}),
        ("pod_kill", "high-error-rate", {"burning", "codes", "restarts"}),
        ("pod_kill", "pod-crash", {"burning", "restarts"}),
        ("pod_kill", "oom-kill", {"burning", "restarts"}),
        ("pause", "high-error-rate", {"burning", "codes", "share", "up"}),
        ("pause", "pod-crash", {"burning", "share", "up"}),
        ("disk_full", "high-error-rate", {"burning", "codes", "admitted"}),
        ("disk_full", "disk-full", {"burning", "write-errors", "volumes", "full-in-hours"}),
        ("dependency_down", "high-error-rate", {"burning", "codes", "admitted"}),
        ("dependency_down", "dependency-down", {"burning", "burning-latency", "lost-calls"}),
        (
            "dependency_dead",
            "dependency-down",
            {"burning", "burning-latency", "lost-calls", "others", "dependency-up"},
        ),
        ("no_traffic", "high-error-rate", {"burning", "traffic"}),
    ],
)
def test_a_fault_shows_where_the_runbook_says(world: str, runbook: str, found: set[str]) -> None:
    assert not_well(world, runbook) == found


@pytest.mark.parametrize(
    ("world", "on_the_way"),
    [("latency_spike", True), ("network_latency", True), ("cpu_stress", False), ("heavier_requests", False)],
)
def test_the_share_inside_tells_a_slow_way_from_a_slow_service(world: str, on_the_way: bool) -> None:
    assert answers(world)[str(INSIDE)] == on_the_way
