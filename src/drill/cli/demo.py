"""What `drill demo` does: the alert path of prometheus/, the demo made of it, a cluster that was named.

The only place where the demo meets the alert path and the API.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from drill.cli.alertpath import alert_path
from drill.cli.cluster import where
from drill.cli.console import Console
from drill.cli.settings import RunSettings
from drill.core.errors import UsageError
from drill.target.demo import deploy, layout
from drill.target.demo.spec import DemoSpec, sink_url
from drill.target.kubernetes.api import Api
from drill.target.sandbox.topology import BY_NAME, CPU_LIMIT

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")  # RFC 1123's label


@dataclass(frozen=True)
class Chosen:
    """What the user chose. ``nodes``: texts like ``KEY=VALUE`` or ``SERVICE:KEY=VALUE``."""

    namespace: str
    monitoring: str
    image: str
    monitoring_image: str
    fast_forward: float
    nodes: Sequence[str] = ()
    load: float = 1.0
    cpu_limit: float = CPU_LIMIT

    def spec(self) -> DemoSpec:
        """The demo that this is. Raises UsageError, ProblemsFound."""
        for name in (self.namespace, self.monitoring):
            if not _NAME.fullmatch(name):
                raise UsageError(f"'{name}' is no name for a namespace", hint="lower case letters, digits and -")
        if self.namespace == self.monitoring:
            raise UsageError("the demo needs two namespaces, one for the services and one for the monitoring")
        path = alert_path(self.fast_forward, sink_url(self.monitoring))
        return DemoSpec(
            alerts=path.sandbox_spec(self.fast_forward, seed=0),
            namespace=self.namespace,
            monitoring=self.monitoring,
            image=self.image,
            monitoring_image=self.monitoring_image,
            node_selectors=node_selectors(self.nodes),
            load=self.load,
            cpu_limit=self.cpu_limit,
        )


def node_selectors(texts: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
    """Read ``KEY=VALUE`` (all services) and ``SERVICE:KEY=VALUE``; the latter wins. Raises UsageError."""
    for_all: dict[str, str] = {}
    own: dict[str, dict[str, str]] = {}
    for text in texts:
        service, colon, label = text.rpartition(":")
        key, equals, value = label.partition("=")
        if not equals or not key or (colon and service not in BY_NAME):
            raise UsageError(
                f"--node-selector {text}: expected KEY=VALUE or SERVICE:KEY=VALUE",
                hint=f"services: {', '.join(BY_NAME)}",
            )
        (own.setdefault(service, {}) if colon else for_all)[key] = value
    found = {name: own.get(name, for_all) for name in BY_NAME}
    return {name: labels for name, labels in found.items() if labels}


def put(chosen: Chosen, context: str, console: Console) -> None:
    """Deploy, and say what there is now. Raises DrillError."""
    spec, api = chosen.spec(), _api(context)
    try:
        took = deploy.deploy(api, spec, console.say)
    finally:
        api.close()
    console.say(
        f"the demo runs: pods ready after {took.ready_s:.0f} s, users answered and SLIs there after"
        f" {took.samples_s:.0f} s, fast-forward {chosen.fast_forward:g}",
        "green",
    )
    console.say(
        f"  try: drill run latency-spike --service checkout --context {context} --namespace {chosen.namespace}"
    )


def take_away(chosen: Chosen, context: str, console: Console) -> None:
    """Remove, and say so. Raises DrillError."""
    api = _api(context)
    try:
        there = deploy.remove(api, chosen.spec(), console.say)
    finally:
        api.close()
    console.say("the demo is gone, nothing of it is left" if there else "there was no demo")


def _api(context: str) -> Api:
    return Api(where(RunSettings(target=context)).access)


def files(chosen: Chosen) -> Mapping[str, str]:
    """The kustomize folder: as chosen at the top, real windows in the overlay."""
    real = Chosen(**{**vars(chosen), "fast_forward": 1.0})
    return layout.tree(chosen.spec(), real.spec())


def write(files_: Mapping[str, str], folder: Path) -> None:
    """Write the files below *folder*. Raises UsageError."""
    for path, text in files_.items():
        target = folder / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{target} cannot be written: {error.strerror}") from None


def differing(files_: Mapping[str, str], folder: Path) -> list[str]:
    """Return the paths whose file below *folder* is absent or another."""
    return [path for path, text in files_.items() if not _same(folder / path, text)]


def _same(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == text
    except (OSError, UnicodeDecodeError):
        return False
