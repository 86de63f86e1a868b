"""What `drill doctor` looks at: programs, packages, the kernel's abilities; each with its purpose and remedy."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from drill.core.errors import DrillError
from drill.faults.base import Fault
from drill.faults.registry import faults
from drill.target.sandbox import programs

NEEDED_PYTHON = (3, 11)
PACKAGES = {"envoy": "http-error and the Envoy backend of latency"}
"""Python packages whose absence is not noticed by importing drill."""


@dataclass(frozen=True)
class Check:
    """One thing looked at. ``how`` says how to get it; the sandbox cannot start without an ``essential`` one."""

    name: str
    ok: bool
    purpose: str
    detail: str
    how: str = ""
    essential: bool = False


def program_checks() -> Sequence[Check]:
    """Python, the programs of the sandbox, and packages that bring programs."""
    version = ".".join(map(str, sys.version_info[:3]))
    checks = [
        Check(
            "python", sys.version_info[:2] >= NEEDED_PYTHON, "runs drill", f"{version} ({sys.executable})", "", True
        )
    ]
    for program in programs.REQUIRED:
        found = programs.locate(program.name)
        where = str(found) if found else "not found"
        checks.append(
            Check(program.name, found is not None, program.purpose, where, program.how, program.essential)
        )
    for name, purpose in PACKAGES.items():
        there = find_spec(name) is not None
        how = "install drill again with pip: the package is one of its dependencies"
        checks.append(Check(name, there, purpose, "Python package", how))
    return checks


def fault_checks() -> Sequence[Check]:
    """For each fault the ways it can be made here, found out by trying them. One check says so when none can be."""
    from drill.target.sandbox import SandboxSpec, planned_facts

    try:
        missing = planned_facts(SandboxSpec(rules="", alertmanager="")).missing
    except DrillError as error:
        return [Check("faults", False, "injections", str(error), error.hint)]
    return [
        _fault_check(fault, {str(name): reason for name, reason in missing.items()}) for fault in faults().values()
    ]


def _fault_check(fault: Fault, missing: Mapping[str, str]) -> Check:
    backends = fault.backends(fault.params.model_construct())
    usable = [backend.name for backend in backends if not any(need in missing for need in backend.needs)]
    reasons = {
        f"{backend.name}: {missing[need]}" for backend in backends for need in backend.needs if need in missing
    }
    detail = ", ".join(usable) if usable else "no backend works here"
    return Check(f"fault {fault.name}", bool(usable), fault.summary, detail, "; ".join(sorted(reasons)))


def check_lines(check: Check) -> Sequence[str]:
    """Render one check: mark, name, what was found; what it is for and how to get it when it is missing."""
    mark = "✓" if check.ok else "✗"
    lines = [f"{mark} {check.name:<20} {check.detail}"]
    if not check.ok:
        lines.append(f"    for: {check.purpose}")
    if check.how and not check.ok:
        lines.append(f"    get: {check.how}")
    elif check.how and check.name.startswith("fault "):
        lines.append(f"    not: {check.how}")
    return lines
