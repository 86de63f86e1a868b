"""Alertmanager's time intervals: what an entry holds at, and what of a routing tree it mutes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from drill.alerting.intervals import read_interval
from drill.alerting.routing import load_routing, muted_by

CONFIG = """
route:
  receiver: log
  routes:
    - matchers: ['severity="page"']
      receiver: pager
      mute_time_intervals: [night]
      continue: {more}
    - matchers: ['severity="page"']
      receiver: chat
    - matchers: ['severity="ticket"']
      receiver: chat
      active_time_intervals: [office]
receivers: [{{name: log}}, {{name: pager}}, {{name: chat}}]
time_intervals:
  - name: night
    time_intervals: [{{times: [{{start_time: "22:00", end_time: "24:00"}}, {{start_time: "00:00", end_time: "06:00"}}]}}]
  - name: office
    time_intervals: [{{weekdays: ["monday:friday"], times: [{{start_time: "09:00", end_time: "17:00"}}], location: Europe/Berlin}}]
"""


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("entry", "inside", "outside"),
    [
        ({"times": [{"start_time": "09:00", "end_time": "17:00"}]}, "2026-11-23T16:59", "2026-11-23T17:00"),
        ({"weekdays": ["saturday", "sunday"]}, "2026-11-22T12:00", "2026-11-23T12:00"),
        ({"weekdays": ["monday:friday"]}, "2026-11-27T23:59", "2026-11-28T00:00"),
        ({"days_of_month": ["1:5", "-3:-1"]}, "2026-02-26T00:00", "2026-02-25T23:59"),
        ({"months": ["december", "1:2"]}, "2026-02-28T23:59", "2026-03-01T00:00"),
        ({"years": ["2026:2027"]}, "2027-12-31T23:59", "2028-01-01T00:00"),
        ({"times": [{"start_time": "09:00", "end_time": "10:00"}], "location": "Europe/Berlin"},
         "2026-11-23T08:30", "2026-11-23T09:30"),
        ({"weekdays": ["monday"], "months": ["november"]}, "2026-11-23T00:00", "2026-12-07T00:00"),
    ],
)  # fmt: skip
def test_an_entry_holds_where_all_its_fields_do(entry: dict[str, Any], inside: str, outside: str) -> None:
    interval = read_interval([entry])
    assert interval.holds(at(inside))
    assert not interval.holds(at(outside))


def test_an_empty_list_never_holds_and_an_empty_entry_always() -> None:
    assert not read_interval([]).holds(at("2026-11-23T12:00"))
    assert read_interval([{}]).holds(at("2026-11-23T12:00"))


@pytest.mark.parametrize(
    "bad", [{"location": "Mars/Olympus"}, {"weekdays": ["noday"]}, {"times": [{"start_time": "9"}]}]
)
def test_what_cannot_be_read_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises((ValueError, KeyError)):
        read_interval([bad])


def test_a_route_is_muted_in_its_intervals_and_outside_its_active_ones() -> None:
    routing, problems = load_routing(CONFIG.format(more="false"))
    assert routing is not None, problems
    page, ticket = {"severity": "page"}, {"severity": "ticket"}
    assert muted_by(routing, page, at("2026-11-23T23:00")) == ("night",)
    assert muted_by(routing, page, at("2026-11-23T12:00")) == ()
    assert muted_by(routing, ticket, at("2026-11-23T12:00")) == ()
    assert muted_by(routing, ticket, at("2026-11-23T20:00")) == ("office",)
    assert muted_by(routing, {"severity": "log"}, at("2026-11-23T23:00")) == ()


def test_an_alert_with_a_second_route_that_is_free_is_not_muted() -> None:
    routing, _ = load_routing(CONFIG.format(more="true"))
    assert routing is not None
    assert muted_by(routing, {"severity": "page"}, at("2026-11-23T23:00")) == ()


def test_an_interval_that_cannot_be_read_is_a_problem_with_its_place() -> None:
    text = CONFIG.format(more="false").replace("Europe/Berlin", "Mars/Olympus")
    routing, (problem,) = load_routing(text, "alertmanager.yml")
    assert routing is None
    assert "Mars/Olympus" in problem.message
    assert problem.line > 1
