"""Who gets in: places and tokens are random, and a request that looks like another page's is refused."""

from __future__ import annotations

import pytest

from drill.core.redact import redact
from drill.web.access import POLICY, Door, doors, from_elsewhere, refusal

GOOD = {"Host": "127.0.0.1:4711"}


def test_every_door_is_another() -> None:
    """Two roles of one session share no place, no token and no cookie, and neither do two sessions."""
    all_doors = [door for _ in range(20) for door in doors().values()]
    for part in ("place", "token", "session"):
        values = [getattr(door, part) for door in all_doors]
        assert len(set(values)) == len(values)
        assert min(len(value) for value in values) >= (16 if part == "place" else 32)


def test_a_door_opens_by_its_own_token_only() -> None:
    """Neither the place, nor the cookie, nor another door's token, nor something that is no text opens it."""
    door, other = Door("trainee"), Door("facilitator")
    assert door.opened_by(door.token)
    for wrong in (other.token, door.session, door.place, "", None, 7, [door.token], door.token + "x", "\ud800"):
        assert not door.opened_by(wrong)
    assert door.kept_open_by(door.session)
    assert not door.kept_open_by(other.session)
    assert not door.kept_open_by(door.token)
    assert not door.kept_open_by(None)


def test_the_token_is_in_the_fragment_and_in_no_repr() -> None:
    """A browser does not send a fragment; a log line with the door in it holds neither token nor cookie."""
    door = Door("trainee")
    address, _, fragment = door.url(80).partition("#")
    assert fragment == door.token
    assert door.token not in address
    assert door.token not in repr(door)
    assert door.session not in repr(door)
    assert len(door.url(65535)) <= 74
    assert redact(door.url(65535)) == door.url(65535)


@pytest.mark.parametrize("host", ["127.0.0.1:4711", "localhost:9", "[::1]:80", "127.0.0.1", "localhost"])
def test_loopback_names_are_served(host: str) -> None:
    """Also at another port: a tunnel has its own."""
    assert refusal("GET", {"Host": host}) == ""
    assert refusal("POST", {"Host": host, "Origin": f"http://{host}"}) == ""


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "evil.example:4711", "127.0.0.1.evil.example", "localhost.evil.example:80", "127.0.0.1@evil.example",
        "evil.example@127.0.0.1", "10.0.0.1:4711", "0.0.0.0:4711", "", "127.0.0.1:99999999", "127.0.0.1:80\nx", "[::1]evil",
        "127.0.0.2:4711", "2130706433",
    ],
)  # fmt: skip
def test_any_other_host_is_refused(host: str) -> None:
    """A name that somebody else's DNS leads to 127.0.0.1 is not ours."""
    assert refusal("GET", {"Host": host})


@pytest.mark.parametrize(
    "origin", ["http://127.0.0.1:4712", "https://127.0.0.1:4711", "http://localhost:4711", "http://evil.example", "null", ""]
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_another_origin_is_refused(method: str, origin: str) -> None:
    """Another port of this machine is another page, whatever SameSite says."""
    assert refusal(method, {**GOOD, "Origin": origin})


def test_a_change_must_name_its_origin() -> None:
    """A form of an old browser, or a program that names none, changes nothing."""
    assert refusal("POST", GOOD)
    assert refusal("DELETE", GOOD)
    assert refusal("GET", GOOD) == ""


def test_the_browser_says_who_asked() -> None:
    """Sec-Fetch-Site is believed where it is sent."""
    assert from_elsewhere({"Sec-Fetch-Site": "cross-site"})
    assert from_elsewhere({"Sec-Fetch-Site": "same-site"})
    assert not from_elsewhere({"Sec-Fetch-Site": "same-origin"})
    assert not from_elsewhere({})


def test_the_policy_allows_nothing_inline_and_nothing_from_elsewhere() -> None:
    """No unsafe word, no wildcard, no address of another server, and no text becomes markup."""
    assert "unsafe" not in POLICY
    assert "*" not in POLICY
    assert "http" not in POLICY
    assert "default-src 'none'" in POLICY
    assert "trusted-types 'none'" in POLICY
