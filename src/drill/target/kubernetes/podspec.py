"""The helper pod as the API server gets it: privileged, short-lived, without rights of its own. Pure data.

Refuses nothing and asks nobody. What is privileged here is confined to the namespace ``drill-system``; the
namespaces of the pods that are drilled keep the PodSecurity level they have.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from drill import __version__
from drill.core.values import Value
from drill.target.kubernetes import paths
from drill.target.kubernetes.manifests import HELPER

Manifest = dict[str, Any]
APP = "drill-helper"
CONTAINER = "helper"
APP_LABEL, RUN_LABEL, HOLDER_LABEL = "app.kubernetes.io/name", "drill.dev/run", "drill.dev/holder"
AGENT = ("python3", "-P", "-m", "drill.agent")
SERVE = (*AGENT, "serve")
PREFIX = "drill-agent-"
"""How the names of our ephemeral containers begin."""
GRACE_S = 30
"""Seconds the faults get to be reverted when the pod is deleted."""


class HelperSettings(Value):
    """What helper pods are made of. ``deadline_s``: the longest a helper lives, whatever happens to its runner."""

    image: str = f"drill.dev/drill:{__version__}"
    """By digest (``registry/name@sha256:…``) where a registry gives one: then no node can run another agent."""
    namespace: str = paths.SYSTEM
    service_account: str = HELPER
    pull_policy: str = "IfNotPresent"
    deadline_s: int = 3600
    idle_s: int = 120
    """A helper that no runner has talked to for this long ends by itself."""


def helper_name(node: str, run: str) -> str:
    """Return the pod's name: unique to run and node, and still a DNS label."""
    short = re.sub(r"[^a-z0-9-]+", "-", node.lower())[:30].strip("-")
    return f"{APP}-{short}-{hashlib.sha256(f'{node}/{run}'.encode()).hexdigest()[:8]}"


def label_value(text: str) -> str:
    """Return *text* as a label's value may be: 63 characters of letters, digits, ``-``, ``_`` and ``.``."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text)[:63].strip("-_.")


def helper_pod(settings: HelperSettings, node: str, *, run: str, holder: str) -> Manifest:
    """Return the pod for *node*; *run* and *holder* (who runs it, from where) are written on it."""
    times = ("--idle", str(settings.idle_s), "--deadline", str(settings.deadline_s))
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": helper_name(node, run),
            "namespace": settings.namespace,
            "labels": labels(run, holder),
            "annotations": {"drill.dev/holder": holder},
        },
        "spec": {
            # Bound here and not by the scheduler: the faults' node is not a choice, and cordoned nodes count.
            "nodeName": node,
            "hostPID": True,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": settings.deadline_s + GRACE_S,
            "terminationGracePeriodSeconds": GRACE_S,
            "serviceAccountName": settings.service_account,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "dnsPolicy": "Default",
            "tolerations": [{"operator": "Exists"}],
            "containers": [_container(settings, (*AGENT, "stay", *times))],
            "volumes": [{"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}}],
        },
    }


def labels(run: str, holder: str) -> Mapping[str, str]:
    """Return the labels by which helpers are found again, by their own run and by others."""
    return {
        APP_LABEL: APP,
        "app.kubernetes.io/managed-by": "drill",
        RUN_LABEL: label_value(run),
        HOLDER_LABEL: label_value(holder),
    }


def _container(settings: HelperSettings, command: tuple[str, ...]) -> Manifest:
    return {
        "name": CONTAINER,
        "image": settings.image,
        "imagePullPolicy": settings.pull_policy,
        "command": list(command),
        # No limits: a disk fault's memory-backed file is charged to who writes it, and a packet delayed in user
        # space must not wait for a quota.
        "resources": {"requests": {"cpu": "20m", "memory": "48Mi"}},
        "securityContext": {
            "privileged": True,
            "runAsUser": 0,
            "runAsGroup": 0,
            "runAsNonRoot": False,
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # nosec B108 - a memory file system of its own
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def ephemeral_container(settings: HelperSettings, name: str) -> Manifest:
    """Return the ephemeral container for a pod: root with NET_ADMIN and nothing else.

    Its first process is a shell, since every MiB counts against the pod's limit; the conductor ends it.
    """
    stay = f"trap exit TERM; sleep {settings.deadline_s} & wait"
    return {
        "name": name,
        "image": settings.image,
        "imagePullPolicy": settings.pull_policy,
        "command": ["sh", "-c", stay],
        "securityContext": {
            "runAsUser": 0,
            "runAsNonRoot": False,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
