"""drill's commands at the demo's shop on the suite's own cluster, as people type them; and what must not change there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from testcluster.kind import Cluster
from testcluster.lifecycle import Options, find
from testcluster.steps import Failed, Missing, Steps

from drill.cli.demo import Chosen
from drill.target.demo import deploy
from drill.target.demo.spec import IMAGE, MONITORING_IMAGE
from drill.target.kubernetes import install, manifests, objects, paths
from drill.target.kubernetes.api import Api
from drill.target.kubernetes.failures import NotThere

NAMESPACE, MONITORING = "shop", "monitoring"
WATCHED = ("Deployment", "Service", "Pod")


@dataclass(frozen=True)
class Shop:
    """The demo, its cluster, and a folder of the test's own to call drill in."""

    cluster: Cluster
    admin: Api

    def call(self, program: str, *words: str, cwd: Path, env: Mapping[str, str] | None = None) -> Said:
        """Run *program* (drill, kubectl, chaos) knowing this cluster alone."""
        scripts = str(Path(sys.executable).parent)
        environment = {**os.environ, **self.cluster.environment, "KUBECONFIG": str(self.cluster.kubeconfig)}
        environment["PATH"] = f"{scripts}:{environment['PATH']}"
        done = subprocess.run(
            [program, *words], cwd=cwd, env=environment | dict(env or {}), capture_output=True, text=True,
            timeout=300, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return Said(done.returncode, done.stdout, done.stderr)

    def drill(
        self, *words: str, cwd: Path, namespace: str = NAMESPACE, env: Mapping[str, str] | None = None
    ) -> Said:
        """Run drill at this cluster's context and *namespace*."""
        where = ("--context", self.cluster.context, "--namespace", namespace)
        return self.call("drill", *words, *where, cwd=cwd, env=env)

    def state(self, *namespaces: str) -> dict[str, Any]:
        """Everything a drill could change there: objects with their generation and annotations, and the nodes."""
        found: dict[str, Any] = {}
        for namespace in namespaces:
            for kind in WATCHED:
                found |= self._all(kind, namespace)
        for node in self.admin.list(paths.NODES, objects.Node).items:
            found[f"node {node.name}"] = (node.spec.unschedulable, dict(node.metadata.annotations))
        return found

    def own(self) -> set[str]:
        """Drill's own things by name: leases, the abort marker, helper pods."""
        return {name for kind in ("Pod", "Lease", "ConfigMap") for name in self._all(kind, paths.SYSTEM)}

    def _all(self, kind: str, namespace: str) -> dict[str, Any]:
        every = self.admin.list(paths.all_of(kind, namespace), objects.Thing).items
        return {
            f"{kind} {namespace}/{one.name}": (one.metadata.uid, one.metadata.generation, one.metadata.annotations)
            for one in every
        }


@dataclass(frozen=True)
class Said:
    """How a command ended and what it wrote."""

    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"exit {self.code}\n{self.out}\n{self.err}"


def opened() -> Cluster:
    """The suite's own cluster; skips where there is none."""
    try:
        return find(Options(name="drill", export=False), Steps(quiet=True))
    except (Failed, Missing) as error:
        pytest.skip(str(error))


def shop(admin: Api, namespaces: Sequence[str] = (NAMESPACE,)) -> Iterator[Shop]:
    """The demo as it runs there already, else one that goes again with the tests."""
    spec = Chosen(NAMESPACE, MONITORING, IMAGE, MONITORING_IMAGE, 60.0).spec()
    try:
        admin.get(paths.namespace(NAMESPACE), objects.Thing)
        ours = False
    except NotThere:
        deploy.deploy(admin, spec, print)
        ours = True
    list(install.install(admin, manifests.Wanted(tuple(namespaces), (MONITORING,), nodes=True)))
    try:
        yield Shop(opened(), admin)
    finally:
        if ours:
            deploy.remove(admin, spec, print)
