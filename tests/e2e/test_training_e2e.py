"""Whole trainings in a real terminal on the real sandbox, from the page to the debrief: won, lost, led, killed."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from drill.cli.training.door import Address, RemoteStage
from drill.target.sandbox import leftovers
from drill.training import commands as c
from e2e.terminal import COLUMNS, TMUX, Terminal

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(290),
    pytest.mark.skipif(TMUX is None, reason="tmux is missing: .ci/setup-programs --test gets it"),
]

ROOT = Path(__file__).parents[2]
PAGE_S, DEBRIEF_S = 120, 90
Start = Callable[..., Terminal]


@pytest.fixture
def train(tmp_path: Path) -> Iterator[Start]:
    opened: list[Terminal] = []

    def start(*words: str) -> Terminal:
        command = [sys.executable, "-m", "drill", "train", *words, "--out", str(tmp_path / "runs")]
        env = {"XDG_STATE_HOME": str(tmp_path / "state"), "PAGER": "cat", "TERM": "xterm-256color"}
        opened.append(Terminal(command, ROOT, env))
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.close()


def folder(tmp_path: Path) -> Path:
    (found,) = (tmp_path / "runs").glob("*-training")
    return found


def nothing_told(text: str) -> None:
    """Before the end, nothing of the scenario stands on the screen, but for the runbook the page leads to."""
    told = text.lower().replace("runbooks/latency-spike.md", "").replace("\n", " ")
    for secret in ("latency-spike", "latency spike", "network-latency", "slow answers page", "netem", "nfqueue"):
        assert secret not in told, secret


def test_a_newcomer_wins_from_the_page_to_the_debrief(train: Start, tmp_path: Path) -> None:
    """Blind: acknowledges, looks, reads, states a cause, restarts the pods by kubectl, and is told what it was."""
    terminal = train("latency-spike", "--service", "cart", "--my-card", "--seed", "7")
    seal = re.search(r"sha256 ([0-9a-f]{64})", terminal.wait_for("sha256", within_s=60))
    assert seal is not None
    text = terminal.wait_for("TRIGGERED  (page) cart latency", within_s=PAGE_S)
    nothing_told(text)
    terminal.type("ack")
    terminal.wait_for("the page is yours", within_s=15)
    terminal.type("status")
    terminal.wait_for("* cart latency", within_s=15)
    terminal.type("hint")
    terminal.wait_for("Hint 1:", within_s=15)
    terminal.type("suspect the disk of cart-1 is full")
    terminal.wait_for("you look at the right service", within_s=15)
    terminal.type("suspect packets to cart are delayed")
    terminal.wait_for("that is it", within_s=15)
    nothing_told(terminal.text())
    terminal.type("shell")
    terminal.wait_for("on-call$", within_s=15)
    terminal.type("kubectl get pods -l app=$SERVICE")
    terminal.wait_for("cart-2", within_s=30)
    terminal.type("kubectl rollout restart deploy/cart")
    terminal.wait_for("deployment.apps/cart restarted", within_s=30)
    terminal.type("kubectl rollout status deploy/cart")
    terminal.wait_for("successfully rolled out", within_s=90)
    terminal.type("exit")
    terminal.wait_for("Mitigated.", within_s=60)
    terminal.type("done")
    text = terminal.wait_for("Your card is in", within_s=DEBRIEF_S)
    assert "Latency spike" in text
    assert all(len(line) <= COLUMNS for line in terminal.screen().splitlines())
    _check_debrief(tmp_path, seal[1])


def _check_debrief(tmp_path: Path, seal: str) -> None:
    run = folder(tmp_path)
    debrief = json.loads((run / "debrief.json").read_text())
    assert (debrief["mitigated"], debrief["localized"]) == (True, True)
    assert debrief["commitment"] == seal
    assert debrief["ending"].startswith("mitigated ")
    assert [one["outcome"] for one in debrief["suspicions"]] == ["partly", "right"]
    assert [one["removed_by"] for one in debrief["injections"]] == ["responder"]
    after = [phase["after_s"] for phase in debrief["phases"]]
    assert None not in after
    effect, detected, acknowledged, localized, mitigated, resolved = after
    assert effect == 0 <= detected <= acknowledged < localized < mitigated <= resolved
    acts = [line["what"] for line in debrief["timeline"] if line["who"] == "trainee"]
    assert "runs kubectl rollout restart deploy/cart" in acts
    (card,) = (tmp_path / "state/drill/cards").iterdir()
    assert stat.S_IMODE(card.stat().st_mode) == 0o600


def test_a_fault_that_merely_expires_is_not_mitigated(train: Start, tmp_path: Path) -> None:
    terminal = train("disk-full", "--service", "cart", "--limit", "1m")
    terminal.wait_for("TRIGGERED  (page) cart availability", within_s=PAGE_S)
    terminal.type("ack")
    terminal.type("done")
    terminal.wait_for("users are still hurt", within_s=15)
    text = terminal.wait_for("shows it again", within_s=60 + DEBRIEF_S)
    assert "Fault expired, not mitigated." in text
    debrief = json.loads((folder(tmp_path) / "debrief.json").read_text())
    assert debrief["ending"] == "fault expired, not mitigated"
    phases = {phase["name"]: phase["after_s"] for phase in debrief["phases"]}
    assert phases["mitigated"] is None
    assert phases["localized"] is None
    assert phases["resolved"] is not None
    assert [one["removed_by"] for one in debrief["injections"]] == ["drill"]


def _door(tmp_path: Path) -> RemoteStage:
    (card,) = (tmp_path / "state/drill/training").glob("*.json")
    told = json.loads(card.read_text())
    return RemoteStage(Address(told["session"], Path(told["path"]), told["token"], told["pid"]))


def test_a_facilitator_leads_adds_a_second_fault_and_stops_for_a_real_incident(
    train: Start, tmp_path: Path
) -> None:
    terminal = train("high-error-rate", "--service", "cart", "--facilitator")
    terminal.wait_for("TRIGGERED  (page) cart availability", within_s=PAGE_S)
    stage = _door(tmp_path)
    assert stage.facilitator_view().scenario == "high-error-rate"
    assert stage.facilitator_does(c.Pause()).ok
    terminal.wait_for("the facilitator has stopped the clock", within_s=15)
    assert stage.facilitator_does(c.Resume()).ok
    assert stage.facilitator_does(c.Whisper(text="one of three is enough")).ok
    terminal.wait_for("one of three is enough", within_s=15)
    refused = stage.facilitator_does(c.Escalate(scenario="high-error-rate on cart"))
    assert (refused.ok, "touch what is broken already" in refused.text) == (False, True)
    assert stage.facilitator_does(c.Escalate(scenario="latency-spike on catalog")).ok
    terminal.wait_for("TRIGGERED  (page) catalog latency", within_s=PAGE_S)
    assert len(stage.facilitator_view().injections) == 2
    assert stage.facilitator_does(c.RealIncident(reason="payment is really down")).ok
    terminal.wait_for("NOT A DRILL", within_s=15)
    text = terminal.wait_for("shows it again", within_s=DEBRIEF_S)
    assert "Stopped for a real incident: payment is really down" in text
    runs = sorted((tmp_path / "runs").glob("*-training*"))
    assert len(runs) == 2, "the second fault has a journal of its own"
    for run in runs:
        assert '"undo_complete":true' in (run / "journal.jsonl").read_text()
    assert not leftovers.running()


def test_a_killed_training_leaves_nothing_broken(train: Start, tmp_path: Path) -> None:
    terminal = train("latency-spike", "--service", "cart")
    terminal.wait_for("TRIGGERED  (page) cart latency", within_s=PAGE_S)
    (sandbox,) = leftovers.running()
    os.kill(terminal.pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while left := leftovers.left_of(sandbox):
        assert time.monotonic() < deadline, left
        time.sleep(0.2)
