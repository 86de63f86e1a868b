"""`drill report --edit`: people's words are asked for in their editor and kept; a later green run closes actions."""

from __future__ import annotations

from pathlib import Path

from drill.cli.app import main
from drill.report.people import FILE
from drill.runbook.records import STEPS, Step, append
from verify.journals import GOOD, T0, journal, plan


def run_dir(out: Path, name: str) -> Path:
    """A run as its runner left it: plan and journal."""
    folder = out / name
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text(plan().model_dump_json())
    lines = "".join(f"{event.model_dump_json()}\n" for event in journal(GOOD))
    (folder / "journal.jsonl").write_text(lines)
    return folder


def editor(tmp_path: Path, old: str, new: str) -> str:
    script = tmp_path / "editor.sh"
    script.write_text(f"#!/bin/sh\nsed -i 's/^{old}$/{new}/' \"$1\"\n")
    script.chmod(0o700)
    return str(script)


def test_what_was_written_is_in_every_later_rendering(tmp_path, monkeypatch, capsys) -> None:
    folder = run_dir(tmp_path / "runs", "20260101T000000Z-latency-spike")
    monkeypatch.setenv("EDITOR", editor(tmp_path, "## Lessons", "## Lessons\\nLook at one pod first."))
    monkeypatch.delenv("VISUAL", raising=False)
    out = str(tmp_path / "runs")
    assert main(["report", "last", "--out", out, "--edit"]) == 0
    assert "1 of 5 parts are written" in capsys.readouterr().out
    assert "Look at one pod first." in (folder / FILE).read_text()
    assert main(["report", "last", "--out", out]) == 0
    assert "> Look at one pod first." in (folder / "report.md").read_text()
    assert "Look at one pod first." in (folder / "report.html").read_text()


def test_an_editor_that_fails_loses_nothing(tmp_path, monkeypatch, capsys) -> None:
    folder = run_dir(tmp_path / "runs", "20260101T000000Z-latency-spike")
    (folder / FILE).write_text("## Lessons\nkept\n")
    monkeypatch.setenv("EDITOR", "/bin/false")
    monkeypatch.delenv("VISUAL", raising=False)
    assert main(["report", "last", "--out", str(tmp_path / "runs"), "--edit"]) == 2
    assert "the editor failed" in capsys.readouterr().err
    assert (folder / FILE).read_text() == "## Lessons\nkept\n"


def test_an_action_of_a_runbook_step_is_closed_by_the_next_green_run(tmp_path) -> None:
    out = tmp_path / "runs"
    first = run_dir(out, "20260101T000000Z-latency-spike")
    taken = Step(
        runbook="latency-spike", sha256="0", name="restart-all", tag="mitigate", outcome="failed", began=T0 + 3,
        ended=T0 + 4, why="exit code 1", owner="team-runbooks",
    )  # fmt: skip
    append(first / STEPS, taken)
    assert main(["report", first.name, "--out", str(out)]) == 0
    assert "- [ ] Correct the step 'restart-all'" in (first / "report.md").read_text()
    run_dir(out, "20260102T000000Z-latency-spike")
    assert main(["report", first.name, "--out", str(out)]) == 0
    text = (first / "report.md").read_text()
    assert "- [x] Correct the step 'restart-all'" in text
    assert "closed by the green run 20260102T000000Z" in text
