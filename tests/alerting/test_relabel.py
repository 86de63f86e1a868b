"""Alert relabelling as Prometheus does it: each action, their order, and what is not sent at all."""

from __future__ import annotations

from typing import Any

import pytest

from drill.alerting.relabel import read_outgoing

ALERT = {"alertname": "Burn", "severity": "page", "sloth_id": "shop-availability", "pod": "shop-0"}


def sent(*steps: dict[str, Any], external: dict[str, str] | None = None) -> dict[str, str] | None:
    config = {"global": {"external_labels": external or {}}, "alerting": {"alert_relabel_configs": list(steps)}}
    return read_outgoing(config).sent(ALERT)


STEPS: dict[str, tuple[dict[str, Any], dict[str, str] | None]] = {
    "replace is the default": (
        {"source_labels": ["pod"], "regex": "(.*)-[0-9]+", "target_label": "service"}, {**ALERT, "service": "shop"},
    ),
    "replacement by name": (
        {"source_labels": ["pod"], "regex": "(?P<app>.*)-(.*)", "target_label": "x", "replacement": "${app}/$2$$"},
        {**ALERT, "x": "shop/0$"},
    ),
    "a group that is not there is empty": (
        {"source_labels": ["pod"], "target_label": "x", "replacement": "a$7b"}, {**ALERT, "x": "ab"},
    ),
    "an empty value removes the label": (
        {"target_label": "pod", "replacement": ""}, {k: v for k, v in ALERT.items() if k != "pod"},
    ),
    "no match changes nothing": (
        {"source_labels": ["severity"], "regex": "pag", "target_label": "severity", "replacement": "x"}, ALERT,
    ),
    "several sources": (
        {"source_labels": ["severity", "gone", "pod"], "separator": "/", "target_label": "x"},
        {**ALERT, "x": "page//shop-0"},
    ),
    "keep what matches": ({"action": "keep", "source_labels": ["severity"], "regex": "page|ticket"}, ALERT),
    "keep nothing else": ({"action": "keep", "source_labels": ["severity"], "regex": "ticket"}, None),
    "drop": ({"action": "drop", "source_labels": ["severity"], "regex": "p.*"}, None),
    "regular expressions are anchored": ({"action": "drop", "source_labels": ["severity"], "regex": "pa"}, ALERT),
    "labeldrop": ({"action": "labeldrop", "regex": "sloth_.*|pod"}, {"alertname": "Burn", "severity": "page"}),
    "labelkeep": ({"action": "LabelKeep", "regex": "alertname"}, {"alertname": "Burn"}),
    "labelmap": ({"action": "labelmap", "regex": "sloth_(.*)", "replacement": "slo_$1"}, {**ALERT, "slo_id": "shop-availability"}),
    "upper case": ({"action": "uppercase", "source_labels": ["severity"], "target_label": "severity"}, {**ALERT, "severity": "PAGE"}),
    "keepequal": ({"action": "keepequal", "source_labels": ["pod"], "target_label": "alertname"}, None),
    "dropequal": ({"action": "dropequal", "source_labels": ["pod"], "target_label": "alertname"}, ALERT),
    "hashmod": (
        # md5("shop-0"), its last eight bytes as a big-endian number, modulo 8
        {"action": "hashmod", "source_labels": ["pod"], "target_label": "shard", "modulus": 8}, {**ALERT, "shard": "1"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("step", "want"), STEPS.values(), ids=STEPS)
def test_each_action(step: dict[str, Any], want: dict[str, str] | None) -> None:
    assert sent(step) == want


def test_external_labels_are_added_where_the_alert_has_none_and_before_relabelling() -> None:
    step = {"action": "drop", "source_labels": ["cluster"], "regex": "test"}
    assert sent(external={"cluster": "blue", "severity": "none"}) == {**ALERT, "cluster": "blue"}
    assert sent(step, external={"cluster": "test"}) is None


def test_steps_are_done_in_order_and_nothing_after_a_drop() -> None:
    first = {"target_label": "severity", "replacement": "ticket"}
    second = {"action": "drop", "source_labels": ["severity"], "regex": "page"}
    assert sent(first, second) == {**ALERT, "severity": "ticket"}
    assert sent(second, first) is None


@pytest.mark.parametrize("config", [None, [], "x", {"alerting": {"alert_relabel_configs": [{"regex": "("}]}}])
def test_what_is_no_configuration_is_said(config: Any) -> None:
    with pytest.raises(ValueError, match=r"configuration|cannot be read"):
        read_outgoing(config)
