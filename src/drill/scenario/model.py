"""What a scenario file says, after ``${…}`` was replaced and every value was checked.

Durations are seconds and stand for *real* time: a fast-forwarded target divides them when the plan is
compiled. Ratios are fractions of 1.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from drill.core.units import parse_duration, parse_ratio

NAME = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
"""Names become file names, label values and Kubernetes names: lower case, digits and dashes."""


def _text(parse: Any) -> Any:
    def convert(value: object) -> object:
        if isinstance(value, str):
            return parse(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError("expected text with a unit")
        return parse(f"{value}")

    return convert


Duration = Annotated[
    float,
    BeforeValidator(_text(parse_duration)),
    WithJsonSchema({"type": "string", "description": "a duration like 400ms, 30s, 5m or 1h30m"}),
]
Ratio = Annotated[
    float,
    BeforeValidator(_text(parse_ratio)),
    WithJsonSchema({"type": "string", "description": "a percentage from 0% to 100%", "examples": ["50%"]}),
]


def _pods(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(r"\s*\d+(\.\d+)?\s*%\s*", value):
        return parse_ratio(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"'{value}' is neither a percentage like 50% nor a count like 1")
    return value


Pods = Annotated[
    int | float,
    BeforeValidator(_pods),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string", "pattern": r"^\d+(\.\d+)?%$"}, {"type": "integer", "minimum": 1}],
            "description": "how many replicas: a share like 50% (rounded up) or a count",
        }
    ),
]


class Part(BaseModel):
    """Base of all parts of a scenario: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Metadata(Part):
    """Who the scenario is and whose it is."""

    name: str = Field(pattern=NAME)
    title: str = ""
    description: str = ""
    tags: tuple[str, ...] = ()
    owner: str = Field(min_length=1)
    difficulty: Literal["beginner", "intermediate", "advanced"] = "beginner"


class Parameter(Part):
    """A value the caller may set with ``--set name=value``."""

    type: Literal["string", "duration", "percent", "size", "rate", "integer", "number", "boolean"] = "string"
    description: str = ""
    required: bool = False
    default: str | int | float | bool | None = None
    choices: tuple[str, ...] = ()


class InjectionTarget(Part):
    """Which replicas of which service. ``peer`` narrows a network fault to the traffic with that service."""

    service: str
    pods: Pods = 1.0
    peer: str = ""


class Injection(Part):
    """One fault with its parameters, when it starts and how long it lasts."""

    id: str = Field(pattern=NAME)
    fault: str
    target: InjectionTarget
    with_: dict[str, Any] = Field(default_factory=dict, alias="with")
    at: Duration = 0.0
    for_: Duration = Field(alias="for", gt=0)


class Within(Part):
    """A fixed deadline instead of a prediction."""

    within: Duration


class ExpectedAlert(Part):
    """An alert the drill must see fire, be delivered, and resolve.

    ``match`` selects by labels; ``slo`` in it is short for ``sloth_id``.
    """

    match: dict[str, str] = Field(min_length=1)
    fires: Literal["predicted"] | Within = "predicted"
    receiver: str = ""
    resolves: Within | None = None
    error_ratio: tuple[Ratio, Ratio] | None = None
    """The expected share of bad requests, ``[low, high]``, where the fault cannot know it."""


class NothingElse(Part):
    """Alerts that may fire although nobody expects them."""

    allow: tuple[dict[str, str], ...] = ()


class Expect(Part):
    """What must and what must not happen."""

    alerts: tuple[ExpectedAlert, ...] = Field(min_length=1)
    nothing_else: NothingElse | None = NothingElse()
    """None (written ``nothing_else: null``): other alerts are reported but do not fail the drill."""


class AbortIf(Part):
    """A PromQL condition that ends the drill at once when it holds for that long."""

    promql: str = Field(min_length=1)
    for_: Duration = Field(0.0, alias="for")


class Guardrails(Part):
    """Limits that end the drill, or keep it from starting."""

    max_budget_spend: Ratio = 1.0
    max_blast_radius: Ratio = 0.5
    """The largest share of a service's replicas that may be faulted; say 100% to allow all of them."""
    max_duration: Duration = 7200.0
    abort_if: tuple[AbortIf, ...] = ()


class Hint(Part):
    """A hint for trainees, given when asked or after that time."""

    after: Duration = 0.0
    text: str


class Answer(Part):
    """What is broken, for grading a trainee's suspected cause."""

    component: str = ""
    cause: str = ""
    accept: tuple[str, ...] = ()


class Inject(Part):
    """Something a facilitator says or shows at a time, with what should follow."""

    at: str
    to: str
    say: str
    expect: dict[str, Any] = Field(default_factory=dict)


class Play(Part):
    """One cell of the scenario's runbook that helps against it, with values for its variables."""

    cell: str = Field(min_length=1)
    with_: dict[str, str] = Field(default_factory=dict, alias="with")


class People(Part):
    """The human part."""

    roles: dict[str, Literal["required", "optional"]] = Field(default_factory=dict)
    facilitator: Literal["required", "optional"] = "optional"
    hints: tuple[Hint, ...] = ()
    answer: Answer = Answer()
    injects: tuple[Inject, ...] = ()
    mitigation: tuple[Play, ...] = ()
    """What wins, in order: `drill runbook prove` plays it."""


class Phases(Part):
    """Targets for people, not grades."""

    detect: Duration | None = None
    acknowledge: Duration | None = None
    localize: Duration | None = None
    mitigate: Duration | None = None


class MitigatedWhen(Part):
    """When the service counts as healthy again although the fault may still be in place."""

    promql: str
    for_: Duration = Field(alias="for")


class Scenario(Part):
    """A whole scenario file."""

    apiVersion: Literal["drill/v1"]
    kind: Literal["Scenario"]
    metadata: Metadata
    hypothesis: str = Field(min_length=1)
    parameters: dict[str, Parameter] = Field(default_factory=dict)
    injections: tuple[Injection, ...] = Field(min_length=1)
    expect: Expect
    guardrails: Guardrails = Guardrails()
    runbook: str = ""
    people: People = People()
    phases: Phases = Phases()
    mitigated_when: MitigatedWhen | None = None
