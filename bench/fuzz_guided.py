"""Coverage-guided fuzzing of every kind of file drill reads, by atheris: ``python -m bench.fuzz_guided``.

Each kind runs in a process of its own, drill's modules instrumented, with our mutations beside libFuzzer's. The
rules are those of ``bench.fuzz``: no traceback, no hang over 1 s. The last line has count, findings and worst time.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
HANG_S = 1.0
EVERY = 100


def fuzz(kind: str, runs: int, seed: int, folder: Path) -> None:
    """Fuzz one kind; never returns: libFuzzer ends the process. What was found stands in *folder*."""
    import atheris

    with atheris.instrument_imports(include=["drill", "properties"]):
        from bench.fuzz import _shown

        from properties.mutations import mutated
        from properties.readers import corpus, read
    good = corpus()[kind]
    seeds = folder / "corpus"
    seeds.mkdir()
    for number, text in enumerate(good):
        (seeds / str(number)).write_text(text)
    seen = {"count": 0, "worst_s": 0.0, "worst": "", "peak_mb": 0.0, "findings": {}}

    def keep() -> None:
        seen["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        (folder / "seen.json").write_text(json.dumps(seen))

    def one(data: bytes) -> None:
        text = data.decode(errors="replace")
        began = time.process_time()
        try:
            read(kind, text)
        except BaseException as error:  # found, and on with the search
            seen["findings"].setdefault(f"{kind}: {_shown(error)}", text)
            keep()
        took = time.process_time() - began
        seen["count"] += 1
        if took > seen["worst_s"]:
            seen["worst_s"], seen["worst"] = took, text[:2000]
        if took > HANG_S:
            seen["findings"].setdefault(f"{kind}: {took:.1f} s", text)
        if seen["count"] % EVERY == 0 or seen["count"] >= runs:
            keep()

    def mutate(data: bytes, max_size: int, number: int) -> bytes:
        rng = random.Random(number)
        if rng.random() < 0.5:
            return bytes(atheris.Mutate(data, max_size))
        return mutated(data.decode(errors="replace"), good, rng).encode(errors="replace")[:max_size]

    keep()
    flags = [
        f"-runs={runs}",
        f"-seed={seed}",
        "-timeout=20",
        "-rss_limit_mb=3000",
        "-max_len=65536",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *flags, str(seeds)], one, custom_mutator=mutate)
    atheris.Fuzz()


def run(kind: str, runs: int, seed: int, save: Path | None) -> dict[str, Any]:
    """Fuzz *kind* in a child; return what it saw, with the coverage libFuzzer counted."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        done = subprocess.run(
            [sys.executable, "-m", "bench.fuzz_guided", "--one", kind, "--n", str(runs), "--seed", str(seed),
             "--folder", name],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        seen: dict[str, Any] = json.loads((folder / "seen.json").read_text())
        covered = re.findall(r"cov: (\d+)", done.stderr)
        seen |= {"kind": kind, "covered": int(covered[-1]) if covered else 0, "exit": done.returncode}
        if done.returncode:
            seen["findings"] = {
                **seen["findings"],
                f"{kind}: the fuzzer ended with {done.returncode}": done.stderr[-2000:],
            }
        if save:
            save.mkdir(parents=True, exist_ok=True)
            (save / f"{kind}.json").write_text(json.dumps(seen, indent=1))
        return seen


def line(seen: dict[str, Any]) -> str:
    """What one kind showed, in one line."""
    found, worst, peak = len(seen["findings"]), seen["worst_s"], seen["peak_mb"]
    return (
        f"{seen['kind']:<14} {seen['count']:>7} files  {found} findings  worst {worst:.2f} s  peak {peak:.0f} MB  "
        f"{seen['covered']} edges"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="bench.fuzz_guided", description=__doc__)
    parser.add_argument("--n", type=int, default=100_000, help="files in all, spread over the kinds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", action="append", default=[])
    parser.add_argument("--save", type=Path, help="write what was seen here, a file for each kind")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        fuzz(options.one, options.n, options.seed, options.folder)
    from properties.readers import READERS

    kinds, began = options.kind or sorted(READERS), time.monotonic()
    all_seen = []
    for kind in kinds:
        seen = run(kind, -(-options.n // len(kinds)), options.seed, options.save)
        all_seen.append(seen)
        print(line(seen), flush=True)
        for what in seen["findings"]:
            print(f"FOUND {what}", flush=True)
    found = sum(len(seen["findings"]) for seen in all_seen)
    print(
        f"{sum(seen['count'] for seen in all_seen)} files by coverage, {found} findings, "
        f"worst {max(seen['worst_s'] for seen in all_seen):.2f} s, {time.monotonic() - began:.0f} s, "
        f"seed {options.seed}, {os.cpu_count()} processors"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
