"""One fault at one service: held or done by a runner of its own, somebody dies, and its pod is watched."""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from typing import Any

from bench.leaks.cluster.ground import IMAGE, Ground, Place
from bench.leaks.cluster.look import Watch
from bench.leaks.cluster.nodes import NETEM, shell
from bench.leaks.cluster.runner import Order
from bench.leaks.cluster.victims import Victim

from drill.core.errors import DrillError
from drill.target.kubernetes import objects, paths

TTL_S = 10.0
"""As drill's compiler orders it."""
LOOK_S = 3.0
"""What a look may take on a busy machine, the emulated node's above all."""
RESTART_S = 120.0
"""A killed container comes back with the kubelet's backoff: that is no leak."""
PREPARED_S = 150.0
"""Until a helper runs on the emulated node."""
RESTARTS = ("pod-kill", "oom-kill")
ON_NODES = ("agent", "guard", "worker", "child", "conductor", "helper")
KILL = r"""
H=
for u in $UIDS; do
  v=$(echo $u | tr - _); H="$H $(grep -lE "pod($u|$v)" /proc/[0-9]*/cgroup 2>/dev/null | cut -d/ -f3)"
done
H=$(echo $H)
hit=$(ps -eo pid=,ppid=,sid=,args= | awk -v id="$ID" -v helpers=" $H " -v roles=" $ROLES " '
  { pid[NR] = $1; parent[$1] = $2; session[$1] = $3; line[$1] = $0
    if (index($0, "drill.agent") && index($0, "--id " id " ")) fork[$1] = 1 }
  END { for (n = 1; n <= NR; n++) { p = pid[n]; role = ""
    if (p in fork) { if (!(parent[p] in fork)) role = "agent"; else role = (session[p] == p) ? "guard" : "worker" }
    else if (parent[p] in fork) role = "child"
    else if (index(helpers, " " p " ") && index(line[p], "drill.agent serve")) role = "conductor"
    mine = role != "" || index(helpers, " " p " ")
    if (role != "" && index(roles, " " role " ") || mine && index(roles, " helper ")) print p } }')
[ -n "$hit" ] && kill -$SIGNAL $hit 2>/dev/null
echo $hit | wc -w
"""


class Lane:
    """A runner and the one fault it makes at *place*."""

    def __init__(self, ground: Ground, place: Place, fault: str, injection: str, seed: str) -> None:
        self.ground, self.place, self.fault, self.injection = ground, place, fault, injection
        self.rng = random.Random(seed)
        self.pod, self.mode, self.helpers = "", "", list[str]()
        self.began = 0.0
        access = ground.access
        order = Order(
            access.context,
            access.kubeconfig,
            access.as_user,
            ground.namespace,
            place.name,
            fault,
            injection,
            seed,
            IMAGE,
        )
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.leaks.cluster.runner"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1,
        )  # fmt: skip
        self._say(json.dumps(asdict(order)))

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{line}\n")

    def hear(self, within_s: float) -> dict[str, Any]:
        """Return what the runner says next; ``{}`` when it says nothing in time."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], within_s)
        line = self._process.stdout.readline() if ready else ""
        found: dict[str, Any] = json.loads(line) if line.startswith("{") else {}
        return found

    def prepared(self) -> str:
        """Wait until the runner could begin; return what keeps it from it, '' when nothing does."""
        said = self.hear(PREPARED_S)
        if said.get("said") != "ready":
            return str(said.get("why") or "the runner ended")
        self.pod, self.mode, self.helpers = said["pod"], said["mode"], said["helpers"]
        return ""

    def to_a_random_point(self, watch: Watch) -> bool | None:
        """Begin; wait into the fault's start, its life, or its undo. Return whether it was seen in its life."""
        slow = 4.0 if self.place.kernel == NETEM else 1.0
        self._say("go")
        point = self.rng.choice(["start", "start", "life", "life", "undo"])
        if point == "start":
            time.sleep(self.rng.uniform(0.0, 0.8) * slow)
            return None
        applied = self.hear(100).get("said") == "applied"
        if point == "undo":
            time.sleep(self.rng.uniform(0.0, 1.0))
            self._say("release")
            time.sleep(self.rng.uniform(0.0, 0.5) * slow)
            return None
        seen = bool(self.differences(watch)) if applied else None
        time.sleep(self.rng.uniform(0.0, 1.0))
        return seen

    def in_force(self) -> bool:
        """Begin and wait until the fault is in force."""
        self._say("go")
        return self.hear(100).get("said") == "applied"

    def differences(self, watch: Watch) -> list[str]:
        """Return what of this fault is seen: in the pod, or for a deed in the API server's word."""
        return watch.pod(self.place) if self.place.held else [text for text in watch.api() if "leases" not in text]

    def strike(self, victim: Victim) -> int:
        """Kill; wait for a victim that is not there yet. Return how many processes or pods were hit."""
        until = time.monotonic() + 4.0
        self.began = time.monotonic()
        while not (hit := self._kill(victim.roles, victim.signal)) and time.monotonic() < until:
            self.began = time.monotonic()
        if hit and victim.then:
            time.sleep(self.rng.uniform(0.0, 1.0))
            hit += self._kill(victim.then, "KILL")
        return hit

    def _kill(self, roles: tuple[str, ...], name: str) -> int:
        hit = 0
        if near := [role for role in roles if role in ON_NODES]:
            hit += self._on_node(near, name)
        if "runner" in roles:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.Signals[f"SIG{name}"])
                hit += 1
        for role in ("pod", "pod at once"):
            if role in roles:
                hit += self._delete(0 if role == "pod at once" else None)
        return hit

    def _on_node(self, roles: list[str], name: str) -> int:
        given = {"UIDS": " ".join(self._uids()), "ID": f"{self.injection}.{self.pod}", "ROLES": " ".join(roles)}
        lines = [f"{key}='{text}'" for key, text in (given | {"SIGNAL": name}).items()]
        said = shell(self.place.kernel, "\n".join([*lines, KILL]))
        words = said.split()
        return int(words[-1]) if words and words[-1].isdigit() else 0

    def _uids(self) -> list[str]:
        found = []
        for name in self.helpers:
            with contextlib.suppress(DrillError):
                pod = self.ground.admin.get(paths.one("Pod", paths.SYSTEM, name), objects.Pod)
                found.append(pod.metadata.uid)
        return found

    def _delete(self, grace_s: int | None) -> int:
        gone = [
            self.ground.admin.delete(paths.one("Pod", paths.SYSTEM, one), grace_s=grace_s) for one in self.helpers
        ]
        return sum(gone)

    def watch(self, watch: Watch) -> tuple[float, list[str]]:
        """Look at the pod until nothing differs or the TTL is over; return when, and what differs still."""
        limit = TTL_S + LOOK_S + (RESTART_S if self.fault in RESTARTS else 0.0)
        while True:
            left = watch.pod(self.place)
            now = time.monotonic() - self.began
            if not left or now > limit:
                return now, left
            time.sleep(0.1)

    def end(self) -> None:
        """Kill the runner."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGCONT)
        self._process.kill()
        self._process.communicate()
