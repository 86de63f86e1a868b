"""Findings as they are made: each once, in the order of the checks."""

from __future__ import annotations

from collections.abc import Iterable

from drill.plan.model import Finding


def block(check: str, text: str, fix: str) -> Finding:
    """What forbids the run."""
    return Finding(level="block", check=check, text=text, fix=fix)


def warn(check: str, text: str, fix: str) -> Finding:
    """What may spoil the run."""
    return Finding(level="warn", check=check, text=text, fix=fix)


def info(check: str, text: str, fix: str = "") -> Finding:
    """What is good to know."""
    return Finding(level="info", check=check, text=text, fix=fix)


class Findings:
    """A list that holds each finding once."""

    def __init__(self, found: Iterable[Finding] = ()) -> None:
        self._found: dict[tuple[str, str], Finding] = {}
        self.extend(found)

    def add(self, finding: Finding) -> None:
        """Add one, unless the same was said."""
        self._found.setdefault((finding.check, finding.text), finding)

    def extend(self, found: Iterable[Finding]) -> None:
        """Add several."""
        for finding in found:
            self.add(finding)

    def all(self) -> tuple[Finding, ...]:
        """All of them."""
        return tuple(self._found.values())
