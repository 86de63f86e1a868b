"""A real Prometheus and a real Alertmanager on loopback: the observer sees what they do, to the millisecond."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from drill.core.errors import Unavailable
from drill.core.facts import Endpoints
from drill.observe.http import ServerOptions
from drill.observe.observer import Observer, ObserverOptions
from drill.target.sandbox import programs

pytestmark = pytest.mark.e2e

RULES = """
groups:
  - name: slo
    interval: 1s
    rules:
      - record: slo:sli_error:ratio_rate5s
        expr: demo_bad_ratio
        labels: {sloth_id: checkout-latency, sloth_service: checkout, sloth_slo: latency, sloth_window: 5s}
      - record: slo:error_budget:ratio
        expr: vector(0.01)
        labels: {sloth_id: checkout-latency, sloth_service: checkout, sloth_slo: latency}
  - name: burn
    interval: 1s
    rules:
      - alert: CheckoutBurn
        expr: slo:sli_error:ratio_rate5s > 0.144
        for: 2s
        labels: {severity: page}
        annotations: {runbook: latency-spike}
      - alert: Broken
        expr: nothing_at_all > 1
"""
PROMETHEUS = """
global: {{scrape_interval: 1s, evaluation_interval: 1s, external_labels: {{cluster: test}}}}
rule_files: [rules.yaml]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ["127.0.0.1:{alertmanager}"]}}]}}]}}
scrape_configs: [{{job_name: demo, static_configs: [{{targets: ["127.0.0.1:{demo}"]}}]}}]
"""
ALERTMANAGER = """
route: {receiver: pagerduty, group_wait: 1s, group_interval: 1s}
receivers: [{name: pagerduty}]
"""


def find_program(name: str) -> str:
    found = programs.locate(name)
    if found is None:
        pytest.skip(f"{name} is not here: `drill doctor --fix` gets it")
    return str(found)


def with_templates(alertmanager: str) -> list[str]:
    """Debian's build has the path of its default template compiled in; an unpacked package lacks it there."""
    unpacked = Path(alertmanager).parent.parent / "share"
    if Path("/usr/share/prometheus/alertmanager/default.tmpl").exists() or not (unpacked / "prometheus").exists():
        return [alertmanager]
    overlay = f"mount -t overlay overlay -o lowerdir={unpacked}:/usr/share /usr/share"
    return ["unshare", "-rm", "sh", "-c", f'{overlay} && exec "$0" "$@"', alertmanager]


class Demo:
    """A service whose share of bad answers is set by the test."""

    def __init__(self) -> None:
        self.bad_ratio = 0.0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = f"demo_bad_ratio {outer.bad_ratio}\n".encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                return None

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@dataclass
class Stack:
    demo: Demo
    observer: Observer
    prometheus: subprocess.Popen[bytes]
    started_after: float


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, check: Callable[[], Any], within_s: float = 30.0) -> Any:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            found = check()
        except Unavailable:
            found = None
        if found:
            return found
        time.sleep(0.1)
    pytest.fail(f"{what}: not seen in {within_s:g} s")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    prometheus, alertmanager = find_program("prometheus"), find_program("alertmanager")
    home: Path = tmp_path_factory.mktemp("servers")
    demo, ports = Demo(), (free_port(), free_port())
    (home / "rules.yaml").write_text(RULES)
    (home / "prometheus.yaml").write_text(PROMETHEUS.format(alertmanager=ports[1], demo=demo.port))
    (home / "alertmanager.yaml").write_text(ALERTMANAGER)
    started_after = time.time()
    commands = [
        [prometheus, f"--config.file={home}/prometheus.yaml", f"--storage.tsdb.path={home}/data",
         f"--web.listen-address=127.0.0.1:{ports[0]}", f"--web.external-url=http://127.0.0.1:{ports[0]}/prom"],
        [*with_templates(alertmanager), f"--config.file={home}/alertmanager.yaml", f"--storage.path={home}/am",
         f"--web.listen-address=127.0.0.1:{ports[1]}", "--cluster.listen-address="],
    ]  # fmt: skip
    with (home / "log").open("wb") as log:
        running = [subprocess.Popen(command, stdout=log, stderr=log, cwd=home) for command in commands]
    urls = Endpoints(
        prometheus=f"http://127.0.0.1:{ports[0]}/prom", alertmanagers=(f"http://127.0.0.1:{ports[1]}",)
    )
    options = ObserverOptions(
        prometheus=ServerOptions(read_timeout_s=1.0, retries=0), traffic={"checkout-latency": "vector(7)"}
    )
    observer = Observer(urls, options)
    try:
        wait_for("the first SLI", observer.sli)
        yield Stack(demo, observer, running[0], started_after)
    finally:
        observer.close()
        demo.server.shutdown()
        demo.server.server_close()
        for process in running:
            process.kill()
            process.wait(10)


def test_an_alert_is_seen_from_pending_to_resolved(stack: Stack) -> None:
    """One firing: its spans, its place in Alertmanager, its resolution, and a second firing as its own span."""
    observer, demo = stack.observer, stack.demo
    begun = time.time()
    demo.bad_ratio = 0.5
    (alert,) = wait_for("the alert in Alertmanager", observer.alertmanager_alerts)
    assert alert.labels["alertname"] == "CheckoutBurn"
    assert alert.labels["cluster"] == "test"  # external labels: only Alertmanager shows them
    assert alert.receivers == ("pagerduty",)
    assert alert.state == "active"
    (sample,) = observer.sli()
    assert (sample.error_ratio, sample.requests_per_second) == (0.5, 7.0)
    assert sample.rates == {"5s": pytest.approx(50.0)}
    assert observer.query("slo:sli_error:ratio_rate5s > 0.1")
    assert not observer.query("slo:sli_error:ratio_rate5s > 0.9")

    demo.bad_ratio = 0.0
    wait_for("the end of the alert", lambda: not any(s.open for s in observer.alert_spans(begun, time.time())))
    spans = observer.alert_spans(begun, time.time())
    assert [span.state for span in spans] == ["pending", "firing"]
    pending, firing = spans
    assert "cluster" not in firing.labels
    assert firing.labels["severity"] == "page"
    # The API says when the alert became active; `for` is 2 s and rules run every second.
    assert abs(alert.starts_at - firing.start) < 0.01
    assert 1.99 < firing.start - pending.start < 3.01
    assert firing.end >= firing.start

    demo.bad_ratio = 0.6
    wait_for("the second firing", lambda: len(observer.alert_spans(firing.end + 0.5, time.time())) >= 2)
    both = [span for span in observer.alert_spans(begun, time.time()) if span.state == "firing"]
    assert both[0].start == firing.start
    assert len(both) == 2
    demo.bad_ratio = 0.0


def test_rules_history_start_time_skew_and_alertmanager_status(stack: Stack) -> None:
    observer = stack.observer
    burn, broken = observer.rules()
    assert (burn.name, burn.for_s, burn.interval_s, burn.health) == ("CheckoutBurn", 2.0, 1.0, "ok")
    assert burn.annotations == {"runbook": "latency-spike"}
    assert (broken.name, broken.state) == ("Broken", "inactive")
    assert abs(burn.last_evaluation - time.time()) < 5

    started_at = observer.started_at()
    assert stack.started_after - 1 < started_at < time.time()
    age = observer.history_s(["checkout-latency"])
    assert 0 < age < time.time() - started_at
    first = observer.prometheus.raw("slo:sli_error:ratio_rate5s", 3600.0, time.time())[0].samples[0][0]
    assert abs(time.time() - age - first) < 0.5
    assert observer.history_s() == pytest.approx(age, abs=1.0)
    assert observer.history_s(["checkout-latency", "nobody"]) == 0.0

    skew = observer.clock_skew()
    assert abs(skew.skew_s) <= skew.bound_s + 0.002  # one machine, one clock; time() has milliseconds
    (status,) = observer.alertmanager_status()
    assert not status.error
    assert status.cluster == "disabled"
    assert "group_wait" in status.config
    assert observer.silences() == []
    assert observer.prometheus.alertmanagers()
    observer.check()


def test_a_wrong_query_names_the_parse_error(stack: Stack) -> None:
    with pytest.raises(Unavailable, match=r"answered 400.*parse error"):
        stack.observer.query("sum(")


def test_a_paused_prometheus_is_unavailable_and_comes_back(stack: Stack) -> None:
    stack.prometheus.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(Unavailable, match="did not answer in time"):
            stack.observer.alert_spans(time.time() - 10, time.time())
    finally:
        stack.prometheus.send_signal(signal.SIGCONT)
    wait_for("Prometheus after the pause", stack.observer.sli)


def test_the_observers_values_survive_the_journals_json(stack: Stack) -> None:
    for value in [*stack.observer.rules(), *stack.observer.sli()]:
        assert type(value).model_validate(json.loads(value.model_dump_json())) == value
