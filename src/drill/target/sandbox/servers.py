"""Starts Prometheus and Alertmanager inside, those unpacked from Debian's packages included.

Debian's builds read templates from the fixed place ``/usr/share/prometheus``. Where the package is only
unpacked, not installed, the server gets a mount namespace of its own in which the unpacked files lie there.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from drill.target.sandbox import children, config, kernel
from drill.target.sandbox.topology import SERVICES, places

if TYPE_CHECKING:
    from drill.target.sandbox.keeper import Inside

SHARE = Path("/usr/share")
ZONES = "zoneinfo"
"""Time zones are the only other thing below ``/usr/share`` that the servers read."""


def unpacked_share(binary: str) -> Path | None:
    """The ``usr/share/prometheus`` that belongs to *binary*, when it is not the system's own."""
    share = Path(binary).parents[1] / "share" / "prometheus" if len(Path(binary).parents) > 1 else None
    return share if share is not None and share.is_dir() and not share.is_relative_to(SHARE) else None


def start_all(inside: Inside, place: Path) -> dict[str, int]:
    """Write the configuration below *place* and start both servers; return their PIDs by name."""
    spec, run = inside.launch.spec, str(place)
    (place / "rules.yml").write_text(spec.rules)
    (place / "prometheus.yml").write_text(config.prometheus_config(spec, run))
    for service in SERVICES:
        config.write_targets(place, service.name, (each for each in places() if each.service == service.name))
    (place / "alertmanager.yml").write_text(spec.alertmanager)
    commands = {
        "prometheus": config.prometheus_command(inside.launch, run),
        "alertmanager": config.alertmanager_command(inside.launch, run),
    }
    return {name: _start(name, command, inside.directory, place) for name, command in commands.items()}


def _start(name: str, command: list[str], logs: Path, place: Path) -> int:
    share = unpacked_share(command[0])

    def main() -> NoReturn:
        os.setsid()
        if share is not None and not (SHARE / "prometheus").exists():
            _put_in_place(share, place / f"share-{name}")
        os.execv(command[0], command)  # no shell is wanted

    return children.fork(main, logs / f"{name}.log")


def _put_in_place(share: Path, stage: Path) -> None:
    kernel.unshare(kernel.CLONE_NEWNS)
    (stage / "prometheus").mkdir(parents=True)
    kernel.mount(str(share), str(stage / "prometheus"), flags=kernel.MS_BIND | kernel.MS_REC)
    if (SHARE / ZONES).is_dir():
        (stage / ZONES).mkdir()
        kernel.mount(str(SHARE / ZONES), str(stage / ZONES), flags=kernel.MS_BIND | kernel.MS_REC)
    kernel.mount(str(stage), str(SHARE), flags=kernel.MS_BIND | kernel.MS_REC)
