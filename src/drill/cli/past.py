"""Past runs below an output directory, read from their files alone; what cannot be read is said, not hidden."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drill.core.errors import UsageError
from drill.core.problems import did_you_mean


@dataclass(frozen=True)
class PastRun:
    """One run directory. ``report`` is its ``report.json``, empty when there is none that can be read."""

    path: Path
    report: Mapping[str, Any]
    finished: bool

    @property
    def verdict(self) -> str:
        """The verdict; ``unfinished`` while the journal has no end, ``no report`` when only that is missing."""
        if self.report:
            return str(self.report.get("verdict", "unknown"))
        return "no report" if self.finished else "unfinished"

    @property
    def scenario(self) -> str:
        """The scenario's name, from the report or else from the directory's."""
        return str(self.report.get("scenario") or self.path.name.partition("-")[2])


def past_runs(out: Path) -> Sequence[PastRun]:
    """Return the runs below *out*, newest first; empty when there is no such directory."""
    if not out.is_dir():
        return []
    found = [path for path in out.iterdir() if (path / "journal.jsonl").is_file()]
    return [_past_run(path) for path in sorted(found, key=lambda path: path.name, reverse=True)]


def _past_run(path: Path) -> PastRun:
    return PastRun(path, _report(path / "report.json"), _finished(path / "journal.jsonl"))


def _report(file: Path) -> Mapping[str, Any]:
    try:
        report = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return report if isinstance(report, dict) else {}


def _finished(journal: Path) -> bool:
    try:
        return b'"run-finished"' in journal.read_bytes()[-4096:]
    except OSError:
        return False


def find_run(name: str, out: Path) -> Path:
    """Return the directory of a run given as path, as name below *out*, as ``last``, or as the start of a name.

    Raises UsageError.
    """
    with contextlib.suppress(OSError, ValueError):  # too long to be a name, or with a NUL in it
        if (Path(name) / "journal.jsonl").is_file():
            return Path(name)
    runs = [run.path for run in past_runs(out)]
    if name == "last" and runs:
        return runs[0]
    fitting = [path for path in runs if path.name.startswith(name) or path.name.endswith(f"-{name}")]
    if fitting:
        return fitting[0]
    hint = did_you_mean(name, [path.name for path in runs]) if runs else f"there are no runs below {out}/"
    raise UsageError(f"there is no run '{name}'", hint=hint or "`drill runs` lists them")
