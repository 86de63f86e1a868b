"""Prometheus label sets and the matching rule drill uses everywhere: by subset, never by fingerprint."""

from __future__ import annotations

from collections.abc import Mapping

Labels = Mapping[str, str]


def matches(wanted: Labels, labels: Labels) -> bool:
    """True when every wanted label is in *labels* with that value (external labels may be added to it)."""
    return all(labels.get(name) == value for name, value in wanted.items())


def without(labels: Labels, *names: str) -> dict[str, str]:
    """Return *labels* less *names*."""
    return {name: value for name, value in labels.items() if name not in names}


def render(labels: Labels) -> str:
    """Render as PromQL does: ``SLOFastBurn{service="checkout"}``, labels sorted."""
    name = labels.get("alertname", "")
    inside = ", ".join(f'{key}="{value}"' for key, value in sorted(labels.items()) if key != "alertname")
    return f"{name}{{{inside}}}" if inside or not name else name
