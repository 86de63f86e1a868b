"""What the healthy service shows before the fault: history, errors, traffic, and the budget that is left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from drill.core.labels import render
from drill.core.observations import SliSample
from drill.core.units import format_duration, format_ratio
from drill.engine.preflight.findings import block, info, warn
from drill.engine.preflight.powers import PathObserver
from drill.engine.watch import Measuring
from drill.plan.compile import PERIOD_S, all_predicted
from drill.plan.model import ExpectedAlert, Finding, Plan, PredictedAlert


def slis(plan: Plan, samples: Sequence[SliSample]) -> Iterator[Finding]:
    """Compare the healthy error ratio and traffic of each expected alert's SLO with its threshold."""
    by_slo = {sample.sloth_id: sample for sample in samples}
    for expected in plan.expected:
        predicted = expected.predicted
        if predicted is None or not predicted.sloth_id:
            continue
        sample = by_slo.get(predicted.sloth_id)
        if sample is None:
            text = f"no error ratio of {predicted.sloth_id} is recorded now"
            yield warn("traffic", text, "check scrape, rules and traffic: the healthy state must be known")
        elif sample.requests_per_second == 0 and not sample.rates:
            text = f"{predicted.sloth_id} has no traffic, so {render(expected.match)} has nothing to fire on"
            yield block("traffic", text, "let users or a load generator in before the drill")
        else:
            yield from _one(plan, expected, predicted, sample)


def _one(plan: Plan, expected: ExpectedAlert, predicted: PredictedAlert, sample: SliSample) -> Iterator[Finding]:
    theta = threshold(plan, predicted)
    if theta is None:
        return
    bad = format_ratio(sample.error_ratio)
    if sample.error_ratio >= theta:
        text = (
            f"{format_ratio(sample.error_ratio)} of requests fail already, over the threshold {format_ratio(theta)}"
        )
        yield block("errors", f"{predicted.sloth_id}: {text}", "end that incident first")
    elif sample.error_ratio > theta / 2:
        text = f"{bad} of requests fail already, over half of what {render(expected.match)} needs"
        yield warn("errors", f"{predicted.sloth_id}: {text}", "look at it before you add a fault")
    requests = sample.requests_per_second * predicted.long_s * plan.fast_forward
    if 0 < requests * theta < 1:
        text = (
            f"{requests:.3g} requests arrive in the long window of {render(expected.match)}: "
            f"a single bad one is over its threshold of {format_ratio(theta)}"
        )
        yield warn("traffic", text, "add synthetic traffic, a longer window, or a lower objective")


def threshold(plan: Plan, predicted: PredictedAlert) -> float | None:
    """The error ratio above which an alert fires (F·b), None for an SLO the plan does not know."""
    slo = next((slo for slo in plan.slos if slo.sloth_id == predicted.sloth_id), None)
    return predicted.factor * (1 - slo.objective) if slo and predicted.factor else None


def budget(plan: Plan, observer: PathObserver) -> Iterator[Finding]:
    """Compare what the faults will spend of each SLO's error budget with what is left of it. Raises Unavailable.

    Counts what is certain, as the plan's own limit does. A fast-forwarded period is a test's, and nobody's budget.
    """
    if plan.fast_forward != 1:
        return
    spends: dict[str, float] = {}
    for alert in all_predicted(plan):
        if alert.sloth_id and alert.fires:
            spends[alert.sloth_id] = max(spends.get(alert.sloth_id, 0.0), alert.budget)
    periods = {slo.sloth_id: slo.period_s for slo in plan.slos}
    for sloth_id, spend in sorted(spends.items()):
        left = observer.budget_left(sloth_id, periods.get(sloth_id, PERIOD_S))
        if left is None:
            text = (
                f"nobody records what is left of {sloth_id}'s error budget; this drill spends {_share(spend)} of it"
            )
            yield info("budget", text, "record it (slo:period_error_budget_remaining:ratio), as Sloth's rules do")
        elif spend > left:
            there = f"{_share(left)} is left" if left > 0 else "none is left"
            text = f"this drill spends {_share(spend)} of {sloth_id}'s error budget, and {there}"
            yield block(
                "budget", text, "wait until the budget has recovered, shorten the fault, or use the sandbox"
            )


def _share(ratio: float) -> str:
    return format_ratio(round(ratio, 4))


def history(plan: Plan, observer: Measuring) -> Iterator[Finding]:
    """Say how old the series are against the longest window. Raises Unavailable."""
    predicted = [expected.predicted for expected in plan.expected if expected.predicted]
    ids = sorted({alert.sloth_id for alert in predicted if alert.sloth_id})
    if not ids:
        return
    age, longest = observer.history_s(ids), max(alert.long_s for alert in predicted)
    if age < longest:
        text = (
            f"Prometheus knows {format_duration(round(age, 1))} of history, less than the window of "
            f"{format_duration(longest)}: alerts fire sooner than on an old server, slow ones before fast ones"
        )
        yield info(
            "history", text, "the prediction reckons with it; wait until the window is full to test it as a whole"
        )
