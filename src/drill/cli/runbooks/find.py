"""Runbooks by name or file, and the alerts that rules make."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from drill.core.errors import UsageError
from drill.core.problems import Problem, did_you_mean
from drill.runbook.model import Runbook
from drill.runbook.parse import load
from drill.scenario.library import shipped


def find_runbook(name: str) -> Runbook:
    """Return the runbook called *name* (or the Markdown file at that path). Raises UsageError."""
    runbook, problems = read(path_of(name))
    if not runbook.text and problems:
        raise UsageError(f"{runbook.file}: {problems[0].message}")
    return runbook


def path_of(name: str) -> Path:
    """Return the file a name or a path means. Raises UsageError."""
    path = Path(name)
    if path.suffix in (".md", ".markdown") or path.is_file():
        if path.is_file():
            return path
        raise UsageError(f"there is no file {name}")
    known = {path.stem: path for path in shipped("runbooks")}
    if name not in known:
        raise UsageError(f"there is no runbook '{name}'", hint=did_you_mean(name, known))
    return known[name]


def read(path: Path) -> tuple[Runbook, Sequence[Problem]]:
    """Read the runbook at *path*. Raises UsageError."""
    try:
        return load(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None


def files_of(names: Sequence[str]) -> list[Path]:
    """Return the runbooks that names, files and folders mean; all there are for none. Raises UsageError."""
    if not names:
        return shipped("runbooks")
    found: list[Path] = []
    for name in names:
        if Path(name).is_dir():
            found += sorted(path for path in Path(name).rglob("*.md") if path.name != "README.md")
        else:
            found.append(path_of(name))
    return found
