"""The contract, kept by a real sandbox; and two liars around the real sandbox, caught."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import requests

from contract import liars, promises
from contract.cases import CASES, HELD, Case, named
from contract.promises import SERVICE, Answer
from drill.cli.alertpath import alert_path
from drill.core.ports import Target
from drill.target.sandbox import SINK_URL, Sandbox, programs

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
FAST_FORWARD = 60.0


class SandboxGround:
    """A sandbox whose users come by its entrance; ``sweep`` is the broom of `drill recover`."""

    able = frozenset(case.name for case in HELD)
    found_within_s = 2.0

    def __init__(self, sandbox: Sandbox, target: Target | None = None) -> None:
        """*target* is what the suite speaks to, where that is not the sandbox itself."""
        self.sandbox = sandbox
        self.target: Target = target or sandbox

    def ask(self) -> Answer:
        began = time.monotonic()
        answer = requests.get(f"{self.sandbox.entrance}/{SERVICE}", timeout=10)
        took_s = time.monotonic() - began
        return Answer(
            answer.text.partition(":")[0] if answer.status_code == 200 else "", answer.status_code, took_s
        )

    def called(self, replica: str) -> str:
        return replica

    def intended(self) -> bool:
        return True  # a fault here dies with its runner, and a sandbox with its keeper

    def left(self) -> Sequence[str]:
        removed, remains = self.sandbox.sweep()
        return [*removed, *remains]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    if programs.missing(essential_only=True):
        programs.fetch([each.name for each in programs.missing(essential_only=True)])
    spec = alert_path(FAST_FORWARD, SINK_URL).sandbox_spec(FAST_FORWARD, 7)
    with Sandbox.start(spec) as started:
        yield started


@pytest.fixture(autouse=True)
def _no_alerts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite expects no alert, so it waits for none to resolve."""
    monkeypatch.setattr("drill.engine.decide.SETTLE_S", 0.0)


@pytest.mark.parametrize("case", CASES, ids=named)
def test_a_sandbox_keeps_every_promise(case: Case, sandbox: Sandbox, tmp_path: Path) -> None:
    promises.drills(SandboxGround(sandbox), case, tmp_path)


def test_a_sandbox_tells_the_truth(sandbox: Sandbox) -> None:
    promises.tells_the_truth(SandboxGround(sandbox))


def test_a_sandbox_refuses_what_is_not_there_and_what_is_too_much(sandbox: Sandbox) -> None:
    promises.refuses_what_is_not_there(SandboxGround(sandbox))
    promises.refuses_too_much(SandboxGround(sandbox))


@pytest.mark.parametrize(
    ("liar", "words"),
    [
        (liars.Idle, "no effect was measured"),
        (liars.Boaster, "do not find it slow"),
        (liars.Hider, "after the undo users of"),
    ],
)
def test_a_liar_around_a_real_sandbox_is_caught(
    liar: type[liars.Liar], words: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ground = SandboxGround(sandbox, liar(sandbox))
    try:
        with pytest.raises(AssertionError, match=words):
            promises.drills(ground, CASES[0], tmp_path)
    finally:
        end(sandbox, tmp_path)


def end(sandbox: Sandbox, folder: Path) -> None:
    """Undo what a liar left, from its journal, as `drill recover` would; then nothing is left."""
    for event in promises.read_journal(folder / "journal.jsonl").events:
        if isinstance(event, promises.e.UndoRecorded):
            sandbox.execute(event.undo)
    assert SandboxGround(sandbox).left() == []
