"""One drill told as its journal: the latency spike of checkout, from start to report, in events."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from drill.cli.settings import AbortResult, RecoverResult, RunResult, RunSettings, SandboxInfo
from drill.core.actions import HoldFault, PacketFault, undo_of
from drill.core.facts import Endpoints
from drill.core.observations import AlertmanagerAlert, AlertSpan, Notification, RuleStatus, SliSample
from drill.core.probes import Effect
from drill.journal import events as e
from drill.journal.journal import Journal
from drill.plan.model import (
    ExpectedAlert,
    Finding,
    Guardrails,
    Plan,
    PlannedInjection,
    PlannedSlo,
    PredictedAlert,
    Step,
    WindowPair,
)

START = 1_700_000_000.0
SLO = "checkout-latency"
PAGE = {"alertname": "CheckoutLatencyBurn", "severity": "page", "sloth_id": SLO, "sloth_service": "checkout"}
TICKET = {**PAGE, "severity": "ticket"}
REPLICAS = ("checkout-0", "checkout-1", "checkout-2")


def predicted(severity: str = "page", **changes: Any) -> PredictedAlert:
    labels = PAGE if severity == "page" else TICKET
    base = PredictedAlert(
        labels=labels,
        sloth_id=SLO,
        severity=severity,
        factor=14.4,
        long_s=60.0,
        short_s=5.0,
        fires=True,
        ends_at_s=30.0,
        firing_s=(8.0, 12.0),
        delivered_s=(8.5, 12.5),
        resolved_s=(3.0, 8.0),
        receivers=("pagerduty" if severity == "page" else "slack",),
        error_ratio=(0.95, 1.0),
        price=0.02,
        budget=0.05,
    )
    return base.with_(**changes)


def held(replica: str) -> HoldFault:
    fault = PacketFault(backend="nfqueue", port=8080, delay_ms=400, jitter_ms=20)
    return HoldFault(injection="slow", replica=replica, fault=fault, deadline_s=50)


def the_plan(**changes: Any) -> Plan:
    steps = tuple(Step(action=held(replica), undo=undo_of(held(replica))) for replica in REPLICAS)
    injection = PlannedInjection(
        id="slow",
        fault="latency",
        backend="nfqueue",
        why="the kernel has no netem",
        service="checkout",
        replicas=REPLICAS,
        of_replicas=3,
        at_s=0.0,
        for_s=30.0,
        steps=steps,
        effect=Effect(kind="connect_ms", expected=400, low=280, high=560, unit="ms", relative=True),
    )
    plan = Plan(
        scenario="latency-spike",
        title="Latency spike",
        hypothesis="Slow answers page the owner.",
        owner="sre",
        source_sha256="0" * 64,
        parameters={"service": "checkout", "delay": "400ms"},
        service="checkout",
        target="sandbox",
        seed=0,
        fast_forward=60,
        windows=(
            WindowPair(severity="page", factor=14.4, long_s=60, short_s=5, real_long_s=3600, real_short_s=300),
        ),
        scrape_interval_s=1,
        evaluation_interval_s=1,
        group_wait_s=0.5,
        group_interval_s=5,
        history_s=10,
        baseline_s=6,
        injections=(injection,),
        impacts=(),
        expected=(
            ExpectedAlert(match={"sloth_id": SLO, "severity": "page"}, receiver="pagerduty", predicted=predicted()),
        ),
        also=(predicted("ticket", firing_s=(4.0, 9.0)),),
        slos=(
            PlannedSlo(sloth_id=SLO, service="checkout", name="latency", objective=0.99, period_s=2592000),
        ),
        budget_spend=0.05,
        guardrails=Guardrails(max_budget_spend=1, max_blast_radius=1, max_duration_s=7200),
        findings=(Finding(level="info", check="backend", text="netem is missing: NFQUEUE is used"),),
    )  # fmt: skip
    return plan.with_(**changes)


def sample(at: float, ratio: float, long_rate: float) -> SliSample:
    rates = {"5s": ratio / 0.01, "60s": long_rate}
    return SliSample(at=at, sloth_id=SLO, error_ratio=ratio, requests_per_second=20.0, rates=rates)


def span(state: Any, start: float, end: float, *, still: bool, labels: dict[str, str] = PAGE) -> AlertSpan:
    return AlertSpan(labels=labels, state=state, start=START + start, end=START + end, open=still)


def looked(at: float, *spans: AlertSpan) -> e.AlertsSeen:
    return e.AlertsSeen(at=START + at, start=START, end=START + at, spans=spans, query="ALERTS[…]")


def the_story() -> list[e.AnyEvent]:
    """Seconds after the start: T0 at 10, effect at 11, pending 15, firing 20, delivered 20.6, end 40, resolved 45."""
    rule = RuleStatus(
        name=PAGE["alertname"],
        labels={"severity": "page"},
        query="x",
        health="ok",
        last_evaluation=START,
        interval_s=1,
    )
    story: list[e.AnyEvent] = [
        e.RunStarted(
            at=START,
            run_id="20231114T221320Z-latency-spike",
            plan_sha256="0" * 64,
            drill_version="0.1.0",
            pid=1,
            host="here",
            endpoints=Endpoints(prometheus="http://127.0.0.1:1", alertmanagers=()),
        ),
        e.PhaseEntered(at=START, phase="preflight"),
        e.Preflight(at=START + 0.5, findings=(), rules=(rule,), prometheus_started_at=START - 5),
        e.PhaseEntered(at=START + 1, phase="baseline"),
        e.SliSeen(at=START + 5, samples=(sample(START + 5, 0.0, 0.0),)),
        e.BaselineMeasured(at=START + 9, history_s=14.0, slis=(sample(START + 9, 0.001, 0.1),)),
        e.Predicted(
            at=START + 9, basis="the measured history", expected=(predicted(),), also=(predicted("ticket"),)
        ),
        e.TimelineStarted(at=START + 10),
        e.PhaseEntered(at=START + 10, phase="inject"),
    ]
    for number, replica in enumerate(REPLICAS):
        at = START + 10.1 + number / 10
        action = held(replica)
        story += [
            e.UndoRecorded(at=at, injection="slow", action=action, undo=undo_of(action)),
            e.ActionStarted(at=at, injection="slow", action=action),
            e.ActionDone(at=at + 0.05, injection="slow", action=action, done_at=at + 0.05),
        ]
    for number, replica in enumerate(REPLICAS):
        story.append(
            e.EffectMeasured(
                at=START + 10.7 + number / 100, injection="slow", replica=replica, measured=402.4 + number,
                baseline=0.4, expected=400, unit="ms", holds=True,
            )
        )  # fmt: skip
    active = AlertmanagerAlert(
        labels={**PAGE, "cluster": "x"}, receivers=("pagerduty",), state="active", starts_at=START + 20,
        ends_at=START + 260, peer="http://127.0.0.1:2",
    )  # fmt: skip
    told = Notification(at=START + 20.6, receiver="pagerduty", status="firing", labels=PAGE, starts_at=START + 20)
    over = told.with_(at=START + 47.0, status="resolved")
    pending = span("pending", 15, 19, still=False)
    release = undo_of(held(REPLICAS[0]))
    story += [
        e.InjectionEffective(at=START + 11, injection="slow", first_touch=START + 10.1, since=START + 10.9),
        e.PhaseEntered(at=START + 11, phase="hold"),
        looked(16, span("pending", 15, 16, still=True)),
        e.SliSeen(at=START + 16, samples=(sample(START + 16, 0.98, 9.0),)),
        looked(20.5, pending, span("firing", 20, 20, still=True)),
        e.AlertmanagerSeen(at=START + 20.5, alerts=(active,)),
        e.NotificationsSeen(at=START + 21, notifications=(told,)),
        e.SliSeen(at=START + 21, samples=(sample(START + 21, 0.97, 16.2),)),
        e.PhaseEntered(at=START + 40, phase="recover"),
        e.ActionStarted(at=START + 40, injection="slow", action=release),
        e.ActionDone(at=START + 40.1, injection="slow", action=release, done_at=START + 40.1),
        e.InjectionEnded(at=START + 40.2, injection="slow", first=START + 40.1, last=START + 40.2),
        e.CleanChecked(at=START + 40.5, injection="slow", clean=True),
        e.PhaseEntered(at=START + 40.6, phase="resolve"),
        looked(48, pending, span("firing", 20, 44, still=False)),
        e.AlertmanagerSeen(at=START + 48, alerts=()),
        e.NotificationsSeen(at=START + 48, notifications=(over,)),
        e.SliSeen(at=START + 48, samples=(sample(START + 48, 0.0, 3.0),)),
        e.BudgetMeasured(at=START + 49, sloth_id=SLO, spent=0.046, remaining=0.954),
        e.PhaseEntered(at=START + 49, phase="done"),
        e.RunFinished(at=START + 49, aborted=False, undo_complete=True),
    ]
    return [event.with_(seq=number) for number, event in enumerate(story)]


class FakeWiring:
    """Plays a story instead of a sandbox; writes the real journal and the real report files."""

    def __init__(self) -> None:
        self.plans: dict[str, Plan] = {"latency-spike": the_plan()}
        self.story: Callable[[], Sequence[e.AnyEvent]] = the_story
        self.compiled: list[tuple[str, RunSettings]] = []
        self.exit_codes: list[int] = []
        self.errors: list[Exception] = []
        self.ran = 0
        self.recovered = RecoverResult()
        self.sandboxes: list[SandboxInfo] = []

    def compile_plan(self, name_or_path: str, settings: RunSettings) -> Any:
        self.compiled.append((name_or_path, settings))
        found = self.plans[name_or_path]
        if isinstance(found, Exception):
            raise found
        return SimpleNamespace(plan=found.with_(seed=settings.seed), loaded=None)

    def run(
        self,
        compiled: Any,
        settings: RunSettings,
        listener: Callable[[e.AnyEvent], None],
        abort: threading.Event,
        progress: Callable[[str], None] | None = None,
    ) -> RunResult:
        from drill.report.write import write_all

        self.ran += 1
        if self.errors:
            raise self.errors.pop(0)
        if progress:
            progress("starting the sandbox")
        run_dir = settings.out / f"20231114T22132{self.ran}Z-{compiled.plan.scenario}"
        run_dir.mkdir(parents=True)
        (run_dir / "plan.json").write_text(compiled.plan.model_dump_json())
        with Journal(run_dir / "journal.jsonl") as journal:
            journal.subscribe(listener)
            for event in self.story():
                journal.append(event)
            report = write_all(run_dir, compiled.plan, journal.events)
        code = self.exit_codes.pop(0) if self.exit_codes else report.exit_code
        return RunResult(run_dir, report, code)

    def recover(self, out: Path, run_dir: Path | None, allow_activities: bool = False) -> RecoverResult:
        return self.recovered

    def abort(self, clear: bool) -> AbortResult:
        return AbortResult(Path("/state/abort.json"), () if clear else ("run with process id 7",))

    def sandbox_up(self, fast_forward: float, seed: int) -> SandboxInfo:
        self.sandboxes.append(SandboxInfo("s1", 7, fast_forward, {"Prometheus": "http://127.0.0.1:1"}))
        return self.sandboxes[-1]

    def sandbox_status(self) -> Sequence[SandboxInfo]:
        return self.sandboxes

    def sandbox_down(self, name: str) -> Sequence[str]:
        names = [info.name for info in self.sandboxes if name in ("", info.name)]
        self.sandboxes = [info for info in self.sandboxes if info.name not in names]
        return names


class Shell:
    """Runs drill's main in this process, in a directory of its own."""

    def __init__(self, capsys: pytest.CaptureFixture[str], wiring: FakeWiring) -> None:
        self._capsys = capsys
        self.wiring = wiring
        self.out = self.err = ""

    def __call__(self, *args: str) -> int:
        from drill.cli.app import main

        self._capsys.readouterr()
        code = main(args)
        self.out, self.err = self._capsys.readouterr()
        return int(code)


@pytest.fixture
def plan() -> Plan:
    return the_plan()


@pytest.fixture
def story() -> list[e.AnyEvent]:
    return the_story()


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shell:
    fake = FakeWiring()
    monkeypatch.setattr("drill.cli.settings.wiring", lambda: fake)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("DRILL_OUT", "DRILL_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    return Shell(capsys, fake)
