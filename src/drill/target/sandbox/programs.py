"""The programs the sandbox needs: what for, where they are, and how to get them without root.

Looked for in ``DRILL_<NAME>``, on PATH (and the ``sbin`` directories a plain user's PATH lacks), then in drill's
own cache, where :func:`fetch` unpacks Debian packages. The servers' packages are never installed: installing
them would start them on public ports.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from drill.core.errors import Unavailable

_SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin")
_DOWNLOAD_S = 300.0
_ASK_S = 30.0


@dataclass(frozen=True)
class Program:
    """One program. ``package`` is Debian's; ``own_libraries``: it needs shared libraries that may be absent."""

    name: str
    binaries: tuple[str, ...]
    package: str
    purpose: str
    own_libraries: bool = False
    essential: bool = True

    @property
    def how(self) -> str:
        """How to get it, in words."""
        if self.package.startswith("prometheus"):
            return f"`drill doctor --fix` unpacks Debian's {self.package} into your cache; no root is needed"
        return f"`apt-get install {self.package}` as root, or `drill doctor --fix` unpacks it into your cache"


REQUIRED = (
    Program("prometheus", ("prometheus",), "prometheus", "scrapes the services and evaluates the alert rules"),
    Program(
        "alertmanager", ("alertmanager", "prometheus-alertmanager"), "prometheus-alertmanager", "routes the alerts"
    ),
    Program("ip", ("ip",), "iproute2", "joins the replicas' network namespaces", own_libraries=True),
    Program("tc", ("tc",), "iproute2", "netem and bandwidth faults", own_libraries=True, essential=False),
    Program("nft", ("nft",), "nftables", "all network faults", own_libraries=True, essential=False),
    Program("stress-ng", ("stress-ng",), "stress-ng", "cpu and memory faults", own_libraries=True, essential=False),
)
_BY_NAME = {program.name: program for program in REQUIRED}


def cache_root() -> Path:
    """Where packages are unpacked."""
    return Path(platformdirs.user_cache_path("drill")) / "programs"


def search_path(cache: Path | None = None) -> list[str]:
    """Directories in which programs are looked for, in order."""
    root = cache or cache_root()
    own = [str(root / each) for each in ("usr/bin", "usr/sbin", "bin", "sbin")]
    beside = [str(Path(sys.executable).parent)]  # a virtual environment's Envoy
    return list(dict.fromkeys([*os.environ.get("PATH", "").split(":"), *_SBIN, *beside, *own]))


def locate(name: str, cache: Path | None = None) -> Path | None:
    """Return the program called *name*, of ``REQUIRED`` or any, or None; ``DRILL_PROMETHEUS`` and the like win."""
    binaries = _BY_NAME[name].binaries if name in _BY_NAME else (name,)
    given = os.environ.get(f"DRILL_{name.upper().replace('-', '_')}")
    if given:
        return Path(given) if os.access(given, os.X_OK) else None
    path = ":".join(search_path(cache))
    found = (shutil.which(binary, path=path) for binary in binaries)
    return next((Path(each) for each in found if each), None)


def find(name: str) -> Path:
    """Return the program called *name*. Raises Unavailable with how to get it."""
    found = locate(name)
    if found is None:
        program = _BY_NAME[name]
        raise Unavailable(f"{program.binaries[0]} was not found: it {program.purpose}", hint=program.how)
    return found


def missing(essential_only: bool = False) -> list[Program]:
    """The programs that are not there."""
    return [each for each in REQUIRED if locate(each.name) is None and (each.essential or not essential_only)]


def environment(cache: Path | None = None) -> dict[str, str]:
    """This process's environment with the programs and libraries of the cache in reach."""
    root = cache or cache_root()
    environment = {**os.environ, "PATH": ":".join(search_path(root))}
    libraries = [str(path) for path in library_directories(root)]
    if libraries:
        before = os.environ.get("LD_LIBRARY_PATH", "")
        environment["LD_LIBRARY_PATH"] = ":".join([*libraries, *([before] if before else [])])
    return environment


def library_directories(root: Path) -> list[Path]:
    """Directories below *root* that hold shared libraries."""
    found = {path.parent for base in ("usr/lib", "lib") for path in (root / base).glob("*/lib*.so*")}
    return sorted(found)


def is_prometheus_3(binary: Path) -> bool:
    """True for Prometheus 3 and later. Raises Unavailable when it does not even say its version."""
    return _prometheus_major(_run([str(binary), "--version"], _ASK_S, environment())) >= 3


def _prometheus_major(text: str) -> int:
    match = re.search(r"version v?(\d+)\.", text)
    return int(match[1]) if match else 0


def fetch(
    names: Iterable[str] | None = None,
    on_progress: Callable[[str], None] | None = None,
    cache: Path | None = None,
) -> list[Path]:
    """Download the Debian packages of *names* (default: what is missing) and unpack them into the cache.

    Neither needs root nor installs anything. Returns the programs found afterwards. Raises Unavailable when
    apt-get or dpkg is absent, or a package cannot be had.
    """
    root = cache or cache_root()
    wanted = [_BY_NAME[name] for name in names] if names is not None else missing()
    packages = list(dict.fromkeys(package for program in wanted for package in _packages(program)))
    if packages:
        if on_progress is not None:
            on_progress(f"unpacking into {root} from Debian's packages: {', '.join(packages)}")
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="archives-", dir=root) as archives:
            _unpack(packages, Path(archives), root)
    found = {program.name: locate(program.name, root) for program in wanted}
    absent = [name for name, path in found.items() if path is None]
    if absent:
        raise Unavailable(f"still not found after unpacking: {', '.join(absent)}")
    return [path for path in found.values() if path is not None]


def _packages(program: Program) -> list[str]:
    """The program's package and the libraries it needs, directly or not, that are not installed."""
    wanted, new = [program.package], [program.package] if program.own_libraries else []
    while new:
        named = libraries_in(_run(["apt-cache", "depends", *new], _ASK_S))
        new = [name for name in named if name not in wanted and not _installed(name)]
        wanted += new
    return wanted


def libraries_in(depends: str) -> list[str]:
    """The library packages that ``apt-cache depends`` says are needed, each once."""
    lines = re.findall(r"^ +(?:Pre)?Depends: (lib[a-z0-9.+-]+)$", depends, re.MULTILINE)
    return list(dict.fromkeys(lines))


def _installed(package: str) -> bool:
    command = ["dpkg-query", "-W", "-f", "${Status}", package]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_ASK_S, check=False)
    except OSError:
        return False
    return done.stdout.endswith(" installed")


def _unpack(packages: list[str], archives: Path, root: Path) -> None:
    _run(["apt-get", "download", "-q", *packages], _DOWNLOAD_S, cwd=archives)
    for archive in sorted(archives.glob("*.deb")):
        _run(["dpkg", "-x", str(archive), str(root)], _DOWNLOAD_S)


def _run(command: list[str], timeout_s: float, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    """Run *command* and return both its outputs. Raises Unavailable with its words."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s, check=False, env=env, cwd=cwd
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{command[0]} cannot be run: {error}") from error
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip().splitlines()
        hint = (
            "the package lists may be missing or old: run `apt-get update` as root" if "apt" in command[0] else ""
        )
        raise Unavailable(f"{' '.join(command[:3])} failed: {words[-1] if words else done.returncode}", hint=hint)
    return done.stdout + done.stderr
