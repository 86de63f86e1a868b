"""What a run costs in error budget, from the SLI samples a journal holds. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from drill.core.observations import SliSample
from drill.core.units import parse_duration
from drill.plan.model import PlannedSlo


def spent(slo: PlannedSlo, samples: Iterable[SliSample]) -> float:
    """Return the share of *slo*'s whole budget spent over *samples*: 1.0 is all of it.

    The error ratio is integrated over time by trapezoids and divided by ``period * (1 - objective)`` (SRE
    workbook, chapter 5, for constant traffic).
    """
    points = sorted((sample.at, sample.error_ratio) for sample in samples if sample.sloth_id == slo.sloth_id)
    area = sum((later - earlier) * (first + second) / 2 for (earlier, first), (later, second) in pairwise(points))
    return area / (slo.period_s * (1 - slo.objective))


def window_ratios(slos: Sequence[PlannedSlo], samples: Iterable[SliSample]) -> Mapping[str, Mapping[float, float]]:
    """Return the error ratio over each recorded window (s) by ``sloth_id``: burn rate times error budget."""
    budgets = {slo.sloth_id: 1 - slo.objective for slo in slos}
    return {
        sample.sloth_id: {
            parse_duration(window): rate * budgets[sample.sloth_id] for window, rate in sample.rates.items()
        }
        for sample in samples
        if sample.sloth_id in budgets
    }


@dataclass(frozen=True)
class Meter:
    """The same while the run goes on: ``last`` is (time, error ratio) and ``area`` error-seconds, by sloth_id."""

    last: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    area: Mapping[str, float] = field(default_factory=dict)

    def advanced(self, samples: Iterable[SliSample]) -> Meter:
        """Return the meter with *samples* added; a sample not newer than the last of its SLO adds nothing."""
        last, area = dict(self.last), dict(self.area)
        for sample in samples:
            at, ratio = last.get(sample.sloth_id, (sample.at, sample.error_ratio))
            if sample.at < at:
                continue
            width, height = sample.at - at, (ratio + sample.error_ratio) / 2
            area[sample.sloth_id] = area.get(sample.sloth_id, 0.0) + width * height
            last[sample.sloth_id] = (sample.at, sample.error_ratio)
        return Meter(last, area)

    def over(self, slos: Sequence[PlannedSlo], limit: float) -> tuple[PlannedSlo, float] | None:
        """Return the SLO that spent most, with its share, when that is more than *limit* of its budget."""
        shares = [(slo, self.area.get(slo.sloth_id, 0.0) / (slo.period_s * (1 - slo.objective))) for slo in slos]
        slo, share = max(shares, key=lambda pair: pair[1], default=(None, 0.0))
        return (slo, share) if slo is not None and share > limit else None
