"""A plan small enough to talk about, and a way to talk to ``decide``."""

from __future__ import annotations

from collections.abc import Iterable

from drill.core.actions import HoldFault, PacketFault, undo_of
from drill.core.probes import Effect
from drill.engine.decide import decide
from drill.engine.state import Command, Seen, State, initial
from drill.plan.model import AbortCondition, ExpectedAlert, Guardrails, Plan, PlannedInjection, Step

MATCH = {"sloth_id": "checkout-latency", "severity": "page"}


def hold(injection: str, replica: str) -> Step:
    action = HoldFault(
        injection=injection,
        replica=replica,
        fault=PacketFault(backend="nfqueue", port=8080, delay_ms=400),
        deadline_s=60,
    )
    return Step(action=action, undo=undo_of(action))


def injection(name: str, *, at_s: float = 0, for_s: float = 20, replicas: int = 2) -> PlannedInjection:
    names = tuple(f"checkout-{number}" for number in range(replicas))
    return PlannedInjection(
        id=name,
        fault="latency",
        backend="nfqueue",
        service="checkout",
        replicas=names,
        of_replicas=3,
        at_s=at_s,
        for_s=for_s,
        steps=tuple(hold(name, replica) for replica in names),
        effect=Effect(kind="connect_ms", expected=400, low=300, unit="ms", relative=True),
    )


def plan(*injections: PlannedInjection, abort_if: tuple[AbortCondition, ...] = ()) -> Plan:
    return Plan(
        scenario="latency-spike",
        title="Latency spike",
        hypothesis="Slow answers page.",
        owner="sre",
        source_sha256="0" * 64,
        parameters={"service": "checkout"},
        service="checkout",
        target="sandbox",
        seed=0,
        fast_forward=60,
        windows=(),
        scrape_interval_s=1,
        evaluation_interval_s=1,
        group_wait_s=0.5,
        group_interval_s=5,
        history_s=10,
        baseline_s=5,
        injections=injections or (injection("slow"),),
        impacts=(),
        expected=(ExpectedAlert(match=MATCH, receiver="pagerduty", resolves_within_s=10),),
        slos=(),
        guardrails=Guardrails(max_budget_spend=1, max_blast_radius=1, max_duration_s=600, abort_if=abort_if),
    )


class Talk:
    """Keeps the state between turns; ``at`` is the time since the start."""

    def __init__(self, drill_plan: Plan) -> None:
        self.state: State = initial(drill_plan, 0.0)

    def turn(self, at: float, *seen: Seen) -> list[Command]:
        self.state, commands = decide(self.state, at, seen)
        return commands

    def turns(self, at: float, seen: Iterable[Seen]) -> list[Command]:
        return self.turn(at, *seen)
