"""No file, however harmed, makes a reader raise; the hundred thousands are in ``bench/fuzz.py``."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drill.core.clock import rfc3339
from drill.core.units import format_duration, parse_duration, parse_rate, parse_size
from properties.mutations import TRAPS, mutated
from properties.readers import READERS, corpus, read

GOOD = corpus()
FEW = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.parametrize("kind", READERS)
def test_the_files_it_starts_from_are_good(kind: str) -> None:
    assert GOOD[kind]
    for text in GOOD[kind]:
        read(kind, text)


@pytest.mark.parametrize("kind", READERS)
@FEW
@given(seed=st.integers(0, 2**32))
def test_a_mutated_file_is_read_or_refused_with_words(kind: str, seed: int) -> None:
    rng = random.Random(seed)
    read(kind, mutated(rng.choice(GOOD[kind]), GOOD[kind], rng))


@pytest.mark.parametrize("kind", READERS)
def test_every_trap_alone_and_as_a_value(kind: str) -> None:
    for trap in TRAPS:
        read(kind, trap)
        read(kind, f"a: {trap}\n")
        read(kind, f"- {trap}\n")


def test_durations_and_times_of_a_mad_journal_are_rendered() -> None:
    """Found by the fuzzer: infinite and astronomical numbers from a tampered journal."""
    for value in (float("inf"), float("-inf"), float("nan"), 1e30, -1e30):
        assert format_duration(value)
        assert rfc3339(value).endswith("Z")


@pytest.mark.parametrize("text", ["9" * 400 + "s", "300y", "1" * 5000 + "m"])
def test_a_duration_longer_than_prometheus_can_hold_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="longer than 292y"):
        parse_duration(text)


@pytest.mark.parametrize("parse", [parse_size, parse_rate])
def test_sizes_and_rates_beyond_64_bits_are_refused(parse: Callable[[str], int]) -> None:
    with pytest.raises(ValueError, match="64 bits"):
        parse("9" * 400 + ("kbit" if parse is parse_rate else "Gi"))
