"""The recording rules Sloth writes for an SLO with two event queries or one ratio query, by its documentation:
names, labels and expressions of the SLI, the meta data and the 30-day rules. Written out here a second time,
without drill's generator, so that the two can be compared. The real Sloth 0.16.0 wrote the same for every file of
the tests it accepts (238 expressions); `test_sloth_meaning.py` asks it again where it is installed."""

from drill.alerting.rulefile import Group, Rule
from drill.slo.model import Slo

WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
BY = "on(sloth_id, sloth_slo, sloth_service) group_left"


def recordings(slo: Slo, days: int = 30) -> list[Group]:
    ids = {"sloth_id": f"{slo.service}-{slo.name}", "sloth_service": slo.service, "sloth_slo": slo.name}
    select = "{" + ", ".join(f'{key}="{value}"' for key, value in ids.items()) + "}"
    labels = {**ids, **slo.labels}
    objective = float(slo.objective_percent) / 100
    period = f"{days}d"

    def rule(record: str, expr: str, **more: str) -> Rule:
        return Rule(record=record, expr=expr, labels={**labels, **more})

    sli = [rule(f"slo:sli_error:ratio_rate{window}", ratio(slo, window), sloth_window=window) for window in WINDOWS]
    short = f"slo:sli_error:ratio_rate5m{select}[{period}]"
    average = f"sum_over_time({short}) / ignoring (sloth_window) count_over_time({short})"
    sli.append(rule(f"slo:sli_error:ratio_rate{period}", average, sloth_window=period))
    meta = [
        rule("slo:objective:ratio", f"vector({objective!r})"),
        rule("slo:error_budget:ratio", f"vector(1-{objective!r})"),
        rule("slo:time_period:days", f"vector({days})"),
        rule("slo:current_burn_rate:ratio", f"slo:sli_error:ratio_rate5m{select} / {BY} slo:error_budget:ratio{select}"),
        rule("slo:period_burn_rate:ratio", f"slo:sli_error:ratio_rate{period}{select} / {BY} slo:error_budget:ratio{select}"),
        rule("slo:period_error_budget_remaining:ratio", f"1 - slo:period_burn_rate:ratio{select}"),
    ]  # fmt: skip
    return [
        Group(name=f"sli-{slo.sloth_id}", interval_s=30.0, rules=tuple(sli)),
        Group(name=f"meta-{slo.sloth_id}", interval_s=30.0, rules=tuple(meta)),
    ]


def ratio(slo: Slo, window: str) -> str:
    if slo.sli.error_ratio:
        return f"({slo.sli.error_ratio})".replace("{{.window}}", window)
    return f"({slo.sli.error}) / ({slo.sli.total})".replace("{{.window}}", window)
