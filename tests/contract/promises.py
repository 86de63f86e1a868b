"""What every target promises through the one port, whatever it is made of. A promise that is not kept is an AssertionError.

A ground is a target with what the suite knows about it without asking it: what its users get, and what somebody who
cleans up would find. So a target that lies (``liars.py``) is caught, and ``test_contract_itself.py`` shows that it is.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Protocol

from contract.cases import CASES, Case
from drill.cli.alertpath import alert_path
from drill.core.actions import AnyAction, HoldFault, PacketFault, is_deed
from drill.core.errors import ActionFailed, DrillError, Unavailable
from drill.core.facts import ABILITIES, Ability, Endpoints, Facts
from drill.core.ports import Remembering, Target
from drill.core.probes import Measurement, Probe
from drill.engine import run as engine
from drill.faults.registry import faults
from drill.journal import events as e
from drill.journal.journal import Journal, read_journal
from drill.plan.compile import Compiled, Rules, Source
from drill.plan.compile import compile_plan as compile_scenario
from drill.plan.model import Plan
from drill.scenario.model import Scenario
from drill.target.sandbox.topology import SINK_URL

SERVICE = "cart"
"""A service that calls no other: the same program in the sandbox and in a cluster."""
SLOW_S = 0.14
"""Two flights of the case's delay take twice this, an answer of a healthy service a fraction of it."""
ENOUGH = 4
"""Answers of the victim that speak for it."""
AT_MOST = 40


@dataclass(frozen=True)
class Answer:
    """What one user got: who answered (empty: nobody), with which status, after how many seconds."""

    by: str
    status: int
    took_s: float


class Ground(Protocol):
    """A target, and what can be known of it without asking it."""

    target: Target
    able: frozenset[str]
    """Names of the cases that must be possible here, unless an ability that depends on the machine is missing."""

    found_within_s: float
    """How long users may take to find a new replica."""

    def ask(self) -> Answer:
        """Be a user of the service, once."""

    def called(self, replica: str) -> str:
        """The name under which *replica* answers users."""

    def intended(self) -> bool:
        """Whether somebody else could read now what has to be undone; True where a fault needs nobody for that."""

    def left(self) -> Sequence[str]:
        """What somebody who cleans up would find to do; empty when nothing is."""


# ---- planning, as `drill plan` does ----


def compiled(
    facts: Facts, case: Case, *, service: str = SERVICE, pods: str | int = 1, limit: str = "50%"
) -> Compiled:
    """Compile *case* for the target that *facts* describe."""
    hold_s = case.hold_s * facts.fast_forward
    scenario = Scenario.model_validate(
        {
            "apiVersion": "drill/v1",
            "kind": "Scenario",
            "metadata": {"name": "contract", "owner": "the tests"},
            "hypothesis": "Whatever a target is made of, it keeps its promises.",
            "injections": [
                {
                    "id": f"c{secrets.token_hex(3)}",
                    "fault": case.fault,
                    "target": {"service": service, "pods": pods},
                    "for": f"{hold_s:g}s",
                }
            ],
            "expect": {"alerts": [{"match": {"slo": "cart-availability", "severity": "page"}}]},
            "guardrails": {"max_blast_radius": limit},
        }
    )
    params = faults()[case.fault].params.model_validate(dict(case.params))
    source = Source(scenario, {scenario.injections[0].id: params}, {}, "0" * 64)
    return compile_scenario(source, facts, _rules(facts.fast_forward), faults(), seed=7, baseline_s=0)


@cache
def _rules(fast_forward: float) -> Rules:
    return alert_path(fast_forward, SINK_URL).rules


def planned(facts: Facts, case: Case) -> Plan | None:
    """Return the plan for *case*, without alerts to wait for; None where this target does not offer it."""
    plan = compiled(facts, case).plan
    return plan.with_(expected=(), also=(), impacts=(), windows=()) if plan else None


# ---- one drill, as the engine runs it, and what was seen of it ----


class Quiet:
    """An alert path on which nothing happens: the suite is about the target."""

    def rules(self) -> tuple[()]:
        return ()

    def alert_spans(self, start: float, end: float) -> tuple[()]:
        return ()

    def alertmanager_alerts(self) -> tuple[()]:
        return ()

    def notifications(self, since: float) -> tuple[()]:
        return ()

    def sli(self, at: float | None = None) -> tuple[()]:
        return ()

    def started_at(self) -> float:
        return 1.0


@dataclass
class Witness:
    """The target of *ground*, with somebody beside it who writes down what he sees at the right moments."""

    ground: Ground
    journal: Path
    case: Case
    broken: list[str] = field(default_factory=list)
    during: list[Answer] = field(default_factory=list)
    looked: set[str] = field(default_factory=set)
    measured: list[float] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.ground.target.name

    def facts(self) -> Facts:
        return self.ground.target.facts()

    def endpoints(self) -> Endpoints:
        return self.ground.target.endpoints()

    def log_lines(self) -> Sequence[str]:
        return self.ground.target.log_lines()

    def measure(self, probe: Probe) -> Measurement:
        found = self.ground.target.measure(probe)
        self.measured.append(found.at)
        return found

    def snapshot(self, replica: str) -> Mapping[str, str]:
        self.looked.add(replica)
        return self.ground.target.snapshot(replica)

    def begin(self, run_id: str, steps: Sequence[tuple[AnyAction, AnyAction]]) -> None:
        if isinstance(self.ground.target, Remembering):
            self.ground.target.begin(run_id, steps)

    def settled(self, injection: str) -> None:
        if isinstance(self.ground.target, Remembering):
            self.ground.target.settled(injection)

    def execute(self, action: AnyAction) -> float:
        if not is_deed(action):
            self._before_the_undo(action)
            return self.ground.target.execute(action)
        self._before_the_deed(action)
        done = self.ground.target.execute(action)
        if not self.ground.intended():
            self.broken.append("the deed is done, and nobody else could know how to undo it")
        return done

    def _before_the_deed(self, action: AnyAction) -> None:
        on_disk = [event for event in read_journal(self.journal).events if isinstance(event, e.UndoRecorded)]
        if not any(event.action == action for event in on_disk):
            self.broken.append(f"'{action.do}' was asked for before its undo was on disk")
        replica = getattr(action, "replica", "")
        if replica and replica not in self.looked:
            self.broken.append(f"{replica} was touched before anybody looked at it")

    def _before_the_undo(self, action: AnyAction) -> None:
        if self.case.felt and not self.during:
            self.during = users(self.ground, getattr(action, "replica", ""), self.case.felt)


def users(ground: Ground, replica: str, felt: str = "") -> list[Answer]:
    """Ask like a user until enough answers speak for *replica*, or nobody expects it to answer."""
    name, answers = ground.called(replica), list[Answer]()
    for _ in range(AT_MOST):
        answers.append(ground.ask())
        mine = sum(one.by == name for one in answers)
        if mine >= ENOUGH or (felt in ("silent", "failing") and len(answers) >= 3 * ENOUGH):
            break
    return answers


def _slow(answers: Sequence[Answer], name: str) -> bool:
    return min((one.took_s for one in answers if one.by == name), default=0.0) >= SLOW_S


def _silent(answers: Sequence[Answer], name: str) -> bool:
    return not any(one.by == name for one in answers)


def _failing(answers: Sequence[Answer], name: str) -> bool:
    return _silent(answers, name) and any(one.status == 503 for one in answers)


FELT: Mapping[str, Callable[[Sequence[Answer], str], bool]] = {
    "slow": _slow,
    "silent": _silent,
    "failing": _failing,
}


@dataclass
class Run:
    """A drill that is over."""

    plan: Plan
    events: Sequence[e.AnyEvent]
    witness: Witness
    ground: Ground

    def all(self, kind: type[e.E]) -> list[e.E]:
        return [event for event in self.events if isinstance(event, kind)]


def run(ground: Ground, case: Case, folder: Path) -> Run | None:
    """Plan and run *case* with the real engine and a real journal; None where the target does not offer it."""
    plan = planned(ground.target.facts(), case)
    if plan is None:
        return None
    path = folder / "journal.jsonl"
    witness = Witness(ground, path, case)
    with Journal(path) as journal:
        runner = engine.Runner(plan, witness, Quiet(), journal, repredict=lambda _: plan)
        witness.begin("contract", [(one.action, one.undo) for one in plan.injections[0].steps])
        runner.start("contract", "0" * 64, e.Preflight(findings=()), forced=False)
        runner.run()
        return Run(plan, journal.events, witness, ground)


# ---- the promises ----


def drills(ground: Ground, case: Case, folder: Path) -> None:
    """Plan → deed → effect → undo → as before. Where the target says that it cannot, that is honest."""
    done = run(ground, case, folder)
    if done is None:
        refuses_what_it_cannot_do(ground, case)
        return
    the_journal_was_first(done)
    the_effect_was_there(done)
    everything_is_as_before(done)
    undoing_again_is_harmless(done)


def the_journal_was_first(done: Run) -> None:
    """The undo is on disk before the deed is asked for, and every deed ends in words."""
    assert not done.witness.broken, done.witness.broken
    order = [
        event.kind
        for event in done.events
        if isinstance(event, e.UndoRecorded | e.ActionStarted | e.ActionDone | e.ActionFailed)
    ]
    assert order[:3] == ["undo-recorded", "action-started", "action-done"], _told(done)


def the_effect_was_there(done: Run) -> None:
    """Measured after the deed and before the alert clock starts; where users must notice it, they did."""
    effective = done.all(e.InjectionEffective)
    assert effective, f"no effect was measured: {_told(done)}"
    deed = next(event for event in done.all(e.ActionDone) if is_deed(event.action))
    effects = [event for event in done.all(e.EffectMeasured) if event.holds]
    assert effects
    assert effective[0].since >= effective[0].first_touch
    assert max(done.witness.measured) >= deed.done_at - 0.5, "nobody measured after the deed"
    assert [event.kind for event in (deed, effects[-1], effective[0])] == [
        event.kind for event in sorted((deed, effects[-1], effective[0]), key=lambda one: one.seq)
    ]
    felt = done.witness.case.felt
    if felt:
        name = done.ground.called(done.plan.injections[0].replicas[0])
        assert FELT[felt](done.witness.during, name), (
            f"the users of {name} do not find it {felt}: {done.witness.during}"
        )


def everything_is_as_before(done: Run) -> None:
    """The snapshots are equal, nothing is left to clean up, nobody else is told of an undo any more."""
    (clean,) = done.all(e.CleanChecked)
    assert clean.clean, clean.differences
    assert done.all(e.RunFinished)[0].undo_complete
    assert not done.all(e.RunFinished)[0].aborted, _told(done)
    left = done.ground.left()
    assert not left, f"said to be clean, and yet there was: {left}"
    users_are_well(done.ground, done.plan.injections[0].replicas[0])


def users_are_well(ground: Ground, replica: str) -> None:
    """*replica* answers users again, as quickly as before; to a new one they find their way by DNS, within its TTL."""
    until, answers = time.monotonic() + ground.found_within_s, list[Answer]()
    while True:
        name = ground.called(replica)
        answers = users(ground, replica)
        if any(one.by == name and one.status == 200 and one.took_s < SLOW_S for one in answers):
            return
        assert time.monotonic() < until, f"after the undo users of {name} still get: {answers}"


def undoing_again_is_harmless(done: Run) -> None:
    """An undo may come twice, from the runner and from whoever recovers."""
    injection = done.plan.injections[0]
    before = done.ground.target.snapshot(injection.replicas[0])
    for step in injection.steps:
        try:
            done.ground.target.execute(step.undo)
        except ActionFailed as error:
            raise AssertionError(f"the second undo failed: {error}") from error
    _becomes(lambda: done.ground.target.snapshot(injection.replicas[0]) == before)
    assert not done.ground.left()


def refuses_what_it_cannot_do(ground: Ground, case: Case) -> None:
    """A target that does not offer a fault says why before, and does not do it when it is asked for all the same."""
    facts = ground.target.facts()
    refused = compiled(facts, case).complaints
    assert refused
    lacking = _lacking(facts)
    assert any(reason and reason in refused[0].message for reason in lacking.values()), refused
    if case.name in ground.able:
        the_machine_is_the_reason(facts, case)
    plan = planned(_pretending(facts), case)
    if plan is not None:  # without the platform's workload there is not even a way to ask
        nothing_is_done(ground, [(step.action, step.undo) for step in plan.injections[0].steps])


def the_machine_is_the_reason(facts: Facts, case: Case) -> None:
    """What a target must be able to make is missing only where its kernel or its programs lack something."""
    said = compiled(facts, case).complaints[0].message
    machine = [why for name, why in _lacking(facts).items() if name in ABILITIES]
    assert any(why in said for why in machine), f"it must be able to make {case.name}: {said}"


def nothing_is_done(ground: Ground, steps: Sequence[tuple[AnyAction, AnyAction]]) -> None:
    """Asked to do *steps*, the target refuses, and nothing is different afterwards."""
    replica = _some_replica(ground)
    before = ground.target.snapshot(replica)
    if isinstance(ground.target, Remembering):
        ground.target.begin("contract", steps)
    for action, _ in steps:
        refusal = _refusal(lambda action=action: ground.target.execute(action))  # type: ignore[misc]
        assert isinstance(refusal, ActionFailed), f"it said that it cannot, and did it: {action} {refusal}"
        if isinstance(ground.target, Remembering):
            ground.target.settled(action.injection)
    is_as(ground, replica, before)


def refuses_what_is_not_there(ground: Ground) -> None:
    """No service, no replica of that name: an error that names it, and nothing is touched."""
    facts = ground.target.facts()
    replica = _some_replica(ground)
    before = ground.target.snapshot(replica)
    (complaint,) = compiled(facts, CASES[0], service="nobody").complaints
    assert "nobody" in complaint.message
    ghost = HoldFault(
        injection="ghost", replica="nobody-0", fault=PacketFault(backend="nft", port=1, drop="drop"), deadline_s=5
    )
    for asked, error in (
        (lambda: ground.target.execute(ghost), ActionFailed),
        (lambda: ground.target.measure(Probe(kind="connect_ms", replica="nobody-0")), Unavailable),
        (lambda: ground.target.snapshot("nobody-0"), Unavailable),
    ):
        refusal = _refusal(asked)
        assert isinstance(refusal, error), f"asked about a replica that is not there: {refusal!r}"
    is_as(ground, replica, before)


def _inside(key: str) -> bool:
    """True for what an agent sees in a replica; a cluster's target has none there before a fault is to be held."""
    return key in {"qdiscs", "nft", "links", "ipsets", "processes", "files"} or key.startswith("cgroup ")


def is_as(ground: Ground, replica: str, before: Mapping[str, str]) -> None:
    """Nothing of *replica* is different, and nothing is left to clean up."""
    now = ground.target.snapshot(replica)
    if not any(map(_inside, before)):  # nobody could look into it then: what is left there, `left` finds
        now = {key: value for key, value in now.items() if not _inside(key)}
    changed = {key: (before.get(key), now.get(key)) for key in before | now if before.get(key) != now.get(key)}  # type: ignore[operator]
    assert not changed, f"it refused, and yet something is different: {changed}"
    left = ground.left()
    assert not left, f"it refused, and yet there was: {left}"


def refuses_too_much(ground: Ground) -> None:
    """All replicas where the scenario allows half of them: the plan says so, blocks, and says what to do."""
    plan = compiled(ground.target.facts(), CASES[0], pods="100%", limit="50%").plan
    assert plan is not None
    found = [one for one in plan.findings if one.check == "blast radius"]
    assert [one.level for one in found] == ["block"]
    assert found[0].fix
    assert not ground.left()


def tells_the_truth(ground: Ground) -> None:
    """Facts: what is missing has a reason, replicas can be looked at, and two looks in a row are equal."""
    facts = ground.target.facts()
    service = facts.service(SERVICE)
    assert service is not None
    assert len(service.replicas) == 3
    mute = [name for name, reason in _lacking(facts).items() if not reason.strip()]
    assert not mute, f"missing without a reason: {mute}"
    for replica in service.replicas:
        looks = [ground.target.snapshot(replica.name) for _ in range(2)]
        assert looks[0] == looks[1], f"two looks at {replica.name} differ, and nothing was done"
    offered = {case.name for case in CASES if planned(facts, case) is not None}
    assert offered <= ground.able, f"it offers what it cannot do: {sorted(offered - ground.able)}"
    for case in CASES:
        if case.name in ground.able - offered:
            the_machine_is_the_reason(facts, case)


def _lacking(facts: Facts) -> dict[Ability, str]:
    """What is missing at the service's replicas, everywhere or at some."""
    found = dict(facts.missing)
    service = facts.service(SERVICE)
    for replica in service.replicas if service else ():
        found |= replica.missing
    return found


def _pretending(facts: Facts) -> Facts:
    """The same facts of a target that could do everything."""
    services = tuple(
        service.with_(replicas=tuple(replica.with_(missing={}) for replica in service.replicas))
        for service in facts.services
    )
    return facts.with_(missing={}, services=services)


def _refusal(asked: Callable[[], object]) -> DrillError | None:
    try:
        asked()
    except DrillError as error:
        return error
    return None


def _some_replica(ground: Ground) -> str:
    service = ground.target.facts().service(SERVICE)
    assert service is not None
    return service.replicas[0].name


def _becomes(true: Callable[[], bool], within_s: float = 20.0) -> None:
    until = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < until, "it did not become so"
        time.sleep(0.2)


def _told(done: Run) -> str:
    """What went wrong, as the journal has it."""
    told = [event.error for event in done.all(e.ActionFailed)]
    told += [event.reason for event in done.all(e.AbortRequested)]
    told += [f"{one.replica}: {one.measured:g} {one.unit} {one.detail}" for one in done.all(e.EffectMeasured)]
    return "; ".join(told)
