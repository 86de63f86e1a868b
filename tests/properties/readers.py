"""Everything that reads a file somebody else wrote, each as one function of a text; with good files to start from.

A reader may say what is wrong, as Problems or as a DrillError. Anything else it raises is a mistake of drill's.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from drill.alerting.generate import alert_groups, recording_groups
from drill.alerting.routing import for_sandbox, load_routing, muted_by, receivers_for, timings
from drill.alerting.rulefile import read_groups
from drill.alerting.rules import burn_alerts
from drill.alerting.windows import fast_forwarded
from drill.cli.past import past_runs
from drill.cli.safety import check_allowed
from drill.core.errors import DrillError
from drill.core.problems import render
from drill.experiments.importing import import_experiment
from drill.faults.registry import parameter_models
from drill.gameday.loader import load as load_drill
from drill.journal.journal import read_journal
from drill.report.build import build
from drill.runbook.lint import lint
from drill.runbook.parse import parse
from drill.scenario.loader import load
from drill.slo.load import load_slos
from drill.verify import judge
from verify.journals import GOOD, journal, plan

ROOT = Path(__file__).parents[2]
PLAN = plan()
LABELS = {"alertname": "A", "severity": "page", "slo": "checkout-latency", "sloth_id": "checkout-latency"}
_FAULTS = parameter_models()


def scenario(text: str) -> None:
    """A scenario."""
    found = load(text.encode(errors="replace"), faults=_FAULTS, overrides={"service": "checkout"})
    for problem in found.problems:
        render(problem)


def slo(text: str) -> None:
    """An SLO file of any form, and the rules made from it."""
    slos, problems = load_slos([("slo.yaml", text)])
    for problem in problems:
        render(problem)
    if slos and not problems:
        timing = fast_forwarded(60)
        burn_alerts([*recording_groups(slos, timing), *alert_groups(slos, timing)])


def rules(text: str) -> None:
    """A Prometheus rule file."""
    groups, problems = read_groups(text, "rules.yaml")
    for problem in problems:
        render(problem)
    burn_alerts(groups)


def runbook(text: str) -> None:
    """A runbook."""
    found, problems = parse(text)
    for problem in (*problems, *(lint(found) if found is not None else ())):
        render(problem)


def alertmanager(text: str) -> None:
    """An Alertmanager configuration, and what it does with an alert."""
    routing, problems = load_routing(text)
    for problem in problems:
        render(problem)
    if routing is not None:
        receivers_for(routing, LABELS)
        timings(routing, LABELS)
        muted_by(routing, LABELS, 1_700_000_000.0)
        for_sandbox(text, "http://127.0.0.1:1", 60)


def journal_file(text: str) -> None:
    """A journal: read, judged, reported and listed among the past runs."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        path = Path(folder) / "run" / "journal.jsonl"
        path.parent.mkdir()
        path.write_bytes(text.encode(errors="replace"))
        events = read_journal(path).events
        past_runs(Path(folder))
    build(PLAN, events, judge(PLAN, events))


def safety(text: str) -> None:
    """The file of freeze windows and protected targets."""
    import os

    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        path = Path(folder) / "safety.yaml"
        path.write_bytes(text.encode(errors="replace"))
        os.environ["DRILL_SAFETY"] = str(path)
        try:
            check_allowed("prod", ["checkout"], 1_700_000_000.0)
        finally:
            del os.environ["DRILL_SAFETY"]


def drill(text: str) -> None:
    """A drill file: a game day with people and a schedule."""
    with _file("drill.yaml", text) as path:
        for problem in load_drill(path, _FAULTS).problems:
            render(problem)


def experiment(text: str) -> None:
    """An experiment of Chaos Toolkit, and the scenario that is made of it."""
    made = import_experiment(text.encode(errors="replace"), "experiment.yaml")
    for problem in (*made.lost, *made.problems):
        render(problem)
    if made.text:
        for problem in load(made.text, faults=_FAULTS, placeholders=True).problems:
            render(problem)


@contextlib.contextmanager
def _file(name: str, text: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        path = Path(folder) / name
        path.write_bytes(text.encode(errors="replace"))
        yield path


READERS: Mapping[str, Callable[[str], None]] = {
    "scenario": scenario,
    "slo": slo,
    "rules": rules,
    "runbook": runbook,
    "alertmanager": alertmanager,
    "journal": journal_file,
    "safety": safety,
    "drill": drill,
    "experiment": experiment,
}


ACTIVITIES = """\
apiVersion: drill/v1
kind: Scenario
metadata: {name: activities, owner: sre}
hypothesis: It pages.
parameters: {service: {type: string, default: checkout}}
injections:
  - id: flags
    fault: chaostoolkit
    target: {service: "${service}", pods: 1}
    with:
      action: {provider: {type: http, url: "http://127.0.0.1:9/", method: POST, headers: {Authorization: "Bearer $${token}"}}}
      undo: {provider: {type: process, path: "true", arguments: {"-a": 1}}, timeout: 10s}
      probe:
        provider: {type: python, module: os.path, func: exists, arguments: {path: /tmp/x}}
        tolerance: {type: not, tolerance: {type: regex, pattern: "a+", target: stdout}}
        within: 20s
      configuration: {host: {type: env, key: HOST, default: a}}
      secrets: {flags: {token: {env: TOKEN}, other: {file: /tmp/t}}}
      each: replica
    for: 5m
  - {id: pods, fault: k8s/terminate_pods, target: {service: cart}, with: {label_selector: a=b, qty: 1}, at: 6m, for: 1m}
expect: {alerts: [{match: {slo: checkout-availability}, error_ratio: [10%, 90%]}]}
"""


def corpus() -> Mapping[str, Sequence[str]]:
    """Good files by kind."""
    safe = "freeze:\n  - from: 2026-12-20T00:00:00Z\n    until: 2027-01-02T00:00:00Z\nprotect: ['*/ledger']\n"
    good = "".join(event.model_dump_json() + "\n" for event in journal(GOOD))
    return {
        "scenario": [*_texts("scenarios/*.yaml"), ACTIVITIES],
        "slo": [*_texts("prometheus/slo/*.yaml"), *_texts("tests/slo/cases/**/*.y*ml")],
        "rules": _texts("prometheus/*rule*.yaml", "prometheus/*alerts.yaml"),
        "runbook": _texts("runbooks/*.md"),
        "alertmanager": _texts("prometheus/alertmanager-config.yaml"),
        "journal": [good],
        "safety": [safe],
        "drill": _texts("drills/*.yaml"),
        "experiment": _texts("tests/experiments/fixtures/*.yaml", "tests/experiments/fixtures/*.json"),
    }


def _texts(*patterns: str) -> list[str]:
    return [path.read_text() for pattern in patterns for path in sorted(ROOT.glob(pattern))]


def read(kind: str, text: str) -> None:
    """Read *text* as *kind*; what a reader is allowed to say is swallowed."""
    with contextlib.suppress(DrillError):
        READERS[kind](text)
