"""``python -m bench.leaks.cluster --n 50``: needs root, and the test cluster for itself.

Round by round: at every service of a namespace a runner makes one fault, at a random point somebody dies, and the
pods are watched until the TTL is over; or several faults are in force and kubelet or API server die. Then `drill
recover --all` is given once, and everything must be as it was before the first kill, seen by the nodes' own tools
and by the API server's word. A leak is what is not.

Seconds count from the kill until a pod is as before; for a deed by the API, which stays until somebody recovers,
from the beginning of `drill recover`. With ``--into FILE`` every kill is written down, and a run that was
ended goes on where it stopped: ``--minutes M`` does so many minutes of it at a time.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.leaks import faultset
from bench.leaks.cluster.ground import IMAGE, Ground, Place, ground, wait
from bench.leaks.cluster.lane import Lane
from bench.leaks.cluster.look import Watch, helper_pods
from bench.leaks.cluster.nodes import HOST, NETEM, cluster, shell
from bench.leaks.cluster.victims import OF_ALL, OF_DEEDS, OF_HELD, Victim
from bench.leaks.results import Result, note, read_results, tell

BACK_S = 240.0
"""Until an API server answers again that was killed several times: kubelet waits longer each time."""
RECOVER_S = 400.0
AFTER_S = 75.0
"""Until helper pods that were told to end have ended (30 s of grace), and all services serve again."""
AT_ONCE = 3
"""Faults that are in force when the cluster's own processes die."""


class Bench:
    """The choices, the results, and the namespace at hand."""

    def __init__(self, place: Ground, n: int, seed: int, into: Path | None, until: float, share: float) -> None:
        self.ground, self.n, self.seed, self.into, self.until, self.share = place, n, seed, into, until, share
        self.results = read_results(into)
        self.rng = random.Random(f"{seed}/{len(self.results)}")
        self._made = max((result.number for result in self.results), default=0)
        self._decks: dict[bool, list[str]] = {True: [], False: []}
        self._cannot: set[tuple[str, str]] = set()
        self._rounds = 0
        self.watch = Watch(place)

    def run(self) -> None:
        """Kill *n* times, or until the time is over."""
        while len(self.results) < self.n and time.monotonic() < self.until:
            whole = sum("+" in result.fault for result in self.results)
            if whole < self.share * len(self.results):
                self._round_of_all()
            else:
                self._round_of_single()

    # ---- one kill for each fault ----

    def _round_of_single(self) -> None:
        self._rounds += 1
        slow = self._rounds % 2 == 0  # its helper takes longer to start than a whole round takes elsewhere
        places = [
            place for place in self.ground.places if place.kernel == HOST or slow or len(self.ground.kernels) == 1
        ]
        places = places[: self.n - len(self.results)]
        jobs = [(place, self._fault(place), self._next()) for place in places]
        with ThreadPoolExecutor(len(jobs)) as pool:
            lanes = list(pool.map(lambda job: self._single(*job), jobs))
        done = [each for each in lanes if each is not None]
        self._recovered([lane for lane, _ in done], [result for _, result in done])

    def _single(self, place: Place, fault: str, number: int) -> tuple[Lane, Result] | None:
        """Make *fault*, kill somebody, watch the pod. None when it cannot be made there."""
        lane = Lane(self.ground, place, fault, f"leak{number}-{os.getpid()}", f"{self.seed}/{number}")
        early = lane.rng.random() < 0.12
        if early:  # the runner dies while its helper is being made
            time.sleep(lane.rng.uniform(0.5, 5.0))
            victim, seen = Victim("runner, while it prepares", ("runner",)), None
        else:
            if why := lane.prepared():
                lane.end()
                self._cannot.add((fault, place.kernel))
                print(f"      {fault} at {place.name}: {why[:150]}", flush=True)
                return None
            victim = _victim_for(lane, place, fault)
            seen = lane.to_a_random_point(self.watch)
        if not lane.strike(victim):
            victim = Victim("runner (the other victim had ended)", ("runner",))
            lane.strike(victim)
        if victim.signal == "KILL" and "runner" not in (*victim.roles, *victim.then):
            time.sleep(lane.rng.uniform(0.0, 1.0))  # it lives on, and may only now order what dies with it
            lane.end()
        name = f"{victim.name} ({place.kernel})" if place.kernel == NETEM else victim.name
        result = Result(number, fault, name, 0.0, seen=seen)
        if place.held:
            result.seconds, left = lane.watch(self.watch)
            result.recovered = bool(left)
        return lane, result

    # ---- one kill for several faults ----

    def _round_of_all(self) -> None:
        places = self.rng.sample(self.ground.places, min(AT_ONCE, len(self.ground.places)))
        lanes = [
            Lane(
                self.ground,
                place,
                self._fault(place),
                f"leak{self._next()}-{os.getpid()}",
                f"{self.seed}/{self._made}",
            )
            for place in places
        ]
        ready = [lane for lane in lanes if not lane.prepared()]
        for lane in lanes:
            if lane not in ready:
                lane.end()
        with ThreadPoolExecutor(len(lanes)) as pool:
            list(pool.map(lambda lane: lane.in_force(), ready))
        time.sleep(self.rng.uniform(0.0, 1.0))
        victim = self._choice(OF_ALL)
        self._strike_all(ready, victim)
        with ThreadPoolExecutor(len(lanes)) as pool:
            held = [lane for lane in ready if lane.place.held]
            seen = list(pool.map(lambda lane: lane.watch(self.watch), held))
        faults = "+".join(lane.fault for lane in ready) + ("" if len(ready) > 1 else "+")
        result = Result(self._made, faults, victim.name, max((each[0] for each in seen), default=0.0))
        result.recovered = any(each[1] for each in seen)
        wait(lambda: cluster().answers(), BACK_S, "the API server does not come back")
        self._recovered(ready, [result])

    @staticmethod
    def _strike_all(lanes: Sequence[Lane], victim: Victim) -> None:
        """Kubelets and API server first, since the helpers' processes are found by asking."""
        uids = [lane for lane in lanes if lane.place.held and "helper" in victim.roles]
        for lane in uids:
            lane.strike(Victim("", ("helper",)))
        if "kubelet" in victim.roles:
            shell(HOST, "pkill -KILL -x kubelet")  # nothing starts the emulated node's again
        if "kube-apiserver" in victim.roles:
            shell(HOST, "pkill -KILL -x kube-apiserver")
        for lane in lanes:
            lane.began = time.monotonic()
            if "runner" in victim.roles:
                lane.end()

    # ---- afterwards ----

    def _recovered(self, lanes: Sequence[Lane], results: Sequence[Result]) -> None:
        """Recover once, and note what is left."""
        for lane in lanes:
            lane.end()
        began = time.monotonic()
        code, said = recover()
        alone = time.monotonic() - began
        left = self._settle(began + AFTER_S + RECOVER_S)
        took = time.monotonic() - began
        if code:
            left.append(f"drill recover ended with {code}: {said[-600:]}")
        for result in results:
            lane = next((lane for lane in lanes if lane.fault == result.fault), None)
            if len(results) == 1 or (lane and not lane.place.held):
                result.recovered = True
                result.seconds = max(result.seconds, took) if not lane or not lane.place.held else result.seconds
            elif result.recovered:
                result.seconds += took
            result.left = left if len(results) == 1 else _of(result, lanes, left)
            self.results.append(result)
            note(result, self.into)
        print(f"      recover: {alone:.1f} s, all as before after {took:.1f} s", flush=True)
        if left:
            print(f"      LEFT: {left}", flush=True)
        wait(self.ground.ready, BACK_S, "the services do not serve again")

    def _settle(self, until: float) -> list[str]:
        """Wait until all is as it was before the first kill; return what is not."""
        patience = time.monotonic() + AFTER_S
        while (left := self.watch.everything()) and time.monotonic() < min(until, patience):
            time.sleep(0.5)
        return left

    # ---- choices ----

    def _next(self) -> int:
        self._made += 1
        return self._made

    def _fault(self, place: Place) -> str:
        """Every fault of a kind of place equally often, those left out that its node cannot make."""
        for _ in range(100):
            deck = self._decks[place.held]
            if not deck:
                fitting = [name for name in faultset.names() if faultset.asks_only_an_api(name) is not place.held]
                deck += self.rng.sample(fitting, len(fitting))
            chosen = deck.pop()
            if (chosen, place.kernel) not in self._cannot:
                return chosen
        raise RuntimeError(f"nothing can be made at {place.name}")

    def _choice(self, victims: Sequence[Victim]) -> Victim:
        return self.rng.choices(victims, [victim.weight for victim in victims])[0]


def _victim_for(lane: Lane, place: Place, fault: str) -> Victim:
    """Choose among those that are there: a deed has nobody but its runner, a kill no agent."""
    by_api = not place.held or lane.mode in ("evict", "delete")
    known = OF_DEEDS if by_api else [each for each in OF_HELD if each.fits(fault)]
    if fault == "pod-kill" and not by_api:
        known = [each for each in known if not {"agent", "guard", "worker", "child"} & set(each.roles)]
    return lane.rng.choices(known, [victim.weight for victim in known])[0]


def _of(result: Result, lanes: Sequence[Lane], left: Sequence[str]) -> list[str]:
    """Return what of *left* is this kill's: what names its service, and what names none."""
    mine = [lane.place.name for lane in lanes if lane.injection.startswith(f"leak{result.number}-")]
    all_names = [lane.place.name for lane in lanes]
    return [
        text for text in left if any(name in text for name in mine) or not any(name in text for name in all_names)
    ]


def recover() -> tuple[int, str]:
    """Give the command a person would give; return its exit status and what it said."""
    environment = {**os.environ, "KUBECONFIG": str(cluster().kubeconfig), "DRILL_HELPER_IMAGE": IMAGE}
    done = subprocess.run(
        [sys.executable, "-m", "drill", "recover", "--all", "--context", cluster().context],
        env=environment, capture_output=True, text=True, timeout=RECOVER_S, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def main() -> int:
    """Run and print; the exit status is 1 when anything leaked."""
    parser = argparse.ArgumentParser(prog="bench.leaks.cluster", description=__doc__)
    parser.add_argument("--n", type=int, default=50, help="how many kills")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--share", type=float, default=0.14, help="share of kills of kubelet and API server")
    parser.add_argument(
        "--kernel", action="append", default=[], choices=[HOST, NETEM], help="only this kind of node"
    )
    parser.add_argument("--into", type=Path, help="write every kill here, and go on where an earlier run stopped")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no round after this long")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("bench.leaks.cluster looks into the nodes: it needs root", file=sys.stderr)
        return 2
    until = time.monotonic() + 60 * options.minutes
    recover()  # what dead runs of others left would be gone after the first round, and differ from before
    with ground(options.kernel or [HOST, NETEM]) as place:
        wait(lambda: not helper_pods(place), BACK_S, "helper pods of others do not end")
        bench = Bench(place, options.n, options.seed, options.into, until, options.share)
        try:
            bench.run()
        finally:  # also when it is interrupted: a node must not stay cordoned for everybody else
            bench.watch.close()
            recover()
    tell(bench.results)
    return 1 if any(result.left for result in bench.results) else 0


if __name__ == "__main__":
    sys.exit(main())
