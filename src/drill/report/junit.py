"""``junit.xml``, the form CI systems read: a suite per run, a case per thing that had to be true."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree

from drill.core.clock import parse_rfc3339
from drill.core.labels import render
from drill.report.model import Alert, Injection, Report

FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold, not even escaped."""
Result = Literal["pass", "failure", "error"]


@dataclass(frozen=True)
class Case:
    """One test case; ``error`` is JUnit's word for unknown: the test itself did not work."""

    name: str
    result: Result
    message: str = ""
    time_s: float = 0.0
    text: str = ""


def to_junit(reports: Sequence[Report]) -> str:
    """Render *reports*, one suite each."""
    root = ElementTree.Element("testsuites", name="drill")
    for report in reports:
        root.append(_suite(report))
    for count in ("tests", "failures", "errors"):
        root.set(count, str(sum(int(suite.get(count, "0")) for suite in root)))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suite(report: Report) -> ElementTree.Element:
    cases = list(_cases(report))
    suite = ElementTree.Element("testsuite", name=_clean(f"drill.{report.scenario}"))
    suite.set("tests", str(len(cases)))
    suite.set("failures", str(sum(case.result == "failure" for case in cases)))
    suite.set("errors", str(sum(case.result == "error" for case in cases)))
    suite.set("time", f"{_duration(report):.3f}")
    if report.started_at:
        suite.set("timestamp", report.started_at)
    properties = ElementTree.SubElement(suite, "properties")
    facts = {"verdict": report.verdict, "target": report.target, "run_id": report.run_id,
             "fast_forward": f"{report.windows.fast_forward:g}"}  # fmt: skip
    for name, value in facts.items():
        ElementTree.SubElement(properties, "property", name=name, value=_clean(value))
    for case in cases:
        suite.append(_case(report, case))
    return suite


def _cases(report: Report) -> Iterator[Case]:
    for injection in report.injections:
        yield _effect(injection)
        yield _undone(injection)
    for alert in report.alerts:
        yield _alert(alert)
    yield _nothing_else(report)
    yield _whole(report)


def _effect(injection: Injection) -> Case:
    shown = injection.effect.holds and injection.effect.measured is not None
    measured = "nothing" if injection.effect.measured is None else f"{injection.effect.measured:g}"
    message = (
        injection.problem or f"measured {measured}, expected {injection.effect.expected} {injection.effect.unit}"
    )
    return Case(f"injection {injection.id}: effect measured", "pass" if shown else "error", message)


def _undone(injection: Injection) -> Case:
    results: dict[bool | None, Result] = {True: "pass", False: "failure", None: "error"}
    message = "; ".join(injection.differences) or "nobody checked what is left"
    return Case(f"injection {injection.id}: nothing is left", results[injection.clean], message)


def _alert(alert: Alert) -> Case:
    results: dict[str, Result] = {"pass": "pass", "fail": "failure"}
    result = results.get(alert.verdict.outcome, "error")
    text = "\n".join(f"{row.at} {row.source} {row.query} {row.raw}" for row in alert.evidence)
    name = f"alert {render(alert.match)}: fires, is delivered, resolves"
    return Case(name, result, f"{alert.verdict}: {alert.why}", max(0.0, alert.firing_after_s or 0.0), text)


def _nothing_else(report: Report) -> Case:
    names = ", ".join(render(alert.labels) for alert in report.unexpected_alerts)
    failed = any("fired although nobody expected it" in reason for reason in report.reasons)
    return Case("nothing else fires", "failure" if failed else "pass", f"unexpected: {names}")


def _whole(report: Report) -> Case:
    """The run as a whole: what no other case can say, an abort or a cut journal, must not look green."""
    result: Result = "pass" if report.verdict == "pass" else "failure" if report.verdict == "fail" else "error"
    return Case("the drill proves its hypothesis", result, f"{report.verdict}: {'; '.join(report.reasons)}")


def _case(report: Report, case: Case) -> ElementTree.Element:
    element = ElementTree.Element("testcase", classname=_clean(f"drill.{report.scenario}"), name=_clean(case.name))
    element.set("time", f"{case.time_s:.3f}")
    if case.result != "pass":
        problem = ElementTree.SubElement(element, case.result, message=_clean(case.message), type=case.result)
        problem.text = _clean(case.text)
    return element


def _duration(report: Report) -> float:
    if not (report.started_at and report.finished_at):
        return 0.0
    return parse_rfc3339(report.finished_at) - parse_rfc3339(report.started_at)


def _clean(text: str) -> str:
    return FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
