"""Asks the drill's Prometheus and Alertmanager about budgets and open pages. Reads only."""

from __future__ import annotations

import math
from collections.abc import Mapping

from drill.core.errors import Unavailable
from drill.core.labels import render
from drill.gameday.checks import BUDGET_QUERY
from drill.gameday.model import Servers
from drill.observe.alertmanager import Alertmanagers
from drill.observe.prometheus import Prometheus


class RealWorld:
    """The servers a drill file names; a server that is not named is Unavailable."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers

    def budgets(self) -> Mapping[str, float]:
        """Return the remaining share of every SLO's budget, by sloth_id. Raises Unavailable."""
        return remaining_budgets(self._servers.prometheus)

    def open_pages(self) -> list[str]:
        """Return the firing alerts with severity page. Raises Unavailable."""
        if not self._servers.alertmanager:
            raise Unavailable("no Alertmanager is named", hint="servers: {alertmanager: https://…}")
        alertmanagers = Alertmanagers([self._servers.alertmanager])
        try:
            alerts = alertmanagers.alerts()
        finally:
            alertmanagers.close()
        return sorted({render(one.labels) for one in alerts if one.labels.get("severity") == "page"})


def remaining_budgets(prometheus_url: str) -> Mapping[str, float]:
    """Return the remaining share of every SLO's budget in that Prometheus, the least where several series say it.

    Raises Unavailable.
    """
    if not prometheus_url:
        raise Unavailable("no Prometheus is named", hint="servers: {prometheus: https://…}")
    prometheus = Prometheus(prometheus_url)
    try:
        samples = prometheus.query(BUDGET_QUERY)
    finally:
        prometheus.close()
    found: dict[str, float] = {}
    for sample in samples:
        name = sample.labels.get("sloth_id", "")
        if not math.isfinite(sample.value):
            continue  # no data is no budget: the check says that it is not known
        found[name] = min(found.get(name, sample.value), sample.value)
    return found
