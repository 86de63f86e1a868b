"""What commands and ``cli.wiring`` hand each other: settings in, results out. Data only."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from drill.core.errors import ExitCode

if TYPE_CHECKING:
    from drill.journal.events import AnyEvent
    from drill.plan.model import Occasion, Plan
    from drill.report.model import Report

DEFAULT_OUT = Path("drill-runs")
DEFAULT_FAST_FORWARD = 60.0
"""Windows, ``for`` and group times are divided by this in the sandbox unless ``--real-time``."""


@dataclass(frozen=True)
class RunSettings:
    """How a scenario is to be run.

    ``sets`` holds the scenario's parameters as given (``--service`` included). ``fast_forward`` 1 is real time.
    ``namespace`` and ``as_user`` (``system:serviceaccount:NAMESPACE:NAME``) are for clusters; empty: drill.toml's
    or the kubeconfig's namespace, and the kubeconfig's own rights. ``force`` runs in spite of blocking findings and
    is recorded; ``assume_yes`` skips questions, nothing else.
    """

    sets: Mapping[str, str] = field(default_factory=dict)
    target: str = "sandbox"
    namespace: str = ""
    as_user: str = ""
    out: Path = DEFAULT_OUT
    seed: int = 0
    fast_forward: float = DEFAULT_FAST_FORWARD
    force: bool = False
    assume_yes: bool = False
    allow_activities: bool = False
    """Chaos Toolkit activities of the scenario run without a rule in ``safety.yaml`` that names them."""
    occasion: Occasion = "drill"
    run_dir: Path | None = None
    """The run's folder, where the caller has made it; None: one below ``out``, named after the scenario."""


class CompiledPlan(Protocol):
    """A scenario compiled for a target: nothing has been touched."""

    @property
    def plan(self) -> Plan:
        """The plan as data."""

    @property
    def loaded(self) -> Any:
        """The scenario as it was loaded, for whoever runs it."""

    def close(self) -> None:
        """Let go of what was opened to compile it, when it is not going to be run."""


@dataclass(frozen=True)
class RunResult:
    """One finished run: its directory, its report, the exit code of its verdict."""

    run_dir: Path
    report: Report
    exit_code: int

    def json(self) -> dict[str, Any]:
        """Return the content of ``report.json``."""
        return self.report.model_dump(mode="json", by_alias=True)


@dataclass(frozen=True)
class RecoveredRun:
    """One run that was left open: what was undone, what is still there, with the command that removes it.

    ``note`` says what cannot be known, and why.
    """

    run_dir: Path
    undone: tuple[str, ...] = ()
    remaining: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class RecoverResult:
    """What `drill recover` found. ``sandboxes`` is what was removed of dead sandboxes and in living ones.

    ``remaining`` is what could not be removed, whichever run left it.
    """

    runs: tuple[RecoveredRun, ...] = ()
    sandboxes: tuple[str, ...] = ()
    remaining: tuple[str, ...] = ()

    @property
    def left(self) -> tuple[str, ...]:
        """Everything that is still there, each thing once."""
        return tuple(dict.fromkeys([*self.remaining, *(text for run in self.runs for text in run.remaining)]))

    @property
    def exit_code(self) -> ExitCode:
        """5 when something is left behind, else 0."""
        return ExitCode.UNDO_INCOMPLETE if self.left else ExitCode.PASS


@dataclass(frozen=True)
class AbortResult:
    """What `drill abort` did: ``marker`` is what forbids new runs until it is cleared: a file, or a ConfigMap."""

    marker: Path | str
    stopped: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    remaining: tuple[str, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """5 when something is left behind, else 0."""
        return ExitCode.UNDO_INCOMPLETE if self.remaining else ExitCode.PASS


@dataclass(frozen=True)
class SandboxInfo:
    """A running sandbox: ``urls`` by what they are, in the order to print them."""

    name: str
    pid: int
    fast_forward: float
    urls: Mapping[str, str]
    healthy: bool = True
    note: str = ""


class Wiring(Protocol):
    """The functions of ``drill.cli.wiring``: the only place where adapters meet the engine."""

    def compile_plan(self, name_or_path: str, settings: RunSettings) -> CompiledPlan:
        """Compile; raises ProblemsFound or UsageError; touches nothing."""

    def run(
        self,
        compiled: CompiledPlan,
        settings: RunSettings,
        listener: Callable[[AnyEvent], None],
        abort: threading.Event,
        progress: Callable[[str], None] | None = None,
    ) -> RunResult:
        """Run to the end, undo and report included; raises DrillError when it could not even start.

        *progress* is told in words what is being set up before the journal begins.
        """

    def recover(self, out: Path, run_dir: Path | None, allow_activities: bool = False) -> RecoverResult:
        """Undo what the run in *run_dir*, or every dead run below *out*, left; sweep dead sandboxes."""

    def abort(self, clear: bool) -> AbortResult:
        """Ask every run on this machine to end, and forbid new ones; or with *clear* allow them again."""

    def sandbox_up(self, fast_forward: float, seed: int) -> SandboxInfo:
        """Start a sandbox that outlives this process."""

    def sandbox_status(self) -> Sequence[SandboxInfo]:
        """Return every sandbox of this user that runs, those of runs under way too."""

    def sandbox_down(self, name: str) -> Sequence[str]:
        """End the sandbox *name*; return the names. Raises UsageError for an empty or unknown name."""


def wiring() -> Wiring:
    """Import and return ``drill.cli.wiring``; late, because it brings in everything."""
    import importlib

    return cast("Wiring", importlib.import_module("drill.cli.wiring"))
