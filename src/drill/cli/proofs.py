"""Files the look-back commands read: alert rules, runs by way of the index, and the proofs of runbooks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from drill.alerting.rulefile import Group, read_groups
from drill.core.clock import parse_rfc3339
from drill.core.errors import ProblemsFound, UsageError
from drill.core.problems import Problem
from drill.history.policy import Proof
from drill.scenario.library import shipped, shipped_roots

PROOFS = "proofs"
"""Folder below ``--out`` with one ``<runbook>.json`` for each runbook: `drill runbook prove` writes them."""


def alert_rules(files: Sequence[str]) -> list[Group]:
    """Read the rule groups of *files*, else of ``prometheus/*.yaml``. Raises UsageError, ProblemsFound."""
    paths = [Path(file) for file in files] or _shipped_rules()
    groups: list[Group] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            found, wrong = read_groups(path.read_text(), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path} cannot be read: {getattr(error, 'strerror', '') or error}") from None
        groups += found
        problems += wrong
    if problems:
        raise ProblemsFound(problems)
    if not any(rule.alert for group in groups for rule in group.rules):
        raise UsageError("there are no alert rules", hint="--rules FILE names a Prometheus rule file")
    return groups


def _shipped_rules() -> list[Path]:
    for root in shipped_roots("prometheus"):
        found = [path for path in sorted(root.glob("*.yaml")) if "\ngroups:" in f"\n{path.read_text()}"]
        if found:
            return found
    raise UsageError("no prometheus/*.yaml with rule groups was found", hint="--rules FILE names a rule file")


def runbook_proofs(out: Path) -> Mapping[str, Proof]:
    """Return the latest good proof of every runbook (by name) below *out*; files that are none are left out.

    A proof is JSON: ``runbook`` (name), ``runbook_sha256``, ``at`` (RFC 3339) and ``result`` (``proven``).
    """
    hashes = {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in shipped("runbooks")}
    found: dict[str, Proof] = {}
    for path in sorted((out / PROOFS).glob("*.json")):
        try:
            data = json.loads(path.read_text())
            name, at = str(data["runbook"]), parse_rfc3339(data["at"])
            good = data["result"] in ("proven", "pass")
            proof = Proof(at, current=data["runbook_sha256"] == hashes.get(name))
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if good and (name not in found or found[name].at < at):
            found[name] = proof
    return found


def wanted_runbooks() -> Mapping[str, str]:
    """Return every runbook that a scenario names, with one such scenario."""
    from drill.faults.registry import parameter_models
    from drill.scenario.loader import load

    wanted: dict[str, str] = {}
    for path in shipped("scenarios"):
        scenario = load(path, faults=parameter_models(), placeholders=True).scenario
        if scenario is not None and scenario.runbook:
            wanted.setdefault(scenario.runbook, scenario.metadata.name)
    return wanted
