"""From Sloth's recorded series to service level indicators: pure.

Sloth's conventions: ``slo:sli_error:ratio_rate<window>`` with labels ``sloth_id``, ``sloth_service`` and
``sloth_window``, and per SLO ``slo:error_budget:ratio`` and ``slo:current_burn_rate:ratio``.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from drill.core.observations import SliSample
from drill.core.units import parse_duration
from drill.observe.prometheus import Sample

ERROR_RATIO = "slo:sli_error:ratio_rate"
BUDGET = "slo:error_budget:ratio"
CURRENT_BURN_RATE = "slo:current_burn_rate:ratio"
SLOTH_SERIES = f'{{__name__=~"{ERROR_RATIO}.+|{BUDGET}|{CURRENT_BURN_RATE}",sloth_id!=""}}'
"""One query brings everything that is recorded of all SLOs."""


@dataclass
class RecordedSlo:
    """What is recorded of one SLO at one moment; ``ratios`` by window, NaN where there was no traffic."""

    sloth_id: str
    service: str
    at: float
    ratios: dict[str, float] = field(default_factory=dict)
    budget: float = math.nan
    current_burn_rate: float = math.nan
    once_shortest: str = ""
    """The shortest window seen of it before: without traffic the ratio of the shortest vanishes first."""

    @property
    def shortest(self) -> str:
        """The shortest window, empty when no ratio is or was recorded."""
        known = [*self.ratios, *([self.once_shortest] if self.once_shortest else [])]
        return min(known, key=parse_duration, default="")

    def rates(self) -> dict[str, float]:
        """Return the burn rate of every window that has a ratio: error ratio / error budget."""
        rates = {window: ratio / self.budget for window, ratio in self.ratios.items() if self.budget > 0}
        if not rates and self.shortest in self.ratios:
            rates = {self.shortest: self.current_burn_rate}
        in_order = sorted(rates, key=parse_duration)
        return {window: rates[window] for window in in_order if math.isfinite(rates[window])}


def recorded_slos(samples: Iterable[Sample]) -> Sequence[RecordedSlo]:
    """Group the answer to SLOTH_SERIES by SLO, sorted by ``sloth_id``."""
    found: dict[str, RecordedSlo] = {}
    for sample in samples:
        labels = sample.labels
        sloth_id = labels["sloth_id"]
        slo = found.setdefault(sloth_id, RecordedSlo(sloth_id, labels.get("sloth_service", ""), sample.at))
        match labels["__name__"]:
            case name if name.startswith(ERROR_RATIO):
                slo.ratios[labels.get("sloth_window") or name.removeprefix(ERROR_RATIO)] = sample.value
            case name if name == BUDGET:
                slo.budget = sample.value
            case _:
                slo.current_burn_rate = sample.value
    return [found[sloth_id] for sloth_id in sorted(found)]


def sli_samples(slos: Iterable[RecordedSlo], traffic: Mapping[str, float]) -> Sequence[SliSample]:
    """Make one sample per SLO whose shortest window has a ratio; *traffic* is requests/s by ``sloth_id``.

    An SLO without a ratio is left out, because nobody knows it, except where the traffic is known to be zero:
    then it is said as zero requests per second with error ratio 0 and no burn rates.
    """
    found = []
    for slo in slos:
        ratio = slo.ratios.get(slo.shortest, math.nan)
        requests = traffic.get(slo.sloth_id, math.nan)
        known = math.isfinite(ratio)
        if not known and requests != 0.0:
            continue
        found.append(
            SliSample(
                at=slo.at,
                sloth_id=slo.sloth_id,
                error_ratio=ratio if known else 0.0,
                requests_per_second=requests if math.isfinite(requests) else 0.0,
                rates=slo.rates() if known else {},
            )
        )
    return found


def traffic_by_service(samples: Iterable[Sample], label: str = "service") -> Mapping[str, float]:
    """Sum an instant vector of request rates by *label*; NaNs are left out."""
    total: dict[str, float] = defaultdict(float)
    for sample in samples:
        if label in sample.labels and math.isfinite(sample.value):
            total[sample.labels[label]] += sample.value
    return total
