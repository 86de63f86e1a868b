"""What charts and impact are drawn from: SLI series, alert spans and notifications, relative to T0."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from drill.core.observations import SliSample
from drill.journal.events import NotificationsSeen, RunFinished, SliSeen
from drill.plan.model import PlannedSlo
from drill.report import model as m
from drill.verify.record import Record

MOST_POINTS = 1200
"""More points than a chart has pixels only make the file larger."""


def slos_of_interest(record: Record) -> tuple[PlannedSlo, ...]:
    """The SLOs the drill is about, expected ones first; all of the service where no alert names one."""
    named = [expected.match.get("sloth_id", "") for expected in record.plan.expected]
    named += [expected.predicted.sloth_id for expected in record.plan.expected if expected.predicted]
    named += [impact.sloth_id for impact in record.plan.impacts]
    by_id = {slo.sloth_id: slo for slo in record.plan.slos}
    found = [by_id[name] for name in dict.fromkeys(named) if name in by_id]
    return tuple(found or [slo for slo in record.plan.slos if slo.service == record.plan.service])


def series(record: Record) -> tuple[m.Series, ...]:
    """One series per SLO of interest, at most MOST_POINTS samples each; empty without a T0."""
    if record.t0 is None:
        return ()
    return tuple(_series(slo, samples, record.t0) for slo, samples in _sampled(record) if samples)


def _sampled(record: Record) -> list[tuple[PlannedSlo, list[SliSample]]]:
    slos = slos_of_interest(record)
    by_id: dict[str, dict[float, SliSample]] = {slo.sloth_id: {} for slo in slos}
    for event in record.all(SliSeen):
        for sample in event.samples:
            if sample.sloth_id in by_id and math.isfinite(sample.at):
                by_id[sample.sloth_id][sample.at] = sample
    return [(slo, [by_id[slo.sloth_id][at] for at in sorted(by_id[slo.sloth_id])]) for slo in slos]


def _series(slo: PlannedSlo, samples: Sequence[SliSample], t0: float) -> m.Series:
    some = samples[:: math.ceil(len(samples) / MOST_POINTS)]
    windows = sorted({window for sample in some for window in sample.rates})
    return m.Series(
        slo=slo.sloth_id,
        service=slo.service,
        objective=slo.objective,
        offset_s=tuple(round(sample.at - t0, 3) for sample in some),
        error_ratio=tuple(_number(sample.error_ratio) for sample in some),
        requests_per_second=tuple(_number(sample.requests_per_second) for sample in some),
        burn_rates={window: tuple(_number(s.rates.get(window)) for s in some) for window in windows},
    )


def _number(value: float | None) -> float | None:
    """Six significant digits are more than any of these measurements has."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")


def impacts(record: Record) -> tuple[m.Impact, ...]:
    """What users had of the run, per SLO, between T0 and its end."""
    if record.t0 is None:
        return ()
    finished = record.last(RunFinished)
    end = finished.at + record.skew if finished else math.inf
    out = []
    for slo, samples in _sampled(record):
        during = [s for s in samples if record.t0 <= s.at <= end and math.isfinite(s.error_ratio)]
        if during:
            out.append(_impact(slo, during))
    return tuple(out)


def _impact(slo: PlannedSlo, samples: Sequence[SliSample]) -> m.Impact:
    """Integrate by the trapezoid rule; error ratios are rates over a short window, so this is an estimate."""
    requests = bad = bad_for = 0.0
    for one, two in pairwise(samples):
        rate = (one.requests_per_second + two.requests_per_second) / 2
        ratio = (one.error_ratio + two.error_ratio) / 2
        if math.isfinite(rate):
            requests += rate * (two.at - one.at)
            bad += rate * ratio * (two.at - one.at)
        bad_for += (two.at - one.at) * (ratio > 1 - slo.objective)
    return m.Impact(
        slo=slo.sloth_id,
        peak_error_percent=_number(max(sample.error_ratio for sample in samples) * 100),
        bad_requests=round(bad),
        requests=round(requests),
        bad_for_s=round(bad_for, 1),
    )


def spans(record: Record) -> tuple[m.Span, ...]:
    """All alert spans that reach past T0."""
    t0 = record.t0
    if t0 is None:
        return ()
    return tuple(
        m.Span(
            labels=span.labels,
            state=span.state,
            start_s=round(span.start - t0, 3),
            end_s=round(span.end - t0, 3),
            open=span.open,
        )
        for span in record.spans
        if span.end >= t0
    )


def notices(record: Record) -> tuple[m.Notice, ...]:
    """All notifications that arrived after T0."""
    t0 = record.t0
    if t0 is None:
        return ()
    notes = [note for event in record.all(NotificationsSeen) for note in event.notifications if note.at >= t0]
    return tuple(
        m.Notice(receiver=n.receiver, status=n.status, labels=n.labels, offset_s=round(n.at - t0, 3))
        for n in sorted(notes, key=lambda note: note.at)
    )
