"""Every seeded fault in the alert path is named correctly, before the drill where it can be known, and never passes.

All rows run against real servers, several at once; a row's own test reads its result. ``DRILL_ALERT_PATH_JOBS``
sets how many drills run at a time (6: a drill mostly waits, and takes 8 % of a CPU with its servers), each with
its servers started ahead.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from drill.core.observations import Notification
from drill.journal.events import NotificationsSeen
from drill.verify import AlertVerdict
from e2e.alert_path.drilling import Drilled, drill
from e2e.alert_path.rig import Generation, Rig
from e2e.alert_path.servers import GENERATIONS, generation
from e2e.alert_path.table import TABLE, Case

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
JOBS = int(os.environ.get("DRILL_ALERT_PATH_JOBS", "6"))


@dataclass
class Campaign:
    """All rows under way; servers start ahead of the drills, of which at most ``JOBS`` run at once."""

    reasons: dict[str, str]
    runs: dict[tuple[str, str], Future[Drilled]]

    def result(self, name: str, row: str) -> Drilled:
        if name in self.reasons:
            pytest.skip(self.reasons[name])
        return self.runs[name, row].result(timeout=550)


def _run(servers: Generation, row: Case, turn: threading.Semaphore) -> Drilled:
    rig = Rig(servers, row.spec)
    try:
        rig.start()
        with turn:
            if row.before is not None:
                row.before(rig)
            return drill(rig, row.hooks, at=row.at, lasts=row.lasts, percent=row.percent, ahead_s=row.ahead_s)
    finally:
        rig.close()


@pytest.fixture(scope="module")
def campaign(request: pytest.FixtureRequest) -> Iterator[Campaign]:
    """Start every row that was selected, and hand over their results as they come."""
    wanted = [
        item.callspec.params
        for item in request.session.items
        if getattr(item, "callspec", None) and item.fspath == request.path and "row" in item.callspec.params
    ]
    found = {name: generation(name) for name in dict.fromkeys(str(params["name"]) for params in wanted)}
    turn = threading.Semaphore(JOBS)
    with ThreadPoolExecutor(2 * JOBS) as pool:
        runs = {}
        for params in wanted:
            name, row = str(params["name"]), str(params["row"])
            servers = found[name]
            if isinstance(servers, Generation):
                runs[name, row] = pool.submit(_run, servers, TABLE[row], turn)
        yield Campaign({name: why for name, why in found.items() if isinstance(why, str)}, runs)
        for run in runs.values():
            run.cancel()


def _said(drilled: Drilled) -> str:
    verdict = drilled.verdict
    alerts = [f"{alert.verdict}: {alert.why} {alert.claims}" for alert in verdict.alerts]
    found = [f"{f.level} {f.check}: {f.text} -> {f.fix}" for f in drilled.preflight.findings]
    return "\n".join([verdict.outcome, *verdict.reasons, *alerts, "preflight:", *found])


def _pages(drilled: Drilled) -> list[Notification]:
    """What the receiver was told of the alert's beginning."""
    seen = [one for event in drilled.events if isinstance(event, NotificationsSeen) for one in event.notifications]
    return [one for one in seen if one.receiver == "pagerduty" and one.status == "firing"]


@pytest.mark.parametrize("name", GENERATIONS)
@pytest.mark.parametrize("row", TABLE)
def test_a_fault_in_the_alert_path_is_named(campaign: Campaign, name: str, row: str) -> None:
    """Outcome, verdict and, where it can be known before, the preflight finding are the right ones."""
    want, drilled = TABLE[row], campaign.result(name, row)
    (alert,) = drilled.verdict.alerts
    said = _said(drilled)
    assert drilled.verdict.outcome in want.outcome, said
    assert alert.verdict in want.verdict, said
    assert want.why in alert.why, said
    assert [a.labels["alertname"] for a in drilled.verdict.unexpected] == (
        [want.unexpected] if want.unexpected else []
    ), said
    if want.pages:
        assert len(_pages(drilled)) == want.pages, said
    wrong = [finding for finding in drilled.preflight.findings if finding.level != "info"]
    if want.preflight:
        assert any(f.check == want.preflight and want.says in f"{f.text} {f.fix}" and f.fix for f in wrong), said
    else:
        assert not wrong, said
    assert drilled.preflight_s < 5.0, said


def test_every_verdict_is_in_the_table() -> None:
    """Each value of the enum is somewhere the only right answer, UNEXPECTED by an alert nobody expects."""
    sole = {next(iter(case.verdict)) for case in TABLE.values() if len(case.verdict) == 1}
    unexpected = {AlertVerdict.UNEXPECTED} if any(case.unexpected for case in TABLE.values()) else set()
    assert sole | unexpected == set(AlertVerdict)
