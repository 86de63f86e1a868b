"""What a fault is: parameters and facts in, actions out. A fault knows no target and does nothing itself.

A fault answers four questions, each by one pure method: which ways there are to make it (``backends``, best
first), which actions that means at one replica (``actions``), what must be measured before it counts
(``effect``), and what a user whose request meets a faulted replica will feel (``outcome``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Protocol

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from drill.core.actions import AnyAction, HeldFault, HoldFault
from drill.core.facts import Ability, Facts, Replica, Service
from drill.core.probes import Effect
from drill.core.units import parse_duration, parse_rate, parse_ratio, parse_size

Interval = tuple[float, float]
NEVER: Interval = (0.0, 0.0)
ALWAYS: Interval = (1.0, 1.0)


def _parser(parse: object) -> BeforeValidator:
    def convert(value: object) -> object:
        if isinstance(value, bool):
            raise ValueError("expected text with a unit")
        return parse(str(value))  # type: ignore[operator]

    return BeforeValidator(convert)


DurationParam = Annotated[
    float,
    _parser(parse_duration),
    WithJsonSchema({"type": "string", "description": "a duration like 400ms or 30s"}),
]
PercentParam = Annotated[
    float, _parser(parse_ratio), WithJsonSchema({"type": "string", "description": "a percentage like 25%"})
]
SizeParam = Annotated[
    int, _parser(parse_size), WithJsonSchema({"type": ["string", "integer"], "description": "a size like 64Mi"})
]
RateParam = Annotated[
    int, _parser(parse_rate), WithJsonSchema({"type": "string", "description": "a rate like 256kbit"})
]


class Params(BaseModel):
    """Base of a fault's ``with:`` block; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Backend:
    """One way to make a fault, and the abilities it needs of the target."""

    name: str
    needs: tuple[Ability, ...]
    title: str
    peers: bool = False
    """It can be narrowed to the traffic with one peer (``target.peer``)."""
    api: bool = False
    """It asks an API, of the platform or its own, and needs nobody near the replica."""


@dataclass(frozen=True)
class Site:
    """Where one injection acts: one replica, its service, the peers it is narrowed to, and for how long (s)."""

    injection: str
    facts: Facts
    service: Service
    replica: Replica
    for_s: float
    peer: str = ""
    chosen: tuple[Replica, ...] = ()
    """All replicas the injection acts at, for faults that are one action for all of them."""

    @property
    def peers(self) -> tuple[str, ...]:
        """Addresses of the peer service's replicas, empty for every peer."""
        service = self.facts.service(self.peer) if self.peer else None
        return tuple(replica.address for replica in service.replicas) if service else ()


@dataclass(frozen=True)
class Outcome:
    """What requests that meet a faulted replica feel.

    ``failed``: the share answered with 5xx or not at all. ``slowed``: the share of the answered ones that take
    at least ``added_s`` longer; a failed one takes no longer than that to fail. ``lasts_s``: how long it lasts when
    that is not the injection's ``for``.
    """

    failed: Interval = NEVER
    slowed: Interval = NEVER
    added_s: Interval = NEVER
    lasts_s: float | None = None


TimedAction = tuple[float, AnyAction]


class Fault(Protocol):
    """One kind of fault. Implementations are stateless; the registry holds one instance of each."""

    name: ClassVar[str]
    summary: ClassVar[str]
    params: ClassVar[type[Params]]

    def backends(self, params: Params) -> tuple[Backend, ...]:
        """Return the ways to make it, in order of preference; only one when the scenario forces it."""

    def actions(self, params: Params, backend: str, site: Site) -> tuple[TimedAction, ...]:
        """Return the actions at one replica, each with its time in seconds from the injection's start.

        What several replicas have in common (their workload's size, their node) is the same action at each of
        them, and is done once.
        """

    def effect(self, params: Params, backend: str, site: Site) -> Effect:
        """Return what must be measured at that replica before the alert clock starts."""

    def outcome(self, params: Params, backend: str, site: Site) -> Outcome:
        """Return what users feel whose request meets that replica."""


GRACE_S = 20.0
"""How much longer than planned an agent holds on before its own deadline ends the fault."""

DEFAULT_TTL_S = 10.0


def hold(site: Site, fault: HeldFault, *, reapply: bool = False) -> tuple[TimedAction, ...]:
    """Return the one action of a held fault: from the start, with the agent's own deadline behind the plan's."""
    action = HoldFault(
        injection=site.injection,
        replica=site.replica.name,
        fault=fault,
        ttl_s=DEFAULT_TTL_S,
        deadline_s=site.for_s + GRACE_S,
        reapply=reapply,
    )
    return ((0.0, action),)


def forced(wanted: str, known: tuple[Backend, ...]) -> tuple[Backend, ...]:
    """Return all of *known* for ``auto``, else only the one the scenario forces."""
    return known if wanted == "auto" else tuple(backend for backend in known if backend.name == wanted)


__all__ = [
    "ALWAYS", "GRACE_S", "NEVER", "Backend", "DurationParam", "Fault", "Field", "Interval", "Outcome", "Params",
    "PercentParam", "RateParam", "Site", "SizeParam", "TimedAction", "forced", "hold",
]  # fmt: skip
