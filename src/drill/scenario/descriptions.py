"""What each key of a scenario file is for, in one sentence: shown by editors and in hints about missing keys."""

from __future__ import annotations

DESCRIPTIONS: dict[str, dict[str, str]] = {
    "Scenario": {
        "apiVersion": "the version of the file's format: drill/v1",
        "kind": "the kind of the file: Scenario",
        "metadata": "who the scenario is and whose it is",
        "hypothesis": "one sentence that the drill proves or disproves",
        "parameters": "values the caller may set with --set name=value, used as ${name}",
        "injections": "the faults, each with its target, its start and how long it lasts",
        "expect": "the alerts that must fire, and what else may",
        "guardrails": "limits that end the drill, or keep it from starting",
        "runbook": "name of the runbook that helps against this (a file in runbooks/, without .md)",
        "people": "roles, hints, the answer and what a facilitator says: for training and game days",
        "phases": "targets for the people's times, not grades",
        "mitigated_when": "when the service counts as healthy again although the fault may still be in place",
    },
    "Metadata": {
        "name": "the scenario's name, equal to its file's name: lower-case letters, digits and dashes",
        "title": "the name as people say it",
        "description": "what happens and why it is worth a drill",
        "tags": "words to select scenarios by: drill run --all --tag smoke",
        "owner": "the team that keeps the scenario right",
        "difficulty": "how hard it is for a trainee",
    },
    "Parameter": {
        "type": "what the value is; it decides which values are accepted",
        "description": "what the value is for",
        "required": "true: the caller must give a value",
        "default": "the value when the caller gives none",
        "choices": "the only values that are accepted",
    },
    "Injection": {
        "id": "a name for this injection, unique in the file",
        "fault": "the kind of fault",
        "target": "which replicas of which service",
        "with": "the fault's own parameters",
        "at": "when it starts, from the start of the drill: 0s, 5m",
        "for": "how long it lasts, like 5m",
    },
    "InjectionTarget": {
        "service": "the service whose replicas are faulted",
        "pods": "how many replicas: a share like 50% (rounded up) or a count",
        "peer": "only the traffic with this service is faulted",
    },
    "Within": {"within": "the deadline, like 90s"},
    "Expect": {
        "alerts": "the alerts the drill must see fire, be delivered, and resolve",
        "nothing_else": "which other alerts may fire; null: others are reported but do not fail the drill",
    },
    "ExpectedAlert": {
        "match": "labels that select the alert; slo is short for sloth_id",
        "fires": "predicted (by the burn-rate formulas), or a deadline like {within: 90s}",
        "receiver": "the Alertmanager receiver that must be notified",
        "resolves": "a deadline for resolving, counted from the end of the fault",
        "error_ratio": "the expected share of bad requests, [low, high], where the fault cannot know it",
    },
    "NothingElse": {"allow": "label sets of alerts that may fire although nobody expects them"},
    "Guardrails": {
        "max_budget_spend": "the largest share of an error budget the drill may spend, like 5%",
        "max_blast_radius": "the largest share of a service's replicas that may be faulted",
        "max_duration": "the longest the drill may take, like 2h",
        "abort_if": "PromQL conditions that end the drill at once",
    },
    "AbortIf": {
        "promql": "a query; any non-zero sample means the condition holds",
        "for": "how long it must hold",
    },
    "Hint": {"after": "when it is offered, from the start of the drill", "text": "what the trainee reads"},
    "Answer": {
        "component": "the service that is broken",
        "cause": "what is wrong with it",
        "accept": "other ways to say it that count as right",
    },
    "Inject": {
        "at": "when it is said, like +6m",
        "to": "the role it is said to",
        "say": "the words",
        "expect": "what should follow, like {what: status update, within: 10m}",
    },
    "People": {
        "roles": "roles of the drill, each required or optional",
        "facilitator": "whether somebody must lead the drill",
        "hints": "hints for trainees, in order",
        "answer": "what is broken, for grading a suspected cause",
        "injects": "messages a facilitator gives during the drill",
        "mitigation": "cells of the runbook that win against this, in order; `drill runbook prove` plays them",
    },
    "Play": {
        "cell": "name of the runbook's cell",
        "with": "values for its variables that the diagnosis would have named, like {DEPENDENCY: payment}",
    },
    "Phases": {
        "detect": "until the first expected alert fires",
        "acknowledge": "until somebody takes the page",
        "localize": "until the cause is named",
        "mitigate": "until users are served well again",
    },
    "MitigatedWhen": {
        "promql": "a condition; it holds while the query returns anything, as a comparison like x < 1 does",
        "for": "how long it must hold",
    },
}
"""Class of :mod:`drill.scenario.model` -> key of the file -> sentence."""
