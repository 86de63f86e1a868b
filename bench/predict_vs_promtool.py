"""Prediction against promtool: random burn-rate alerts in random faults, and who is faster.

`python bench/predict_vs_promtool.py [--cases 320] [--seed 1] [--promtool PATH]` prints one line and fails
when promtool saw an alert outside the predicted interval, or one that was excluded, or when prediction is not
a thousand times faster.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from drill.alerting.burnmath import BurnCondition, Disturbance, Forecast, crossing_s, forecast
from drill.alerting.promtool import Slope, counter, oracle_queries, read_oracle
from drill.alerting.rulefile import Group, Rule, rule_file
from drill.alerting.yamlout import dump
from drill.core.units import prometheus_duration

TRAFFIC = 20.0
LEAST_GAIN = 1000
"""Prediction must be this many times faster than promtool."""


class Grid(NamedTuple):
    """What the cases of one promtool process share. ``late``: alerts are evaluated before their recordings."""

    scrape_s: float
    interval_s: float
    long_s: float
    short_s: float
    chained: bool
    late: bool


GRIDS = (
    Grid(30, 30, 3600, 300, chained=False, late=False),
    Grid(30, 30, 3600, 300, chained=True, late=True),
    Grid(15, 30, 3600, 300, chained=True, late=False),
    Grid(30, 15, 3600, 300, chained=False, late=False),
    Grid(1, 1, 60, 5, chained=True, late=True),
    Grid(1, 1, 360, 30, chained=True, late=True),
    Grid(1, 1, 60, 5, chained=False, late=False),
    Grid(30, 30, 21600, 1800, chained=True, late=True),
    Grid(60, 30, 7200, 600, chained=False, late=False),
    Grid(30, 60, 86400, 7200, chained=True, late=False),
)


class Case(NamedTuple):
    condition: BurnCondition
    disturbance: Disturbance
    counted_before: float
    """What the request counter showed when its first sample was scraped."""


class Seen(NamedTuple):
    firing_s: float | None
    resolved_s: float | None


def random_case(rng: random.Random, grid: Grid) -> Case:
    factor = rng.choice([14.4, 6.0, 3.0, 1.0, rng.uniform(1, 20)])
    condition = BurnCondition(
        objective=rng.choice([0.99, 0.995, 0.999, 0.9995, 0.9999]), factor=factor,
        long_s=grid.long_s, short_s=grid.short_s, scrape_s=grid.scrape_s, interval_s=grid.interval_s,
        chained=grid.chained, for_s=rng.choice([0, 0, 0, grid.interval_s, 2.5 * grid.interval_s]),
        keep_firing_for_s=rng.choice([0, 0, 0, 3 * grid.interval_s]),
    )  # fmt: skip
    theta = condition.threshold
    error_ratio = min(1.0, theta * rng.choice([rng.uniform(0.5, 3), rng.uniform(2, 40), 1000]))
    history = rng.choice([rng.uniform(1.05, 1.5), rng.uniform(0.05, 1)]) * grid.long_s
    shape = Disturbance(
        error_ratio=(error_ratio, error_ratio), duration_s=1,
        baseline=rng.choice([0, 0, rng.uniform(0, 0.8)]) * theta,
        traffic=rng.choice([1, 1, rng.uniform(0.2, 4)]), history_s=max(history, 5 * grid.scrape_s),
    )  # fmt: skip
    crossing = min(crossing_s(condition, error_ratio, shape), grid.long_s)
    length = rng.choice([rng.uniform(0.3, 1), rng.uniform(1, 1.5), rng.uniform(1, 6)]) * crossing
    length += rng.choice([0, 3 * grid.scrape_s + condition.hold_s])
    length = min(max(length, grid.scrape_s), 1.2 * grid.long_s)
    return Case(condition, shape.with_(duration_s=length), rng.choice([0.0, 1e5]))


def rule_groups(cases: Sequence[Case], grid: Grid) -> list[Group]:
    recordings, alerts = [], []
    for number, case in enumerate(cases):
        for window in (grid.short_s, grid.long_s):
            span = prometheus_duration(window)
            bad, total = f'req{{case="{number}",code="500"}}', f'req{{case="{number}"}}'
            expr = f"sum(rate({bad}[{span}])) / sum(rate({total}[{span}]))"
            recordings.append(Rule(record=f"ratio{span}", expr=expr, labels={"case": str(number)}))
        threshold = f"({case.condition.factor!r} * {case.condition.budget!r})"
        expr = " and ".join(
            f'ratio{prometheus_duration(w)}{{case="{number}"}} > {threshold}' for w in (grid.short_s, grid.long_s)
        )
        held, kept = case.condition.for_s, case.condition.keep_firing_for_s
        alerts.append(Rule(alert="Burn", expr=expr, for_s=held, keep_firing_for_s=kept))
    if not grid.chained:
        return [Group(name="both", interval_s=grid.interval_s, rules=(*recordings, *alerts))]
    names = (("recordings", recordings), ("alerts", alerts))
    return [Group(name=name, interval_s=grid.interval_s, rules=tuple(rules)) for name, rules in names]


def input_series(number: int, case: Case, grid: Grid, end_s: float) -> list[dict[str, str]]:
    fault = case.disturbance
    error = fault.error_ratio[0]
    start, stop = fault.history_s, fault.history_s + fault.duration_s
    out = []
    for code, before, during in (("500", fault.baseline, error), ("200", 1 - fault.baseline, 1 - error)):
        slopes = [
            Slope(start, TRAFFIC * before),
            Slope(stop, TRAFFIC * fault.traffic * during),
            Slope(end_s, TRAFFIC * before),
        ]
        values = counter(slopes, grid.scrape_s, case.counted_before * before)
        out.append({"series": f'req{{case="{number}",code="{code}"}}', "values": values})
    return out


def ask_promtool(cases: Sequence[Case], grid: Grid, promtool: str, folder: Path) -> list[Seen]:
    """Let one promtool process run all *cases* and read when each alert fired first and last."""
    tail = grid.long_s + 10 * grid.interval_s + 5 * grid.scrape_s
    ends = [c.disturbance.history_s + c.disturbance.duration_s + tail for c in cases]
    end = max(ends) // grid.interval_s * grid.interval_s
    (folder / "rules.yml").write_text(rule_file(rule_groups(cases, grid)))
    order = ["alerts", "recordings"] if grid.late else []
    test = {
        "rule_files": [str(folder / "rules.yml")],
        "evaluation_interval": prometheus_duration(grid.interval_s),
        "group_eval_order": order,
        "tests": [
            {
                "interval": prometheus_duration(grid.scrape_s),
                "input_series": [s for n, c in enumerate(cases) for s in input_series(n, c, grid, end + tail)],
                "promql_expr_test": oracle_queries(end, grid.interval_s),
            }
        ],
    }
    (folder / "test.yml").write_text(dump(test))
    ran = subprocess.run(
        [promtool, "test", "rules", str(folder / "test.yml")], capture_output=True, text=True, timeout=600
    )
    if "got:" not in ran.stdout + ran.stderr:
        raise RuntimeError(ran.stdout + ran.stderr)
    times: dict[int, list[float]] = {}
    for labels, at in read_oracle(ran.stdout + ran.stderr):
        times.setdefault(int(labels["case"]), []).append(at)
    return [_seen(case, times.get(number, []), grid.interval_s) for number, case in enumerate(cases)]


def _seen(case: Case, times: list[float], interval_s: float) -> Seen:
    if not times:
        return Seen(None, None)
    fault = case.disturbance
    return Seen(min(times) - fault.history_s, max(times) + interval_s - fault.history_s - fault.duration_s)


def mistakes(said: Forecast, seen: Seen) -> list[str]:
    """Return what *said* got wrong about *seen*."""
    wrong = []
    if seen.firing_s is None:
        return ["said it fires, it did not"] if said.fires else []
    if said.firing_s is None or said.resolved_s is None:
        return [f"said it cannot fire, it did after {seen.firing_s:g} s"]
    for name, (low, high), at in (
        ("firing", said.firing_s, seen.firing_s),
        ("resolved", said.resolved_s, seen.resolved_s),
    ):
        if at is None or not low - 1e-6 <= at <= high + 1e-6:
            wrong.append(f"{name} at {at} outside {low:.2f}..{high:.2f}")
    return wrong


def wider_than_formula(case: Case, said: Forecast) -> str:
    """Compare the firing interval with ``[t(1-2S/W), t'+S+(1+c)I] + ceil(for/I)I``; empty: not wider.

    ``t'`` is t for a history half a scrape older, see ``burnmath._Excess``: without it promtool fires later
    than the formula allows when the history is much shorter than t.
    """
    if not said.fires or said.firing_s is None:
        return ""
    condition = case.condition
    t = crossing_s(condition, case.disturbance.error_ratio[0], case.disturbance)
    low = t * (1 - 2 * condition.scrape_s / condition.long_s) + condition.hold_s
    extra = condition.scrape_s / 2 * max(1.0, case.disturbance.traffic)
    older = case.disturbance.with_(history_s=case.disturbance.history_s + extra)
    high = crossing_s(condition, older.error_ratio[0], older)
    high += condition.scrape_s + condition.lag_s + condition.hold_s
    low_too, high_too = low - said.firing_s[0], said.firing_s[1] - high
    return f"{low_too:.3f} {high_too:.3f}" if max(low_too, high_too) > 1e-6 else ""


def compare(
    count: int, seed: int, promtool: str, grids: Sequence[Grid] = GRIDS
) -> tuple[list[tuple[Case, Forecast, Seen]], float, float]:
    """Return all cases with prediction and observation, and the seconds promtool and prediction took."""
    rng = random.Random(seed)
    each, results, took, own = -(-count // len(grids)), [], 0.0, 0.0
    for grid in grids:
        cases = [random_case(rng, grid) for _ in range(each)]
        with tempfile.TemporaryDirectory() as folder:
            before = time.perf_counter()
            seen = ask_promtool(cases, grid, promtool, Path(folder))
            took += time.perf_counter() - before
        before = time.perf_counter()
        said = [forecast(case.condition, case.disturbance) for case in cases]
        own += time.perf_counter() - before
        results += list(zip(cases, said, seen, strict=True))
    return results, took, own


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--cases", type=int, default=320)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--promtool", default=shutil.which("promtool"))
    given = options.parse_args()
    if not given.promtool:
        print("promtool is not installed: pass --promtool PATH", file=sys.stderr)
        return 3
    results, took, own = compare(given.cases, given.seed, given.promtool)
    wrong = [(case, said, seen, text) for case, said, seen in results for text in mistakes(said, seen)]
    wide = [text for case, said, _ in results if (text := wider_than_formula(case, said))]
    for text in wide:
        print(f"WIDE by {text} s")
    for case, said, seen, text in wrong:
        print(f"WRONG {text}\n  {case}\n  {said}\n  {seen}")
    fired = sum(seen.firing_s is not None for _, _, seen in results)
    unsure = sum(said.may_fire and not said.fires for _, said, _ in results)
    print(
        f"{len(results)} cases, {fired} fired, {unsure} too close to call, {len(wrong)} outside the prediction, "
        f"{len(wide)} wider than the formula; "
        f"promtool {took / len(results) * 1000:.0f} ms, prediction {own / len(results) * 1000:.2f} ms each: "
        f"{took / own:.0f}x"
    )
    return 1 if wrong or wide or took < LEAST_GAIN * own else 0


if __name__ == "__main__":
    sys.exit(main())
