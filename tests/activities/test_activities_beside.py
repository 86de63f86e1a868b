"""What a target keeps for others is not forgotten when activities are done beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from contract.fake import Fake
from drill.core.ports import Remembering
from drill.target.activities import Activities


class Keeping(Fake):
    """A target that writes down elsewhere what has to be undone."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[str] = []

    def begin(self, run_id: str, steps: Any) -> None:
        self.kept.append(run_id)

    def settled(self, injection: str) -> None:
        self.kept.append(f"settled {injection}")


def test_a_run_that_mixes_activities_with_the_targets_own_faults_settles_both(tmp_path: Path) -> None:
    """Else the intent of a fault that was undone would stand on the Service, and `drill recover` play it again."""
    inner = Keeping()
    beside = Activities(inner, tmp_path)
    assert isinstance(beside, Remembering)
    beside.begin("run-1", [])
    beside.settled("slow")
    assert inner.kept == ["run-1", "settled slow"]


def test_a_target_that_keeps_nothing_is_asked_for_nothing(tmp_path: Path) -> None:
    beside = Activities(Fake(), tmp_path)
    beside.begin("run-1", [])
    beside.settled("slow")
