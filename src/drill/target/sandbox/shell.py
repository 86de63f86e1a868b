"""A shell against one sandbox: its `kubectl` stands first on PATH, and its variables are set.

Whoever runs a runbook's commands against a sandbox, or gives a trainee a terminal, takes its environment from here:
then `kubectl` means the sandbox, and no command reaches a cluster by accident.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from drill.core.errors import Unavailable
from drill.target.sandbox import leftovers
from drill.target.sandbox.kubectl.objects import NAMESPACE

VARIABLE = "DRILL_SANDBOX"
"""Names the sandbox that the `kubectl` on PATH talks to."""
_FORGOTTEN = ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", leftovers.MARKER)
"""Nothing of a cluster, and not the mark of the sandbox's own processes."""


def environment(sandbox: str, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a shell against the running *sandbox*, made from *base* (this process's own).

    Writes the `kubectl` into the sandbox's runtime directory, which goes when the sandbox goes. Sets ``NAMESPACE``
    and ``DATA``; other variables of a runbook (``SERVICE``, ``POD``) are its caller's. Raises Unavailable.
    """
    directory = leftovers.runtime_directory(sandbox)
    if directory is None:
        raise Unavailable(f"there is no sandbox {sandbox}", hint="`drill sandbox status` lists them")
    given = dict(os.environ if base is None else base)
    kept = {name: value for name, value in given.items() if name not in _FORGOTTEN}
    path = f"{_commands(directory)}:{kept.get('PATH', os.defpath)}"
    return {**kept, "PATH": path, VARIABLE: sandbox, "NAMESPACE": NAMESPACE, "DATA": "/data"}


def _commands(directory: Path) -> Path:
    """Return the folder with the sandbox's `kubectl`, writing it the first time."""
    folder = directory / "bin"
    folder.mkdir(mode=0o700, exist_ok=True)
    script = folder / "kubectl"
    if not script.exists():
        fresh = folder / f".kubectl-{os.getpid()}"
        fresh.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -P -m drill.target.sandbox.kubectl "$@"\n')
        fresh.chmod(0o700)
        fresh.rename(script)
    return folder
