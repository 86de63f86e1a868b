"""What is shown follows from the events alone, at any moment of the story."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from drill.cli.lines import LineWriter
from drill.cli.live import render, sparkline
from drill.cli.view import View, burn_rate
from drill.core.actions import undo_of
from drill.core.observations import AlertSpan, SliSample
from drill.journal import events as e
from drill.plan.model import PredictedAlert

START = 1_700_000_000.0


def view_at(plan: Any, story: Sequence[e.AnyEvent], seconds: float) -> View:
    view = View(plan)
    for event in story:
        if event.at <= START + seconds:
            view.see(event)
    return view


def screen(view: View, seconds: float, width: int = 100) -> list[str]:
    file = io.StringIO()
    Console(file=file, width=width, force_terminal=False).print(render(view, width, START + seconds))
    return [line.rstrip() for line in file.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("seconds", "state"), [(5.0, "inactive"), (17.0, "pending"), (22.0, "firing"), (48.5, "resolved")]
)
def test_the_alert_goes_through_its_states(plan: Any, story: Any, seconds: float, state: str) -> None:
    (alert,) = view_at(plan, story, seconds).alerts
    assert alert.state == state
    assert any(
        f"checkout-latency page        {state}" in line for line in screen(view_at(plan, story, seconds), seconds)
    )


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.4, "fires 8s to 12s after the effect"),
        (12.0, "due in 6 to 11 s"),
        (19.0, "due now, at the latest in 4 s"),
        (22.0, "on time"),
    ],
)
def test_the_prediction_runs_against_the_clock(plan: Any, story: Any, seconds: float, said: str) -> None:
    assert any(said in line for line in screen(view_at(plan, story, seconds), seconds))


def test_an_alert_that_does_not_come_is_late(plan: Any, story: Any) -> None:
    silent = [event for event in story if not isinstance(event, e.AlertsSeen)]
    view = view_at(plan, silent, 30.0)
    assert any("late by 7 s" in line for line in screen(view, 30.0))


def test_an_alert_outside_its_interval_is_called_that(plan: Any, story: Any) -> None:
    view = view_at(plan, story, 22.0)
    view.alerts[0].firing_at = START + 12
    assert any("NOT in its interval" in line for line in screen(view, 22.0))


def test_server_times_are_corrected_by_the_measured_skew(plan: Any, story: Any) -> None:
    """Prometheus's clock is 100 s ahead: its alert of 20 s is still on time."""
    view = view_at(plan, story, 22.0)
    view.skew_s = 100.0
    view.alerts[0].firing_at += 100.0
    assert any("on time" in line for line in screen(view, 22.0))
    assert any("firing 10.0s" in line for line in screen(view, 22.0))


def test_the_head_says_where_we_are(plan: Any, story: Any) -> None:
    assert screen(view_at(plan, story, 2.0), 2.0)[0].endswith("fault in about 0:04")
    assert screen(view_at(plan, story, 22.0), 22.0)[0].endswith("T+0:12, fault ends in 0:18")
    assert screen(view_at(plan, story, 41.0), 41.0)[0].endswith("T+0:31, resolved within 0:07")
    head = screen(view_at(plan, story, 60.0), 60.0)
    assert head[0].endswith("T+0:50")
    assert head[1].count("✓") == 7


def test_effect_burn_rates_and_the_way_of_the_alert_are_shown(plan: Any, story: Any) -> None:
    text = "\n".join(screen(view_at(plan, story, 22.0), 22.0))
    assert "latency (nfqueue) on 3/3 of checkout  in effect for 0:11  403 ms (wanted 400)" in text
    assert "burn rate 1m" in text
    assert "16.2, threshold 14.4" in text
    assert "pending 5.0s · firing 10.0s · Alertmanager 10.5s · pagerduty 10.6s" in text


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_no_line_is_wider_than_the_terminal(plan: Any, story: Any, width: int) -> None:
    for seconds in (0.0, 12.0, 22.0, 60.0):
        lines = screen(view_at(plan, story, seconds), seconds, width)
        assert max(len(line) for line in lines) <= width
        assert len(lines) <= 14


def test_lost_evidence_shows_until_the_server_answers_again(plan: Any, story: Any) -> None:
    view = view_at(plan, story, 22.0)
    view.see(e.EvidenceLost(at=START + 23, source="prometheus", error="did not answer in time"))
    assert any("! prometheus does not answer" in line for line in screen(view, 23.0))
    view.see(e.SliSeen(at=START + 24, samples=()))
    assert not any("does not answer" in line for line in screen(view, 24.0))


def test_a_fault_that_is_not_clean_is_shown_with_what_is_left(plan: Any, story: Any) -> None:
    view = view_at(plan, story, 40.3)
    view.see(e.CleanChecked(at=START + 41, injection="slow", clean=False, differences=("nft table drill is left",)))
    assert any("NOT CLEAN" in line and "nft table drill is left" in line for line in screen(view, 41.0))


def test_a_failed_undo_is_never_called_undone(plan: Any, story: Any) -> None:
    undo = undo_of(plan.injections[0].steps[0].action)
    failed = e.ActionFailed(at=START + 40.1, injection="slow", action=undo, error="connection refused")
    ended = e.InjectionEnded(at=START + 40.2, injection="slow", first=START + 40.1, last=START + 40.2)
    told = [*(event for event in story if event.at < START + 40), failed, ended]
    said = lines_of(plan, told)
    assert any("slow: ! the undo FAILED" in line for line in said)
    assert not any(line.endswith("slow: undone") for line in said)
    assert any("undo failed" in line for line in screen(view_at(plan, told, 40.3), 40.3))
    assert any(line.endswith("slow: undone") for line in lines_of(plan, [*told[:-2], ended]))


OTHERS = [
    ({"alertname": "CartDown", "service": "cart", "severity": "page"}, "also firing: CartDown(cart page)"),
    ({"alertname": "CheckoutLatencyBurn", "severity": "ticket", "sloth_id": "checkout-latency",
      "sloth_service": "checkout"}, "also firing, as predicted: checkout-latency ticket"),
]  # fmt: skip


@pytest.mark.parametrize(("labels", "said"), OTHERS)
def test_other_alerts_are_named_as_foreseen_or_not(
    plan: Any, story: Any, labels: dict[str, str], said: str
) -> None:
    view = view_at(plan, story, 22.0)
    seen = others_seen(START + 20, labels)
    view.see(seen)
    assert any(said in line for line in screen(view, 22.0))
    told = [event for event in story if event.at < START + 20]
    (line,) = [line for line in lines_of(plan, [*told, seen]) if "firing too" in line]
    assert ("nobody expected that" in line) is ("as predicted" not in said)


def others_seen(since: float, labels: dict[str, str]) -> e.AlertsSeen:
    span = AlertSpan(labels=labels, state="firing", start=since, end=START + 22, open=True)
    return e.AlertsSeen(at=START + 22, start=START, end=START + 22, spans=(span,))


def test_an_alert_of_before_is_no_surprise(plan: Any, story: Any) -> None:
    seen = others_seen(START - 30, OTHERS[0][0])
    view = view_at(plan, story, 22.0)
    view.see(seen)
    assert any("also firing, from before the faults: CartDown(cart page)" in line for line in screen(view, 22.0))
    (line,) = [line for line in lines_of(plan, [*story[:3], seen]) if "firing too" in line]
    assert line.endswith("is firing too: from before the faults")


def test_an_alert_that_only_a_later_prediction_names_is_foreseen(plan: Any, story: Any) -> None:
    labels = OTHERS[0][0]
    also = (PredictedAlert(labels=labels, fires=False, may_fire=True),)
    later = e.Predicted(at=START + 19, basis="the measured effect of 'slow'", expected=(), also=also)
    told = [event for event in story if event.at < START + 19]
    (line,) = [
        line for line in lines_of(plan, [*told, later, others_seen(START + 20, labels)]) if "firing too" in line
    ]
    assert line.endswith("it was predicted that it may")


def test_sparkline_marks_what_is_above_the_threshold() -> None:
    line = sparkline([0.0, 7.2, 14.4, 28.8], 6, 14.4)
    assert line.plain == "▁▃▅█  "
    red = [line.plain[span.start] for span in line.spans if span.style == "red"]
    assert red == ["█"]
    assert sparkline([0.0, 0.0], 2, 0.0).plain == "▁▁"
    assert sparkline([], 3, 1.0) == Text("   ")


def test_burn_rate_is_found_by_the_length_of_its_window() -> None:
    sample = SliSample(at=0, sloth_id="a", error_ratio=0, requests_per_second=1, rates={"1m": 3.0, "5s": 9.0})
    assert (burn_rate(sample, 60.0), burn_rate(sample, 5.0), burn_rate(sample, 300.0)) == (3.0, 9.0, None)


def lines_of(plan: Any, story: Sequence[e.AnyEvent]) -> list[str]:
    written: list[str] = []
    writer = LineWriter(View(plan), written.append)
    for event in story:
        writer.see(event)
    return written


def test_plain_lines_say_each_turn_once_with_its_time(plan: Any, story: Any) -> None:
    lines = lines_of(plan, story)
    assert lines[0] == "     0.0s  preflight: looking before anything is touched"
    assert "T+   1.0s  slow: in effect on every replica; the alert clock runs" in lines
    assert "T+  10.5s  alert checkout-latency page is FIRING since T+10.0s, as predicted" in lines
    assert "T+  11.0s  alert checkout-latency page was delivered to pagerduty" in lines
    assert "T+  38.0s  alert checkout-latency page resolved at T+34.0s" in lines
    assert "T+  30.5s  slow: verified clean" in lines
    assert len(lines) == len(set(lines))


def test_the_same_evidence_twice_is_not_said_twice(plan: Any, story: Any) -> None:
    doubled = [
        event for event in story for _ in range(2 if isinstance(event, e.AlertsSeen | e.EvidenceLost) else 1)
    ]
    assert lines_of(plan, doubled) == lines_of(plan, story)


def test_bad_news_is_said(plan: Any, story: Any) -> None:
    news = [
        e.EvidenceLost(at=START + 23, source="sink", error="refused the connection"),
        e.PrometheusRestarted(at=START + 24, started_at=START + 24),
        e.ActionFailed(at=START + 25, injection="slow", action=plan.injections[0].steps[0].action, error="no nft"),
        e.CleanChecked(at=START + 26, injection="slow", clean=False, differences=("a table",)),
        e.AbortRequested(at=START + 27, by="guardrail", reason="payment burns"),
        e.RunFinished(at=START + 28, aborted=True, undo_complete=False),
    ]
    text = "\n".join(lines_of(plan, [*story[:20], *news]))
    for said in ("sink does not answer: refused", "Prometheus restarted", "failed: no nft", "NOT clean: a table",
                 "abort (guardrail): payment burns", "aborted; the undo is INCOMPLETE"):  # fmt: skip
        assert said in text
