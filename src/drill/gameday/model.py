"""What a drill file (``drills/*.yaml``) says: scenarios, target, people, schedule, and what must hold before it.

Durations are seconds of *real* time: a fast-forwarded target divides them. Ratios are fractions of 1. Dates and
local times stay text until the schedule's time zone is known (:mod:`drill.gameday.windows`).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from drill.scenario.model import NAME, Duration, Part, Ratio

DATE = r"^\d{4}-\d\d-\d\d$"
LOCAL_TIME = r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d)?$"
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Need = Literal["required", "optional"]
LATE_S = 3600.0
"""A run that starts within an hour of its time counts as that occasion, unless the file says otherwise."""


def _as_written(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


Text = Annotated[
    str,
    BeforeValidator(_as_written),
    WithJsonSchema({"type": ["string", "number", "integer", "boolean"]}),
]
"""A scenario's parameter, as ``--set`` would give it; the scenario decides what it means."""


class DrillMetadata(Part):
    """Who the drill is and whose it is."""

    name: str = Field(
        pattern=NAME,
        description="the drill's name, equal to its file's name: lower-case letters, digits and dashes",
    )
    title: str = Field("", description="the name as people say it")
    description: str = Field("", description="what it is for, and for whom")
    tags: tuple[str, ...] = Field((), description="words to select drills by")
    owner: str = Field(min_length=1, description="the team that keeps the drill right")


class ScenarioCall(Part):
    """One scenario of the drill, with the parameters it is called with."""

    id: str = Field("", pattern=rf"^$|{NAME}", description="a name for this step, unique in the file")
    scenario: str = Field(
        min_length=1, description="name of a scenario, or path of its file, from the drill file's folder"
    )
    title: str = Field("", description="what people call this step")
    brief: str = Field("", description="what the facilitator says before it; it must not give the answer away")
    with_: dict[str, Text] = Field(
        default_factory=dict, alias="with", description="the scenario's parameters, as --set would give them"
    )
    seed: int = Field(0, ge=0, description="seed of all random choices")


class Servers(Part):
    """Where budget and alerts of the real thing can be read."""

    prometheus: str = Field("", pattern=r"^(https?://.+)?$", description="address of the Prometheus to ask")
    alertmanager: str = Field("", pattern=r"^(https?://.+)?$", description="address of the Alertmanager to ask")


class Participant(Part):
    """One person, or one group of which somebody comes."""

    name: str = Field(min_length=1, description="who it is")
    role: str = Field(min_length=1, description="one of the drill's roles")
    confirmed: bool = Field(False, description="true: has said to be there")


class Approval(Part):
    """Somebody's consent. Without ``by`` it must be given with ``--approve``."""

    role: str = Field(min_length=1, description="who must agree, like service-owner")
    by: str = Field("", description="who has agreed")
    until: str = Field("", pattern=rf"^$|{DATE}", description="last day on which the consent holds: 2027-03-31")


class RemainingBudget(Part):
    """How much error budget must be left before anything is broken."""

    at_least: Ratio = Field(description="the smallest share of every budget that must be left, like 20%")
    slos: tuple[str, ...] = Field((), description="only these SLOs (sloth_id); without it all there are")


class Prerequisites(Part):
    """What must hold, or the drill does not begin."""

    remaining_budget: RemainingBudget | None = Field(None, description="error budget that must be left")
    no_open_page: bool = Field(False, description="true: no alert with severity page may be firing")
    people_confirmed: bool = Field(False, description="true: every required role must have somebody who comes")
    freeze_file: str = Field("", description="while this file exists, no drill begins or goes on")


class Blackout(Part):
    """A time in which the drill is not held: from-to, or every such weekday."""

    from_: str = Field("", alias="from", pattern=rf"^$|{LOCAL_TIME}", description="first day, or local time")
    to: str = Field("", pattern=rf"^$|{LOCAL_TIME}", description="last day (all of it), or local time (up to it)")
    weekdays: tuple[Weekday, ...] = Field((), description="weekdays on which it is never held")
    reason: str = Field("", description="why, for whoever asks")

    @model_validator(mode="after")
    def _one_kind(self) -> Blackout:
        if bool(self.from_ and self.to) == bool(self.weekdays) or bool(self.from_) != bool(self.to):
            raise ValueError("a blackout has either 'from' and 'to', or 'weekdays'")
        if self.from_ and self.from_ > self.to:
            raise ValueError(f"the blackout ends ({self.to}) before it begins ({self.from_})")
        return self


class Schedule(Part):
    """When the drill is held. It is due right once at both clock changes (:mod:`drill.gameday.due`)."""

    cron: str = Field(min_length=1, description="five fields: minute hour day month weekday, like 0 10 * * 2#1")
    timezone: str = Field("UTC", min_length=1, description="the time zone the cron fields are in: Europe/Berlin")
    since: str = Field("", pattern=rf"^$|{DATE}", description="first day that counts; earlier runs are not missed")
    grace: Duration = Field(LATE_S, gt=0, description="a run that begins this late still counts, like 1h")
    blackout: tuple[Blackout, ...] = Field((), description="times in which it is not held")


class StopRule(Part):
    """When the rest of the drill is not played. An abort and an incomplete undo always end it."""

    on: tuple[Literal["fail", "unknown"], ...] = Field((), description="verdicts after which nothing more begins")
    max_duration: Duration = Field(14400.0, gt=0, description="no scenario begins later than this after the start")


class Secret(Part):
    """A secret stands in the environment or in a file, never here."""

    env: str = Field("", pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$", description="environment variable that holds it")
    file: str = Field("", description="file that holds it")

    @model_validator(mode="after")
    def _one_place(self) -> Secret:
        if bool(self.env) == bool(self.file):
            raise ValueError("give either 'env' or 'file': where the secret stands, never the secret itself")
        return self


class SlackAnnouncement(Part):
    """An incoming webhook of Slack."""

    webhook: Secret = Field(
        description="where the address of the incoming webhook stands: {env: NAME} or {file: PATH}"
    )


class PagerDutyAnnouncement(Part):
    """Events API v2. A change event pages nobody; an alert event opens a low-urgency incident marked as drill."""

    routing_key: Secret = Field(description="where the integration key stands: {env: NAME} or {file: PATH}")
    send: Literal["change", "alert"] = Field("change", description="change: pages nobody; alert: severity info")
    url: str = Field(
        "https://events.pagerduty.com", pattern=r"^https?://.+", description="the API's address, for a proxy or EU"
    )


class Announcements(Part):
    """Who is told what. ``{title}``, ``{target}``, ``{verdict}`` and the like are filled in."""

    start: str = Field("{title} begins on {target}: {scenarios}.", description="said before the first scenario")
    result: str = Field("{title} is over: {verdict}. {headline}", description="said at the end")
    slack: SlackAnnouncement | None = Field(None, description="say it in Slack")
    pagerduty: PagerDutyAnnouncement | None = Field(None, description="say it in PagerDuty")
    announce_in_sandbox: bool = Field(
        False, description="true: announce a sandbox drill too, but only to addresses of this machine"
    )


class Drill(Part):
    """A whole drill file."""

    apiVersion: Literal["drill/v1"] = Field(description="the version of the file's format: drill/v1")
    kind: Literal["Drill"] = Field(description="the kind of the file: Drill")
    metadata: DrillMetadata = Field(description="who the drill is and whose it is")
    goal: str = Field(min_length=1, description="what people shall be able to do, or know, afterwards")
    hypothesis: str = Field(min_length=1, description="one sentence that the drill proves or disproves")
    target: str = Field("sandbox", min_length=1, description="where it runs: sandbox, or a named target")
    fast_forward: float | None = Field(None, ge=1, le=3600, description="divide the windows by this (sandbox)")
    order: Literal["sequence", "parallel"] = Field(
        "sequence", description="one after another, or all at once (in the sandbox: each in one of its own)"
    )
    scenarios: tuple[ScenarioCall, ...] = Field(min_length=1, description="what is played")
    cooldown: Duration | None = Field(
        None, description="rest between two scenarios; at least group_interval + 60 s, which is what it is without"
    )
    servers: Servers = Field(Servers(), description="where the prerequisites are read")
    roles: dict[str, Need] = Field(
        default_factory=dict, description="roles of the drill, each required or optional"
    )
    participants: tuple[Participant, ...] = Field((), description="who takes part")
    approvals: tuple[Approval, ...] = Field((), description="who must agree before a target of yours is broken")
    prerequisites: Prerequisites = Field(Prerequisites(), description="what must hold, or it does not begin")
    schedule: Schedule | None = Field(None, description="when it is held")
    stop: StopRule = Field(StopRule(), description="when the rest is not played")
    announcements: Announcements = Field(Announcements(), description="who is told what")

    @property
    def title(self) -> str:
        """The name as people say it."""
        return self.metadata.title or self.metadata.name

    def step_ids(self) -> tuple[str, ...]:
        """Return the id of every step: the file's, else the scenario's name, numbered when it comes again."""
        taken = {call.id for call in self.scenarios if call.id}
        ids: list[str] = []
        for call in self.scenarios:
            base = call.id or call.scenario.rpartition("/")[2].rpartition(".")[0] or call.scenario
            name, number = base, 2
            while not call.id and name in taken:
                name, number = f"{base}-{number}", number + 1
            taken.add(name)
            ids.append(name)
        return tuple(ids)
