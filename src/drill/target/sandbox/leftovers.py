"""Runtime directories of sandboxes, who is alive, and the removal of what dead ones left.

A sandbox is alive while its keeper holds a lock on ``<runtime dir>/lock``; the kernel lets go of it when the
keeper dies, so no PID is ever trusted. Every process of a sandbox carries its id in its environment.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from drill.target.sandbox import cgroups

MARKER = "DRILL_SANDBOX_ID"
PREFIX = "drill-sandbox-"
CONTROL = "control.sock"
LOGS = ("keeper.log", "init.log", "prometheus.log", "alertmanager.log")
_FRESH_S = 30.0
"""A directory younger than this may belong to a sandbox that is just starting."""


def runtime_root() -> Path:
    """Where a new runtime directory goes: the user's runtime directory, else ``/tmp``."""
    given = os.environ.get("XDG_RUNTIME_DIR", "")
    if given and len(given) < 60 and os.access(given, os.W_OK):  # a unix socket's path is at most 107 bytes
        return Path(given)
    return Path("/tmp")  # nosec B108  # mode 0700, random name, made with mkdir


def runtime_roots() -> list[Path]:
    """All places where this user's sandboxes may have put theirs."""
    candidates = [runtime_root(), Path(f"/run/user/{os.getuid()}"), Path("/tmp")]  # nosec B108 - the same
    return list(dict.fromkeys(each for each in candidates if each.is_dir()))


def runtime_directory(sandbox: str) -> Path | None:
    """The runtime directory of *sandbox*, if there is one."""
    found = (root / f"{PREFIX}{sandbox}" for root in runtime_roots())
    return next((each for each in found if each.is_dir()), None)


def make_runtime_directory(sandbox: str) -> tuple[Path, int]:
    """Make the directory and take its lock; return both (the lock as a file descriptor). Raises OSError."""
    path = runtime_root() / f"{PREFIX}{sandbox}"
    path.mkdir(mode=0o700)
    (path / "run").mkdir(mode=0o700)
    lock = os.open(path / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return path, lock


def write_bases(directory: Path, bases: Iterable[Path]) -> None:
    """Note the cgroup directories of a sandbox, for whoever removes them after its keeper's death."""
    (directory / "cgroups").write_text("".join(f"{base}\n" for base in dict.fromkeys(bases)))


def remove_runtime(directory: Path) -> list[Path]:
    """Remove a dead sandbox's cgroups and its runtime directory; return the cgroups that could not go."""
    left: list[Path] = []
    with contextlib.suppress(OSError):
        noted = (directory / "cgroups").read_text().splitlines()
        left = cgroups.remove(Path(line) for line in noted if f"/{cgroups.DIRECTORY_PREFIX}" in line)
    shutil.rmtree(directory, ignore_errors=True)
    return left


def _mine() -> Iterator[Path]:
    for root in runtime_roots():
        for path in root.glob(f"{PREFIX}*"):
            with contextlib.suppress(OSError):
                if path.is_dir() and not path.is_symlink() and path.stat().st_uid == os.getuid():
                    yield path


def _locked(path: Path) -> bool:
    try:
        lock = os.open(path / "lock", os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def _is_fresh(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime < _FRESH_S
    except OSError:
        return False


def running() -> list[str]:
    """Ids of this user's sandboxes whose keeper lives."""
    return sorted(path.name.removeprefix(PREFIX) for path in _mine() if _locked(path))


def processes(sandbox: str) -> list[int]:
    """Processes that carry the id of *sandbox* in their environment (those this user may look at)."""
    needle = f"{MARKER}={sandbox}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if needle in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return sorted(found)


def left_of(sandbox: str) -> list[str]:
    """Everything that can still be seen of *sandbox*, in words; empty when it vanished without trace."""
    left = [f"process {pid}" for pid in processes(sandbox)]
    left += [f"cgroup {path}" for path in cgroups.existing() if path.name == PREFIX + sandbox]
    directory = runtime_directory(sandbox)
    return [*left, f"directory {directory}"] if directory else left


def sweep() -> list[str]:
    """Remove what sandboxes without a living keeper left; return what was removed, in words."""
    removed: list[str] = []
    alive = set(running())
    for path in _mine():
        fresh_without_lock = not (path / "lock").exists() and _is_fresh(path)
        if path.name.removeprefix(PREFIX) not in alive and not fresh_without_lock and not _locked(path):
            remove_runtime(path)
            removed.append(f"directory {path}")
    for base in list(cgroups.existing()):
        sandbox = base.name.removeprefix(cgroups.DIRECTORY_PREFIX)
        if sandbox in alive or _is_fresh(base) or processes(sandbox):
            continue
        if not cgroups.remove([base]):
            removed.append(f"cgroup {base}")
    return removed
