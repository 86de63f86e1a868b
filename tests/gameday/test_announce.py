"""Who is told what, and above all: to whom nothing is sent, and that no secret is shown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from drill.core.errors import Unavailable
from drill.gameday.announce import announce, is_loopback, post_json, read_secrets, unknown_placeholders
from drill.gameday.model import Drill

SECRET = "http://127.0.0.1:9/services/T0/hush"


def drill(target: str = "prod", **announcements: Any) -> Drill:
    said = {"slack": {"webhook": {"env": "HOOK"}}, **announcements}
    return Drill.model_validate({
        "apiVersion": "drill/v1", "kind": "Drill", "metadata": {"name": "day", "owner": "sre", "title": "The day"},
        "goal": "g", "hypothesis": "h", "target": target, "scenarios": [{"scenario": "x"}], "announcements": said,
    })  # fmt: skip


class Posts(list[tuple[str, Mapping[str, Any]]]):
    def __call__(self, url: str, body: Mapping[str, Any]) -> None:
        json.dumps(body)
        self.append((url, body))


def tell(found: Drill, posts: Any, moment: Any = "start", **environ: str) -> list[str]:
    values = {"title": "The day", "target": found.target, "verdict": "PASS"}
    told = announce(found, moment, values, environ, Path(), posts)
    return [f"{one.channel}: {one.error or 'sent'}" for one in told]


def test_slack_gets_a_marked_text_at_its_secret_address() -> None:
    posts = Posts()
    assert tell(drill(start="{title} on {target}"), posts, HOOK="https://hooks.example/x") == ["slack: sent"]
    assert posts == [("https://hooks.example/x", {"text": "[DRILL] The day on prod"})]


def test_pagerduty_gets_a_change_event_that_pages_nobody() -> None:
    posts = Posts()
    tell(drill(slack=None, pagerduty={"routing_key": {"env": "KEY"}}), posts, KEY="k")
    ((url, body),) = posts
    assert url == "https://events.pagerduty.com/v2/change/enqueue"
    assert "event_action" not in body
    assert body["payload"]["summary"].startswith("[DRILL]")
    assert body["payload"]["custom_details"]["drill"] is True


def test_an_alert_event_is_opened_and_resolved_by_the_same_key_at_low_severity() -> None:
    posts = Posts()
    asked = drill(slack=None, pagerduty={"routing_key": {"env": "KEY"}, "send": "alert"})
    tell(asked, posts, KEY="k")
    tell(asked, posts, "result", KEY="k")
    first, last = (body for _, body in posts)
    assert (first["event_action"], last["event_action"]) == ("trigger", "resolve")
    assert first["dedup_key"] == last["dedup_key"]
    assert first["payload"]["severity"] == "info"


@pytest.mark.parametrize(
    ("allowed", "address", "sent"),
    [
        (False, SECRET, False),
        (True, SECRET, True),
        (True, "http://localhost:1/x", True),
        (True, "http://[::1]:1/x", True),
        (True, "https://hooks.example/x", False),
        (True, "http://127.0.0.1.example/x", False),
        (True, "http://127.0.0.1@hooks.example/x", False),
    ],
)
def test_of_a_sandbox_only_this_machine_hears_and_only_when_wanted(allowed: bool, address: str, sent: bool) -> None:
    posts = Posts()
    tell(drill("sandbox", announce_in_sandbox=allowed), posts, HOOK=address)
    assert bool(posts) == sent


def test_a_secret_that_is_not_there_is_said_and_the_other_channel_is_told() -> None:
    posts = Posts()
    both = drill(pagerduty={"routing_key": {"file": "no-such-file"}})
    told = tell(both, posts, HOOK="https://hooks.example/x")
    assert told == ["pagerduty: not sent: the file no-such-file cannot be read or is empty", "slack: sent"]


def test_a_secret_may_stand_in_a_file_beside_the_drill(tmp_path: Path) -> None:
    (tmp_path / "hook").write_text("https://hooks.example/y\n")
    found, wrong = read_secrets(drill(slack={"webhook": {"file": "hook"}}), {}, tmp_path)
    assert (found, wrong) == ({"slack": "https://hooks.example/y"}, [])


def test_what_fails_is_said_without_the_address() -> None:
    told = tell(drill(), post_json, HOOK=SECRET)
    assert told[0].startswith("slack: not sent: it could not be reached")
    assert "hush" not in told[0]
    assert "127.0.0.1" not in told[0]
    with pytest.raises(Unavailable):
        post_json("not an address", {})


def test_placeholders_that_nothing_is_known_about_are_found() -> None:
    assert unknown_placeholders("{title} {titel} {title.__class__} {0}") == ["titel", "title.__class__", "0"]
    assert unknown_placeholders("{") != []
    assert unknown_placeholders("plain") == []


@pytest.mark.parametrize("url", ["", "file:///etc/passwd", "http://10.0.0.1/", "//127.0.0.2x"])
def test_other_addresses_are_not_loopback(url: str) -> None:
    assert not is_loopback(url)
