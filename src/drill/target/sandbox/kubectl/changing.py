"""The verbs that change something: rollout, scale, label, delete, set, exec, patch, cordon."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from drill.core.units import parse_duration, parse_size
from drill.target.sandbox.kubectl import show
from drill.target.sandbox.kubectl.looking import all_pods, kind_of, things
from drill.target.sandbox.kubectl.sandbox_api import Api
from drill.target.sandbox.kubectl.words import SWITCH, VALUE, Refused, selector, split

Json = dict[str, Any]
STATUS_S = 120.0
STEP_S = 0.2


def rollout(api: Api, words: Sequence[str]) -> str:
    """``kubectl rollout history|status|restart|undo deploy/SERVICE``."""
    what, *rest = words or [""]
    flags = {"undo": {"to-revision": VALUE}, "history": {"revision": VALUE}, "status": {"timeout": VALUE},
             "restart": {}}  # fmt: skip
    if what not in flags:
        raise Refused("the sandbox's kubectl knows rollout history, status, restart and undo")
    line = split(rest, flags[what], f"rollout {what}")
    api.check_namespace(line, "deployments")
    service = api.deployment(line.operands)
    if what == "history":
        return _history(api, service)
    if what == "status":
        return _status(api, service, parse_duration(line.flag("timeout") or f"{STATUS_S:g}s"))
    if what == "restart":
        api.ask({"do": "restart", "service": service})
        return f"deployment.apps/{service} restarted\n"
    api.ask({"do": "undo", "service": service, "to": int(line.flag("to-revision", "0"))})
    return f"deployment.apps/{service} rolled back\n"


def _history(api: Api, service: str) -> str:
    revisions = api.look()["deployments"][service]["revisions"]
    rows = [[str(one["number"]), one["cause"] or "<none>"] for one in revisions]
    return f"deployment.apps/{service}\n" + show.table(["REVISION", "CHANGE-CAUSE"], rows)


def _status(api: Api, service: str, within_s: float) -> str:
    deadline = time.monotonic() + within_s
    while not api.look()["deployments"][service]["settled"]:
        if time.monotonic() > deadline:
            raise Refused("timed out waiting for the condition")
        time.sleep(STEP_S)
    return f'deployment "{service}" successfully rolled out\n'


def scale(api: Api, words: Sequence[str]) -> str:
    """``kubectl scale deploy/SERVICE --replicas=N``."""
    line = split(words, {"replicas": VALUE}, "scale")
    api.check_namespace(line, "deployments")
    service = api.deployment(line.operands)
    if not line.flag("replicas").isdigit():
        raise Refused('required flag(s) "replicas" not set, or not a number')
    api.ask({"do": "scale", "service": service, "replicas": int(line.flag("replicas"))})
    return f"deployment.apps/{service} scaled\n"


def label(api: Api, words: Sequence[str]) -> str:
    """``kubectl label pod POD app=VALUE --overwrite``."""
    line = split(words, {"overwrite": SWITCH}, "label")
    api.check_namespace(line, "pods")
    pairs = [word for word in line.operands if "=" in word]
    gone = [word for word in line.operands[1:] if word.endswith("-") and "=" not in word]
    named = [word for word in line.operands if word not in pairs and word not in gone]
    if named and kind_of(named[0].partition("/")[0]) != "pods":
        raise Refused("the sandbox's kubectl labels pods only")
    if [pair.partition("=")[0] for pair in pairs] + [word[:-1] for word in gone] != ["app"]:
        raise Refused("in the sandbox a pod has one label to change: app=VALUE, or app- to remove it")
    value = pairs[0].partition("=")[2] if pairs else "none"
    if "overwrite" not in line.flags and pairs:
        raise Refused("'app' already has a value, and --overwrite is false")
    done = []
    for pod in api.pods([word.partition("/")[2] or word for word in named if word not in ("pod", "pods", "po")]):
        api.ask({"do": "label", "replica": pod, "app": value})
        done.append(f"pod/{pod} {'labeled' if pairs else 'unlabeled'}\n")
    return "".join(done)


def delete(api: Api, words: Sequence[str]) -> str:
    """``kubectl delete pod POD…`` or ``-l app=SERVICE``: the deployment makes new ones at once."""
    flags = {"selector": VALUE, "field-selector": VALUE, "wait": SWITCH, "now": SWITCH, "force": SWITCH,
             "grace-period": VALUE, "ignore-not-found": SWITCH}  # fmt: skip
    line = split(words, flags, "delete")
    kind, wanted = things(line)
    api.check_namespace(line, kind)
    if kind != "pods":
        missing = f'{kind} "{wanted[0]}" not found' if wanted else f"the sandbox's kubectl deletes pods, not {kind}"
        raise Refused(missing)
    chosen = line.flag("selector")
    pods = api.pods(wanted, chosen)
    for field, value in selector(line.flag("field-selector")).items():
        fitting = {one["metadata"]["name"] for one in all_pods(api.look())
                   if show.said(show.follow(one, field)) == value}  # fmt: skip
        pods = [pod for pod in pods if pod in fitting]
    if not pods:
        api.complain("No resources found")
    done = []
    for pod in pods:
        api.ask({"do": "replace", "replica": pod})
        done.append(f'pod "{pod}" deleted\n')
    return "".join(done)


def set_(api: Api, words: Sequence[str]) -> str:
    """``kubectl set resources deploy/X --limits=…`` and ``kubectl set env deploy/X NAME=VALUE NAME-``."""
    what, *rest = words or [""]
    if what == "resources":
        return _set_resources(api, rest)
    if what != "env":
        raise Refused("the sandbox's kubectl knows set resources and set env")
    line = split(rest, {"list": SWITCH, "containers": VALUE}, "set env")
    api.check_namespace(line, "deployments")
    service = api.deployment([word for word in line.operands if "=" not in word and not word.endswith("-")])
    if "list" in line.flags:
        env = api.look()["deployments"][service]["revisions"][-1]["template"]["env"]
        return "".join(f"{name}={value}\n" for name, value in env.items())
    values: dict[str, str | None] = {}
    for word in line.operands:
        name, equals, value = word.partition("=")
        if equals:
            values[name] = value
        elif word.endswith("-"):
            values[word[:-1]] = None
    if not values:
        raise Refused("at least one environment variable must be provided")
    api.ask({"do": "env", "service": service, "values": values})
    return f"deployment.apps/{service} env updated\n"


def _set_resources(api: Api, words: Sequence[str]) -> str:
    line = split(words, {"limits": VALUE, "requests": VALUE, "containers": VALUE}, "set resources")
    api.check_namespace(line, "deployments")
    service = api.deployment(line.operands)
    asked: dict[str, float] = {}
    for part in filter(None, line.flag("limits").split(",")):
        name, _, value = part.partition("=")
        if name not in ("cpu", "memory"):
            raise Refused(f"the sandbox limits cpu and memory, not {name}")
        asked["cpus" if name == "cpu" else "memory"] = cpus(value) if name == "cpu" else parse_size(value)
    if not asked:
        raise Refused("you must specify an update to limits, like --limits=cpu=1,memory=128Mi")
    changed = api.ask({"do": "limits", "service": service, **asked})["changed"]
    return f"deployment.apps/{service} resource requirements {'updated' if changed else 'unchanged'}\n"


def cpus(text: str) -> float:
    """Read ``1``, ``0.5`` or ``500m``. Raises Refused."""
    try:
        return float(text[:-1]) / 1000 if text.endswith("m") else float(text)
    except ValueError:
        raise Refused(f"'{text}' is not an amount of CPU, like 500m or 1") from None


def exec_(api: Api, words: Sequence[str]) -> tuple[str, int]:
    """``kubectl exec POD -- COMMAND``; returns what it printed and its exit code."""
    line = split(words, {"container": VALUE, "stdin": SWITCH, "tty": SWITCH}, "exec")
    api.check_namespace(line, "pods")
    command = list(line.command or line.operands[1:])
    if not command:
        raise Refused("you must specify at least one command for the container")
    if command[0].rpartition("/")[2] in ("sh", "bash", "ash"):
        raise Refused("there is no shell in this image; run one command: kubectl exec POD -- ls -l /data")
    (pod,) = api.pods(line.operands[:1])
    answer = api.ask({"do": "exec", "replica": pod, "argv": command})
    if answer["code"]:
        api.complain(str(answer["output"]).rstrip("\n"))
        api.complain(f"command terminated with exit code {answer['code']}")
        return "", int(answer["code"])
    return str(answer["output"]), 0


def patch(_: Api, words: Sequence[str]) -> str:
    """``kubectl patch``: the sandbox has no volumes to patch; other things have their own verbs."""
    line = split(words, {"patch": VALUE, "type": VALUE, "p": VALUE}, "patch")
    kind, wanted = things(line)
    if kind == "persistentvolumeclaims":
        raise Refused(f'persistentvolumeclaims "{wanted[0] if wanted else ""}" not found',
                      kind_of_error="Error from server (NotFound): ")  # fmt: skip
    raise Refused("the sandbox's kubectl patches nothing: use scale, set env, set resources or label")


def cordon(_api: Api, _words: Sequence[str]) -> str:
    """``kubectl cordon|uncordon NODE``: refused, because there is one node."""
    raise Refused("the sandbox has one node: cordoned, it could run no new pod")
