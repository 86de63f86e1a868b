"""Small root file systems: programs of a Debian tree with just the libraries that they need.

Owns the copying. Refuses programs that are not there.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from testcluster.steps import Failed, run

_MERGED = ("bin", "sbin", "lib", "lib64")  # links to usr/… in today's Debian
_SONAME = re.compile(r"(/\S+) \(0x")


def install(source: Path, target: Path, mode: int = 0o755) -> None:
    """Copy one file, with the folders above it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


def link(target: Path, to: str) -> None:
    """Make a symbolic link, with the folders above it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(to)


def libraries(ldd: str) -> set[str]:
    """Return the absolute paths in what ``ldd`` printed, the loader among them."""
    return set(_SONAME.findall(ldd))


def closure(root: Path, programs: Sequence[str], target: Path, plugins: Iterable[str] = ()) -> None:
    """Copy *programs* and *plugins* (paths inside *root*) and the libraries of both into *target*.

    Raises Failed for a path that is not there.
    """
    _merged_layout(target)
    wanted = {*programs, *plugins}
    for path in sorted(wanted):
        if not (root / path.lstrip("/")).exists():
            raise Failed(f"{root} has no {path}")
    found = run(["chroot", root, "/usr/bin/ldd", *sorted(wanted)], timeout=60)
    for path in sorted(wanted | libraries(found)):
        real = _inside(root, path)
        install(root / real, target / _usr(path), (root / real).stat().st_mode & 0o777)


def _merged_layout(target: Path) -> None:
    for name in _MERGED:
        (target / "usr" / name).mkdir(parents=True, exist_ok=True)
        if not (target / name).is_symlink():
            (target / name).symlink_to(f"usr/{name}")


def _usr(path: str) -> str:
    """``/lib/x`` and ``/usr/lib/x`` are one file: return the second, without its first slash."""
    relative = path.lstrip("/")
    return f"usr/{relative}" if relative.split("/", 1)[0] in _MERGED else relative


def _inside(root: Path, path: str) -> str:
    """Follow links inside *root*, whose absolute links mean *root*, not this machine."""
    current = _usr(path)
    while (root / current).is_symlink():
        goal = str((root / current).readlink())
        current = _usr(goal) if goal.startswith("/") else os.path.normpath(f"{Path(current).parent}/{goal}")
    return current
