"""Root's shell on the test cluster's two nodes: what happens there is done and seen by the kernel's own tools."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "tools"))

from testcluster.kind import Cluster
from testcluster.lifecycle import Options, find
from testcluster.steps import Steps

from testcluster import uml

HOST, NETEM = "host", "netem"
"""Values of the node label ``drill.dev/kernel``."""
SHELL_S = 60.0


@cache
def cluster() -> Cluster:
    """The test cluster called $DRILL_TESTCLUSTER (``drill``), and no other. Raises Failed, Missing."""
    return find(Options(name=os.environ.get("DRILL_TESTCLUSTER", "drill"), export=False), Steps(quiet=True))


@cache
def first_process() -> int:
    """The first process of kind's node, by this machine's numbers."""
    found = json.loads(cluster().engine.docker("inspect", cluster().control_plane))
    return int(found[0]["State"]["Pid"])


def node_name(kernel: str) -> str:
    """The node's name in the cluster."""
    return cluster().control_plane if kernel == HOST else uml.node_name(cluster())


def shell(kernel: str, script: str, timeout: float = SHELL_S) -> str:
    """Run a shell script as root on a node and return what it printed; its exit status counts for nothing."""
    if kernel == NETEM:
        return uml.execute(cluster(), f"( {script}\n) 2>&1; exit 0", timeout)
    command = ["nsenter", "-t", str(first_process()), "-m", "-p", "-u", "-i", "-n", "sh"]
    done = subprocess.run(command, input=script, capture_output=True, text=True, timeout=timeout, check=False)
    return done.stdout + done.stderr
