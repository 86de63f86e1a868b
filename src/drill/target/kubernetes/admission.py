"""What the API server would refuse of drill's own pods, asked by a dry run: nothing is created.

PodSecurity, quotas, policies and webhooks speak here before a drill and not in the middle of it. Each refusal comes
with what its owner can do.
"""

from __future__ import annotations

from collections.abc import Callable

from drill.core.ports import Hindrance
from drill.target.kubernetes.failures import ApiFailed

LABEL = "app.kubernetes.io/name=drill-helper"


def refused(
    ask: Callable[[], object], what: str, context: str, namespace: str, *, helper: bool = True
) -> Hindrance | None:
    """Ask once; return why *what* would not be let into *namespace*, None when it would be (or is there already).

    *helper*: it is a helper pod in drill's own namespace, else a container in somebody's pod. Raises ApiFailed when
    nobody answers: that is no refusal.
    """
    try:
        ask()
    except ApiFailed as error:
        if error.status == 409:
            return None
        if error.status == 0 or (error.status >= 500 and "webhook" not in str(error)):
            raise
        said = str(error).removeprefix(f"{context}: ")
        fix = remedy(error, context, namespace, helper=helper)
        return Hindrance(check="admission", text=f"{what} would be refused: {said}", fix=fix)
    return None


def remedy(error: ApiFailed, context: str, namespace: str, *, helper: bool) -> str:
    """Say what lets it in, by who refused."""
    said = str(error)
    if "violates PodSecurity" in said and helper:
        level = "pod-security.kubernetes.io/enforce=privileged"
        return f"let drill's own namespace have them: kubectl label namespace {namespace} --overwrite {level}"
    if "violates PodSecurity" in said:
        return 'this namespace needs helper pods: leave out `way = "ephemeral"` in drill.toml'
    if "exceeded quota" in said or "failed quota" in said:
        return f"the owner of {namespace} can raise that ResourceQuota, or take it away"
    if "cannot create resource" in said or "cannot patch resource" in said:
        return f"have the right granted: drill k8s install --context {context}{'' if helper else ' --ephemeral'}"
    if "service account" in said or (error.status == 404 and helper):
        return f"what `drill k8s install --context {context}` creates is not there: run it again"
    who = f"pods labelled {LABEL}" if helper else "drill's ephemeral containers"
    return f"the owner of that rule can let {who} into {namespace}"
