"""Everything generated from the SLO files, as one mapping of paths to text.

Owns the list of generated files. Writes nothing: the caller does, and CI compares the committed files with it.
"""

from __future__ import annotations

from collections.abc import Sequence

from drill.alerting.dashboard import dashboard
from drill.alerting.generate import alert_groups, recording_groups
from drill.alerting.routing import alertmanager_config
from drill.alerting.rulefile import rule_file
from drill.alerting.ruletests import can_test, test_file
from drill.alerting.windows import REAL_TIME, RuleTiming
from drill.slo.model import Slo

RECORDING_RULES = "prometheus/recording-rules.yaml"
BURN_RATE_ALERTS = "prometheus/burn-rate-alerts.yaml"
ALERTMANAGER_CONFIG = "prometheus/alertmanager-config.yaml"
SLO_DASHBOARD = "grafana/slo-dashboard.json"
RULE_TESTS = "prometheus/tests"


def artifacts(slos: Sequence[Slo], timing: RuleTiming = REAL_TIME) -> dict[str, str]:
    """Return rules, routes and dashboard by path. Raises ProblemsFound when an alert could never fire."""
    return {
        RECORDING_RULES: rule_file(recording_groups(slos, timing)),
        BURN_RATE_ALERTS: rule_file(alert_groups(slos, timing)),
        ALERTMANAGER_CONFIG: alertmanager_config(timing.fast_forward),
        SLO_DASHBOARD: dashboard(timing),
    }


def rule_tests(slos: Sequence[Slo]) -> dict[str, str]:
    """Return the promtool unit tests of the generated rules by path, one file per service."""
    groups = recording_groups(slos) + alert_groups(slos)
    files = ["../recording-rules.yaml", "../burn-rate-alerts.yaml"]
    services = dict.fromkeys(slo.service for slo in slos)
    out = {}
    for service in services:
        own = [slo for slo in slos if slo.service == service and slo.alerting.name and can_test(slo)]
        if own:
            out[f"{RULE_TESTS}/{service}.yaml"] = test_file(own, groups, files)
    return out
