"""What the API server would refuse of drill's own pods, asked by a dry run: nothing is created.

PodSecurity, quotas, policies and webhooks speak here before a drill and not in the middle of it. Each refusal comes
with what its owner can do.
"""

from __future__ import annotations

from collections.abc import Callable

from drill.core.ports import Hindrance
from drill.target.kubernetes import paths
from drill.target.kubernetes.failures import ApiFailed

LABEL = "app.kubernetes.io/name=drill-helper"


def refused(ask: Callable[[], object], what: str, context: str, namespace: str) -> Hindrance | None:
    """Ask once; return why *what* would not be let into *namespace*, None when it would be (or is there already).

    Raises ApiFailed when nobody answers: that is no refusal.
    """
    try:
        ask()
    except ApiFailed as error:
        if error.status == 409:
            return None
        if error.status == 0 or (error.status >= 500 and "webhook" not in str(error)):
            raise
        said = str(error).removeprefix(f"{context}: ")
        return Hindrance(check="admission", text=f"{what} would be refused: {said}", fix=remedy(error, namespace))
    return None


def remedy(error: ApiFailed, namespace: str) -> str:
    """Say what lets it in, by who refused."""
    said, own = str(error), namespace == paths.SYSTEM
    if "violates PodSecurity" in said and own:
        level = "pod-security.kubernetes.io/enforce=privileged"
        return f"let drill's own namespace have them: kubectl label namespace {namespace} --overwrite {level}"
    if "violates PodSecurity" in said:
        return 'this namespace needs helper pods: leave out `way = "ephemeral"` in drill.toml'
    if "exceeded quota" in said or "must specify" in said:
        return f"the owner of {namespace} can raise that ResourceQuota, or take it away"
    if error.status == 404 and own:
        return "drill k8s install creates it"
    if "cannot create resource" in said or "cannot patch resource" in said:
        return error.hint
    who = f"pods labelled {LABEL}" if own else "drill's ephemeral containers"
    return f"the owner of that policy can let {who} into {namespace}"
