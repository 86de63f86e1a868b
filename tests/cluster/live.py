"""`drill run` of a process of its own at the demo on the suite's cluster, as tests watch it from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.ground import helper_image

NAMESPACE = "shop"
ENDS_WITHIN_S = 200.0
SCENARIO = """
apiVersion: drill/v1
kind: Scenario
metadata: {name: long, title: One replica of cart, description: "Long enough to do something meanwhile.", owner: tests}
hypothesis: Two replicas of cart carry the load of three.
injections:
  - {id: one, fault: FAULT, target: {service: cart, pods: 1}, with: WITH, for: 60m}
expect:
  alerts:
    - {match: {slo: cart-availability, severity: page}, fires: {within: 90m}}
guardrails: {max_budget_spend: 100%, max_duration: 180m}
"""
"""Windows are fast-forwarded by 60 there: the fault lasts a minute."""


def scenario(folder: Path, fault: str, with_: str) -> Path:
    """Write a scenario whose fault lasts long; alerts do not matter to it (run it with ``--force``)."""
    path = folder / "long.yaml"
    path.write_text(SCENARIO.replace("FAULT", fault).replace("WITH", with_))
    return path


def environment(machine: Path, kubeconfig: str) -> dict[str, str]:
    """The environment of somebody at a machine of their own: state and settings are nobody else's."""
    places = {name: str(machine / name.lower()) for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")}
    return {**os.environ, **places, "KUBECONFIG": kubeconfig, "DRILL_HELPER_IMAGE": helper_image()}


def drill(machine: Path, kubeconfig: str, *words: str, timeout: float = 240.0) -> subprocess.CompletedProcess[str]:
    """Run drill to its end."""
    return subprocess.run(
        [sys.executable, "-m", "drill", *words],
        env=environment(machine, kubeconfig), capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip


@dataclass
class Live:
    """A run that goes on."""

    process: subprocess.Popen[str]
    out: Path
    log: Path

    def events(self) -> list[Mapping[str, Any]]:
        """What stands in its journal so far."""
        found = list(self.out.glob("*/journal.jsonl"))
        lines = found[0].read_text().splitlines() if found else []
        return [json.loads(line) for line in lines if line.endswith("}")]

    def until(self, kind: str, within_s: float = 120.0) -> Mapping[str, Any]:
        """Wait for the first event of *kind*."""
        until = time.monotonic() + within_s
        while True:
            for event in self.events():
                if event.get("kind") == kind:
                    return event
            assert self.process.poll() is None, f"it ended: {self.said()}"
            assert time.monotonic() < until, f"no {kind} within {within_s:g} s: {self.said()}"
            time.sleep(0.2)

    def end(self) -> tuple[int, str]:
        """Wait for its end; return exit status and what it said."""
        return self.process.wait(ENDS_WITHIN_S), self.said()

    def said(self) -> str:
        """All it has said."""
        return self.log.read_text()


@contextmanager
def running(machine: Path, kubeconfig: str, context: str, what: str | Path, *words: str) -> Iterator[Live]:
    """Start `drill run` of the scenario *what* at the demo; whatever happens it has ended when this is left."""
    out, log = machine / "runs", machine / "log"
    machine.mkdir(parents=True, exist_ok=True)
    command: Sequence[str] = (
        sys.executable, "-m", "drill", "run", str(what), "--context", context, "--namespace", NAMESPACE, "--yes",
        "--out", str(out), *words,
    )  # fmt: skip
    with log.open("w") as file:
        process = subprocess.Popen(
            command, env=environment(machine, kubeconfig), stdout=file, stderr=file, text=True
        )
    try:
        yield Live(process, out, log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait()
