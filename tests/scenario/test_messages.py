"""Wrong files and the exact words about them: ``cases/*.yaml`` beside ``cases/*.txt``.

`DRILL_UPDATE_CASES=1 pytest tests/scenario/test_messages.py` writes the texts anew; read the difference.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import BaseModel

from drill.core.problems import render
from drill.scenario.loader import load

CASES = sorted((Path(__file__).parent / "cases").glob("*.yaml"))


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_every_mistake_of_a_file_is_told_at_once_with_its_place(
    case: Path, faults: Mapping[str, type[BaseModel]]
) -> None:
    loaded = load(case.read_bytes(), faults=faults, file=case.name)
    said = "".join(f"{render(problem)}\n" for problem in loaded.problems)
    expected = case.with_suffix(".txt")
    if os.environ.get("DRILL_UPDATE_CASES"):
        expected.write_text(said)
    assert loaded.scenario is None
    assert said == expected.read_text()


def test_there_are_cases() -> None:
    assert len(CASES) >= 15
    assert {path.stem for path in CASES} == {path.stem for path in CASES[0].parent.glob("*.txt")}
