"""Secrets in every shape people have them are taken out; what is not a secret stays word for word."""

from __future__ import annotations

import pytest

from drill.core.redact import redact, redacted

S = "hunter2hunter2hunter2"


@pytest.mark.parametrize(
    "text",
    [
        f"http://admin:{S}@prometheus:9090/api", f"https://{S}@host/x", f"Authorization: Bearer {S}", f"authorization=Basic {S}",
        f"Bearer {S}", f"GenieKey {S}", f"password: {S}", f'"password": "{S}"', f"PASSWORD='{S}'", f"--token={S}", f"api_key={S}",
        f"https://x/y?a=b&access_token={S}&c=d", f"https://x/y?sig={S}", f"https://hooks.slack.com/services/T0/B0/{S}",
        f"https://discord.com/api/webhooks/123/{S}", f"https://a.webhook.office.com/webhookb2/{S}@x/IncomingWebhook/{S}",
        f"https://events.pagerduty.com/integration/{S}/enqueue", f"https://api.telegram.org/bot12:{S}/send",
        f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIi.{S}", f"ghp_{S}", f"xoxb-{S}", f"AKIA{S}", f"routing_key: {S}", f"client_secret : {S}",
        f"-----BEGIN RSA PRIVATE KEY-----\n{S}\n-----END RSA PRIVATE KEY-----", f"Cookie: {S}",
    ],
)  # fmt: skip
def test_it_is_hidden(text: str) -> None:
    assert S not in redact(f"before {text} after")
    assert redact(f"before {text} after").startswith("before")
    assert redact(redact(text)) == redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "# PASS: Latency spike · checkout", "verdict: pass", "checkout-0: delay by 400 ms",
        "http://127.0.0.1:9090/api/v1/query?query=up", "the page for checkout latency fired",
        "user@example.org", "sum(rate(x{code=~\"5..\"}[5m]))", "passing: 3", "tokens: 4", "drill recover /a/b", "author: sre",
        "bearer of bad news", "a basic idea", "https://wiki/runbooks/latency#steps", "inet drill_slow_0",
    ],
)  # fmt: skip
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_values_under_a_secrets_name_are_hidden_whatever_they_look_like() -> None:
    value = {"labels": {"token": S, "service": "checkout"}, "list": [f"password={S}"], "n": 1, "password": ""}
    assert redacted(value) == {
        "labels": {"token": "***", "service": "checkout"},
        "list": ["password=***"],
        "n": 1,
        "password": "",
    }


def test_a_hostile_text_takes_no_time() -> None:
    """Every pattern is linear in its text."""
    for text in ("a" * 50_000, "password" * 6_000, "://" * 20_000, "eyJ" * 20_000, "-----BEGIN " * 5_000):
        assert isinstance(redact(text), str)
