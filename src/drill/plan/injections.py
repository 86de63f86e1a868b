"""Injections of a scenario turned into steps with undos, for one target. Mistakes come back as complaints."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from drill.core.actions import undo_of
from drill.core.facts import Ability, Facts, Replica, Service
from drill.core.problems import did_you_mean
from drill.faults.base import Backend, Fault, Params, Site, TimedAction
from drill.plan.impact import Hit
from drill.plan.model import PlannedInjection, Step
from drill.scenario.model import Injection, Scenario


@dataclass(frozen=True)
class Complaint:
    """Something wrong at ``path`` in the scenario file; becomes a Problem with line and column."""

    path: tuple[str | int, ...]
    message: str
    hint: str = ""


@dataclass
class Planned:
    """What planning the injections gave."""

    injections: list[PlannedInjection] = field(default_factory=list)
    hits: list[Hit] = field(default_factory=list)
    complaints: list[Complaint] = field(default_factory=list)


def plan_injections(
    scenario: Scenario,
    params: Mapping[str, Params],
    facts: Facts,
    faults: Mapping[str, Fault],
    seed: int,
) -> Planned:
    """Plan every injection; an injection with a complaint is left out."""
    planned = Planned()
    for index, injection in enumerate(scenario.injections):
        place = ("injections", index)
        complaints = list(_complaints(injection, facts))
        if complaints:
            planned.complaints += [Complaint((*place, *c.path), c.message, c.hint) for c in complaints]
            continue
        _plan_one(planned, injection, place, params[injection.id], facts, faults[injection.fault], seed)
    planned.complaints += _overlaps(planned.injections, scenario)
    return planned


def _complaints(injection: Injection, facts: Facts) -> Iterator[Complaint]:
    names = [service.name for service in facts.services]
    service = facts.service(injection.target.service)
    if service is None:
        text = f"{facts.target} has no service '{injection.target.service}'"
        yield Complaint(("target", "service"), text, did_you_mean(injection.target.service, names))
    elif not service.replicas:
        hint = "nothing of it runs now: start it, or look at what it selects"
        yield Complaint(("target", "service"), f"service '{service.name}' has no replica to break", hint)
    if not injection.target.peer:
        return
    peer = facts.service(injection.target.peer)
    if peer is None:
        text = f"{facts.target} has no service '{injection.target.peer}'"
        yield Complaint(("target", "peer"), text, did_you_mean(injection.target.peer, names))
    elif service is not None and service.name not in peer.calls and (peer.calls or facts.knows_calls):
        text = f"{peer.name} does not call {service.name}: nobody would notice that it cannot"
        yield Complaint(("target", "peer"), text, f"it calls {', '.join(peer.calls) or 'no other service'}")


def _plan_one(
    planned: Planned,
    injection: Injection,
    place: tuple[str | int, ...],
    params: Params,
    facts: Facts,
    fault: Fault,
    seed: int,
) -> None:
    service = facts.service(injection.target.service)
    assert service is not None  # _complaints has checked it
    replicas = choose_replicas(service, injection.target.pods, f"{seed}/{injection.id}")
    for_s, peer = injection.for_ / facts.fast_forward, injection.target.peer
    sites = [Site(injection.id, facts, service, replica, for_s, peer, replicas) for replica in replicas]
    made = _made(fault, params, sites)
    if isinstance(made, Complaint):
        planned.complaints.append(Complaint((*place, *made.path), made.message, made.hint))
        return
    names = [backend.name for backend in made.backends]
    effect, outcome = fault.effect(params, names[0], sites[0]), fault.outcome(params, names[0], sites[0])
    timed = [one for name, site in zip(names, sites, strict=True) for one in fault.actions(params, name, site)]
    steps = [Step(at_s=at_s, action=action, undo=undo_of(action)) for at_s, action in _once(timed)]
    planned.injections.append(
        PlannedInjection(
            id=injection.id,
            fault=fault.name,
            backend=" + ".join(dict.fromkeys(names)),
            why=made.why,
            way=_way(made.backends[0], facts),
            places={one.name: one.place for one in replicas if one.place},
            service=service.name,
            replicas=tuple(replica.name for replica in replicas),
            of_replicas=len(service.replicas),
            at_s=injection.at / facts.fast_forward,
            for_s=for_s,
            steps=tuple(sorted(steps, key=lambda step: step.at_s)),
            effect=effect,
        )
    )
    planned.hits.append(
        Hit(
            injection=injection.id,
            service=service.name,
            share=len(replicas) / len(service.replicas),
            outcome=outcome,
            peer=injection.target.peer,
        )
    )


@dataclass(frozen=True)
class Made:
    """How a fault is made at each of its sites, in their order, and why so."""

    backends: tuple[Backend, ...]
    why: str


def _made(fault: Fault, params: Params, sites: Sequence[Site]) -> Made | Complaint:
    """Choose how the fault is made at *sites*, or complain, with a path from the injection on."""
    facts, peer = sites[0].facts, sites[0].peer
    ways = fault.backends(params)
    usable = [way for way in ways if way.peers or not peer]
    if not usable:
        text = f"fault '{fault.name}' ({', '.join(way.name for way in ways)}) cannot be narrowed to one peer"
        return Complaint(("target", "peer"), text, "leave out `peer`")
    backends, why = choose_backends(usable, [site.replica for site in sites], facts)
    if not backends:
        text = f"fault '{fault.name}' cannot be made on {facts.target}: {why}"
        return Complaint(("fault",), text, "drill doctor says what is missing and how to get it")
    made = Made(tuple(backends[site.replica.name] for site in sites), why)
    promises = [
        (fault.effect(params, one.name, sites[0]), fault.outcome(params, one.name, sites[0]))
        for one in made.backends
    ]
    if any(promise != promises[0] for promise in promises):
        text = f"fault '{fault.name}' would not be the same at all replicas: {why}"
        hint = "choose replicas of one kind of node, or state a `backend` that works at all of them"
        return Complaint(("fault",), text, hint)
    return made


def _once(timed: Sequence[TimedAction]) -> list[TimedAction]:
    """What several replicas have in common is done once."""
    return [one for index, one in enumerate(timed) if one not in timed[:index]]


def _way(backend: Backend, facts: Facts) -> str:
    """``api``, ``helper`` or ``ephemeral`` where there is a choice; empty in the sandbox."""
    return "api" if backend.api else facts.agents


def choose_backends(
    ways: Sequence[Backend], replicas: Sequence[Replica], facts: Facts
) -> tuple[Mapping[str, Backend], str]:
    """Return the backend of each replica by its name, and why: one that works at all of them, else one for each.

    Nodes of one cluster may have different kernels. Empty, with the reason, when some replica has none.
    """
    common, why = choose_backend(ways, missing_at(replicas, facts))
    if common is not None:
        return {replica.name: common for replica in replicas}, why
    found, words = {}, []
    for replica in replicas:
        own, reason = choose_backend(ways, missing_at([replica], facts))
        if own is None:
            return {}, f"at {replica.name}: {reason}" if replica.missing else why
        found[replica.name] = own
        words.append(f"{replica.name} ({replica.place or 'its node'}) by {own.name}: {reason}")
    if len({way.api for way in found.values()}) > 1:
        return {}, why
    return found, f"the nodes differ: {'; '.join(words)}"


def missing_at(replicas: Sequence[Replica], facts: Facts) -> Mapping[Ability, str]:
    """Return what cannot be done at one of *replicas* at least, and why: all of them get the same fault."""
    missing = dict(facts.missing)
    for replica in replicas:
        for ability, reason in replica.missing.items():
            missing.setdefault(ability, reason)
    return missing


def choose_backend(backends: Sequence[Backend], missing: Mapping[Ability, str]) -> tuple[Backend | None, str]:
    """Return the first backend that needs nothing of what is *missing*, and why that one (or why there is none)."""
    reasons: list[str] = []
    for backend in backends:
        lacking = [need for need in backend.needs if need in missing]
        if not lacking:
            why = backend.title if not reasons else f"{backend.title}; {'; '.join(dict.fromkeys(reasons))}"
            return backend, why
        reasons += [f"no {need}: {missing[need]}" for need in lacking]
    return None, "; ".join(dict.fromkeys(reasons))


def choose_replicas(service: Service, pods: int | float, seed: str) -> tuple[Replica, ...]:
    """Choose replicas: a share (float, rounded up) or a count (int), the same ones for the same seed."""
    total = len(service.replicas)
    wanted = pods if isinstance(pods, int) else max(1, math.ceil(pods * total - 1e-9))
    if wanted >= total:
        return service.replicas
    chosen = set(random.Random(seed).sample(range(total), wanted))
    return tuple(replica for index, replica in enumerate(service.replicas) if index in chosen)


def _overlaps(injections: Sequence[PlannedInjection], scenario: Scenario) -> Iterator[Complaint]:
    """Two faults on one resource at one time would undo into each other's state."""
    index = {injection.id: number for number, injection in enumerate(scenario.injections)}
    for later, second in enumerate(injections):
        for first in injections[:later]:
            apart = first.at_s + first.for_s <= second.at_s or second.at_s + second.for_s <= first.at_s
            shared = _touched(first) & _touched(second)
            if shared and not apart:
                text = (
                    f"injections '{first.id}' and '{second.id}' touch {', '.join(sorted(shared))} at the same time"
                )
                hint = "let one end before the other starts, or choose other replicas"
                yield Complaint(("injections", index[second.id], "at"), text, hint)


def _touched(injection: PlannedInjection) -> frozenset[str]:
    return frozenset().union(*(step.action.touches() for step in injection.steps))
