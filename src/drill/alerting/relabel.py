"""What Prometheus does to an alert's labels on its way out: external labels, then alert relabelling.

Owns ``relabel_config`` as Prometheus means it (``model/relabel``: regular expressions are anchored at both ends,
actions in order, an alert that is dropped is sent nowhere). Pure.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Labels = Mapping[str, str]
DEFAULT_REGEX, DEFAULT_REPLACEMENT, DEFAULT_SEPARATOR = "(.*)", "$1", ";"
_REFERENCE = re.compile(r"\$(?:\$|(\d+|[A-Za-z_]\w*)|\{(\w+)\})")
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(frozen=True)
class Relabel:
    """One ``relabel_config``; the defaults are Prometheus's."""

    action: str = "replace"
    source_labels: tuple[str, ...] = ()
    separator: str = DEFAULT_SEPARATOR
    regex: str = DEFAULT_REGEX
    target_label: str = ""
    replacement: str = DEFAULT_REPLACEMENT
    modulus: int = 0

    def apply(self, labels: dict[str, str]) -> dict[str, str] | None:
        """Return the labels after this step; None when the alert is dropped."""
        value = self.separator.join(labels.get(name, "") for name in self.source_labels)
        found = re.fullmatch(self.regex, value, re.DOTALL)
        match self.action:
            case "keep" | "drop":
                return labels if (found is not None) == (self.action == "keep") else None
            case "keepequal" | "dropequal":
                same = labels.get(self.target_label, "") == value
                return labels if same == (self.action == "keepequal") else None
            case "labeldrop" | "labelkeep":
                wanted = self.action == "labelkeep"
                return {name: text for name, text in labels.items() if self._fits(name) == wanted}
            case "labelmap":
                return labels | dict(self._mapped(labels))
            case "hashmod":
                digest = int.from_bytes(hashlib.md5(value.encode(), usedforsecurity=False).digest()[8:], "big")
                return _with(labels, self.target_label, str(digest % max(1, self.modulus)))
            case "lowercase" | "uppercase":
                return _with(
                    labels, self.target_label, value.lower() if self.action == "lowercase" else value.upper()
                )
            case _:
                return self._replaced(labels, found)

    def _fits(self, name: str) -> bool:
        return re.fullmatch(self.regex, name, re.DOTALL) is not None

    def _mapped(self, labels: dict[str, str]) -> Iterator[tuple[str, str]]:
        for name, value in labels.items():
            if found := re.fullmatch(self.regex, name, re.DOTALL):
                yield _expand(found, self.replacement), value

    def _replaced(self, labels: dict[str, str], found: re.Match[str] | None) -> dict[str, str]:
        if found is None:
            return labels
        target = _expand(found, self.target_label)
        return _with(labels, target, _expand(found, self.replacement)) if _NAME.fullmatch(target) else labels


@dataclass(frozen=True)
class Outgoing:
    """What is done to every alert before it is sent: external labels are added where the alert has none of the
    name, then ``relabel`` is applied in order."""

    external_labels: Labels
    relabel: tuple[Relabel, ...] = ()

    def sent(self, labels: Labels) -> dict[str, str] | None:
        """Return the labels Alertmanager will get for an alert with *labels*; None when it is not sent."""
        out: dict[str, str] | None = {**self.external_labels, **labels}
        for step in self.relabel:
            out = step.apply(out) if out is not None else None
        return out


UNCHANGED = Outgoing({})


def read_outgoing(config: Any) -> Outgoing:
    """Read what a Prometheus configuration (as plain data) does to alerts. Raises ValueError for what is none."""
    if not isinstance(config, dict):
        raise ValueError("this is no Prometheus configuration")
    external = (config.get("global") or {}).get("external_labels") or {}
    steps = (config.get("alerting") or {}).get("alert_relabel_configs") or []
    return Outgoing({str(name): str(value) for name, value in external.items()}, tuple(map(_relabel, steps)))


def _relabel(raw: Any) -> Relabel:
    try:
        re.compile(raw.get("regex", DEFAULT_REGEX))
        return Relabel(
            action=str(raw.get("action", "replace")).lower(),
            source_labels=tuple(raw.get("source_labels") or ()),
            separator=str(raw.get("separator", DEFAULT_SEPARATOR)),
            regex=str(raw.get("regex", DEFAULT_REGEX)),
            target_label=str(raw.get("target_label", "")),
            replacement=str(raw.get("replacement", DEFAULT_REPLACEMENT)),
            modulus=int(raw.get("modulus", 0)),
        )
    except (re.error, AttributeError, TypeError) as error:
        raise ValueError(f"a relabelling step cannot be read: {error}") from None


def _expand(found: re.Match[str], template: str) -> str:
    """Go's ``Regexp.Expand``: ``$1``, ``${1}``, ``${name}``; what does not exist is empty, ``$$`` is a dollar."""

    def one(reference: re.Match[str]) -> str:
        name = reference[1] or reference[2]
        if name is None:
            return "$"
        try:
            return found[int(name) if name.isdigit() else name] or ""
        except IndexError:
            return ""

    return _REFERENCE.sub(one, template)


def _with(labels: Labels, name: str, value: str) -> dict[str, str]:
    """Set a label; an empty value removes it, as in Prometheus."""
    out = {**labels, name: value}
    if not value:
        del out[name]
    return out
