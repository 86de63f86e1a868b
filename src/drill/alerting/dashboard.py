"""The Grafana dashboard of the SLOs, generated: compliance, remaining budget, burn rates, alerts, drills.

Owns the dashboard's JSON model (Grafana's classic schema). Queries only series that the generated rules
record, plus ``ALERTS``. Deterministic, with the data source left as a variable.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from drill.alerting.windows import PAIRS, REAL_TIME, Pair, RuleTiming
from drill.core.units import prometheus_duration
from drill.slo.model import DEFAULT_PERIOD_S

Json = dict[str, Any]

SCHEMA_VERSION = 39
"""Grafana 10.4 and later read it as it is."""
DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
ONE = '{sloth_service=~"$service", sloth_slo=~"$slo"}'
JOIN = "on(sloth_id, sloth_slo, sloth_service) group_left"
GREEN, YELLOW, ORANGE, RED = "green", "yellow", "orange", "red"
BUDGET_STEPS: Sequence[tuple[str, float | None]] = [(RED, None), (ORANGE, 0.0), (YELLOW, 0.2), (GREEN, 0.5)]
"""Where docs/error-budget-policy.md acts: 50 %, 80 % and all of the budget spent."""
COLOURS = {"page": RED, "ticket": ORANGE, "log": YELLOW}


def dashboard(timing: RuleTiming = REAL_TIME, pairs: Sequence[Pair] = PAIRS) -> str:
    """Render the dashboard as JSON text."""
    period = timing.window(DEFAULT_PERIOD_S)
    panels = [
        _stat("SLO compliance", f"1 - slo:sli_error:ratio_rate{period}{ONE}", f"Good events over {period}.", 0, 0),
        _stat("Objective", f"slo:objective:ratio{ONE}", "What was promised.", 6, 0),
        _budget_stat(period),
        _burn_stat(pairs),
        _series(
            "Error budget remaining", [(f"slo:period_error_budget_remaining:ratio{ONE}", "{{sloth_id}}")],
            f"Share of the {period} error budget that is left; below zero the objective is missed.",
            {"x": 0, "y": 5, "w": 12, "h": 8}, "percentunit", BUDGET_STEPS,
        ),
        _series(
            "Error ratio (shortest window) and objective",
            [
                (f"slo:sli_error:ratio_rate{timing.window(pairs[0].short_s)}{ONE}", "{{sloth_id}}"),
                (f"slo:error_budget:ratio{ONE}", "{{sloth_id}} allowed"),
            ],
            "Share of bad events, and what the objective allows over the whole period.",
            {"x": 12, "y": 5, "w": 12, "h": 8}, "percentunit", [(GREEN, None)],
        ),
        *(_burn_rates(pair, timing, index) for index, pair in enumerate(pairs)),
        _alerts(),
    ]  # fmt: skip
    for number, panel in enumerate(panels, 1):
        panel["id"] = number
    return json.dumps(_frame(panels, timing), indent=2, ensure_ascii=False) + "\n"


def _frame(panels: Sequence[Json], timing: RuleTiming) -> Json:
    return {
        "uid": "drill-slo",
        "title": "SLOs, error budgets and drills",
        "tags": ["slo", "drill"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": prometheus_duration(max(5.0, timing.interval_s)),
        "time": {"from": f"now-{timing.window(6 * 3600)}", "to": "now"},
        "timezone": "utc",
        "annotations": {"list": [_drill_windows()]},
        "templating": {
            "list": [_datasource(), _variable("service", "sloth_service"), _variable("slo", "sloth_slo")]
        },
        "panels": list(panels),
        "links": [],
    }


def _drill_windows() -> Json:
    """Drills post their windows as annotations with the tag ``drill``; they show on every panel."""
    return {
        "name": "Drills", "enable": True, "iconColor": "purple", "type": "tags",
        "datasource": {"type": "grafana", "uid": "-- Grafana --"},
        "target": {"type": "tags", "tags": ["drill"], "matchAny": False, "limit": 100},
    }  # fmt: skip


def _datasource() -> Json:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "hide": 0}


def _variable(name: str, label: str) -> Json:
    within = '{sloth_service=~"$service"}' if name == "slo" else ""
    query = f"label_values(slo:objective:ratio{within}, {label})"
    return {
        "name": name, "label": name, "type": "query", "datasource": DATASOURCE, "definition": query,
        "query": {"query": query, "refId": name}, "refresh": 2, "sort": 1, "multi": True, "includeAll": True,
        "allValue": ".+", "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }  # fmt: skip


def _thresholds(steps: Sequence[tuple[str, float | None]]) -> Json:
    return {"mode": "absolute", "steps": [{"color": color, "value": value} for color, value in steps]}


def _target(expr: str, legend: str, ref: str, *, instant: bool = False) -> Json:
    target = {"datasource": DATASOURCE, "expr": expr, "legendFormat": legend, "refId": ref, "editorMode": "code"}
    return {**target, "instant": instant, "range": not instant}


def _panel(kind: str, title: str, description: str, place: Json, field: Json) -> Json:
    return {
        "type": kind, "title": title, "description": description, "datasource": DATASOURCE, "gridPos": place,
        "fieldConfig": {"defaults": field, "overrides": []},
    }  # fmt: skip


def _stat(title: str, expr: str, description: str, x: int, y: int) -> Json:
    field = {"unit": "percentunit", "decimals": 3, "thresholds": _thresholds([(GREEN, None)])}
    panel = _panel("stat", title, description, {"x": x, "y": y, "w": 6, "h": 5}, field)
    panel["targets"] = [_target(expr, "{{sloth_id}}", "A", instant=True)]
    panel["options"] = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "textMode": "auto",
    }
    return panel


def _budget_stat(period: str) -> Json:
    expr = f"slo:period_error_budget_remaining:ratio{ONE}"
    panel = _stat(
        "Remaining error budget", expr, f"Of the {period} budget; the policy acts at 50, 20 and 0 %.", 12, 0
    )
    field = panel["fieldConfig"]["defaults"]
    field["decimals"] = 1
    field["thresholds"] = _thresholds(BUDGET_STEPS)
    return panel


def _burn_stat(pairs: Sequence[Pair]) -> Json:
    panel = _stat("Burn rate now", f"slo:current_burn_rate:ratio{ONE}", "1x spends exactly the budget.", 18, 0)
    field = panel["fieldConfig"]["defaults"]
    steps = sorted((pair.factor, COLOURS.get(pair.severity, RED)) for pair in pairs)
    field.update({"unit": "suffix:x", "decimals": 2})
    field["thresholds"] = _thresholds([(GREEN, None), *((color, factor) for factor, color in steps)])
    return panel


def _series(
    title: str, queries: Sequence[tuple[str, str]], description: str, place: Json, unit: str,
    steps: Sequence[tuple[str, float | None]], *, lines: bool = False,
) -> Json:  # fmt: skip
    custom = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 5, "showPoints": "never", "spanNulls": False}
    custom["thresholdsStyle"] = {"mode": "line" if lines else "off"}
    field = {"unit": unit, "custom": custom, "thresholds": _thresholds(steps)}
    panel = _panel("timeseries", title, description, place, field)
    panel["targets"] = [_target(expr, legend, chr(65 + index)) for index, (expr, legend) in enumerate(queries)]
    panel["options"] = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return panel


def _burn_rates(pair: Pair, timing: RuleTiming, index: int) -> Json:
    """Both windows of one pair against its threshold: the alert fires when both are over the line."""
    queries = [
        (
            f"slo:sli_error:ratio_rate{timing.window(window)}{ONE}\n/ {JOIN}\nslo:error_budget:ratio{ONE}",
            f"{{{{sloth_id}}}} {timing.window(window)}",
        )
        for window in (pair.short_s, pair.long_s)
    ]
    long, short = timing.window(pair.long_s), timing.window(pair.short_s)
    title = f"Burn rate {long} and {short} ({pair.severity} over {pair.factor:g}x)"
    place = {"x": 8 * index, "y": 13, "w": 8, "h": 9}
    steps = [("transparent", None), (COLOURS.get(pair.severity, RED), pair.factor)]
    description = f"The {pair.severity} alert fires when both windows are over the line."
    return _series(title, queries, description, place, "suffix:x", steps, lines=True)


def _alerts() -> Json:
    field = {
        "custom": {"fillOpacity": 70, "lineWidth": 0},
        "mappings": [{"type": "value", "options": {"1": {"text": "firing", "color": RED, "index": 0}}}],
        "thresholds": _thresholds([(GREEN, None)]),
    }
    place = {"x": 0, "y": 22, "w": 24, "h": 8}
    panel = _panel("state-timeline", "Alerts firing", "By severity; drills are the purple bands.", place, field)
    expr = 'max by (sloth_id, sloth_service, severity) (ALERTS{alertstate="firing", sloth_service=~"$service"})'
    panel["targets"] = [_target(expr, "{{severity}} {{sloth_id}}", "A")]
    panel["options"] = {"mergeValues": True, "showValue": "never", "legend": {"showLegend": False}}
    return panel
