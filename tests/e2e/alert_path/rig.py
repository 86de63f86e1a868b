"""A light rig: a real Prometheus, real Alertmanagers, the real sink, and a shop whose users really get errors.

Everything on loopback, in a temporary folder, with 1 s scrapes and a 5 s / 10 s burn-rate rule. ``RigSpec`` names
what is broken in the alert path; the default breaks nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from drill.alerting.rulefile import Group, Rule, rule_file
from drill.core.facts import Endpoints
from drill.observe.observer import BUDGET_LEFT
from e2e.alert_path.shop import METRIC, Shop

Json = dict[str, Any]
SLO = "shop-availability"
IDS = {"sloth_id": SLO, "sloth_service": "shop", "sloth_slo": "availability"}
PAGE = {"alertname": "ShopBudgetBurn", "severity": "page", **IDS}
_PORTS: set[int] = set()
_LOCK = threading.Lock()


@dataclass(frozen=True)
class Generation:
    """The servers of one time; ``quick`` Prometheus scrapes one second after its start."""

    name: str
    prometheus: Path
    alertmanager: Path
    quick: bool


def ratio(window: str, job: str = "edge") -> str:
    """The recorded error ratio, guarded against no traffic as drill's generator does it."""
    total = f'sum(rate({METRIC}{{job="{job}",service="shop"}}[{window}]))'
    bad = f'sum(rate({METRIC}{{job="{job}",service="shop",code=~"5.."}}[{window}]))'
    return f"({bad}) / ({total} > 0)"


def good_groups() -> list[Group]:
    """The rules as they should be: recorded ratios in one group, the alert in another."""
    selector = f'{{sloth_id="{SLO}"}}'
    record = [
        Rule(record=f"slo:sli_error:ratio_rate{w}", expr=ratio(w), labels={**IDS, "sloth_window": w})
        for w in ("5s", "10s")
    ]
    record += [
        Rule(record="slo:objective:ratio", expr="vector(0.99)", labels=IDS),
        Rule(record="slo:error_budget:ratio", expr="vector(1-0.99)", labels=IDS),
        Rule(record="slo:time_period:days", expr="vector(1)", labels=IDS),
        Rule(record=BUDGET_LEFT, expr="vector(1)", labels=IDS),
    ]
    parts = [
        f"max(slo:sli_error:ratio_rate{w}{selector} > (14.4 * 0.01)) without (sloth_window)" for w in ("5s", "10s")
    ]
    alert = Rule(
        alert="ShopBudgetBurn",
        expr="\nand\n".join(parts),
        labels={"severity": "page", **IDS},
        annotations={"runbook_url": "https://docs.example.org/runbooks/high-error-rate.md"},
    )
    return [
        Group(name="record", interval_s=1, rules=tuple(record)),
        Group(name="alert", interval_s=1, rules=(alert,)),
    ]


def good_alertmanager() -> Json:
    """Routes as they should be; the receivers' webhooks are filled in when the ports are known."""
    return {
        "global": {"resolve_timeout": "10s"},
        "route": {
            "receiver": "log",
            "group_by": ["alertname", "sloth_id"],
            "group_wait": "500ms",
            "group_interval": "1s",
            "repeat_interval": "1h",
            "routes": [{"matchers": ['severity="page"'], "receiver": "pagerduty"}],
        },
        "receivers": [{"name": name} for name in ("pagerduty", "slack", "log")],
    }


def unchanged(config: Any) -> Any:
    """What breaks nothing."""
    return config


@dataclass(frozen=True)
class RigSpec:
    """What is broken before the drill starts, and how many Alertmanager peers there are."""

    rules: Callable[[list[Group]], list[Group]] = unchanged
    prometheus: Callable[[Json], Json] = unchanged
    alertmanager: Callable[[Json], Json] = unchanged
    flags: tuple[str, ...] = ()
    peers: int = 1
    clustered: bool = False
    """The peers gossip: what one has notified the others do not notify again."""
    told: tuple[int, ...] = ()
    """The peers that Prometheus sends its alerts to; empty: all of them."""
    tarpit: bool = False
    """Prometheus sends its alerts to a port that accepts and never answers."""
    sink: bool = True
    shop: Mapping[str, Any] = field(default_factory=dict)
    expired_webhook: bool = False
    history_s: float = 5.0
    """Least age of the first scrape when the drill begins."""


class Rig:
    """The running servers of one case. ``close`` ends all of them."""

    def __init__(self, generation: Generation, spec: RigSpec) -> None:
        self.generation, self.spec = generation, spec
        self.home = Path(tempfile.mkdtemp(prefix="drill-path-"))
        certificate = expired_certificate(self.home) if spec.expired_webhook else ("", "")
        self.shop = Shop(**spec.shop, certificate=certificate)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.closed = threading.Event()
        self._tarpit = socket.socket()
        self._prometheus_port, *self._peers = (free_port() for _ in range(1 + spec.peers))
        self._gossip = [free_port() for _ in range(spec.peers)]

    @property
    def endpoints(self) -> Endpoints:
        """Where the engine finds the evidence."""
        return Endpoints(
            prometheus=self.prometheus_url,
            alertmanagers=tuple(f"http://127.0.0.1:{port}" for port in self._peers),
            sink=self.shop.url("sink") if self.spec.sink else "",
        )

    @property
    def prometheus_url(self) -> str:
        """Prometheus's base URL."""
        return f"http://127.0.0.1:{self._prometheus_port}"

    def start(self) -> None:
        """Start all, and wait until Prometheus has the history that the case asks for."""
        self.shop.start()
        self._write_configs()
        self.start_prometheus()
        for index in range(self.spec.peers):
            self.start_alertmanager(index)
        self._await_history()

    def _write_configs(self) -> None:
        (self.home / "rules.yml").write_text(rule_file(self.spec.rules(good_groups())))
        targets = [f"127.0.0.1:{self._peers[index]}" for index in self.spec.told or range(self.spec.peers)]
        if self.spec.tarpit:
            self._tarpit.bind(("127.0.0.1", 0))
            self._tarpit.listen(200)
            targets = [f"127.0.0.1:{self._tarpit.getsockname()[1]}"]
        edge = {"targets": [f"127.0.0.1:{self.shop.ports['shop']}"], "labels": {"instance": "edge"}}
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yml"],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": targets}], "timeout": "2s"}]},
            "scrape_configs": [{"job_name": "edge", "static_configs": [edge]}],
        }
        (self.home / "prometheus.yml").write_text(json.dumps(self.spec.prometheus(config)))
        routes = self.spec.alertmanager(good_alertmanager())
        for receiver in routes["receivers"]:
            url = f"{self.shop.url('door')}/{receiver['name']}"
            receiver["webhook_configs"] = [{"url": url, "send_resolved": True}]
        (self.home / "alertmanager.yml").write_text(json.dumps(routes))

    def start_prometheus(self) -> None:
        """Start Prometheus; again on the same data after :meth:`kill`."""
        command = [
            str(self.generation.prometheus), f"--config.file={self.home}/prometheus.yml",
            f"--storage.tsdb.path={self.home}/data", f"--web.listen-address=127.0.0.1:{self._prometheus_port}",
            "--rules.alert.resend-delay=2s", "--web.enable-lifecycle", *self.spec.flags,
        ]  # fmt: skip
        if self.generation.quick:
            command.append("--scrape.discovery-reload-interval=100ms")
        self._run("prometheus", command)

    def start_alertmanager(self, index: int = 0) -> None:
        """Start one peer."""
        name = f"alertmanager-{index}"
        command = [
            *with_templates(str(self.generation.alertmanager)), f"--config.file={self.home}/alertmanager.yml",
            f"--storage.path={self.home}/{name}", f"--web.listen-address=127.0.0.1:{self._peers[index]}",
            *self._cluster(index),
        ]  # fmt: skip
        self._run(name, command)

    def _cluster(self, index: int) -> list[str]:
        """Flags of a cluster whose second peer waits half a second for the first one's word, not 15."""
        if not self.spec.clustered:
            return ["--cluster.listen-address="]
        others = (port for number, port in enumerate(self._gossip) if number != index)
        return [
            f"--cluster.listen-address=127.0.0.1:{self._gossip[index]}",
            *(f"--cluster.peer=127.0.0.1:{port}" for port in others),
            "--cluster.settle-timeout=1s", "--cluster.peer-timeout=500ms", "--cluster.gossip-interval=50ms",
        ]  # fmt: skip

    def _run(self, name: str, command: Sequence[str]) -> None:
        guarded = ["setpriv", "--pdeathsig", "KILL", *command]
        with (self.home / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(guarded, stdout=log, stderr=log, cwd=self.home)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to ``prometheus`` or ``alertmanager-<n>``."""
        self.processes[name].send_signal(number)

    def kill(self, name: str) -> None:
        """End one server at once."""
        process = self.processes[name]
        process.kill()
        process.wait(10)

    def post(self, path: str, body: Any, peer: int = 0) -> None:
        """POST to an Alertmanager's API v2."""
        url = f"http://127.0.0.1:{self._peers[peer]}/api/v2{path}"
        requests.post(url, json=body, timeout=5).raise_for_status()

    def silence(self, **labels: str) -> None:
        """Silence what has these labels, for an hour."""
        matchers = [{"name": k, "value": v, "isRegex": False, "isEqual": True} for k, v in labels.items()]
        now = time.time()
        body = {"matchers": matchers, "createdBy": "rig", "comment": "maintenance", "startsAt": stamp(now - 1),
                "endsAt": stamp(now + 3600)}  # fmt: skip
        self.post("/silences", body)

    def reload(self, rules: list[Group]) -> None:
        """Give Prometheus other rules while it runs."""
        (self.home / "rules.yml").write_text(rule_file(rules))
        self.signal("prometheus", signal.SIGHUP)

    def logs(self) -> str:
        """The last lines of every server, for a case that went wrong."""
        files = sorted(self.home.glob("*.log"))
        return "\n".join(f"--- {f.name}\n" + "\n".join(f.read_text().splitlines()[-8:]) for f in files)

    def _await_history(self) -> None:
        """Wait for the first scrape (also of a target that is down), then for its age."""
        self._await("min(timestamp(up))", lambda value: value > 0)
        begun = self._value("min(min_over_time(timestamp(up)[60s:1s]))") or time.time()
        time.sleep(max(0.0, begun + self.spec.history_s - time.time()))

    def _await(self, promql: str, enough: Callable[[float], bool]) -> None:
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            value = self._value(promql)
            if value is not None and enough(value):
                return
            time.sleep(0.1)
        raise AssertionError(f"{promql} did not come true:\n{self.logs()}")

    def _value(self, promql: str) -> float | None:
        with suppress(requests.RequestException, KeyError, IndexError):
            answer = requests.get(f"{self.prometheus_url}/api/v1/query", {"query": promql}, timeout=2).json()
            return float(answer["data"]["result"][0]["value"][1])
        return None

    def close(self) -> None:
        """End all servers and remove the folder."""
        self.closed.set()
        for process in self.processes.values():
            with suppress(ProcessLookupError):
                process.kill()
        for process in self.processes.values():
            process.wait(10)
        self.shop.close()
        self._tarpit.close()
        shutil.rmtree(self.home, ignore_errors=True)


def stamp(unix: float) -> str:
    """RFC 3339 in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(unix)) + f".{int(unix % 1 * 1000):03d}Z"


def free_port() -> int:
    """A port nobody of this process was given before."""
    with _LOCK:
        while True:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = int(probe.getsockname()[1])
            if port not in _PORTS:
                _PORTS.add(port)
                return port


def with_templates(alertmanager: str) -> list[str]:
    """Debian's build has the path of its default template compiled in; an unpacked package lacks it there."""
    share = Path(alertmanager).parent.parent / "share"
    if not (share / "prometheus").exists() or Path("/usr/share/prometheus/alertmanager/default.tmpl").exists():
        return [alertmanager]
    overlay = f"mount -t overlay overlay -o lowerdir={share}:/usr/share /usr/share"
    flags = "-m" if os.geteuid() == 0 else "-rm"
    return ["unshare", flags, "sh", "-c", f'{overlay} && exec "$0" "$@"', alertmanager]


def expired_certificate(folder: Path) -> tuple[str, str]:
    """A certificate that ended in the year 2001; returns certificate and key files."""
    key, certificate, request = (str(folder / f"webhook.{end}") for end in ("key", "crt", "csr"))
    ca = ["openssl", "x509", "-req", "-in", request, "-signkey", key, "-out", certificate, "-days", "-1"]
    new = [
        "openssl",
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        key,
        "-out",
        request,
        "-subj",
        "/CN=127.0.0.1",
    ]
    for command in (new, ca):
        subprocess.run(command, check=True, capture_output=True, timeout=30)
    return certificate, key
