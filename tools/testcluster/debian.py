"""Debian packages unpacked into the cache, never installed: nothing starts, nothing of the machine changes.

Owns what is taken from Debian: the container engine for the host, and the kernel and modules of the second worker.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from testcluster.cache import Cache, key_of
from testcluster.steps import Failed, Missing, Steps, run

# docker.io without what the host gets from elsewhere; the libraries that its programs need and a bare Debian lacks
ENGINE = (
    "docker.io", "tini", "containerd", "runc", "libdevmapper1.02.1", "libseccomp2", "mmdebstrap", "kmod",
    "libkmod2", "user-mode-linux", "e2fsprogs", "libext2fs2", "libcom-err2",
)  # fmt: skip
_DOWNLOAD_S = 600.0


def obtain(cache: Cache, steps: Steps) -> Path:
    """Return a folder with the packages' files (``usr/bin`` …). Raises Missing where there is no apt."""
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise Missing("this is no Debian (apt-get and dpkg are needed to unpack the container engine)")
    versions = _candidates()
    with steps.step(f"Debian packages: container engine, tools, kernel ({len(ENGINE)})") as step:
        place, built = cache.obtain("debian", key_of(versions), lambda out: _unpack(out, versions))
        step.outcome = f"unpacked into {place}" if built else "in the cache"
    return place


def environment(root: Path) -> dict[str, str]:
    """This process's environment with the unpacked programs and libraries first."""
    path = [str(root / each) for each in ("usr/bin", "usr/sbin", "bin", "sbin")]
    triplet = "x86_64-linux-gnu" if os.uname().machine == "x86_64" else f"{os.uname().machine}-linux-gnu"
    libraries = [str(root / each / triplet) for each in ("lib", "usr/lib")]
    host = os.environ.get("PATH", "/usr/bin:/bin")
    return {
        **os.environ,
        "PATH": ":".join([*path, host, "/usr/sbin:/sbin"]),
        "LD_LIBRARY_PATH": ":".join(libraries),
    }


def _candidates() -> list[str]:
    """``name=version`` of each package, as apt would take it. Refreshes apt's lists once where they are empty."""
    for again in (False, True):
        if again:
            run(["apt-get", "update"], timeout=_DOWNLOAD_S)
        found = _ask_apt()
        missing = [name for name in ENGINE if name not in found]
        if not missing:
            return [f"{name}={found[name]}" for name in ENGINE]
    raise Missing(f"Debian's {', '.join(missing)} cannot be had from this machine's apt sources")


def _ask_apt() -> dict[str, str]:
    found: dict[str, str] = {}
    name = ""
    for line in run(["apt-cache", "policy", *ENGINE]).splitlines():
        if not line.startswith(" "):
            name = line.rstrip(":")
        elif line.strip().startswith("Candidate:") and not line.endswith("(none)"):
            found[name] = line.split()[-1]
    return found


def _unpack(out: Path, versions: list[str]) -> None:
    archives = out / "archives"
    archives.mkdir()
    run(
        ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", *versions], cwd=archives, timeout=_DOWNLOAD_S
    )
    for archive in sorted(archives.glob("*.deb")):
        run(["dpkg", "-x", archive, out], timeout=_DOWNLOAD_S)
    shutil.rmtree(archives)
    docker_init = out / "usr/bin/docker-init"
    docker_init.unlink(missing_ok=True)
    docker_init.symlink_to("tini-static")  # the package's link points to where it would be installed
    _index_modules(out)


def _index_modules(out: Path) -> None:
    """Lay user-mode-linux's modules where modprobe looks for them (``-d``), with their dependencies."""
    source = next((out / "usr/lib/uml/modules").iterdir(), None)
    if source is None:
        raise Failed("Debian's user-mode-linux brought no modules")
    target = out / "uml/lib/modules" / source.name
    target.parent.mkdir(parents=True)
    source.rename(target)
    done = subprocess.run(
        ["depmod", "-b", str(out / "uml"), source.name],
        executable=out / "bin/kmod", env=environment(out), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise Failed(f"depmod: {done.stderr}")
