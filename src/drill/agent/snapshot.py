"""Everything faults may change at a replica, as text; two snapshots without a fault in between are equal.

So no counters, handles, timeouts, pids or free bytes: only what is configured. What cannot be read is said so.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from drill.agent import cgroups, ipset
from drill.agent.commands import run, run_json
from drill.agent.disk import fillers, open_inside
from drill.agent.errors import CannotApply
from drill.agent.kernel import process_state
from drill.agent.marks import is_ours
from drill.agent.pause import replica_processes


def snapshot(pid: int, root: str, path: str, directories: Sequence[str]) -> dict[str, str]:
    """Return the state by name. Must run inside the replica's network namespace."""
    parts: dict[str, Callable[[], str]] = {"qdiscs": _qdiscs, "nft": _nft, "links": _links, "ipsets": _ipsets}
    for directory in directories:
        parts[f"cgroup {directory}"] = lambda directory=directory: _cgroup(directory)  # type: ignore[misc]
    if pid or directories:
        parts["processes"] = lambda: _processes(pid, directories)
    if path:
        parts["files"] = lambda: _files(root, path)
    return {name: _readable(part) for name, part in parts.items()}


def _readable(part: Callable[[], str]) -> str:
    try:
        return part()
    except (CannotApply, OSError) as error:
        return f"cannot be read: {error}"


def _qdiscs() -> str:
    rows = []
    for row in run_json("tc", "-j", "qdisc", "show"):
        options = {name: value for name, value in row.get("options", {}).items() if not name.endswith("_stat")}
        rows.append(f"{row.get('dev')} {row.get('kind')} {row.get('handle')} {row.get('parent', 'root')} {options}")
    return "\n".join(sorted(rows))


def _nft() -> str:
    # -s: no counters; -t: no elements, which come and go in other people's dynamic sets.
    return run("nft", "-s", "-t", "list", "ruleset").strip()


def _ipsets() -> str:
    return "\n".join(ipset.names(""))


def _links() -> str:
    return "\n".join(sorted(f"{row['ifname']} txqlen {row.get('txqlen')}" for row in run_json("ip", "-j", "link")))


def _cgroup(directory: str) -> str:
    lines = [f"{name} {text}" for name in cgroups.LIMIT_FILES if (text := cgroups.read(directory, name))]
    ours = sum(is_ours(pid) and process_state(pid) not in ("", "Z", "X") for pid in cgroups.members([directory]))
    return "\n".join([*lines, f"processes of drill {ours}"])


def _processes(pid: int, directories: Sequence[str]) -> str:
    members = replica_processes(pid, directories)
    stopped = sum(process_state(member) == "T" for member in members)
    lines = [f"stopped {stopped}"]
    if pid:
        lines.append(f"main process {'runs' if process_state(pid) not in ('', 'Z', 'X') else 'does not run'}")
        lines.append(f"oom_score_adj {_text(f'/proc/{pid}/oom_score_adj')}")
    return "\n".join(lines)


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return "?"


def _files(root: str, path: str) -> str:
    directory = open_inside(root, path)
    try:
        return "\n".join(fillers(directory))
    finally:
        os.close(directory)
