"""What a run costs in error budget, from the SLI samples a journal holds. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from drill.core.observations import SliSample
from drill.plan.model import PlannedSlo


def spent(slo: PlannedSlo, samples: Iterable[SliSample]) -> float:
    """Return the share of *slo*'s whole budget spent over *samples*: 1.0 is all of it.

    The error ratio is integrated over time by trapezoids and divided by ``period * (1 - objective)`` (SRE
    workbook, chapter 5, for constant traffic).
    """
    points = sorted((sample.at, sample.error_ratio) for sample in samples if sample.sloth_id == slo.sloth_id)
    area = sum((later - earlier) * (first + second) / 2 for (earlier, first), (later, second) in pairwise(points))
    return area / (slo.period_s * (1 - slo.objective))
