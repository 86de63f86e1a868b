"""The cluster as it is, seen from outside: by the nodes' own tools and by the API server's word, never by drill.

What a fault could leave in a pod or on a node is described by one script; two looks without a fault are equal.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from bench.leaks.cluster.ground import Ground, Place
from bench.leaks.cluster.nodes import HOST, first_process, shell
from bench.leaks.world import USERS

from drill.core.errors import DrillError
from drill.target.kubernetes import leases, paths
from drill.target.kubernetes.pods import HELPERS

SLOW_MS = 350.0
"""Faults add 400 ms; the emulated node's one CPU adds some tens, and a machine with two of them more."""
Picture = Mapping[str, str]
HEAD = r"""
NS=$(find /proc/[0-9]*/ns/net -maxdepth 0 -printf '%l %p\n' 2>/dev/null)
look() {
  u=$1; v=$2; pause=
  own=$(grep -lE "pod($u|$v)" /proc/[0-9]*/cgroup 2>/dev/null)
  for f in $own; do { read c < ${f%/cgroup}/comm && [ "$c" = pause ] && pause=${f%/cgroup}; } 2>/dev/null; done
  [ -n "$pause" ] || { echo "@@ $u gone"; return; }
  n=$(readlink $pause/ns/net)
  echo "@@ $u network"
  nsenter --net=$pause/ns/net sh -c "nft -s list ruleset; tc qdisc show; ss -Hltn; ip -o link" 2>&1 | awk '
    /LISTEN/ { listen++; next } /^[0-9]+: / { sub(/^[0-9]+: /, ""); sub(/@[^:]*/, ""); sub(/ *link\/.*/, "") }
    { sub(/refcnt.*/, ""); print } END { print listen " listening" }'
  echo "@@ $u processes"
  { echo "$own"; echo "$NS" | grep -F "$n"; } | awk -F/ '
    { pid = $3; if (pid !~ /^[0-9]+$/ || pid in did) next; did[pid] = 1; name = ""; stat = ""; score = ""
    getline name < ("/proc/" pid "/comm"); getline stat < ("/proc/" pid "/stat")
    getline score < ("/proc/" pid "/oom_score_adj"); sub(/.*\) /, "", stat); state = substr(stat, 1, 1)
    if (state == "" || state ~ /[ZX]/) next
    print name, score, (state ~ /[Tt]/) ? "stopped" : "" }' | sort
  echo "@@ $u limits"
  find $CG -type d \( -path "*pod$u*" -o -path "*pod$v*" \) 2>/dev/null | awk '{ n++
    m = split("cpu.max cpu.cfs_quota_us cpu.shares cpu.weight memory.max memory.high memory.limit_in_bytes", f, " ")
    for (i = 1; i <= m; i++) if ((getline l < ($0 "/" f[i])) > 0) print f[i], l }
    END { print n " groups" }' | sort -u
  echo "@@ $u files"
  data=/var/lib/kubelet/pods/$u/volumes/kubernetes.io~empty-dir/data
  ls -A $data 2>&1; stat -f -c '%a of %b blocks free' $data 2>&1
}
node() {
  echo "@@ node processes"
  ps -eo args= | awk '/[d]rill\.agent|[s]tress-ng|[/ ][e]nvoy / { print substr($0, 1, 200) }' | sort
  echo "@@ node places"
  find /sys/fs/cgroup -type d -iname '*drill-*' ! -path '*-control-plane*' 2>/dev/null
  grep -E 'drill-(agent|disk|fault)' /proc/mounts; nft list tables 2>/dev/null | grep -i drill
}
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then CG=/sys/fs/cgroup
else CG="/sys/fs/cgroup/cpu /sys/fs/cgroup/memory"; fi
"""


def look(kernel: str, uids: Sequence[str], *, node: bool = False) -> dict[str, dict[str, str]]:
    """Return what is seen of each pod, and with *node* of the node itself (under ``node``), by kind of trace."""
    calls = [f"look {uid} {uid.replace('-', '_')}" for uid in uids] + (["node"] if node else [])
    said = shell(kernel, HEAD + "\n".join(calls))
    found: dict[str, dict[str, str]] = {}
    for part in said.split("@@ ")[1:]:
        head, _, text = part.partition("\n")
        of, _, kind = head.partition(" ")
        found.setdefault(of, {})[kind] = text
    return found


class Users:
    """A pod from which requests are timed, as the service's users are: nodes themselves feel no fault."""

    def __init__(self, uid: str) -> None:
        pids = shell(
            HOST, f'grep -lE "pod({uid}|{uid.replace("-", "_")})" /proc/[0-9]*/cgroup | cut -d/ -f3'
        ).split()
        nets = f"/proc/{first_process()}/root/proc/{pids[0]}/ns/net"
        self._process = subprocess.Popen(
            ["nsenter", f"--net={nets}", sys.executable, "-S", "-c", USERS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lock = threading.Lock()

    def wrong(self, address: str) -> str:
        """Return '' when a request is answered as quickly as ever, else what is wrong."""
        with self._lock:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(f"{address}\n")
            self._process.stdin.flush()
            words = self._process.stdout.readline().split()
        if len(words) != 2:
            return "no answer"
        slow = max(map(float, words))
        return f"{slow:.0f} ms" if slow > SLOW_MS else ""

    def close(self) -> None:
        """End."""
        self._process.kill()
        self._process.communicate()


def differences(before: Picture, after: Picture, what: str) -> list[str]:
    """Return what is not as it was, in words."""
    keys = sorted({*before, *after})
    return [
        f"{what} {key}: {_news(before.get(key), after.get(key))}"
        for key in keys
        if before.get(key) != after.get(key)
    ]


def _news(before: str | None, after: str | None) -> str:
    if before is None or after is None:
        return "appeared" if before is None else "vanished"
    old, new = before.splitlines(), after.splitlines()
    more, less = [one for one in new if one not in old], [one for one in old if one not in new]
    return f"+{more} -{less}" if more or less else f"{len(old)} lines before, {len(new)} now"


def objects(ground: Ground) -> dict[str, str]:
    """Return what the API server says that a drill may change, as text by name. Raises DrillError.

    Left out is what Kubernetes itself counts on: versions, status, the revision of a Deployment, old ReplicaSets.
    """
    seen: dict[str, Any] = {}
    for kind in ("Service", "Deployment"):
        for one in ground.admin.raw_json("GET", paths.all_of(kind, ground.namespace))["items"]:
            seen[f"{kind} {one['metadata']['name']}"] = {"meta": _meta(one), "spec": one["spec"]}
    seen["pods"] = sorted(
        _pod(one) for one in ground.admin.raw_json("GET", paths.all_of("Pod", ground.namespace))["items"]
    )
    for one in ground.admin.raw_json("GET", paths.NODES)["items"]:
        spec = {key: one["spec"].get(key) for key in ("unschedulable", "taints")}
        seen[f"node {one['metadata']['name']}"] = {"meta": _meta(one), "spec": spec}
    seen["namespace"] = _meta(ground.admin.raw_json("GET", paths.namespace(ground.namespace)))
    seen["helper pods"] = helper_pods(ground)
    held = ground.admin.raw_json("GET", paths.all_of("Lease", paths.SYSTEM))["items"]
    seen["leases"] = [one["metadata"]["name"] for one in held if one["metadata"]["name"].startswith(leases.PREFIX)]
    return {name: json.dumps(what, sort_keys=True, indent=0) for name, what in seen.items()}


def helper_pods(ground: Ground) -> list[str]:
    """Return the names of all helper pods there are. Raises DrillError."""
    found = ground.admin.raw("GET", paths.all_of("Pod", paths.SYSTEM), query={"labelSelector": HELPERS})
    return [one["metadata"]["name"] for one in json.loads(found)["items"]]


def _meta(one: Mapping[str, Any]) -> dict[str, Any]:
    meta = one["metadata"]
    kept = {key: text for key, text in (meta.get("annotations") or {}).items() if "kubernetes.io/" not in key}
    return {"labels": meta.get("labels") or {}, "annotations": kept}


def _pod(one: Mapping[str, Any]) -> str:
    labels = {key: text for key, text in one["metadata"].get("labels", {}).items() if key != "pod-template-hash"}
    ready = all(each.get("ready") for each in one["status"].get("containerStatuses") or [{}])
    more = len(one["spec"].get("ephemeralContainers") or ())
    images = [each["image"] for each in one["spec"]["containers"]]
    return f"{labels} {_meta(one)['annotations']} {images} ready={ready} ephemeral={more}"


class Watch:
    """What was before, and what differs from it now."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self.users = Users(ground.users_uid())
        self.objects = objects(ground)
        self.pods = {place.name: self._pod(place) for place in ground.places}
        self.nodes = {kernel: look(kernel, (), node=True)["node"] for kernel in ground.kernels}

    def close(self) -> None:
        """End."""
        self.users.close()

    def _pod(self, place: Place) -> dict[str, str]:
        uid, address = self._ground.pod_of(place)
        found = dict(look(place.kernel, [uid]).get(uid, {"gone": ""})) if uid else {"gone": ""}
        wrong = self.users.wrong(address) if address else "no pod"
        return found | ({"users": wrong} if wrong else {})

    def pod(self, place: Place) -> list[str]:
        """Return what differs in and around the pod of *place*."""
        return differences(self.pods[place.name], self._pod(place), place.name)

    def api(self) -> list[str]:
        """Return what differs in the API server's word, also that it does not answer."""
        try:
            return differences(self.objects, objects(self._ground), "api")
        except DrillError as error:
            return [f"api: {error}"]

    def node(self, kernel: str) -> list[str]:
        """Return what differs on the node itself."""
        return differences(self.nodes[kernel], look(kernel, (), node=True)["node"], f"node {kernel}")

    def everything(self) -> list[str]:
        """Return all that differs."""
        kernels = self._ground.kernels
        pods = [text for place in self._ground.places for text in self.pod(place)]
        return [*self.api(), *pods, *(text for kernel in kernels for text in self.node(kernel))]
