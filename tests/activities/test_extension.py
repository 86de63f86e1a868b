"""drill as an extension of Chaos Toolkit: what it offers, and what its probes say without and with a drill."""

from __future__ import annotations

from typing import Any

import pytest
from chaoslib.exceptions import ActivityFailed

import drill
from drill.chaostoolkit import actions, probes, runs
from drill.verify.judge import judge
from drill.verify.model import Verdict
from verify import journals


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "_asked", set())
    monkeypatch.setattr(runs, "RUNS", {})
    monkeypatch.setattr(probes, "RUNS", runs.RUNS)
    monkeypatch.setattr(actions, "RUNS", runs.RUNS)


class Over:
    """A drill that has ended with this verdict."""

    ended = True

    def __init__(self, verdict: Verdict | None) -> None:
        self._verdict = verdict

    def verdict(self) -> Verdict | None:
        return self._verdict

    def wait(self, condition: Any, within_s: float) -> bool:
        return bool(condition())

    def finish(self, within_s: float) -> bool:
        return True

    def summary(self) -> dict[str, Any]:
        return {"undone": self._verdict.undo_complete if self._verdict else None, "reasons": ["left"]}


def test_discovery_lists_two_actions_and_three_probes_with_their_arguments() -> None:
    found = {one["name"]: one for one in drill.discover()["activities"]}
    assert {name: one["type"] for name, one in found.items()} == {
        "inject": "action",
        "revert": "action",
        "alert_fired_on_time": "probe",
        "alert_delivered": "probe",
        "nothing_else_fired": "probe",
    }
    assert {one["name"] for one in found["inject"]["arguments"]} >= {"scenario", "parameters", "target", "within"}
    assert all(one["doc"] for one in found.values())


@pytest.mark.parametrize("probe", [probes.alert_fired_on_time, probes.alert_delivered, probes.nothing_else_fired])
def test_before_an_injection_nothing_is_late_but_a_second_look_without_one_is_no_proof(probe: Any) -> None:
    assert probe() is True
    assert probe() is False


@pytest.mark.parametrize("probe", [probes.alert_fired_on_time, probes.alert_delivered, probes.nothing_else_fired])
def test_after_an_injection_that_failed_every_probe_says_false(probe: Any) -> None:
    runs.RUNS["drill"] = None
    assert probe() is False


def test_a_drill_that_passed_satisfies_every_probe() -> None:
    runs.RUNS["drill"] = Over(judge(journals.plan(), journals.journal()))  # type: ignore[assignment]
    assert probes.alert_fired_on_time()
    assert probes.alert_delivered()
    assert probes.nothing_else_fired()


def test_an_alert_that_the_scenario_does_not_expect_proves_nothing() -> None:
    runs.RUNS["drill"] = Over(judge(journals.plan(), journals.journal()))  # type: ignore[assignment]
    assert not probes.alert_fired_on_time({"severity": "nobody"})


def test_a_drill_without_a_word_satisfies_none() -> None:
    runs.RUNS["drill"] = Over(None)  # type: ignore[assignment]
    assert not probes.alert_fired_on_time()
    assert not probes.nothing_else_fired()


def test_revert_without_an_injection_is_harmless_and_says_so() -> None:
    assert actions.revert()["outcome"] == "none"


def test_revert_fails_when_something_is_left() -> None:
    left = judge(journals.plan(), journals.journal()).with_(undo_complete=False)
    runs.RUNS["drill"] = Over(left)  # type: ignore[assignment]
    with pytest.raises(ActivityFailed, match="left behind"):
        actions.revert()
