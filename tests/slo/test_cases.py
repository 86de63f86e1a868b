"""Users' files in each form, odd ones included: what is read from each, and what is said about its mistakes.

Each ``cases/<form>/<name>.yaml`` has a ``<name>.txt`` that says what it means; `python tests/slo/test_cases.py`
writes them anew, to be read before they are committed.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from drill.alerting import promql
from drill.alerting.generate import alert_groups, check, recording_groups
from drill.alerting.rules import burn_alerts
from drill.slo.load import load_slos
from drill.slo.model import WINDOW, Slo

CASES = Path(__file__).parent / "cases"
FILES = sorted(CASES.glob("*/*.yaml"))
AT_LEAST = 12


def told(slo: Slo) -> list[str]:
    off = [name for name in ("page", "ticket", "log") if getattr(slo.alerting, name).disable]
    sli = slo.sli
    lines = [
        f"{slo.sloth_id}: {slo.objective_percent} % over {slo.period_s / 86400:g}d, line {slo.line}",
        *(f"  {kind}: {' '.join(query.split())}" for kind, query in
          (("error", sli.error), ("total", sli.total), ("ratio", sli.error_ratio)) if query),
        f"  alert: {slo.alerting.name or 'none'}" + (f" without {', '.join(off)}" if off else ""),
    ]  # fmt: skip
    if slo.alerting.no_traffic_name or not slo.alerting.no_traffic:
        lines.append(f"  no traffic: {slo.alerting.no_traffic_name or 'no alert'}")
    for name, values in (
        ("labels", slo.labels), ("alert labels", slo.alerting.labels), ("annotations", slo.alerting.annotations),
        ("page", slo.alerting.page.labels | slo.alerting.page.annotations),
        ("ticket", slo.alerting.ticket.labels | slo.alerting.ticket.annotations),
    ):  # fmt: skip
        if values:
            lines.append(f"  {name}: {', '.join(f'{key}={value}' for key, value in sorted(values.items()))}")
    return lines


def meaning(path: Path) -> str:
    slos, problems = load_slos([(path.name, path.read_text())])
    lines = [line for slo in slos for line in told(slo)]
    lines += sorted(f"{p.line}:{p.column}: {p.message}" + (f" ({p.hint})" if p.hint else "") for p in problems)
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_file_means_what_is_written_beside_it(path: Path) -> None:
    assert meaning(path) == path.with_suffix(".txt").read_text()


@pytest.mark.parametrize("form", ["sloth", "pyrra", "openslo"])
def test_there_are_enough_cases_of_each_form(form: str) -> None:
    assert sum(path.parent.name == form for path in FILES) >= AT_LEAST


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_mistake_has_a_line_of_the_file(path: Path) -> None:
    lines = path.read_text().splitlines()
    for problem in load_slos([(path.name, path.read_text())])[1]:
        assert 1 <= problem.line <= len(lines)
        assert problem.source_line in ("", lines[problem.line - 1])


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_is_read_becomes_rules_that_prediction_understands(path: Path) -> None:
    slos = load_slos([(path.name, path.read_text())])[0]
    for slo in slos:
        for query in (slo.sli.error, slo.sli.total, slo.sli.error_ratio):
            assert not query or promql.parse(query.replace(WINDOW, "5m")) is not None
    usable = [slo for slo in slos if not check([slo])]
    groups = recording_groups(usable) + alert_groups(usable)
    names = {slo.alerting.name for slo in usable}
    assert len(burn_alerts(groups)) == sum(rule.alert in names - {""} for group in groups for rule in group.rules)
    for slo in usable:
        own = [alert for alert in burn_alerts(groups) if alert.sloth_id == slo.sloth_id]
        assert {(alert.objective, alert.period_s) for alert in own} <= {(slo.objective, slo.period_s)}


def test_references_may_cross_files_and_ids_may_not() -> None:
    text = (CASES / "openslo/by-reference.yaml").read_text()
    parts = [(f"{index}.yaml", part) for index, part in enumerate(text.split("---\n"))]
    slos, problems = load_slos(parts)
    assert problems == []
    assert [slo.file for slo in slos] == ["0.yaml"]
    pyrra = (CASES / "pyrra/ratio.yaml").read_text()
    slos, problems = load_slos([("a.yaml", pyrra), ("b.yaml", pyrra)])
    assert len(slos) == 2
    assert [(p.file, "a.yaml:4" in p.message) for p in problems] == [("b.yaml", True)]


@pytest.mark.parametrize("text", ["", "just text", "- a\n- b\n", "kind: Deployment\n", "a: {b", "groups: []\n"])
def test_what_is_no_slo_file_is_said(text: str) -> None:
    slos, problems = load_slos([("x.yaml", text)])
    assert slos == []
    assert len(problems) == 1


def replaced(data: Any) -> Iterator[Any]:
    """Yield *data* with each of its values, one after another, replaced by something else."""
    yield from (None, "x", 5, [], {}, [1], {"a": 1}, True)
    pairs = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in list(pairs):
        for other in replaced(value):
            changed = dict(data) if isinstance(data, dict) else list(data)
            changed[key] = other
            yield changed


@pytest.mark.parametrize(
    "name", ["sloth/labels-at-every-level", "sloth/crd", "pyrra/latency-native-grouped",
             "pyrra/alert-names-and-labels", "openslo/alert-policy",
             "openslo/two-policies-and-a-condition-by-reference", "openslo/data-source-by-reference"],
)  # fmt: skip
def test_no_file_however_odd_ends_in_an_exception(name: str) -> None:
    documents = list(yaml.safe_load_all((CASES / f"{name}.yaml").read_text()))
    for odd in replaced(documents):
        if isinstance(odd, list) and odd:
            slos, problems = load_slos([("x.yaml", yaml.safe_dump_all(odd))])
            assert slos or problems or name.startswith("openslo")


def main() -> None:
    for path in FILES:
        path.with_suffix(".txt").write_text(meaning(path))


if __name__ == "__main__":
    main()
