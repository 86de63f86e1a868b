"""Real firings against their predictions: scenarios x seeds in the sandbox, or the runs of a folder.

    python bench/firings.py --seeds 1-9                      # every shipped scenario, nine times
    python bench/firings.py --seeds 1-3 --scenario pod-kill  # in pieces, into the same --out
    python bench/firings.py --out DIR --only-read            # judge what is there
    python bench/firings.py --light 60                       # random drills on the small rig, six at once

Every alert that began to fire after the first replica was touched counts, expected or predicted to fire too. What
it is compared with is the last prediction the run wrote down before that moment; ``to the edge`` is the distance to
the nearer end of the interval, negative outside.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from drill.cli.catalogue import catalogue
from drill.core.labels import matches, render
from drill.journal.events import Predicted
from drill.journal.journal import read_journal
from drill.plan.model import Plan, PredictedAlert
from drill.verify.injections import causes_of
from drill.verify.record import Record
from drill.verify.spans import SeenSpan

ROOT = Path(__file__).parents[1]
TOLERANCE_S = 0.001
"""Prometheus stores whole milliseconds."""


@dataclass(frozen=True)
class Firing:
    """One firing: seconds after the effect was proven, and the interval it was predicted in (None: not to fire)."""

    run: str
    scenario: str
    alert: str
    at_s: float
    interval_s: tuple[float, float] | None

    @property
    def to_edge_s(self) -> float:
        """Distance to the nearer edge; negative outside."""
        if self.interval_s is None:
            return float("-inf")
        return min(self.at_s - self.interval_s[0], self.interval_s[1] - self.at_s)

    @property
    def inside(self) -> bool:
        """True when it was where it was predicted."""
        return self.to_edge_s >= -TOLERANCE_S


def firings(folder: Path) -> Iterator[Firing]:
    """Yield the first firing of every alert of one run that its faults caused.

    Alerts that only may fire are left out: they have no interval, and a firing is no surprise.
    """
    plan = Plan.model_validate_json((folder / "plan.json").read_text())
    yield from firings_of(Record(plan, read_journal(folder / "journal.jsonl").events), folder.name)


def firings_of(record: Record, name: str) -> Iterator[Firing]:
    """The same for a run that is not on disk."""
    plan = record.plan
    effective = [found for one in plan.injections if (found := record.effective(one.id))]
    touched = min((one.first_touch + record.skew for one in effective), default=float("inf"))
    seen: set[str] = set()
    for span in record.spans:
        mine = span.state == "firing" and span.start >= touched
        predicted = _predicted(record, span) if mine else None
        if (
            predicted is not None
            and render(span.labels) not in seen
            and (predicted.fires or not predicted.may_fire)
        ):
            seen.add(render(span.labels))
            yield _firing(record, name, span, predicted)


def _predicted(record: Record, span: SeenSpan) -> PredictedAlert | None:
    """The prediction in force when *span* began; None for an alert of an SLO no fault touches."""
    before = [event for event in record.all(Predicted) if event.at + record.skew <= span.start]
    known = [*before[-1].expected, *before[-1].also] if before else []
    return next((one for one in known if one and matches(one.labels, span.labels)), None)


def _firing(record: Record, run: str, span: SeenSpan, predicted: PredictedAlert) -> Firing:
    cause = causes_of(record, predicted, predicted.labels)[0]
    effective = record.effective(cause.id)
    assert effective is not None
    first, since = effective.first_touch + record.skew, effective.since + record.skew
    interval = None
    if predicted.firing_s is not None:
        interval = (first - since + predicted.firing_s[0], predicted.firing_s[1])
    about = f"{predicted.sloth_id} {predicted.severity}"
    return Firing(run, record.plan.scenario, about, span.start - since, interval)


def run(names: Sequence[str], seeds: range, out: Path) -> None:
    """Run each scenario with each seed, one after another; a run's own verdict does not matter here."""
    needs = {entry.call: entry.needs for entry in catalogue()}
    for seed in seeds:
        for name in names:
            command = [str(Path(sys.executable).parent / "drill"), "run", name, "--seed", str(seed), "--quiet"]
            command += ["--out", str(out), *(["--service", "checkout"] if "service" in needs[name] else [])]
            before = os.getloadavg()[0]
            done = subprocess.run(command, timeout=400, check=False)
            print(f"{name} seed {seed}: exit {done.returncode}, load {before:.1f}", file=sys.stderr, flush=True)


def light(count: int, seed: int, jobs: int) -> list[Firing]:
    """Run *count* random drills on real servers of both generations and the small shop of tests/e2e/alert_path."""
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tools")]
    from e2e.alert_path.drilling import drill
    from e2e.alert_path.rig import Generation, Rig, RigSpec
    from e2e.alert_path.servers import GENERATIONS, generation

    servers = [found for name in GENERATIONS if isinstance(found := generation(name), Generation)]
    chance, turn = random.Random(seed), threading.Semaphore(jobs)
    cases = [(servers[n % len(servers)], chance.uniform(3, 16), chance.randint(25, 100)) for n in range(count)]

    def one(number: int) -> list[Firing]:
        made, history_s, percent = cases[number]
        rig = Rig(made, RigSpec(history_s=history_s))
        try:
            rig.start()
            with turn:
                done = drill(rig, {}, lasts="12s", percent=percent)
            name = f"{made.name} {percent}% after {history_s:.0f} s"
            return list(firings_of(Record(done.plan, done.events), name))
        finally:
            rig.close()

    with ThreadPoolExecutor(2 * jobs) as pool:
        return [firing for found in pool.map(one, range(count)) for firing in found]


def table(found: Sequence[Firing]) -> Iterator[str]:
    """The result as lines."""
    yield f"{'scenario':<20} {'runs':>5} {'firings':>8} {'inside':>7} {'nearest to an edge':>19}"
    for scenario in sorted({one.scenario for one in found}):
        own = [one for one in found if one.scenario == scenario]
        yield _line(scenario, own)
    yield _line("all", found)
    outside = [one for one in found if not one.inside]
    for one in sorted(outside, key=lambda one: one.to_edge_s):
        low, high = one.interval_s or (float("nan"), float("nan"))
        yield f"OUTSIDE by {-one.to_edge_s:.3f} s: {one.run} {one.alert}"
        yield f"  fired {one.at_s:.3f} s after the effect, predicted {low:.3f} to {high:.3f} s"


def _line(name: str, own: Sequence[Firing]) -> str:
    inside = [one.to_edge_s for one in own if one.inside]
    nearest = f"{min(inside):.3f} s" if inside else "-"
    return f"{name:<20} {len({one.run for one in own}):>5} {len(own):>8} {len(inside):>7} {nearest:>19}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", default="1-3", help="FIRST-LAST")
    parser.add_argument("--scenario", action="append", help="only these; else every shipped one")
    parser.add_argument("--out", type=Path, default=Path("firings"), help="where the runs are kept")
    parser.add_argument("--only-read", action="store_true", help="run nothing, judge the runs in --out")
    parser.add_argument("--json", type=Path, help="write every firing there as well")
    parser.add_argument(
        "--light", type=int, default=0, metavar="N", help="N random drills on the small rig instead"
    )
    parser.add_argument("--jobs", type=int, default=6, help="how many of those at once")
    given = parser.parse_args()
    if given.light:
        return tell(light(given.light, int(given.seeds.partition("-")[0]), given.jobs), given.json)
    if not given.only_read:
        first, _, last = given.seeds.partition("-")
        names = given.scenario or [entry.call for entry in catalogue()]
        run(names, range(int(first), int(last or first) + 1), given.out)
    found = [one for path in sorted(given.out.glob("*/plan.json")) for one in firings(path.parent)]
    return tell(found, given.json)


def tell(found: Sequence[Firing], file: Path | None) -> int:
    """Print the table; 0 when all are inside."""
    if file:
        file.write_text(json.dumps([{**one.__dict__, "inside": one.inside} for one in found], indent=1))
    print("\n".join(table(found)))
    return 0 if found and all(one.inside for one in found) else 1


if __name__ == "__main__":
    raise SystemExit(main())
