"""A drill's schedule for whoever keeps the time: Kubernetes, systemd, cron, GitHub Actions. Pure text.

drill has no daemon. Each of these starts `drill gameday run FILE --if-due …`, which looks at the schedule itself:
so a scheduler that knows no time zone or no second Tuesday starts too often, and nothing happens then.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import yaml

from drill.gameday.cronparts import (
    LAST_DAY,
    LAST_WORKDAY,
    CronParts,
    clock_change_hits,
    parts,
    plain_cron,
    utc_crons,
)
from drill.gameday.model import Drill, Schedule

IF_DUE = "15m"
"""How late a scheduler may start it. A time of two hours in one day must not run into each other."""
GITHUB_IF_DUE = "50m"
"""GitHub starts late at busy times; less than the hour by which the wrong season's line is off."""
IMAGE = "drill:latest"
SYSTEMD_DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
HEADER = "# Written by `drill schedule`. drill looks at the schedule of the drill file itself (--if-due)."


@dataclass(frozen=True)
class Wanted:
    """What is scheduled: the drill, its file as the scheduler will find it, and from when on."""

    drill: Drill
    schedule: Schedule
    file: str
    now: datetime
    image: str = IMAGE
    namespace: str = "drill"

    @property
    def name(self) -> str:
        """The drill's name."""
        return self.drill.metadata.name

    @property
    def unit(self) -> str:
        """The name of what is made: ``drill-`` and the drill's, short enough for a CronJob's (52)."""
        return f"drill-{self.name}"[:52].rstrip("-")


def honest_notes(wanted: Wanted) -> list[str]:
    """Return what a person should know: supersets, blackouts, clock changes."""
    schedule = wanted.schedule
    notes = [f"cron: {schedule.cron} ({schedule.timezone})"]
    if plain_cron(schedule.cron).split() != schedule.cron.split():
        notes.append(f"written as {plain_cron(schedule.cron)}: starts at least as often; --if-due drops the rest")
    if schedule.blackout:
        notes.append("blackouts are looked up by drill when it is started")
    if hits := clock_change_hits(schedule.cron, schedule.timezone, wanted.now):
        day = hits[0].date().isoformat()
        notes.append(f"a clock change falls on the time of day (next: {day}): this scheduler may skip or double it")
    return notes


def crontab(wanted: Wanted) -> str:
    """Return a line for crontab(5), with its time zone."""
    notes = [
        *honest_notes(wanted),
        "CRON_TZ is cronie's; Debian's cron ignores it and uses the machine's zone (systemd: --as systemd)",
    ]
    command = f"drill gameday run {wanted.file} --yes --if-due {IF_DUE}"
    lines = [HEADER, *(f"# {note}" for note in notes), f"CRON_TZ={wanted.schedule.timezone}"]
    return "\n".join([*lines, f"{plain_cron(wanted.schedule.cron)} {command}"]) + "\n"


def systemd(wanted: Wanted) -> dict[str, str]:
    """Return a timer and its service, by file name."""
    calendars = on_calendar(wanted.schedule)
    timer = [
        HEADER, *(f"# {note}" for note in honest_notes(wanted)),
        "[Unit]", f"Description={wanted.drill.title}", "",
        "[Timer]", *(f"OnCalendar={line}" for line in calendars),
        "# A run that was missed is reported by `drill gameday status`, not made up for.",
        "Persistent=false", "AccuracySec=1s", "", "[Install]", "WantedBy=timers.target",
    ]  # fmt: skip
    service = [
        HEADER, "[Unit]", f"Description={wanted.drill.title}", "After=network-online.target",
        "Wants=network-online.target", "", "[Service]", "Type=oneshot",
        "# Secrets of announcements: NAME=value lines.", "EnvironmentFile=-/etc/drill/environment",
        "StateDirectory=drill", "WorkingDirectory=/var/lib/drill",
        f"ExecStart=/usr/bin/env drill gameday run {wanted.file} --yes --if-due {IF_DUE} --out /var/lib/drill/runs",
        "# An abort undoes the fault first; leave it the time.", "KillSignal=SIGTERM", "TimeoutStopSec=180",
    ]  # fmt: skip
    return {f"{wanted.unit}.timer": "\n".join(timer) + "\n", f"{wanted.unit}.service": "\n".join(service) + "\n"}


def on_calendar(schedule: Schedule) -> list[str]:
    """Return systemd.time(7) calendar events; two where cron means day *or* weekday."""
    found = parts(schedule.cron)
    times = f"{_numbers(found.hours, 24)}:{_numbers(found.minutes, 60)}:00 {schedule.timezone}"
    months = "*" if len(found.months) == 12 else _numbers(found.months)
    days = [f"{month_day}" for month_day in _dates(found, months)]
    weekdays = "" if found.every_weekday or not found.weekdays else f"{_weekdays(found)} "
    nth = [f"{SYSTEMD_DAYS[day]} *-{months}-{_week(number)} {times}" for day, number in sorted(found.nth)]
    nth = [line.replace("-~", "~") for line in nth]
    if found.either:
        lines = [f"{day} {times}" for day in days]
        return lines + nth + ([f"{weekdays}*-{months}-* {times}"] if weekdays else [])
    if found.nth:
        return nth + ([f"{weekdays}{day} {times}" for day in days] if weekdays else [])
    return [f"{weekdays}{day} {times}" for day in days]


def _dates(found: CronParts, months: str) -> list[str]:
    if found.every_day:
        return [f"*-{months}-*"]
    plain = {day for day in found.days if day > 0}
    lines = [f"*-{months}-{_numbers(plain)}"] if plain else []
    if LAST_DAY in found.days:
        lines.append(f"*-{months}~01")
    if LAST_WORKDAY in found.days:
        lines.append(f"*-{months}~03/1")
    return lines


def _week(number: int) -> str:
    """The days of the month among which the *number*-th of a weekday is."""
    return "~07/1" if number == LAST_DAY else f"{7 * number - 6:02d}..{min(31, 7 * number):02d}"


def _weekdays(found: CronParts) -> str:
    return ",".join(SYSTEMD_DAYS[day] for day in sorted(found.weekdays))


def _numbers(values: frozenset[int] | set[int], everything: int = 0) -> str:
    return "*" if everything and len(values) == everything else ",".join(f"{value:02d}" for value in sorted(values))


def github(wanted: Wanted) -> str:
    """Return a workflow for GitHub Actions, which knows UTC only and may start late."""
    schedule = wanted.schedule
    crons = utc_crons(schedule.cron, schedule.timezone, wanted.now)
    workflow = {
        "name": wanted.drill.title,
        "on": {"schedule": [{"cron": line} for line in crons], "workflow_dispatch": None},
        "permissions": {"contents": "read"},
        "concurrency": {"group": wanted.unit, "cancel-in-progress": False},
        "jobs": {"drill": {
            "runs-on": "ubuntu-latest",
            "timeout-minutes": 240,
            "steps": [
                {"uses": "actions/checkout@v4"},
                {"uses": "actions/setup-python@v5", "with": {"python-version": "3.13"}},
                {"run": "make setup"},
                {"run": f".venv/bin/drill gameday run {wanted.file} --yes --out drill-runs {_dispatched()}"},
                {"if": "always()", "uses": "actions/upload-artifact@v4",
                 "with": {"name": "drill-runs", "path": "drill-runs", "if-no-files-found": "ignore"}},
            ],
        }},
    }  # fmt: skip
    notes = [
        f"Meant: {schedule.cron} in {schedule.timezone}. GitHub counts in UTC: "
        + ("every line below" if len(crons) > 1 else "the line below") + " is right for a part of the year,",
        "and drill drops the starts that are not due. GitHub may start late, and stops schedules of repositories",
        "without activity for 60 days: `drill gameday status` tells what was missed.",
    ]  # fmt: skip
    return "\n".join([HEADER, *(f"# {note}" for note in notes)]) + "\n" + _yaml(workflow)


def _dispatched() -> str:
    """Started by hand it runs now; by the clock only when it is due."""
    return "${{ github.event_name == 'schedule' && '--if-due " + GITHUB_IF_DUE + "' || '' }}"


def k8s(wanted: Wanted, drill_text: str) -> str:
    """Return ServiceAccount, RBAC, ConfigMap with the drill file, volume claim and CronJob."""
    labels = {"app.kubernetes.io/name": "drill", "app.kubernetes.io/instance": wanted.unit}
    meta = {"name": wanted.unit, "namespace": wanted.namespace, "labels": labels}
    subject = {"kind": "ServiceAccount", "name": wanted.unit, "namespace": wanted.namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": wanted.unit}
    documents: list[dict[str, object]] = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": meta, "rules": RULES},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": meta,
         "roleRef": role, "subjects": [subject]},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {f"{wanted.name}.yaml": drill_text}},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta,
         "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}},
        {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": meta, "spec": _cronjob(wanted, labels)},
    ]  # fmt: skip
    notes = [*honest_notes(wanted), f"image: {wanted.image}; spec.timeZone needs Kubernetes 1.27"]
    text = "---\n".join(_yaml(document) for document in documents)
    return "\n".join([HEADER, *(f"# {note}" for note in notes)]) + "\n" + text


RULES: list[dict[str, list[str]]] = [
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "delete", "create"]},
    {"apiGroups": [""], "resources": ["pods/exec", "pods/portforward"], "verbs": ["create", "get"]},
    {"apiGroups": [""], "resources": ["pods/ephemeralcontainers"], "verbs": ["patch", "update"]},
    {"apiGroups": [""], "resources": ["services", "endpoints", "configmaps"], "verbs": ["get", "list"]},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list"]},
    {"apiGroups": ["apps"], "resources": ["deployments", "replicasets", "statefulsets"], "verbs": ["get", "list"]},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update", "delete"]},
]
"""What drills do in their namespace: look, inject through pods, hold a lease. Nothing cluster-wide, no secrets."""


def _cronjob(wanted: Wanted, labels: dict[str, str]) -> dict[str, object]:
    command = [
        "drill",
        "gameday",
        "run",
        f"/drills/{wanted.name}.yaml",
        "--yes",
        "--if-due",
        IF_DUE,
        "--out",
        "/runs",
    ]
    container = {
        "name": "drill", "image": wanted.image, "command": command,
        "envFrom": [{"secretRef": {"name": f"{wanted.unit}-secrets", "optional": True}}],
        "volumeMounts": [{"name": "drill-file", "mountPath": "/drills", "readOnly": True},
                         {"name": "runs", "mountPath": "/runs"}],
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }  # fmt: skip
    pod = {
        "serviceAccountName": wanted.unit, "restartPolicy": "Never", "terminationGracePeriodSeconds": 180,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "fsGroup": 65532,
                            "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "drill-file", "configMap": {"name": wanted.unit}},
                    {"name": "runs", "persistentVolumeClaim": {"claimName": wanted.unit}}],
    }  # fmt: skip
    return {
        "schedule": plain_cron(wanted.schedule.cron), "timeZone": wanted.schedule.timezone,
        "concurrencyPolicy": "Forbid", "startingDeadlineSeconds": 600,
        "successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 3,
        "jobTemplate": {"metadata": {"labels": labels}, "spec": {
            "backoffLimit": 0,  # a drill that failed is a result, not a reason to break things again
            "template": {"metadata": {"labels": labels}, "spec": pod},
        }},
    }  # fmt: skip


class _Dumper(yaml.SafeDumper):
    """Block style without aliases; several lines stay several lines."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - yaml's signature
        """Write everything out: a ConfigMap with anchors is no reading for people."""
        return True


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    ),
)


def _yaml(data: object) -> str:
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True)
