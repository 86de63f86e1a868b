"""The kind cluster: create, kubeconfig, images, delete. The real ``kind`` does the work.

Owns how kind is called and the folder of a cluster's state. Refuses nothing that kind accepts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from testcluster.engine import STATE, Engine
from testcluster.steps import Failed, Steps, run, succeeds
from testcluster.versions import HERE

CONFIG = HERE.parent.parent / "deploy" / "kind" / "kind.yaml"
_CREATE_S, _DELETE_S, _LOAD_S = 300.0, 120.0, 300.0


@dataclass(frozen=True)
class Cluster:
    """One cluster by its name, on one engine. ``bin`` holds kind and kubectl."""

    name: str
    engine: Engine
    path: str  # PATH on which kind and kubectl are found

    @property
    def state(self) -> Path:
        """Folder of what is known about the running cluster."""
        return STATE / "clusters" / self.name

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig with this cluster alone."""
        return self.state / "kubeconfig"

    @property
    def control_plane(self) -> str:
        """Name of kind's container and node."""
        return f"{self.name}-control-plane"

    @property
    def context(self) -> str:
        """The name by which kubectl and drill know it."""
        return f"kind-{self.name}"

    @property
    def environment(self) -> dict[str, str]:
        """Environment for kind and kubectl, without a word about any other cluster."""
        return {**self.engine.environment, "PATH": self.path, "KUBECONFIG": str(self.kubeconfig)}

    def kind(self, *words: str, timeout: float = 60.0, env: Mapping[str, str] | None = None) -> str:
        """Run kind."""
        return run(["kind", *words, "--name", self.name], env=env or self.environment, timeout=timeout)

    def kubectl(self, *words: str, timeout: float = 60.0, text_in: str | None = None) -> str:
        """Run kubectl against this cluster."""
        return run(["kubectl", *words], env=self.environment, timeout=timeout, text_in=text_in)

    def get(self, *words: str) -> dict[str, object]:
        """``kubectl get … -o json``."""
        found: dict[str, object] = json.loads(self.kubectl("get", *words, "-o", "json"))
        return found

    def exists(self) -> bool:
        """Whether kind knows a cluster of this name."""
        return self.name in run(["kind", "get", "clusters"], env=self.environment).split()

    def answers(self) -> bool:
        """Whether the API server says that it is ready."""
        return succeeds(["kubectl", "get", "--raw", "/readyz", "--request-timeout=3s"], env=self.environment)

    def address(self) -> str:
        """Address of the control plane's node in kind's network."""
        found = json.loads(self.engine.docker("inspect", self.control_plane))[0]
        return str(found["NetworkSettings"]["Networks"]["kind"]["IPAddress"])


def create(cluster: Cluster, image: str | None, steps: Steps) -> None:
    """Create the cluster and wait until its node is ready. *image* None takes the image that kind names."""
    with steps.step(f"kind cluster {cluster.name}") as step:
        cluster.state.mkdir(parents=True, exist_ok=True)
        if cluster.exists():
            if not cluster.kubeconfig.exists():
                cluster.kubeconfig.write_text(cluster.kind("get", "kubeconfig"))
            if cluster.answers():
                step.outcome = "already there"
                return
            raise Failed(f"the cluster {cluster.name} is there but does not answer: `testcluster down` removes it")
        chosen = ["--image", image] if image else []
        cluster.kind("create", "cluster", "--config", str(CONFIG), "--wait", "120s", *chosen, timeout=_CREATE_S)
        cluster.kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=5s")  # kind only warns
        step.outcome = f"context {cluster.context}"


def delete(cluster: Cluster, steps: Steps) -> None:
    """Delete the cluster, and its context from the user's kubeconfig."""
    with steps.step(f"Delete kind cluster {cluster.name}") as step:
        step.outcome = "" if cluster.exists() else "there was none"
        cluster.kind("delete", "cluster", timeout=_DELETE_S, env=_users(cluster))


def export(cluster: Cluster, steps: Steps) -> None:
    """Add the cluster's context to the user's kubeconfig, and leave the user's current context as it was."""
    with steps.step(f"Context {cluster.context} in your kubeconfig"):
        env = _users(cluster)
        before = run(["kubectl", "config", "view", "-o", "jsonpath={.current-context}"], env=env)
        cluster.kind("export", "kubeconfig", env=env)
        if before and before != cluster.context:
            run(["kubectl", "config", "use-context", before], env=env)


def load(cluster: Cluster, archive: Path) -> None:
    """Load an image archive into kind's own nodes."""
    cluster.kind("load", "image-archive", str(archive), timeout=_LOAD_S)


def _users(cluster: Cluster) -> dict[str, str]:
    """The cluster's environment, but with the kubeconfig of the user who called."""
    env = {key: value for key, value in cluster.environment.items() if key != "KUBECONFIG"}
    users = cluster.engine.environment.get("KUBECONFIG")
    return {**env, "KUBECONFIG": users} if users else env
