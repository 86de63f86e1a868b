"""``python -m bench.leaks --n 500 --seed S``: see the package. Needs root, nft, tc, nsenter and stress-ng.

A leak is what is left after the TTL plus one `drill recover`. Runs of one seed make the same choices; the moments
of death are as random as the machine. With ``--into FILE`` every kill is written down, and a run that was ended
goes on where it stopped: ``--minutes M`` does so many minutes of it at a time.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from bench.leaks import faultset, gone, trial
from bench.leaks.results import Result, note, read_results, tell
from bench.leaks.trial import Held
from bench.leaks.victims import OF_FAULTS, OF_SANDBOXES, OF_STOPPED_SANDBOXES, Victim
from bench.leaks.world import World

from drill.core.facts import Facts
from drill.target.sandbox import Sandbox, SandboxSpec

SPEC = SandboxSpec(
    rules="groups: []\n",
    alertmanager="route: {receiver: log}\nreceivers: [{name: log}]\n",
    rates={"checkout": 2.0, "payment": 2.0, "catalog": 2.0, "cart": 2.0, "recommendations": 2.0},
)
KILLS_PER_SANDBOX = 16
"""Kills of single faults before the sandbox itself is killed."""
HELD_AT_THE_END = 3


class Bench:
    """The choices, the results, and the sandbox at hand."""

    def __init__(
        self,
        n: int,
        seed: int,
        lanes: int,
        only: Sequence[str],
        into: Path | None = None,
        until: float = float("inf"),
    ) -> None:
        self.n, self.seed, self.lanes, self.into, self.until = n, seed, lanes, into, until
        known = [name for name in faultset.names() if not faultset.asks_only_an_api(name)]
        self.faults = [name for name in known if not only or name in only]
        self.results = read_results(into)
        self.rng = random.Random(f"{seed}/{len(self.results)}" if self.results else seed)
        self._made = max((result.number for result in self.results), default=0)
        self._deck: list[str] = []

    def run(self) -> None:
        """Kill *n* times, or until the time is over."""
        while len(self.results) < self.n and time.monotonic() < self.until:
            with _sandbox() as sandbox:
                self._live(sandbox)

    def _live(self, sandbox: Sandbox) -> None:
        world, facts = World(sandbox.id), sandbox.facts()
        self._single(world, facts)
        if len(self.results) < self.n and self.rng.random() < 0.5:
            victim = self._victim(OF_STOPPED_SANDBOXES)
            self._with_helds(world, facts, lambda helds: self._stopped(world, helds, victim))
        if len(self.results) < self.n:
            victim = self._victim(OF_SANDBOXES)
            self._with_helds(world, facts, lambda helds: self._kill(sandbox, world, helds, victim))
        else:
            world.close()

    def _single(self, world: World, facts: Facts) -> None:
        """Kill at single replicas, several at a time, each at a replica of its own."""
        free = self.rng.sample(world.replicas, len(world.replicas))
        jobs = []
        with ThreadPoolExecutor(self.lanes) as pool:
            for _ in range(min(KILLS_PER_SANDBOX, self.n - len(self.results))):
                lane = [free.pop(0)]
                free += lane  # the pool is smaller than the number of replicas: none is used twice at a time
                number, fault = self._next(), self._fault()
                victim = self._victim([each for each in OF_FAULTS if each.fits(fault)])
                seed = f"{self.seed}/{number}"
                jobs.append(pool.submit(trial.one, number, world, facts, fault, victim, lane[0], seed))
            for job in jobs:
                self._note(job.result())

    def _with_helds(self, world: World, facts: Facts, work: Callable[[Sequence[Held]], Result]) -> None:
        replicas = self.rng.sample(world.replicas, HELD_AT_THE_END)
        helds = [Held(world, facts, f"leak{self._next()}", name, self._fault(), self.rng) for name in replicas]
        try:
            for held in helds:
                held.go()
            if self.rng.random() < 0.7:
                for held in helds:
                    held.hear(30)
            time.sleep(self.rng.uniform(0.0, 1.0))
            self._note(work(helds))
        finally:
            for held in helds:
                held.end()

    def _stopped(self, world: World, helds: Sequence[Held], victim: Victim) -> Result:
        return trial.stopped_sandbox(self._next(), world, helds, victim)

    def _kill(self, sandbox: Sandbox, world: World, helds: Sequence[Held], victim: Victim) -> Result:
        return gone.kill_sandbox(self._next(), sandbox, world, helds, victim)

    def _next(self) -> int:
        self._made += 1
        return self._made

    def _fault(self) -> str:
        """Every fault equally often."""
        if not self._deck:
            self._deck = self.rng.sample(self.faults, len(self.faults))
        return self._deck.pop()

    def _victim(self, victims: Sequence[Victim]) -> Victim:
        return self.rng.choices(victims, [victim.weight for victim in victims])[0]

    def _note(self, result: Result) -> None:
        self.results.append(result)
        note(result, self.into)


@contextmanager
def _sandbox() -> Iterator[Sandbox]:
    sandbox = Sandbox.start(SPEC)
    try:
        yield sandbox
    finally:
        sandbox.close()


def main() -> int:
    """Run and print; the exit status is 1 when anything leaked."""
    parser = argparse.ArgumentParser(prog="bench.leaks", description=__doc__)
    parser.add_argument("--n", type=int, default=500, help="how many kills")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lanes", type=int, default=3, help="kills at the same time, at different replicas")
    parser.add_argument("--fault", action="append", default=[], help="only this fault; may be repeated")
    parser.add_argument("--into", type=Path, help="write every kill here, and go on where an earlier run stopped")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after this long, to go on later")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("bench.leaks looks into namespaces from outside: it needs root", file=sys.stderr)
        return 2
    until = time.monotonic() + 60 * options.minutes
    bench = Bench(options.n, options.seed, options.lanes, options.fault, options.into, until)
    bench.run()
    tell(bench.results)
    return 1 if any(result.left for result in bench.results) else 0


if __name__ == "__main__":
    sys.exit(main())
