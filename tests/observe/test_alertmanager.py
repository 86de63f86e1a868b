"""Every peer is asked, one silent peer does not hide the others, all silent is unknown."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from drill.core.errors import Unavailable
from drill.core.facts import Endpoints
from drill.observe.alertmanager import Alertmanagers
from drill.observe.observer import Observer
from drill.observe.sink import Sink


def alert(name: str, **status: Any) -> dict[str, Any]:
    return {
        "labels": {"alertname": name},
        "annotations": {},
        "receivers": [{"name": "pagerduty"}],
        "status": {"state": "active", "silencedBy": [], "inhibitedBy": [], **status},
        "startsAt": "2026-01-02T03:04:05.678Z",
        "endsAt": "2026-01-02T03:08:05.678+00:00",
        "updatedAt": "2026-01-02T03:04:05.678Z",
        "fingerprint": "0",
    }


def peers(answers: Any, *given: Any) -> Alertmanagers:
    all_peers = Alertmanagers([f"http://am{number}.test/p{number}" for number in range(len(given))])
    for number, (peer, answer) in enumerate(zip(all_peers.peers, given, strict=True)):
        peer.session.mount(f"{peer.url}/", answers)
        for path in ("alerts", "silences", "status"):
            answers.by_path[f"/p{number}/api/v2/{path}"] = answer
    return all_peers


def test_alerts_of_all_peers_come_back_with_their_peer(answers: Any) -> None:
    silenced = alert("B", state="suppressed", silencedBy=["s1"])
    first, second = peers(answers, [alert("A")], [silenced]).alerts()
    assert (first.labels, first.receivers, first.state) == ({"alertname": "A"}, ("pagerduty",), "active")
    assert first.ends_at - first.starts_at == 240.0
    assert (second.state, second.silenced_by) == ("suppressed", ("s1",))
    assert [first.peer, second.peer] == ["http://am0.test/p0", "http://am1.test/p1"]


def test_one_silent_peer_does_not_hide_the_other_and_status_names_it(answers: Any) -> None:
    both = peers(answers, requests.ConnectionError("Connection refused"), [alert("A")])
    assert [one.labels["alertname"] for one in both.alerts()] == ["A"]
    assert "http://am0.test/p0 refused the connection" in both.status()[0].error


def test_all_peers_silent_is_unavailable_and_no_peer_too(answers: Any) -> None:
    with pytest.raises(Unavailable, match="did not answer in time"):
        peers(answers, requests.ReadTimeout("x")).alerts()
    with pytest.raises(Unavailable, match="no Alertmanager is configured"):
        Alertmanagers([]).alerts()


@pytest.mark.parametrize("answer", [{"a": 1}, [{"labels": {}}], ["x"], [alert("A", state="new")]])
def test_an_answer_of_another_shape_is_unavailable_never_empty(answers: Any, answer: Any) -> None:
    with pytest.raises(Unavailable, match="not its API's"):
        peers(answers, answer).alerts()


def test_silences_that_are_over_are_left_out(answers: Any) -> None:
    matcher = {"name": "a", "value": "b.*", "isRegex": True, "isEqual": False}
    base = {"matchers": [matcher], "startsAt": "2026-01-02T03:04:05Z", "endsAt": "2026-01-02T04:04:05Z"}
    given = [
        {**base, "id": "1", "status": {"state": "active"}, "createdBy": "me", "comment": "deploy"},
        {**base, "id": "2", "status": {"state": "expired"}},
    ]
    (silence,) = peers(answers, given).silences()
    assert (silence.id, silence.comment, silence.ends_at - silence.starts_at) == ("1", "deploy", 3600.0)
    assert (silence.matchers[0].is_regex, silence.matchers[0].is_equal) == (True, False)


def test_the_sink_gives_what_arrived_since_in_order(answers: Any) -> None:
    sink = Sink("http://sink.test")
    sink.server.session.mount("http://sink.test/", answers)
    late = {"at": 20.5, "receiver": "slack", "status": "firing", "labels": {}}
    early = {"at": 10.5, "receiver": "pagerduty", "status": "resolved", "labels": {}}
    for answer in ([late, early], {"notifications": [late, early]}):
        answers.by_path["/notifications"] = answer
        assert [one.at for one in sink.notifications(0.0)] == [10.5, 20.5]
        assert [one.at for one in sink.notifications(11.0)] == [20.5]
    answers.by_path["/notifications"] = [{"at": "soon"}]
    with pytest.raises(Unavailable, match="not its API's"):
        sink.notifications(0.0)


def test_no_sink_is_no_notification_but_a_dead_sink_is_unavailable(answers: Any) -> None:
    without = Observer(Endpoints(prometheus="http://p.test", alertmanagers=()))
    assert without.notifications(0.0) == []
    observer = Observer(Endpoints(prometheus="http://p.test", alertmanagers=(), sink="http://sink.test"))
    assert observer.sink is not None
    observer.sink.server.session.mount("http://sink.test/", answers)
    answers.by_path["/notifications"] = requests.ConnectionError("Connection refused")
    with pytest.raises(Unavailable, match="notification sink"):
        observer.notifications(0.0)
