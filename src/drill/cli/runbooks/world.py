"""Where a runbook's cells run: a sandbox with its own `kubectl`, or a system of the user's. Owns the processes.

A command gets the environment of a shell against its target and nothing on standard input; it ends with its time.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from drill.cli.cluster import ClusterPlace
from drill.cli.kept import kept_sandbox
from drill.cli.wiring import Running
from drill.core.errors import Unavailable, UsageError
from drill.observe.prometheus import Prometheus
from drill.runbook.answers import Series
from drill.target.sandbox import Sandbox
from drill.target.sandbox.shell import environment

COMMAND_S = 120.0
MAX_OUTPUT = 256 * 1024
SHELLS = {"bash": "bash", "shell": "bash", "sh": "sh", "zsh": "zsh"}

Ask = Callable[[str], Sequence[Series]]


@dataclass
class LiveWorld:
    """A target that is there: see :class:`drill.runbook.walk.World`."""

    target: str
    ask_prometheus: Ask | None
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    fast_forward: float = 1.0

    def ask(self, promql: str) -> Sequence[Series]:
        """Ask Prometheus, now. Raises Unavailable."""
        if self.ask_prometheus is None:
            raise Unavailable("no Prometheus is known here", hint="--prometheus URL names it")
        return self.ask_prometheus(promql)

    def run(self, command: str, language: str, values: Mapping[str, str]) -> tuple[int, str]:
        """Run *command*; what it printed is standard output and error in their order. Raises Unavailable."""
        shell = shutil.which(SHELLS.get(language, "bash"), path=self.environment.get("PATH"))
        if shell is None:
            raise Unavailable(f"there is no {language} on this machine")
        process = subprocess.Popen(
            [shell, "-c", command],
            env={**self.environment, **values},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=COMMAND_S)
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            if isinstance(error, subprocess.TimeoutExpired):
                raise Unavailable(f"the command did not end within {COMMAND_S:g} s") from None
            raise
        return process.returncode, output[:MAX_OUTPUT].decode(errors="replace")


def asking(prometheus: Prometheus) -> Ask:
    """Return what asks *prometheus*."""
    return lambda promql: [
        Series(labels=dict(sample.labels), value=sample.value) for sample in prometheus.query(promql)
    ]


def sandbox_world(sandbox_id: str, prometheus: Prometheus, fast_forward: float) -> LiveWorld:
    """Return the world of a running sandbox. Raises Unavailable."""
    return LiveWorld(f"sandbox {sandbox_id}", asking(prometheus), environment(sandbox_id), fast_forward)


@contextlib.contextmanager
def running_world(running: Running, fast_forward: float) -> Iterator[LiveWorld]:
    """The world of a run's target, sandbox or cluster, while the block lasts. Raises UsageError without a kubectl.

    At a cluster the commands are a person's: this machine's `kubectl` with the rights of the context itself, which
    are others than drill's own (``--as``).
    """
    prometheus, place = running.observer.prometheus, running.compiled.place
    if isinstance(running.target, Sandbox):
        yield sandbox_world(running.target.id, prometheus, fast_forward)
        return
    assert isinstance(place, ClusterPlace), "there are two kinds of places"
    access = place.session.where.access
    with _kubectl_of(access.context, access.kubeconfig) as folder:
        given = {**os.environ, "PATH": f"{folder}:{os.environ.get('PATH', os.defpath)}"}
        yield LiveWorld(f"context {running.target.name}", asking(prometheus), given, fast_forward)


@contextlib.contextmanager
def world_of(target: str, prometheus: str, context: str) -> Iterator[LiveWorld]:
    """The world *target* means: ``sandbox:NAME``, or empty for the system this shell works with.

    *prometheus* is the URL of that system's Prometheus, *context* a context of its kubectl; a sandbox knows both.
    Raises UsageError, Unavailable.
    """
    if target:
        sandbox = kept_sandbox(target)
        if sandbox is None:
            raise UsageError("a fresh sandbox has nothing to mend", hint="--target sandbox:NAME, or prove SCENARIO")
        with contextlib.closing(Prometheus(sandbox.endpoints().prometheus)) as server:
            yield sandbox_world(sandbox.id, server, sandbox.spec.fast_forward)
        sandbox.detach()
        return
    with contextlib.ExitStack() as stack:
        ask = asking(stack.enter_context(contextlib.closing(Prometheus(prometheus)))) if prometheus else None
        given = dict(os.environ)
        if context:
            given["PATH"] = f"{stack.enter_context(_kubectl_of(context))}:{given.get('PATH', os.defpath)}"
        yield LiveWorld(f"kubectl context {context or _current_context()}", ask, given)


@contextlib.contextmanager
def _kubectl_of(context: str, kubeconfig: str = "") -> Iterator[Path]:
    """A folder with a `kubectl` that always speaks to *context*. Raises UsageError."""
    real = shutil.which("kubectl")
    if real is None:
        raise UsageError(f"{context} needs kubectl, and there is none on this machine")
    with tempfile.TemporaryDirectory(prefix="drill-kubectl-") as folder:
        script = Path(folder) / "kubectl"
        fixed = {"--context": context, "--kubeconfig": kubeconfig}
        words = [real, *(f"{option}={value}" for option, value in fixed.items() if value)]
        script.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        script.chmod(0o700)
        yield Path(folder)


def _current_context() -> str:
    try:
        done = subprocess.run(
            ["kubectl", "config", "current-context"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return "(no kubectl on this machine)"
    return done.stdout.strip() or "(none chosen)"
