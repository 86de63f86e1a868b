"""A notification as its receiver would show it: PagerDuty's incident, Slack's message. Pure.

Texts follow the shipped ``alertmanager-config.yaml``: PagerDuty shows the title, Slack title, description and
runbook. Annotations come from the loaded rule with the same labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from drill.core.observations import Notification
from drill.training.script import RuleText
from drill.training.views import PageText

Channel = Literal["pagerduty", "slack", "log"]
CHANNELS: dict[str, Channel] = {"pagerduty": "pagerduty", "slack": "slack"}


def page_of(notification: Notification, rules: Sequence[RuleText]) -> PageText:
    """Return what the receiver of *notification* sees."""
    labels = notification.labels
    said = annotations_of(labels, rules)
    channel = CHANNELS.get(notification.receiver, "log")
    runbook = said.get("runbook_url", "")
    return PageText(
        at=notification.at,
        channel=channel,
        status=notification.status,
        title=_title(notification, said),
        body=_body(labels, said, channel),
        service=labels.get("sloth_service") or labels.get("service", ""),
        severity=labels.get("severity", ""),
        runbook=runbook.rpartition("/")[2].removesuffix(".md"),
        labels=dict(labels),
    )


def annotations_of(labels: Mapping[str, str], rules: Sequence[RuleText]) -> Mapping[str, str]:
    """Return the annotations of the rule these labels come from: the one that shares most of them."""
    fitting = [
        (sum(labels.get(key) == value for key, value in rule.labels.items()), rule.annotations)
        for rule in rules
        if rule.name == labels.get("alertname")
        and all(labels.get(key, value) == value for key, value in rule.labels.items())
    ]
    return max(fitting, key=lambda one: one[0], default=(0, {}))[1]


def _title(notification: Notification, said: Mapping[str, str]) -> str:
    title = said.get("title") or said.get("summary") or notification.labels.get("alertname", "an alert")
    return title if notification.status == "firing" else f"RESOLVED: {title}"


def _body(labels: Mapping[str, str], said: Mapping[str, str], channel: Channel) -> str:
    lines = [said.get("summary", ""), said.get("description", "")]
    shown = {"alertname": "Alert", "sloth_service": "Service", "sloth_slo": "SLO", "owner": "Owner"}
    facts = [f"{word}: {labels[name]}" for name, word in shown.items() if labels.get(name)]
    if channel == "pagerduty":
        lines.append(" | ".join(facts))
    if said.get("runbook_url"):
        lines.append(f"Runbook: {said['runbook_url']}")
    return "\n".join(line for line in lines if line)
