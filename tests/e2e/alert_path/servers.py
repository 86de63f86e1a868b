"""The two generations of servers: Debian's, and today's, which are built as Go modules and cached."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from testcluster.steps import Failed, Missing, Steps

from drill.target.sandbox import programs
from e2e.alert_path.rig import Generation
from testcluster import lifecycle

GENERATIONS = ("today", "debian")


def generation(name: str) -> Generation | str:
    """The servers of one generation, or the reason why they are not here."""
    if name == "debian":
        found = [programs.locate(program) for program in ("prometheus", "alertmanager")]
        prometheus, alertmanager = found
        if prometheus is None or alertmanager is None:
            return "Debian's Prometheus and Alertmanager are not here: `drill doctor --fix` gets them"
        return Generation(name, prometheus, alertmanager, programs.is_prometheus_3(prometheus))
    if shutil.which("go", path=f"{os.environ.get('PATH', '')}:/usr/local/go/bin") is None:
        return "no Go toolchain to build Prometheus 3 and Alertmanager 0.31 with"
    try:
        built = lifecycle.tools(Steps(quiet=True))
    except (Missing, Failed) as error:
        return f"Prometheus 3 and Alertmanager 0.31 could not be built: {error}"
    return Generation(name, Path(built["prometheus"]), Path(built["alertmanager"]), quick=True)
