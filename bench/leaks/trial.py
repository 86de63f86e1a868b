"""One kill: a fault is held by a runner of its own, somebody dies, and the clock runs until nothing is left."""

from __future__ import annotations

import contextlib
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.leaks import faultset
from bench.leaks.results import Result
from bench.leaks.victims import KILL, STOP, Victim, send
from bench.leaks.world import World

from drill.core.facts import Facts
from drill.target.sandbox.topology import place

TTL_S = 10.0
"""As drill's compiler orders it; the lease (6 s) is shorter."""
AFTER_RECOVER_S = 5.0
TRIES = 5
NETWORK = ("latency", "packet-loss", "bandwidth", "partition", "http-error")
"""What the kernel ends by itself; processes and files of the other faults end with the processes that made them."""
RESTART_S = 12.0
"""A killed replica comes back with a kubelet's backoff of up to 8 s: that is no leak."""


class Held:
    """A runner process and the one fault it holds."""

    def __init__(self, world: World, facts: Facts, injection: str, replica: str, fault: str, rng: random.Random):
        self.replica, self.identity, self.fault = replica, f"{injection}.{replica}", fault
        found = place(replica)
        assert found is not None
        self.address = found.address
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.leaks.runner", world.id],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self._say(faultset.action(fault, injection, replica, facts, rng).model_dump_json())
        self.hear(30)

    @property
    def pid(self) -> int:
        """The runner."""
        return self._process.pid

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{line}\n")

    def go(self) -> None:
        """Order the fault; does not wait."""
        self._say("go")

    def release(self) -> None:
        """Order the undo; does not wait."""
        self._say("release")

    def hear(self, within_s: float) -> str:
        """Return the runner's next line, '' when there is none in time."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], within_s)
        return self._process.stdout.readline().strip() if ready else ""

    def end(self) -> None:
        """Kill the runner."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGCONT)
        self._process.kill()
        self._process.communicate()

    def pids(self, world: World, roles: Sequence[str]) -> list[int]:
        """Return the processes of *roles* that are there."""
        found = {**world.agents(self.identity), "runner": [self.pid]}
        return [pid for role in roles for pid in found.get(role, [])]


def recover() -> None:
    """Do what `drill recover` does, with no journal to look at."""
    from drill.cli.recovery import recover as drill_recover

    with tempfile.TemporaryDirectory() as nothing:
        drill_recover(Path(nothing))


def to_a_random_point(world: World, held: Held, rng: random.Random) -> bool | None:
    """Start the fault and wait: into its start, its life, or its undo. Returns whether it was seen in its life.

    Looking at a fault in force shows that this bench is not blind.
    """
    held.go()
    point = rng.choice(["start", "start", "life", "life", "undo"])
    if point == "start":
        time.sleep(rng.uniform(0.0, 0.6))
        return None
    applied = held.hear(30) == "applied"
    time.sleep(rng.uniform(0.0, 1.5))
    if point == "undo":
        held.release()
        time.sleep(rng.uniform(0.0, 0.3))
        return None
    return bool(world.differences(held.replica, held.address)) if applied else None


def strike(world: World, held: Held, victim: Victim, rng: random.Random) -> int:
    """Kill; wait for a victim that is not there yet. Returns how many processes were hit."""
    until = time.monotonic() + 3.0
    while not (hit := send(held.pids(world, victim.roles), victim.number)) and time.monotonic() < until:
        time.sleep(rng.uniform(0.0, 0.02))
    if hit and victim.then:
        time.sleep(rng.uniform(0.0, 1.0))
        hit += send(held.pids(world, victim.then), KILL)
    return hit


def watch(world: World, held: Held, began: float, within_s: float) -> tuple[float, list[str]]:
    """Look until nothing differs or the time is over; return when, and what differs still."""
    while True:
        left = world.differences(held.replica, held.address)
        left += [f"process {pid} of the fault" for pid in held.pids(world, ("agent", "guard", "worker", "child"))]
        now = time.monotonic() - began
        if not left or now > within_s:
            return now, left
        time.sleep(0.05)


def one(number: int, world: World, facts: Facts, fault: str, victim: Victim, replica: str, seed: str) -> Result:
    """Hold *fault* at *replica*, kill *victim*, and tell what was left after the TTL and a recover."""
    rng = random.Random(seed)
    for again in range(TRIES + 1):
        if again == TRIES:  # what ends sooner than anybody can strike dies with its runner
            victim = Victim("runner", ("runner",))
        held = Held(world, facts, f"leak{number}-{again}", replica, fault, rng)
        try:
            seen = to_a_random_point(world, held, rng)
            if strike(world, held, victim, rng):
                result = _clock(number, world, held, victim, rng)
                result.seen = seen
                return result
        finally:
            held.end()
        watch(world, held, time.monotonic(), TTL_S + RESTART_S)  # the victim had ended by itself: again
    raise AssertionError("a runner is always there")


def _clock(number: int, world: World, held: Held, victim: Victim, rng: random.Random) -> Result:
    began = time.monotonic()
    if victim.number == KILL and "runner" not in (*victim.roles, *victim.then):
        # The runner lives on and may only now order what dies with it.
        time.sleep(rng.uniform(0.0, 1.0))
        held.end()
    limit = TTL_S + 1.0 + (RESTART_S if held.fault in ("pod-kill", "oom-kill") else 0.0)
    seconds, left = watch(world, held, began, limit)
    result = Result(number, held.fault, victim.name, seconds)
    if left:
        recover()
        result.recovered = True
        result.seconds, result.left = watch(world, held, began, seconds + AFTER_RECOVER_S)
    return result


def stopped_sandbox(number: int, world: World, helds: Sequence[Held], victim: Victim) -> Result:
    """Stop a first process, kill what could end the faults, continue after the TTL, recover."""
    heads = [world.heads[role] for role in victim.roles]
    send(heads, STOP)
    began = time.monotonic()
    for held in helds:
        roles = ("runner",) if victim.then == ("runner",) else ("runner", "agent", "guard", "worker", "child")
        send(held.pids(world, roles), KILL)
    faults = "+".join(held.fault for held in helds)
    if victim.then == ("runner",):
        left = [text for held in helds for text in watch(world, held, began, TTL_S + RESTART_S)[1]]
    else:  # agents and init are out of the way: the kernel's TTL alone
        network = [held for held in helds if held.fault in NETWORK]
        left = [f"{held.fault}: users {text}" for held in network if (text := _users_wait(world, held, began))]
    seconds = time.monotonic() - began
    time.sleep(max(0.0, began + TTL_S - time.monotonic()))
    send(heads, signal.SIGCONT)
    recover()
    left += [text for held in helds for text in watch(world, held, time.monotonic(), RESTART_S)[1]]
    return Result(number, faults, victim.name, seconds, recovered=True, left=left)


def _users_wait(world: World, held: Held, began: float) -> str:
    """Users must be served again by the TTL, which the kernel alone keeps; a second for the look itself."""
    while text := world.answers(held.address):
        if time.monotonic() - began > TTL_S + 1.5:
            return text
        time.sleep(0.1)
    return ""
