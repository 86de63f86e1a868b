"""Rule files as other generators, and people, write them: what prediction reads from each.

Each ``cases/<name>.yaml`` has a ``<name>.txt`` with its burn-rate alerts; `python tests/alerting/test_rule_cases.py`
writes them anew, to be read before they are committed.
"""

from pathlib import Path

import pytest

from drill.alerting.rulefile import read_groups
from drill.alerting.rules import burn_alerts
from drill.core.units import prometheus_duration as span

FILES = sorted((Path(__file__).parent / "cases").glob("*.yaml"))


def meaning(path: Path) -> str:
    groups, problems = read_groups(path.read_text(), path.name)
    assert problems == []
    alerts, lines = burn_alerts(groups), []
    for a in alerts:
        more = [f"for {span(a.for_s)}"] if a.for_s else []
        more += [f"keep_firing_for {span(a.keep_firing_for_s)}"] if a.keep_firing_for_s else []
        more += ["chained"] if a.chained else []
        more += [f"slower than {a.threshold_s:g} s"] if a.threshold_s else []
        more += [f"period {span(a.period_s)}"] if a.period_s != 30 * 86400 else []
        lines.append(
            f"{a.alertname} line {a.line}: {a.factor:g}x of {1 - a.objective:.6g} over {span(a.long_s)} and "
            f"{span(a.short_s)}, every {span(a.interval_s)}"
            + "".join(f", {each}" for each in more)
            + f"; {a.sli} of {a.service or '?'}, id {a.sloth_id}, severity {a.severity or 'none'}"
        )
    read = {(alert.alertname, alert.line) for alert in alerts}
    rest = [
        rule.alert for group in groups for rule in group.rules if rule.alert and (rule.alert, rule.line) not in read
    ]
    return "\n".join([*lines, *(f"{name}: no burn-rate alert" for name in rest)]) + "\n"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_rule_file_means_what_is_written_beside_it(path: Path) -> None:
    assert meaning(path) == path.with_suffix(".txt").read_text()


def test_there_are_enough_cases() -> None:
    assert len(FILES) >= 12


def main() -> None:
    for path in FILES:
        path.with_suffix(".txt").write_text(meaning(path))


if __name__ == "__main__":
    main()
