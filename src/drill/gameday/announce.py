"""Telling people: what is said, and to whom it is sent. Secrets come from the environment or a file, only.

Slack: an incoming webhook. PagerDuty: Events API v2; a change event pages nobody, and everything is marked as a
drill. Nothing is sent for a sandbox drill unless the file says so *and* the address is this machine's own.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Any, Literal
from urllib.parse import urlsplit

from drill.core.errors import Unavailable
from drill.gameday.model import Drill, Secret

PLACEHOLDERS = ("title", "goal", "target", "scenarios", "roles", "verdict", "headline", "report", "owner")
MARK = "[DRILL]"
"""First word of everything that is sent."""
TIMEOUT_S = (3.05, 10.0)
"""Connect and read; the connect limit is just over TCP's first retransmission."""

Moment = Literal["start", "result"]
Post = Callable[[str, Mapping[str, Any]], None]
"""Sends JSON to an address. Raises Unavailable."""


@dataclass(frozen=True)
class Told:
    """One announcement: where it went, what it said, and why it did not get there (``''``: it did)."""

    channel: str
    text: str
    error: str = ""


@dataclass(frozen=True)
class Message:
    """One request to be made. ``channel`` names it without its secret; ``url`` may hold one."""

    channel: str
    url: str
    body: Mapping[str, Any]


def unknown_placeholders(template: str) -> list[str]:
    """Return the names in ``{…}`` that nothing is known about; a broken template counts as one."""
    try:
        names = [name for _, name, _, _ in Formatter().parse(template) if name is not None]
    except ValueError as error:
        return [str(error)]
    return [name for name in names if name not in PLACEHOLDERS]


def fill(template: str, values: Mapping[str, str]) -> str:
    """Put *values* in for ``{name}``; what is not known yet becomes empty."""
    return template.format_map({**dict.fromkeys(PLACEHOLDERS, ""), **values}).strip()


def compose(drill: Drill, moment: Moment, values: Mapping[str, str], secrets: Mapping[str, str]) -> list[Message]:
    """Return the requests that announce *moment*. *secrets* maps a channel to its secret."""
    said = drill.announcements
    text = f"{MARK} {fill(said.start if moment == 'start' else said.result, values)}"
    messages = []
    if said.slack is not None:
        messages.append(Message("slack", secrets["slack"], {"text": text}))
    if said.pagerduty is not None:
        alert = said.pagerduty.send == "alert"
        path = "/v2/enqueue" if alert else "/v2/change/enqueue"
        body = _event(drill, moment, text, secrets["pagerduty"]) if alert else _change(
            drill, text, secrets["pagerduty"]
        )  # fmt: skip
        messages.append(Message("pagerduty", said.pagerduty.url.rstrip("/") + path, body))
    return messages


def _details(drill: Drill) -> dict[str, Any]:
    return {"drill": True, "name": drill.metadata.name, "target": drill.target, "owner": drill.metadata.owner}


def _change(drill: Drill, text: str, key: str) -> dict[str, Any]:
    payload = {"summary": text[:1024], "source": "drill", "custom_details": _details(drill)}
    return {"routing_key": key, "payload": payload}


def _event(drill: Drill, moment: Moment, text: str, key: str) -> dict[str, Any]:
    event = {
        "routing_key": key,
        "event_action": "trigger" if moment == "start" else "resolve",
        "dedup_key": f"drill-{drill.metadata.name}",
        "client": "drill",
    }
    payload = {"summary": text[:1024], "source": "drill", "severity": "info", "class": "drill",
               "custom_details": _details(drill)}  # fmt: skip
    return {**event, "payload": payload}


def read_secrets(drill: Drill, environ: Mapping[str, str], folder: Path) -> tuple[dict[str, str], list[str]]:
    """Return the secrets by channel, and what is wrong with those that are not there. Never shows one."""
    said = drill.announcements
    wanted: list[tuple[str, Secret]] = []
    if said.slack is not None:
        wanted.append(("slack", said.slack.webhook))
    if said.pagerduty is not None:
        wanted.append(("pagerduty", said.pagerduty.routing_key))
    found, wrong = {}, []
    for channel, secret in wanted:
        try:
            found[channel] = read_secret(secret, environ, folder)
        except ValueError as error:
            wrong.append(f"{channel}: {error}")
    return found, wrong


def read_secret(secret: Secret, environ: Mapping[str, str], folder: Path) -> str:
    """Return the secret itself; a file's path begins at *folder*. Raises ValueError saying where it is missing."""
    if secret.env:
        value = environ.get(secret.env, "").strip()
        where = f"the environment variable {secret.env} is not set"
    else:
        where = f"the file {secret.file} cannot be read or is empty"
        try:
            value = (folder / Path(secret.file).expanduser()).read_text().strip()
        except (OSError, UnicodeDecodeError):
            value = ""
    if not value:
        raise ValueError(where)
    return value


def is_loopback(url: str) -> bool:
    """True when *url* can only be this machine: a loopback address, or ``localhost``."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def withheld(drill: Drill, url: str) -> str:
    """Return why nothing may be sent to *url*, or ``''``."""
    if drill.target != "sandbox":
        return ""
    if not drill.announcements.announce_in_sandbox:
        return "not sent: a sandbox drill is nobody else's concern (announce_in_sandbox: true changes that)"
    if not is_loopback(url):
        return "not sent: a sandbox drill is announced to addresses of this machine only"
    return ""


def announce(
    drill: Drill, moment: Moment, values: Mapping[str, str], environ: Mapping[str, str], folder: Path, post: Post
) -> list[Told]:
    """Send *moment* to every channel of *drill*; what fails is said in the result. Never raises for the network."""
    secrets, wrong = read_secrets(drill, environ, folder)
    text = fill(drill.announcements.start if moment == "start" else drill.announcements.result, values)
    told = [Told(one.partition(":")[0], text, f"not sent: {one.partition(': ')[2]}") for one in wrong]
    reachable = _only(drill, secrets)
    for message in compose(reachable, moment, values, secrets):
        error = withheld(drill, message.url)
        if not error:
            try:
                post(message.url, message.body)
            except Unavailable as failure:
                error = f"not sent: {failure}"
        told.append(Told(message.channel, text, error))
    return told


def _only(drill: Drill, secrets: Mapping[str, str]) -> Drill:
    """The drill with just those channels whose secret is there."""
    said = drill.announcements
    kept = said.model_copy(
        update={
            "slack": said.slack if "slack" in secrets else None,
            "pagerduty": said.pagerduty if "pagerduty" in secrets else None,
        }
    )
    return drill.model_copy(update={"announcements": kept})


def post_json(url: str, body: Mapping[str, Any]) -> None:
    """POST *body*. Raises Unavailable without a word of the address, which may be a secret."""
    import requests

    try:
        with requests.Session() as session:
            session.trust_env = not is_loopback(url)
            answer = session.post(url, json=body, timeout=TIMEOUT_S, allow_redirects=False)
    except requests.RequestException as error:
        raise Unavailable(f"it could not be reached ({type(error).__name__})") from None
    if not answer.ok:
        raise Unavailable(f"it answered {answer.status_code}")
