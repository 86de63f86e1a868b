"""What the table cannot say in a row: the routing probe makes no noise, and preflight is quick."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import requests

from drill.observe.observer import Observer
from e2e.alert_path.rig import PAGE, Generation, Rig, RigSpec, stamp
from e2e.alert_path.servers import GENERATIONS, generation

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


@pytest.fixture(scope="module", params=GENERATIONS)
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    servers = generation(request.param)
    if not isinstance(servers, Generation):
        pytest.skip(servers)
    running = Rig(servers, RigSpec(history_s=0.0))
    try:
        running.start()
        yield running
    finally:
        running.close()


def _notified(rig: Rig) -> list[str]:
    notes = requests.get(f"{rig.shop.url('sink')}/notifications", timeout=5).json()
    return [note["labels"]["alertname"] for note in notes]


def test_the_routing_probe_notifies_nobody(rig: Rig) -> None:
    """Thirty probes are answered and none arrives at the sink, where an alert that does not end arrives at once."""
    observer = Observer(rig.endpoints)
    for number in range(30):
        labels = {**PAGE, "alertname": f"Probe{number}"}
        (probe,) = observer.probe_route(labels, 0.2)
        assert (probe.receivers, probe.state) == (("pagerduty",), "active")
    assert observer.alertmanager_alerts() == []
    time.sleep(2.5)  # group_wait is 0.5 s, group_interval 1 s: every group was flushed
    assert _notified(rig) == []
    rig.post("/alerts", [{"labels": {**PAGE, "alertname": "Real"}, "startsAt": stamp(time.time())}])
    deadline = time.monotonic() + 10
    while not _notified(rig) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert _notified(rig) == ["Real"]
    observer.close()


def test_a_probe_is_seen_through_by_silence(rig: Rig) -> None:
    """Alertmanager itself says that it would suppress the alert, and by which silence."""
    observer = Observer(rig.endpoints)
    rig.silence(alertname="Quiet")
    (probe,) = observer.probe_route({**PAGE, "alertname": "Quiet"}, 0.2)
    (silence,) = observer.silences()
    assert (probe.state, probe.silenced_by) == ("suppressed", (silence.id,))
    observer.close()
