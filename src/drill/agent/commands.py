"""Running nft, tc and ip: always with a time limit, always with the program's own words when it fails."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from drill.agent.errors import CommandFailed
from drill.agent.kernel import die_with_parent

TIMEOUT_S = 10.0
PACKAGES = {"nft": "nftables", "tc": "iproute2", "ip": "iproute2"}


def complete_path() -> None:
    """Have the places where distributions keep nft and tc on PATH; a plain user's shell often lacks them."""
    known = os.environ.get("PATH", "").split(":")
    os.environ["PATH"] = ":".join([*known, *(p for p in ("/usr/sbin", "/sbin") if p not in known)])


def run(*command: str, stdin: str = "") -> str:
    """Run *command* with *stdin* and return what it printed. Raises CommandFailed."""
    name = command[0]
    try:
        done = subprocess.run(
            command,
            input=stdin,
            text=True,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
            start_new_session=True,  # a second Ctrl-C must not hit the undo
            preexec_fn=die_with_parent,
        )
    except FileNotFoundError as error:
        raise CommandFailed(f"{name} is not installed (package {PACKAGES.get(name, name)})") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CommandFailed(f"{name}: {error}") from error
    if done.returncode:
        words = " ".join((done.stderr or done.stdout).split())
        raise CommandFailed(f"{name}: {words[:400] or f'exit status {done.returncode}'}")
    return done.stdout


def run_json(*command: str) -> list[dict[str, Any]]:
    """Run *command*, which prints a JSON list of objects. Raises CommandFailed."""
    text = run(*command).strip()
    try:
        rows = json.loads(text or "[]")
    except ValueError as error:
        raise CommandFailed(f"{command[0]} printed no JSON: {text[:200]}") from error
    return [row for row in rows if isinstance(row, dict) and row]
