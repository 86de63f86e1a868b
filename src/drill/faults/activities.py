"""What the faults that run Chaos Toolkit activities share: the words for them, and what they mean in a plan."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, JsonValue, WithJsonSchema

from drill.core.actions import RunActivity
from drill.core.activities import Activity, Arguments, Call, Provider, SecretSource, Surroundings
from drill.core.probes import Effect
from drill.core.redact import SecretInFile
from drill.faults.base import GRACE_S, Backend, DurationParam, Outcome, Params, Site, TimedAction

CHAOSLIB = Backend(
    "chaoslib", (), "Chaos Toolkit's own driver, in a child process with a deadline and a guard", api=True
)


def tolerance_error(tolerance: object) -> str:
    """Say what is wrong with a tolerance; ``''`` for a good one."""
    match tolerance:
        case bool() | int() | str() | list():
            return ""
        case float():
            return "a fraction is never met: write a range like {type: range, range: [0.4, 0.6]}"
        case {"type": "regex", "pattern": str(pattern)}:
            return _regex_error(pattern)
        case {"type": "range", "range": [int() | float(), int() | float()]}:
            return ""
        case {"type": "jsonpath", "path": str()} | {"type": "changed"}:
            return ""
        case {"type": "gone", **rest}:
            least = rest.get("at_least", 1)
            return "" if isinstance(least, int) and least >= 1 else "'at_least' must be a whole number from 1"
        case {"type": "not", "tolerance": inner}:
            return tolerance_error(inner)
    return (
        "expected true, a number, a text, a list, or a mapping like {type: range, range: [1, 5]}, {type: regex, "
        "pattern: …}, {type: jsonpath, path: …}, {type: not, tolerance: …}, {type: changed} or {type: gone}"
    )


def _regex_error(pattern: str) -> str:
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return f"'{pattern[:40]}' is not a regular expression: {error}"
    return ""


def _tolerance(value: object) -> object:
    if error := tolerance_error(value):
        raise ValueError(error)
    return value


Tolerance = Annotated[JsonValue, BeforeValidator(_tolerance), WithJsonSchema({"description": "the good answers"})]


class Do(Params):
    """One activity: what is called and how long it may take."""

    name: str = ""
    type: Literal["action", "probe"] = Field("action", description="Chaos Toolkit's word; drill does not need it")
    provider: Provider
    timeout: DurationParam = Field(30.0, gt=0, le=3600, description="it is killed after that time")
    tolerance: Tolerance | None = Field(
        None, description="the good answers; without it: no error, HTTP below 400, exit status 0"
    )

    def call(self, name: str, around: Surroundings) -> Call:
        """Return it as what is run, called *name* unless it has a name."""
        return Call(
            activity=Activity(
                name=self.name or name,
                provider=self.provider,
                timeout_s=self.timeout,
                tolerance=self.tolerance,
            ),
            surroundings=around,
        )


class Ask(Do):
    """The probe that proves the effect: within its tolerance while the fault is in place, and not before."""

    type: Literal["action", "probe"] = "probe"
    tolerance: Tolerance = Field(description="the answers that prove the effect")
    within: DurationParam = Field(10.0, gt=0, le=600, description="how long the effect may take to show")


def _source(value: object) -> object:
    """Take Chaos Toolkit's way to name a variable, ``{type: env, key: NAME}``, for drill's."""
    if isinstance(value, str):
        raise SecretInFile("a secret itself never stands in a scenario: write {env: VARIABLE} or {file: PATH}")
    if isinstance(value, dict) and value.get("type") == "env" and isinstance(value.get("key"), str):
        return {"env": value["key"]}
    return value


class Activities(Params):
    """``configuration``, ``secrets`` and ``each`` of every fault that runs activities."""

    configuration: Arguments = Field(default_factory=dict, description="values that $${name} stands for")
    secrets: dict[str, dict[str, Annotated[SecretSource, BeforeValidator(_source)]]] = Field(default_factory=dict)


def surroundings(params: Activities, site: Site, each: bool) -> Surroundings:
    """Return what activities at *site* are given; with *each* also what they need to find the replica."""
    known: dict[str, JsonValue] = {"drill_service": site.service.name, "drill_injection": site.injection}
    if each:
        replica = site.replica
        known |= {"drill_replica": replica.name, "drill_address": replica.address, "drill_port": replica.port}
        known |= {"drill_node": replica.node}
    context = "" if site.facts.target.startswith("sandbox") else site.facts.target
    return Surroundings(configuration={**known, **params.configuration}, secrets=params.secrets, context=context)


def run(site: Site, call: Call, undo: Call, replica: str = "") -> tuple[TimedAction, ...]:
    """Return the one action of an activity that is held for as long as the injection lasts."""
    deadlines = call.activity.timeout_s + undo.activity.timeout_s
    action = RunActivity(
        injection=site.injection,
        replica=replica,
        service=site.service.name,
        call=call,
        undo=undo,
        hold_s=site.for_s + deadlines + GRACE_S,
    )
    return ((0.0, action),)


def proof(call: Call, within_s: float) -> Effect:
    """Return the effect that *call* proves: its tolerance is met now and was not met before."""
    return Effect(
        kind="activity", expected=1, low=1, high=1, most=1, unit="within tolerance", relative=True, once=True,
        within_s=within_s, call=call,
    )  # fmt: skip


def unknown(site: Site) -> Outcome:
    """Everything may happen to a request that meets it: drill cannot know what the action does."""
    return Outcome(failed=(0.0, 1.0), slowed=(0.0, 1.0), added_s=(0.0, site.facts.client_timeout_s or 60.0))
