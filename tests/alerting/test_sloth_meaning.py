"""What drill records for a Sloth file means what Sloth's own rules mean, series by series.

Names and labels are compared for every Sloth file of the tests and every shipped one; values by promtool, which
evaluates both sets of rules on the same counters, 500 evaluations long.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from testcluster.steps import Failed, Missing, Steps

from alerting.sloth_shape import recordings
from drill.alerting import promql
from drill.alerting.generate import recording_groups
from drill.alerting.rulefile import Group, read_groups, rule_file
from drill.alerting.rules import burn_alerts
from drill.slo.load import load_slos
from drill.slo.model import Slo
from drill.target.sandbox.programs import search_path
from testcluster import lifecycle

ROOT = Path(__file__).parents[2]
FILES = [
    *sorted((ROOT / "prometheus/slo").glob("*.yaml")),
    *sorted((ROOT / "tests/slo/cases/sloth").glob("*.yaml")),
]
ONLY_OURS = {
    "no-alert-name",  # without a name Sloth wants both alerts disabled; drill then makes recording rules only
    "template-with-dashes",  # its objective stands in quotes, and Sloth wants a number
}
"""Files that Sloth refuses and drill takes."""
SLOTHS = {
    "page": [(6, 6 * 3600, 1800), (14.4, 3600, 300)],
    "ticket": [(1, 3 * 86400, 6 * 3600), (3, 86400, 2 * 3600)],
}
"""Sloth's four pairs for a period of 30 days: factor, long and short window in seconds."""
SERIES = {
    "events": ['departures_total{late="yes"} 0+1x100 100+7x400', 'departures_total{late="no"} 0+40x500'],
    "labels-at-every-level": ['calls_total{answered="no"} 0+0x200 0+3x300', 'calls_total{answered="yes"} 0+9x500'],
    "raw-ratio": ["tide_gauge_ok 1x100 0x30 1x370"],
    "crd": ['departures_total{late="yes"} 0+1x500', 'departures_total{late="no"} 0+40x500'],
    "crd-raw-with-status": ["tide_gauge_bad 0.25x250 0.75x250"],
    "template-with-dashes": ['gate_moves_total{outcome="stuck"} 0+2x500', 'gate_moves_total{outcome="open"} 0+90x500'],
}  # fmt: skip


def slos_of(path: Path) -> list[Slo]:
    return [slo for slo in load_slos([(path.name, path.read_text())])[0] if slo.sloth_id]


def named(groups: list[Group]) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    return {
        (rule.record, tuple(sorted(rule.labels.items())))
        for group in groups
        for rule in group.rules
        if rule.record != "sloth_slo_info"  # says by whom and from what it was made
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_same_series_with_the_same_labels(path: Path) -> None:
    for slo in slos_of(path):
        assert named(recording_groups([slo])) == named(recordings(slo))


@pytest.mark.e2e
@pytest.mark.parametrize("name", SERIES)
def test_the_same_values(name: str, tmp_path: Path) -> None:
    promtool = shutil.which("promtool", path=os.pathsep.join(search_path()))
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: apt install prometheus)")
    slos = slos_of(ROOT / f"tests/slo/cases/sloth/{name}.yaml")
    ours = recording_groups(slos)
    (tmp_path / "ours.yaml").write_text(rule_file([in_order(ours)]))
    theirs = [group for slo in slos for group in recordings(slo)]
    renamed = re.sub(r"slo:(?=[a-z])", "theirs:slo:", rule_file([in_order(theirs)])).replace(
        "- name: ", "- name: t-"
    )
    (tmp_path / "theirs.yaml").write_text(renamed)
    checks = [
        {
            "expr": f"count(abs({record} - theirs:{record}) < 1e-9)",
            "eval_time": moment,
            "exp_samples": [{"labels": "{}", "value": len(slos)}],
        }
        for record in sorted({record for record, _ in named(ours)})
        for moment in ("10m", "1h", "4h")
    ]
    test = {"interval": "30s", "input_series": list(map(series, SERIES[name])), "promql_expr_test": checks}
    files = {"rule_files": ["ours.yaml", "theirs.yaml"], "evaluation_interval": "30s", "tests": [test]}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(files))
    done = subprocess.run(
        [promtool, "test", "rules", str(tmp_path / "test.yaml")], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def sloth() -> str:
    """The real Sloth: one that is installed, else built as a Go module and cached (some minutes the first time)."""
    if installed := shutil.which("sloth"):
        return installed
    if shutil.which("go", path=f"{os.environ.get('PATH', '')}:/usr/local/go/bin") is None:
        pytest.skip("neither sloth nor a Go toolchain to build it with is here")
    try:
        return str(lifecycle.sloth(Steps(quiet=True)))
    except (Missing, Failed) as error:
        pytest.skip(f"Sloth could not be built: {error}")


def generated(sloth: str, path: Path) -> list[Group]:
    """What Sloth makes of *path*, read as any rule file is; none for a file it refuses, as drill must then too."""
    done = subprocess.run([sloth, "generate", "-i", str(path)], capture_output=True, text=True, timeout=60)
    if done.returncode:
        assert path.stem in ONLY_OURS or load_slos([(path.name, path.read_text())])[1], done.stderr[-300:]
        return []
    groups, problems = read_groups(done.stdout, path.name)
    assert problems == []
    assert groups
    return groups


@pytest.mark.e2e
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_sloth_itself_writes_that_shape(sloth: str, path: Path) -> None:
    groups = generated(sloth, path)
    if not groups:
        return
    assert written(groups) == written([group for slo in slos_of(path) for group in recordings(slo)])


@pytest.mark.e2e
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_prediction_reads_what_sloth_itself_writes(sloth: str, path: Path) -> None:
    """Windows, factors and objective from the PromQL: Sloth's page is two pairs joined by `or`, its ticket too."""
    groups = generated(sloth, path)
    alerts = burn_alerts(groups)
    for slo in slos_of(path) if groups else ():
        for severity, enabled in (
            ("page", not slo.alerting.page.disable),
            ("ticket", not slo.alerting.ticket.disable),
        ):
            found = [a for a in alerts if a.sloth_id == slo.sloth_id and a.severity == severity]
            assert sorted((a.factor, a.long_s, a.short_s) for a in found) == (SLOTHS[severity] if enabled else [])
            assert all(a.objective == pytest.approx(slo.objective) for a in found)


def written(groups: list[Group]) -> dict[tuple[str, str], str]:
    """Expressions without white space, by record and SLO."""
    return {
        (rule.record, rule.labels["sloth_id"]): re.sub(r"\s+", "", promql.parse(rule.expr).prettify())
        for group in groups
        for rule in group.rules
        if rule.record and rule.record != "sloth_slo_info"
    }


def in_order(groups: list[Group]) -> Group:
    """One group: promtool evaluates several in any order, and a value read one evaluation earlier differs."""
    return Group(name="all", interval_s=30.0, rules=tuple(rule for group in groups for rule in group.rules))


def series(text: str) -> dict[str, str]:
    name, _, values = text.partition(" ")
    return {"series": name, "values": values}
