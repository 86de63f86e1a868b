"""Where built things lie: one folder each, named by what it is and by a key over all that went into it.

Owns the user's cache folder. A folder is either whole or absent: it is made under another name and renamed, under a
lock, so that two commands at once build a thing once. Nothing here knows what is built.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

_KEY_DIGITS = 12


def user_cache() -> Path:
    """The user's cache folder for drill: ``$XDG_CACHE_HOME/drill`` or ``~/.cache/drill``."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "drill"


def key_of(*parts: str | Path | Iterable[str]) -> str:
    """Return a short key over texts, lists of texts, files and whole folders (names, modes, links and contents)."""
    digest = hashlib.sha256()
    for part in parts:
        for item in _items(part):
            digest.update(len(item).to_bytes(8, "big"))
            digest.update(item)
    return digest.hexdigest()[:_KEY_DIGITS]


def _items(part: str | Path | Iterable[str]) -> Iterable[bytes]:
    if isinstance(part, str):
        yield part.encode()
    elif isinstance(part, Path):
        paths = sorted(p for p in part.rglob("*") if "__pycache__" not in p.parts) if part.is_dir() else [part]
        for path in paths:
            yield path.relative_to(part).as_posix().encode()
            if path.is_symlink():
                yield str(path.readlink()).encode()
            elif path.is_file():
                yield f"{path.stat().st_mode & 0o111:o}".encode() + path.read_bytes()
    else:
        yield from (each.encode() for each in part)


@dataclass(frozen=True)
class Cache:
    """Built things below ``root``."""

    root: Path

    def place(self, name: str, key: str) -> Path:
        """Where the thing *name* made from *key* is, or will be."""
        return self.root / f"{name}-{key}"

    def obtain(self, name: str, key: str, build: Callable[[Path], None]) -> tuple[Path, bool]:
        """Return the folder and whether it had to be built. *build* fills the empty folder that it is given."""
        place = self.place(name, key)
        if place.is_dir():
            return place, False
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / f".{place.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if place.is_dir():  # another command built it while this one waited
                return place, False
            draft = self.root / f".{place.name}.draft"
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir()
            build(draft)
            draft.rename(place)
        return place, True
