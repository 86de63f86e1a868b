"""What a proof says, event by event: won, not won, won by nobody, never paged. The run is told, the target is a toy."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from drill.cli import wiring
from drill.cli.runbooks import proving
from drill.cli.runbooks.proving import Responder, exit_code, rehearse
from drill.cli.settings import RunResult, RunSettings
from drill.core.observations import AlertSpan
from drill.journal import events as e
from drill.runbook.answers import Series
from drill.runbook.records import read
from drill.runbook.walk import Walker


@dataclass
class Toy:
    """A target that burns until a command was run, and a run that is told to the responder."""

    tmp: Path
    helps: bool = True
    well_anyway: bool = False
    exit_code: int = 0
    target: str = "toy"
    fast_forward: float = 60.0
    ran: list[str] = field(default_factory=list)
    listeners: list[Callable[[e.AnyEvent], None]] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def well(self) -> bool:
        return self.well_anyway or (self.helps and bool(self.ran))

    def ask(self, promql: str) -> Sequence[Series]:
        if promql.startswith("topk"):
            return [Series(labels={"instance": "checkout-1"}, value=1.0)]
        return [Series(labels={}, value=0.0 if self.well else 50.0)]

    def run(self, command: str, language: str, values: Mapping[str, str]) -> tuple[int, str]:
        self.ran.append(f"{command.strip()} [{values['POD']}]")
        return self.exit_code, ""

    def running(self) -> wiring.Running:
        return cast(
            "wiring.Running",
            SimpleNamespace(
                journal=SimpleNamespace(subscribe=self.listeners.append),
                observer=SimpleNamespace(holds=lambda _: self.well),
                target=SimpleNamespace(name="toy"),
                clock=time.time,
                end=self.ended,
                run_dir=self.tmp,
            ),
        )

    def tell(self, event: e.AnyEvent) -> None:
        for listener in self.listeners:
            listener(event.with_(at=time.time()))


EFFECT = e.InjectionEffective(injection="oom", first_touch=1.0, since=2.0)
LABELS = {"sloth_id": "checkout-availability", "severity": "page", "slo": "checkout-availability"}
FIRING = e.AlertsSeen(
    start=0, end=1, spans=(AlertSpan(labels=LABELS, state="firing", start=1.0, end=2.0, open=True),)
)
ENDED = e.InjectionEnded(injection="oom", first=1.0, last=1.0)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proving, "LOOK_S", 0.005)
    monkeypatch.setattr(proving, "LEAST_IDLE_S", 0.05)


def respond(toy: Toy, monkeypatch: pytest.MonkeyPatch, *events: e.AnyEvent, idle_only: bool = False) -> Responder:
    rehearsal = rehearse("oom-kill", RunSettings(out=toy.tmp))
    plan = rehearsal.compiled.plan
    expected = plan.expected[0].with_(match={"sloth_id": "checkout-availability", "severity": "page"})
    compiled = replace(rehearsal.compiled, plan=plan.with_(expected=(expected,)))
    well = rehearsal.well.model_copy(update={"for_": 1.0})
    rehearsal = replace(rehearsal, compiled=compiled, hold_s=0.4, well=well)
    responder = Responder(rehearsal, lambda _: None, idle_only)

    def walker(_: Any) -> Walker:
        values = {"SERVICE": "checkout", "NAMESPACE": "default"}
        return Walker(rehearsal.runbook, toy, values, sleep=lambda _: time.sleep(0.002), stop=responder._stopped)

    monkeypatch.setattr(responder, "_walking", lambda running: nullcontext(walker(running)))
    monkeypatch.setattr("drill.runbook.walk.patience_s", lambda *_: 0.2)
    with responder.beside(toy.running()):
        for event in (e.TimelineStarted(), *events):
            toy.tell(event)
        toy.ended.wait(5)
    return responder


def test_a_mitigation_that_helps_while_the_fault_lasts_is_proven(tmp_path, monkeypatch) -> None:
    toy = Toy(tmp_path)
    responder = respond(toy, monkeypatch, EFFECT, FIRING)
    assert responder.result == "proven", responder.why
    assert toy.ran == [
        'kubectl -n "$NAMESPACE" label pod "$POD" app="$SERVICE"-quarantine --overwrite [checkout-1]'
    ]
    assert [(one.name, one.outcome) for one in read(tmp_path)] == [
        ("take-out", "proven"),
        ("mitigated_when", "proven"),
    ]


def test_an_alert_that_fires_before_the_effect_was_proven_counts(tmp_path, monkeypatch) -> None:
    assert respond(Toy(tmp_path), monkeypatch, FIRING, EFFECT).result == "proven"


def test_users_who_are_well_before_anything_was_done_prove_nothing(tmp_path, monkeypatch) -> None:
    toy = Toy(tmp_path, well_anyway=True)
    assert respond(toy, monkeypatch, EFFECT, FIRING).result == "healed by itself"
    assert toy.ran == []


def test_a_mitigation_that_does_not_help_is_not_proven(tmp_path, monkeypatch) -> None:
    responder = respond(Toy(tmp_path, helps=False), monkeypatch, EFFECT, FIRING)
    assert responder.result == "not proven"
    assert "take-out contradicted" in responder.why


def test_a_command_that_fails_is_not_proven(tmp_path, monkeypatch) -> None:
    responder = respond(Toy(tmp_path, exit_code=1), monkeypatch, EFFECT, FIRING)
    assert responder.result == "not proven"
    assert "take-out failed: exit code 1" in responder.why


def test_doing_nothing_is_never_proven(tmp_path, monkeypatch) -> None:
    toy = Toy(tmp_path)
    assert respond(toy, monkeypatch, EFFECT, FIRING, idle_only=True).result == "not proven"
    assert toy.ran == []


def test_a_fault_that_is_over_before_anybody_acts_is_not_mitigated(tmp_path, monkeypatch) -> None:
    toy = Toy(tmp_path)
    responder = respond(toy, monkeypatch, EFFECT, FIRING, ENDED)
    assert (responder.result, responder.won_at) == ("not proven", 0.0)
    assert toy.ran == []


def test_without_an_alert_or_an_effect_there_is_nothing_to_prove(tmp_path, monkeypatch) -> None:
    toy = Toy(tmp_path)
    toy.ended.set()
    assert respond(toy, monkeypatch, EFFECT, ENDED).result == "no alert"
    other = Toy(tmp_path)
    other.ended.set()
    assert respond(other, monkeypatch).result == "no effect"


def test_the_exit_code_is_the_runs_when_it_did_not_end_well(tmp_path, monkeypatch) -> None:
    proof = respond(Toy(tmp_path), monkeypatch, EFFECT, FIRING).proof(tmp_path, None)
    results = {code: cast("RunResult", SimpleNamespace(exit_code=code)) for code in (0, 1, 3, 4, 5)}
    assert [exit_code(proof, results[code]) for code in (0, 1, 3, 4, 5)] == [0, 0, 0, 4, 5]
    assert exit_code(replace(proof, result="not proven"), results[0]) == 1
    assert exit_code(replace(proof, result="no effect"), results[3]) == 3
