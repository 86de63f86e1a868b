"""All benchmarks as one table: `make bench`. Figures are of this machine, now; goals stand beside them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import effects
import kubernetes_start
import psutil
import sandbox_start
import validate

from drill.target.sandbox import programs

ROUNDS = 5
Row = tuple[str, str, str]


def wall(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def start_up() -> Iterator[Row]:
    tools = Path(sys.executable).parent
    ours, theirs = [], []
    for _ in range(ROUNDS):  # in turn, so that a slow moment of the machine hits both
        ours.append(wall([str(tools / "drill"), "--help"]))
        theirs.append(wall([str(tools / "chaos"), "--help"]))
    yield "drill --help", f"{median(ours) * 1000:.0f} ms", f"half of chaos --help ({median(theirs) * 500:.0f} ms)"
    first, _ = kubernetes_start.measure()
    goal = f"{kubernetes_start.GOAL_S * 1000:.0f} ms"
    yield "drill run --context: first API call", f"{median(first) * 1000:.0f} ms", goal


def files() -> Iterator[Row]:
    yield "validate 1000 scenario files", f"{validate.best():.2f} s", "0.5 s"


def sandbox() -> Iterator[Row]:
    prometheus = programs.find("prometheus")
    goal = 4 if programs.is_prometheus_3(prometheus) else 8
    runs = [sandbox_start.once(5.0) for _ in range(3)]
    yield "sandbox: nothing to first stored sample", f"{max(run[0] for run in runs):.1f} s", f"{goal} s"
    yield "sandbox: memory (PSS)", f"{max(sum(run[2].values()) for run in runs):.0f} MiB", "700 MiB"


def faults() -> Iterator[Row]:
    timings = effects.measure(10)
    to_effect = [value for one in timings for value in one.to_effect]
    to_clear = [value for one in timings for value in one.to_clear]
    yield f"injection to measured effect, p95 of {len(to_effect)}", f"{effects.p95(to_effect):.2f} s", "1 s"
    yield f"abort to clear, p95 of {len(to_clear)}", f"{effects.p95(to_clear):.2f} s", "1 s"


def whole_run() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as out:
        drill = str(Path(sys.executable).parent / "drill")
        command = [drill, "run", "latency-spike", "--service", "checkout", "--quiet", "--out", out]
        began, most = time.perf_counter(), 0
        runner = psutil.Popen(command)
        while runner.poll() is None:
            try:
                most = max(most, runner.memory_info().rss)
            except psutil.NoSuchProcess:
                break
            time.sleep(0.1)
        if runner.wait() != 0:
            raise SystemExit(f"the run did not pass: exit code {runner.returncode}")
        yield "latency-spike, fast-forward 60, whole run", f"{time.perf_counter() - began:.0f} s", "100 s"
        yield "memory of the runner (RSS, peak)", f"{most / 2**20:.0f} MiB", "80 MiB"


def main() -> None:
    print(f"{'what':<46} {'measured':>10}   goal: at most")
    for group in (start_up, files, sandbox, faults, whole_run):
        for what, measured, goal in group():
            print(f"{what:<46} {measured:>10}   {goal}", flush=True)


if __name__ == "__main__":
    main()
