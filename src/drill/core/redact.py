"""What looks like a secret is taken out of every text before it is written or shown. Pure.

Nothing of drill's needs a secret in a text: whoever asks a server holds its credentials in options of their own. A
text that is taken for a secret by mistake costs a ``***`` in a report, the other way round costs more.
"""

from __future__ import annotations

import re
from typing import Any

HIDDEN = "***"
_NAMES = (
    r"pass(?:word|wd|phrase)|secret|client[_-]?secret|token|access[_-]?token|refresh[_-]?token|bearer[_-]?token"
    r"|api[_-]?key|apikey|api[_-]?secret|access[_-]?key|secret[_-]?key|private[_-]?key|routing[_-]?key|service[_-]?key"
    r"|auth|authorization|proxy-authorization|cookie|set-cookie|x-api-key|credentials?|signature|sig|jwt|session"
)
_NAME = re.compile(_NAMES, re.IGNORECASE)
_MAYBE = re.compile(
    r"@|passw|passph|secret|token|key|auth|cookie|cred|sig|jwt|session|bearer|basic|digest|negotiate|webhook|hooks\.|pagerduty"
    r"|telegram|eyJ|xox|gh[opsur]_|glpat|github_pat|AKIA|ASIA|sk-|sk_|hvs\.",
    re.IGNORECASE,
)
"""Most texts hold none of these, and are left alone after one look."""
_VALUE = r"(?!\*\*\*|[{\[](?:\s|$|env:|file:)|(?:(?i:bearer|basic|digest|token|apikey)\s+)?\$+\{)[^\s\"'&,;}\]<>]+"
"""Not an opening bracket (a schema), nor a reference to where a secret stands (``{env: NAME}``, ``${name}``)."""
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S), HIDDEN),
    (re.compile(r"(\b[a-z][a-z0-9+.-]{0,20}://)[^/\s@\"'<>]{1,500}@", re.IGNORECASE), rf"\1{HIDDEN}@"),
    (re.compile(r"\b((?i:Bearer|ApiKey|GenieKey))\s+(?!\*\*\*)[\w.~+/=:-]{4,}"), rf"\1 {HIDDEN}"),
    (re.compile(r"\b((?i:Basic|Digest|Negotiate))\s+(?=[\w.~+/-]*[0-9A-Z=])[\w.~+/=-]{8,}"), rf"\1 {HIDDEN}"),
    (re.compile(rf"(?<![A-Za-z0-9])((?i:{_NAMES})[\"']?\s{{0,3}}[:=]\s{{0,3}}[\"']?){_VALUE}"), rf"\1{HIDDEN}"),
    # Addresses that are a secret as a whole: whoever knows them may post.
    (re.compile(r"(https?://hooks\.slack(?:-gov)?\.com/)[\w/.-]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"(https?://[\w.-]+/api/webhooks/)[\w/.-]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"(https?://[\w.-]*webhook\.office\.com/)[\w/@.-]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"(https?://events\.(?:eu\.)?pagerduty\.com/integration/)[\w-]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"(https?://api\.telegram\.org/bot)[\w:-]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{4,}\.[\w-]*"), HIDDEN),
    (re.compile(r"\b(?:xox[abeoprs]-|gh[opsur]_|github_pat_|glpat-|A[KS]IA|sk-|sk_live_|hvs\.)[\w-]{9,}"), HIDDEN),
)  # fmt: skip


class SecretInFile(ValueError):
    """A value of a file is a secret and must not be there; whoever tells of it does not show its line."""


def redact(text: str) -> str:
    """Return *text* with everything that looks like a secret replaced by ``***``."""
    if not _MAYBE.search(text):
        return text
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text


def is_secret_name(name: str) -> bool:
    """True when a value under this name is a secret whatever it looks like."""
    return _NAME.fullmatch(name) is not None


def redacted(value: Any) -> Any:
    """Return JSON-like *value* with all its texts redacted, those under a secret's name altogether."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {
            key: HIDDEN if isinstance(item, str) and item and is_secret_name(str(key)) else redacted(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [redacted(item) for item in value]
    return value
