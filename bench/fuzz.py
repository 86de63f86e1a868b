"""Mutated files of every kind drill reads: no traceback, no hang over 1 s, no memory above 300 MB.

``python -m bench.fuzz [--n 100000] [--seed S] [--kind K] [--lanes L] [--save FOLDER]``; the last line has count,
worst time and peak memory; the exit status is 1 when anything was found. Work is split over L processes.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import random
import resource
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

HANG_S = 1.0
GIVE_UP_S = 10.0
MEMORY_MB = 300


@dataclass
class Share:
    """What one process found. ``findings`` maps the last lines of a traceback to a file that shows it."""

    count: int = 0
    worst_s: float = 0.0
    worst: str = ""
    peak_mb: float = 0.0
    findings: dict[str, str] = field(default_factory=dict)


class Hangs(BaseException):
    """Not an Exception: no reader may swallow it."""


def _too_long(_number: int, _frame: FrameType | None) -> None:
    raise Hangs


def work(seed: str, count: int, kinds: Sequence[str]) -> Share:
    """Read *count* mutated files."""
    from properties.mutations import mutated
    from properties.readers import corpus, read

    warnings.simplefilter("error")
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
    signal.signal(signal.SIGALRM, _too_long)
    rng, good, share = random.Random(seed), corpus(), Share()
    for number in range(count):
        kind = kinds[number % len(kinds)]
        text = mutated(rng.choice(good[kind]), good[kind], rng)
        began = time.process_time()
        signal.setitimer(signal.ITIMER_REAL, GIVE_UP_S)
        try:
            read(kind, text)
        except BaseException as error:  # also Rust's panics and what is not an Exception
            share.findings.setdefault(f"{kind}: {_shown(error)}", text)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        took = time.process_time() - began
        share.count += 1
        if took > share.worst_s:
            share.worst_s, share.worst = took, f"{kind}\n{text}"
        if took > HANG_S:
            share.findings.setdefault(f"{kind}: {took:.1f} s", text)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        if peak > MEMORY_MB >= share.peak_mb:
            share.findings.setdefault(f"{kind}: {peak:.0f} MB", text)
        share.peak_mb = peak
    return share


def _shown(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/drill/" in frame.filename] or frames
    where = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(ours[-3:]))
    return f"{type(error).__name__}: {str(error)[:120]!r} at {where}"


def main() -> int:
    """Run and print."""
    from properties.readers import READERS

    parser = argparse.ArgumentParser(prog="bench.fuzz", description=__doc__)
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", action="append", choices=sorted(READERS), default=[])
    parser.add_argument("--save", type=Path, help="write the files that show something here")
    parser.add_argument("--lanes", type=int, default=os.cpu_count() or 1, help="processes at the same time")
    options = parser.parse_args()
    kinds, lanes = options.kind or sorted(READERS), options.lanes
    began = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(lanes) as pool:
        jobs = [(f"{options.seed}/{lane}", -(-options.n // lanes), kinds) for lane in range(lanes)]
        shares = pool.starmap(work, jobs)
    findings = {what: text for share in shares for what, text in share.findings.items()}
    for what, text in sorted(findings.items()):
        print(f"FOUND {what}")
        if options.save:
            options.save.mkdir(parents=True, exist_ok=True)
            name = hashlib.sha256(what.encode()).hexdigest()[:12]
            (options.save / name).write_text(f"{what}\n{text}", errors="replace")
    slowest = max(shares, key=lambda share: share.worst_s)
    if options.save:
        options.save.mkdir(parents=True, exist_ok=True)
        (options.save / "slowest").write_text(slowest.worst, errors="replace")
    print(f"kinds: {', '.join(kinds)}; {time.monotonic() - began:.0f} s on {lanes} processors")
    print(
        f"{sum(share.count for share in shares)} files, {len(findings)} findings, worst {slowest.worst_s:.2f} s "
        f"({slowest.worst.partition(chr(10))[0]}), peak {max(share.peak_mb for share in shares):.0f} MB"
    )
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
