"""Label sets: matched by subset, rendered as PromQL does."""

from __future__ import annotations

import pytest

from drill.core.labels import matches, render, without


@pytest.mark.parametrize(
    ("wanted", "labels", "result"),
    [
        ({"a": "1"}, {"a": "1", "cluster": "x"}, True),
        ({"a": "1"}, {"a": "2"}, False),
        ({"a": "1"}, {}, False),
        ({"a": ""}, {}, False),
        ({}, {"a": "1"}, True),
    ],
)
def test_matching_is_by_subset(wanted: dict[str, str], labels: dict[str, str], result: bool) -> None:
    assert matches(wanted, labels) is result


def test_without_leaves_the_others() -> None:
    labels = {"a": "1", "b": "2"}
    assert without(labels, "b", "c") == {"a": "1"}
    assert labels == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ({"alertname": "Slow", "b": "2", "a": "1"}, 'Slow{a="1", b="2"}'),
        ({"alertname": "Slow"}, "Slow"),
        ({"a": "1"}, '{a="1"}'),
        ({}, "{}"),
    ],
)
def test_rendering(labels: dict[str, str], text: str) -> None:
    assert render(labels) == text
