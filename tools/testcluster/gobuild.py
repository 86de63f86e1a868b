"""Builds Go programs from the modules that our go.mod files pin, with nothing but Go and the module proxy.

Owns the calling of ``go build`` and its progress. Keys are over go.mod, go.sum, our own sources and the flags, so
that a changed pin builds anew and an unchanged one costs nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from testcluster.cache import Cache, key_of
from testcluster.steps import Failed, Missing, Step, Steps, run, tail
from testcluster.versions import HERE, SERVERS, kubernetes, pinned, prometheus_release

_PACKAGE = re.compile(r"[\w./~-]+\n")  # a line of `go build -v`; any other is a complaint
_LIST_S = 300.0
# the names that cmd/kube answers to
KUBE = (
    "kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubeadm", "kubectl", "kubelet",
)  # fmt: skip
_DATE = "2026-01-01T00:00:00Z"  # a fixed date: the same sources give the same bytes


@dataclass(frozen=True)
class Build:
    """One ``go build``: packages of the module in ``module`` that come to lie side by side as ``programs``."""

    name: str
    version: str
    module: Path
    programs: dict[str, str]  # program: package
    stamps: dict[str, str] = field(default_factory=dict)  # Go variable: text that the linker puts in
    tags: tuple[str, ...] = ()
    links: tuple[str, ...] = ()  # further names of a single program that acts by its name

    @property
    def flags(self) -> list[str]:
        """Flags of ``go build`` that decide what comes out."""
        stamps = [f"-X {variable}={value}" for variable, value in self.stamps.items()]
        tags = [f"-tags={','.join(self.tags)}"] if self.tags else []
        return ["-trimpath", "-buildvcs=false", f"-ldflags={' '.join(['-s', '-w', *stamps])}", *tags]

    @property
    def key(self) -> str:
        """Key over everything of ours that goes into it."""
        own = [self.module / p.removeprefix("./") for p in self.programs.values() if p.startswith(".")]
        names = [f"{program}={package}" for program, package in sorted(self.programs.items())]
        return key_of(self.module / "go.mod", self.module / "go.sum", self.flags, names, self.links, *own)


def kubernetes_stamps(version: str) -> dict[str, str]:
    """What Kubernetes' own build writes into its programs; without it they call themselves v0.0.0-master."""
    major, minor, _ = version.removeprefix("v").split(".", 2)
    values = {
        "gitVersion": version,
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
        "buildDate": _DATE,
    }
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return {f"{package}.{name}": value for package in packages for name, value in values.items()}


def cluster_builds() -> list[Build]:
    """What the test cluster is made of, the quick ones first."""
    go_mod = HERE / "go.mod"
    version = kubernetes()
    kind = pinned(go_mod, "sigs.k8s.io/kind")
    coredns = pinned(HERE / "coredns" / "go.mod", "github.com/coredns/coredns")
    etcd = "go.etcd.io/etcd/server/v3"
    return [
        Build(
            "parts",
            "1",
            HERE,
            {"pause": "./cmd/pause", "runc-bounded": "./cmd/runc-bounded", "nodenet": "./cmd/nodenet"},
        ),
        Build("kind", kind, HERE, {"kind": "sigs.k8s.io/kind"}),
        Build("etcd", pinned(go_mod, etcd), HERE, {"etcd": etcd}),
        Build("kube", version, HERE, {"kube": "./cmd/kube"}, kubernetes_stamps(version), links=KUBE),
        Build("coredns", coredns, HERE / "coredns", {"coredns": "."}),
        _crictl(HERE / "crictl"),
    ]


def _crictl(module: Path) -> Build:
    version = pinned(module / "go.mod", "sigs.k8s.io/cri-tools")
    stamp = {"sigs.k8s.io/cri-tools/pkg/version.Version": version.removeprefix("v")}
    return Build("crictl", version, module, {"crictl": "sigs.k8s.io/cri-tools/cmd/crictl"}, stamp)


def server_builds() -> list[Build]:
    """The monitoring servers of today's generation; Debian has the one before."""
    prometheus, alertmanager = "github.com/prometheus/prometheus", "github.com/prometheus/alertmanager"
    stamp = "github.com/prometheus/common/version.Version"
    release = prometheus_release(pinned(SERVERS / "prometheus" / "go.mod", prometheus))
    alertmanager_release = pinned(SERVERS / "alertmanager" / "go.mod", alertmanager).removeprefix("v")
    return [
        Build(
            "alertmanager",
            alertmanager_release,
            SERVERS / "alertmanager",
            {"alertmanager": f"{alertmanager}/cmd/alertmanager", "amtool": f"{alertmanager}/cmd/amtool"},
            {stamp: alertmanager_release},
            ("netgo",),
        ),
        Build(
            "prometheus",
            release,
            SERVERS / "prometheus",
            {"prometheus": f"{prometheus}/cmd/prometheus", "promtool": f"{prometheus}/cmd/promtool"},
            {stamp: release},
            ("netgo", "remove_all_sd", "enable_kubernetes_sd"),  # the clouds' SDKs are two thirds of a full build
        ),
    ]


def sloth_build() -> Build:
    """The generator whose rules ours are compared with."""
    sloth = "github.com/slok/sloth"
    release = pinned(SERVERS / "sloth" / "go.mod", sloth).removeprefix("v")
    stamp = {f"{sloth}/internal/info.Version": f"v{release}"}
    return Build("sloth", release, SERVERS / "sloth", {"sloth": f"{sloth}/cmd/sloth"}, stamp)


def obtain(build: Build, cache: Cache, steps: Steps) -> Path:
    """Return the folder with the programs of *build*, built if need be. Raises Failed, Missing (no Go)."""
    with steps.step(f"Go programs {', '.join(build.programs)} ({build.name} {build.version})") as step:
        place, built = cache.obtain(
            f"{build.name}-{build.version}", build.key, lambda out: _compile(build, out, step)
        )
        step.outcome = f"built into {place}" if built else "in the cache"
    return place


def _compile(build: Build, out: Path, step: Step) -> None:
    go = shutil.which("go", path=f"{os.environ.get('PATH', '')}:/usr/local/go/bin")
    if go is None:
        raise Missing("the Go toolchain is not on this machine (https://go.dev/doc/install)")
    env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOOS": "linux", "GOWORK": "off"}
    listing = [go, "list", "-deps", *[flag for flag in build.flags if flag.startswith("-tags")]]
    total = len(run([*listing, *build.programs.values()], env=env, cwd=build.module, timeout=_LIST_S).split())
    for program, package in build.programs.items():
        command = [go, "build", "-v", *build.flags, "-o", str(out / program), package]
        _watch(command, build.module, env, lambda n: step.progress(f"compiled {n} of at most {total} packages"))
        for name in build.links:
            (out / name).symlink_to(program)


def _watch(command: list[str], cwd: Path, env: dict[str, str], report: Callable[[int], None]) -> None:
    """Run ``go build -v``, which names each package that it finishes. A first build takes minutes: no timeout."""
    lines: list[str] = []
    with subprocess.Popen(command, cwd=cwd, env=env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for finished, line in enumerate(process.stderr, start=1):
            report(finished)
            if not _PACKAGE.fullmatch(line):
                lines.append(line)
    if process.returncode != 0:
        raise Failed(f"`{' '.join(command)}` ended with {process.returncode}:\n{tail(''.join(lines))}")
