"""Where scenarios, runbooks and rules are found: in the current directory first, then those that came with drill.

Owns names and folders, not contents. Refuses names that climb out of a folder: a file elsewhere is given by
its path, with its ending.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import drill
from drill.core.errors import UsageError
from drill.core.problems import did_you_mean

Kind = Literal["scenarios", "runbooks", "prometheus", "schemas", "drills"]

ENDINGS: dict[str, tuple[str, ...]] = {
    "scenarios": (".yaml", ".yml"), "drills": (".yaml", ".yml"), "prometheus": (".yaml", ".yml"),
    "runbooks": (".md",), "schemas": (".json",),
}  # fmt: skip


def packaged_root(kind: Kind) -> Path | None:
    """Return the folder that came with drill: inside the wheel, or in the repository it is installed from."""
    package = Path(drill.__file__).resolve().parent
    shipped = package / "shipped" / kind
    if shipped.is_dir():
        return shipped
    repository = package.parent.parent
    folder = repository / kind
    return folder if (repository / "pyproject.toml").is_file() and folder.is_dir() else None


def shipped_roots(kind: Kind = "scenarios", *, cwd: Path | None = None) -> list[Path]:
    """Return the folders to look in: *kind* in the current directory, if it is there, then the packaged one."""
    own = (cwd or Path.cwd()) / kind
    packaged = packaged_root(kind)
    roots = [own] if own.is_dir() else []
    if packaged is not None and not (roots and own.samefile(packaged)):
        roots.append(packaged)
    return roots


def shipped(kind: Kind, *, cwd: Path | None = None) -> list[Path]:
    """Return every file of *kind*, sorted by name; of two with one name, the current directory's counts."""
    return listed(shipped_roots(kind, cwd=cwd), ENDINGS[kind])


def listed(roots: Sequence[Path], endings: Sequence[str]) -> list[Path]:
    """Return the files with one of *endings* in *roots*, the first root winning; no READMEs, no hidden files."""
    found: dict[str, Path] = {}
    for root in roots:
        for path in root.iterdir():
            if path.suffix in endings and path.is_file() and not path.name.startswith((".", "README")):
                found.setdefault(path.stem, path)
    return [found[name] for name in sorted(found)]


def find(
    name_or_path: str,
    roots: Sequence[Path],
    *,
    endings: Sequence[str] = ENDINGS["scenarios"],
    what: str = "scenario",
) -> Path:
    """Return the file that *name_or_path* means: a path when it has one of *endings*, else a name in *roots*.

    Raises UsageError for an unknown name, a file that is not there, and a name with a path in it.
    """
    if name_or_path.endswith(tuple(endings)):
        path = Path(name_or_path)
        if path.is_file():
            return path
        raise UsageError(f"there is no file {name_or_path}", hint=_hint(path.stem, roots, endings, what))
    known = {path.stem: path for path in listed(roots, endings)}
    if name_or_path in known:
        return known[name_or_path]
    if "/" in name_or_path or "\\" in name_or_path or name_or_path in ("", ".", ".."):
        raise UsageError(
            f"'{name_or_path}' is not the name of a {what}",
            hint=f"a name has no slashes; the path of a file ends in {' or '.join(endings)}",
        )
    raise UsageError(f"unknown {what} '{name_or_path}'", hint=_hint(name_or_path, roots, endings, what))


def find_all(names_or_paths: Iterable[str], kind: Kind, *, cwd: Path | None = None) -> list[Path]:
    """Return the file of each of *names_or_paths*, every file of *kind* when there are none. Raises UsageError."""
    wanted = list(names_or_paths)
    if not wanted:
        return shipped(kind, cwd=cwd)
    roots = shipped_roots(kind, cwd=cwd)
    return [find(one, roots, endings=ENDINGS[kind], what=kind.removesuffix("s")) for one in wanted]


def _hint(name: str, roots: Sequence[Path], endings: Sequence[str], what: str) -> str:
    known = [path.stem for path in listed(roots, endings)]
    if not known:
        return f"no {what}s were found in {', '.join(map(str, roots)) or f'./{what}s'}"
    return did_you_mean(name[:80], known)
