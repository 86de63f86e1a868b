"""No file, however harmed, makes a reader raise; the hundred thousands are in ``bench/fuzz.py``."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
