"""What an SLO is, whatever file form it came from.

Owns the values that generation and prediction work on. Names follow Sloth: ``sloth_id`` is
``<service>-<name>``, an SLI is a pair of event queries or one ratio query with ``{{.window}}`` in it.
"""

from __future__ import annotations

from decimal import Decimal

from drill.core.values import Value

WINDOW = "{{.window}}"
"""Where a query gets its range, in Sloth's own template form."""

DAY_S = 86400.0
DEFAULT_PERIOD_S = 30 * DAY_S


class Sli(Value):
    """How bad and all events are counted, or their ratio (``error_ratio``) where no two queries exist.

    Either ``error`` and ``total`` are set or ``error_ratio`` is; each contains :data:`WINDOW`.
    """

    error: str = ""
    total: str = ""
    error_ratio: str = ""


class AlertSettings(Value):
    """One severity's part of an SLO's ``alerting``."""

    disable: bool = False
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class Alerting(Value):
    """The ``alerting`` part of an SLO: the alert's name and what is added to its rules."""

    name: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    page: AlertSettings = AlertSettings()
    ticket: AlertSettings = AlertSettings()
    log: AlertSettings = AlertSettings()
    """Sloth's forms do not know it; it is also off where page and ticket are."""
    no_traffic: bool = True
    """Whether the service's NoTraffic alert may come from this SLO."""
    no_traffic_name: str = ""


class Slo(Value):
    """One objective for one service. ``objective_percent`` is the text of the file, e.g. ``99.99``."""

    service: str
    name: str
    description: str = ""
    objective_percent: str
    sli: Sli
    labels: dict[str, str] = {}
    alerting: Alerting = Alerting()
    period_s: float = DEFAULT_PERIOD_S
    file: str = ""
    line: int = 0

    @property
    def sloth_id(self) -> str:
        """Sloth's id: ``<service>-<name>``."""
        return f"{self.service}-{self.name}"

    @property
    def objective(self) -> float:
        """The objective as a fraction of 1, rounded as decimal arithmetic does (0.9999, not 0.99990000001)."""
        return float(Decimal(self.objective_percent) / 100)

    @property
    def budget(self) -> float:
        """The share of events that may be bad: ``b = 1 - objective``, by decimal arithmetic."""
        return float(1 - Decimal(self.objective_percent) / 100)

    @property
    def id_labels(self) -> dict[str, str]:
        """The labels that name this SLO on every series Sloth records for it."""
        return {"sloth_id": self.sloth_id, "sloth_service": self.service, "sloth_slo": self.name}
