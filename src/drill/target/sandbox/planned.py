"""What a sandbox will be like, told without starting one: places are fixed, abilities are tried and undone."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from drill.core.errors import Unavailable
from drill.core.facts import ABILITIES, API_ABILITIES, Ability, Facts, Replica, Service
from drill.target.sandbox import cgroups, programs, topology
from drill.target.sandbox.spec import SandboxSpec

ABILITIES_WITHIN_S = 20.0
NO_API: dict[Ability, str] = dict.fromkeys(API_ABILITIES, "the sandbox has no Kubernetes API; use --context")


def planned_facts(spec: SandboxSpec) -> Facts:
    """Return the facts of a sandbox that *spec* would start. Raises Unavailable when abilities cannot be tried."""
    trial = cgroups.create(f"trial-{secrets.token_hex(4)}", ["trial"])
    limits = dict(trial.missing)
    try:
        tried = _tried_abilities(trial.directories("trial"))
    finally:
        cgroups.remove(trial.bases.values())
    return facts_of(spec, limits, {**tried, **limited(limits)})


def facts_of(
    spec: SandboxSpec,
    limits: dict[str, str],
    missing: dict[Ability, str],
    serving: Iterable[topology.Place] | None = None,
) -> Facts:
    """Return the facts for *spec*; ``limits`` maps a cgroup controller that is missing to the reason.

    ``serving`` are the replicas in service; None: those a new sandbox has.
    """
    places = list(topology.places() if serving is None else serving)
    return Facts(
        target="sandbox",
        fast_forward=spec.fast_forward,
        services=tuple(_service(service, limits, places) for service in topology.SERVICES),
        missing={**NO_API, **missing},
        scrape_interval_s=spec.scrape_interval_s,
        evaluation_interval_s=spec.evaluation_interval_s,
        group_wait_s=spec.group_wait_s,
        group_interval_s=spec.group_interval_s,
        chained=spec.chained,
        history_s=spec.history_s,
        exempt=(topology.HOST_ADDRESS,),
        restart_s=spec.restart_delay_s + 0.3,
        client_timeout_s=topology.CLIENT_TIMEOUT_S,
        knows_calls=True,
    )


def limited(limits: dict[str, str]) -> dict[Ability, str]:
    """Return the abilities that are lost with the cgroup controllers in *limits*."""
    lost: dict[Ability, str] = {}
    if "cpu" in limits:
        lost["cgroup-cpu"] = limits["cpu"]
    if "memory" in limits:
        lost["cgroup-memory"] = limits["memory"]
    return lost


def _service(service: topology.DemoService, limits: dict[str, str], places: Iterable[topology.Place]) -> Service:
    replicas = tuple(
        Replica(
            name=each.name,
            service=service.name,
            address=each.address,
            port=topology.SERVE_PORT,
            node="sandbox",
            cpu_limit=0.0 if "cpu" in limits else topology.CPU_LIMIT,
            memory_limit_bytes=0 if "memory" in limits else topology.MEMORY_LIMIT,
            data_path=topology.data_path(each.name),
        )
        for each in places
        if each.service == service.name
    )
    return Service(name=service.name, tier=service.tier, replicas=replicas, calls=service.calls)


def _tried_abilities(groups: list[Path]) -> dict[Ability, str]:
    """Ask the agent, as root as it is, else in a user namespace like the sandbox's own."""
    command = [sys.executable, "-P", "-m", "drill.agent", "abilities"]
    command += [option for group in groups for option in ("--cgroup", str(group))]
    if os.geteuid() != 0:
        unshare = programs.locate("unshare")
        command = [str(unshare or "unshare"), "-Urnm", *command]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=ABILITIES_WITHIN_S,
            env=programs.environment(),
            check=False,
        )
        said = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError) as error:
        raise Unavailable(
            f"it cannot be found out which faults this machine can make: {error}", hint="see `drill doctor`"
        ) from error
    return read_abilities(said)


def read_abilities(said: object) -> dict[Ability, str]:
    """Return what is missing, with its reason, of the JSON object the agent printed."""
    known = said if isinstance(said, dict) else {}
    unknown = "the agent does not know it"
    return {name: str(known.get(name, unknown)) for name in ABILITIES if known.get(name, unknown)}
