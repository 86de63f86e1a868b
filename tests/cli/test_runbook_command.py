"""`drill runbook`: lint finds places, show shows steps, run asks before it changes anything and records all of it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from drill.cli.app import main
from drill.cli.commands.runbook import _exit_code
from drill.cli.console import Console
from drill.cli.runbooks.proving import hold_of, rehearse
from drill.cli.runbooks.walkthrough import Walkthrough
from drill.cli.runbooks.world import LiveWorld
from drill.cli.settings import RunSettings
from drill.core.errors import ProblemsFound, Unavailable, UsageError
from drill.runbook.answers import Series
from drill.runbook.parse import parse
from drill.runbook.records import STEPS, read
from drill.runbook.walk import Walker
from drill.scenario.library import shipped

BOOK = """\
# Broken thing
## Look
```promql { name=bad expect=<1 }
errors{service="$SERVICE"}
```
```bash { name=pods }
kubectl get pods
```
## Mend
- [ ] Tell the channel.
```bash { name=mend tag=mitigate excludeFromRunAll=true verify=bad within=1s undo=unmend }
kubectl scale deploy/x --replicas=6
```
```bash { name=unmend tag=undo excludeFromRunAll=true }
kubectl scale deploy/x --replicas=3
```
## Loose
```bash
reboot
```
"""


@dataclass
class World:
    """A target that is well once it was scaled."""

    ran: list[str] = field(default_factory=list)
    target: str = "toy target"
    fast_forward: float = 1.0

    def ask(self, promql: str) -> Sequence[Series]:
        return [Series(labels={}, value=0.0 if any("=6" in one for one in self.ran) else 7.0)]

    def run(self, command: str, language: str, values: Mapping[str, str]) -> tuple[int, str]:
        self.ran.append(command.strip())
        return 0, "done\n"


def walk(answers: Sequence[str], tmp_path: Path, only: Sequence[str] = ()) -> tuple[dict[str, str], World, str]:
    """Walk with these answers; returns outcome by step, the world, and what was printed."""
    world, out, given = World(), io.StringIO(), iter(answers)
    runbook, _ = parse(BOOK, "toy.md")
    walker = Walker(runbook, world, {"SERVICE": "x"}, "me", sleep=lambda _: None)
    reader: Callable[[str], str | None] = lambda _: next(given, None)  # noqa: E731
    steps = Walkthrough(walker, Console(out=out), [tmp_path / STEPS], reader, frozenset(only)).walk()
    assert [one.name for one in read(tmp_path)] == [one.name for one in sorted(steps, key=lambda one: one.began)]
    return {one.name: one.outcome for one in steps}, world, out.getvalue()


def test_nothing_that_changes_runs_without_a_typed_yes(tmp_path: Path) -> None:
    outcomes, world, _ = walk(["", "", "", "y", "", ""], tmp_path)
    assert world.ran == ["kubectl get pods"]
    assert outcomes == {
        "bad": "proven", "pods": "done-unproven", "Tell the channel.": "done-unproven", "mend": "skipped",
        "loose-1": "skipped",
    }  # fmt: skip


def test_a_yes_runs_it_verifies_it_and_offers_the_way_back(tmp_path: Path) -> None:
    outcomes, world, said = walk(["", "", "", "yes", "", "yes"], tmp_path)
    assert outcomes["mend"] == "proven"
    assert outcomes["unmend"] == "done-unproven"
    assert world.ran == [
        "kubectl get pods",
        "kubectl scale deploy/x --replicas=6",
        "kubectl scale deploy/x --replicas=3",
    ]
    assert said.index("kubectl scale deploy/x --replicas=6") < said.index("This changes something")
    assert "at toy target" in said


def test_the_end_of_the_input_ends_the_walk_and_every_other_step_is_skipped(tmp_path: Path) -> None:
    outcomes, world, _ = walk([""], tmp_path)
    assert outcomes["bad"] == "proven"
    assert {outcome for name, outcome in outcomes.items() if name != "bad"} == {"skipped"}
    assert world.ran == []


def test_a_value_can_be_named_at_any_question(tmp_path: Path) -> None:
    _, _, said = walk(["SERVICE=cart", "", "q"], tmp_path)
    assert "SERVICE is cart now" in said


def test_only_the_cells_asked_for_are_done(tmp_path: Path) -> None:
    outcomes, world, _ = walk(["yes"], tmp_path, only=["mend"])
    assert outcomes == {"mend": "proven"}
    assert world.ran == ["kubectl scale deploy/x --replicas=6"]


def test_a_reason_why_a_step_for_people_was_not_done_is_kept(tmp_path: Path) -> None:
    walk(["", "", "nobody is awake", "", ""], tmp_path)
    assert next(one.why for one in read(tmp_path) if one.tag == "human") == "nobody is awake"


# ---- the real world of commands ----


def test_a_command_gets_its_values_no_input_and_both_outputs() -> None:
    world = LiveWorld("here", None)
    assert world.run('echo "$A"; cat; echo err >&2; exit 3', "bash", {"A": "x y"}) == (3, "x y\nerr\n")


def test_a_command_that_hangs_is_ended_with_all_it_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drill.cli.runbooks.world.COMMAND_S", 0.3)
    with pytest.raises(Unavailable, match="did not end"):
        LiveWorld("here", None).run("sleep 30 & sleep 30", "bash", {})


def test_without_prometheus_a_query_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="no Prometheus"):
        LiveWorld("here", None).ask("up")


# ---- commands ----


def test_the_shipped_runbooks_have_nothing_to_complain_about(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runbook", "lint"]) == 0
    assert "7 runbooks: nothing to complain about" in capsys.readouterr().out


def test_lint_says_file_and_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "bad.md"
    page.write_text(
        "---\nalerts: [Nobody]\n---\n# X\n```bash { name=a tag=mitigate }\nx\n```\n```promql\nsum(\n```\n"
    )
    assert main(["runbook", "lint", str(page)]) == 2
    said = capsys.readouterr().err
    for expected in (":2:", "no rule makes the alert 'Nobody'", ":5:", "would run with all the others", "not PromQL",
                     "nobody owns this runbook", "nobody to escalate to"):  # fmt: skip
        assert expected in said


def test_a_folder_of_anybodys_runbooks_can_be_linted(capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(__file__).parents[1] / "runbook" / "fixtures"
    assert main(["runbook", "lint", "--no-alerts", str(folder)]) == 0
    assert "36 runbooks" in capsys.readouterr().out


def test_show_as_json_says_what_changes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runbook", "show", "oom-kill", "--format", "json"]) == 0
    steps = {step.get("name"): step for step in json.loads(capsys.readouterr().out)["steps"]}
    assert steps["take-out"]["changes"] == "it is tagged mitigate"
    assert steps["why"]["changes"] == ""


def test_an_unknown_runbook_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runbook", "show", "pod-crsh"]) == 2
    assert "pod-crash" in capsys.readouterr().err


def test_outcomes_decide_the_exit_code(tmp_path: Path) -> None:
    walk([""], tmp_path)
    (step, *_) = read(tmp_path)
    assert _exit_code([step]) == 0
    assert _exit_code([step.with_(outcome="contradicted")]) == 1
    assert _exit_code([step.with_(outcome="unavailable")]) == 3


# ---- prove, before anything is touched ----


def variant(tmp_path: Path, old: str, new: str) -> str:
    text = next(path for path in shipped("scenarios") if path.stem == "oom-kill").read_text()
    assert old in text
    page = tmp_path / "variant.yaml"
    page.write_text(text.replace("name: oom-kill", "name: variant").replace(old, new))
    return str(page)


def test_a_mitigation_that_is_no_cell_of_the_runbook_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no cell 'take-of'") as caught:
        rehearse(variant(tmp_path, "cell: take-out", "cell: take-of"), RunSettings())
    assert "take-out" in caught.value.hint


def test_a_cell_that_only_looks_is_no_mitigation(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="changes nothing"):
        rehearse(variant(tmp_path, "cell: take-out", "cell: burning"), RunSettings())


def test_a_scenario_that_names_no_mitigation_cannot_be_proven(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not say which cells"):
        rehearse(variant(tmp_path, "  mitigation: [{cell: take-out}]\n", ""), RunSettings())


def test_a_play_without_a_cell_is_a_problem_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(ProblemsFound) as caught:
        rehearse(variant(tmp_path, "{cell: take-out}", "{cel: take-out}"), RunSettings())
    assert any("mitigation" in str(one) or "cel" in one.message for one in caught.value.problems)


def test_the_fault_lasts_as_long_as_people_are_given_for_all_phases(tmp_path: Path) -> None:
    rehearsal = rehearse("oom-kill", RunSettings())
    loaded = rehearsal.compiled.loaded.scenario
    assert loaded is not None
    assert rehearsal.hold_s == hold_of(loaded, 60.0) == (3 + 5 + 10 + 15) * 60 / 60 + 15
    assert rehearsal.compiled.plan.injections[0].for_s == pytest.approx(rehearsal.hold_s)


def test_every_shipped_scenario_names_what_wins() -> None:
    for path in shipped("scenarios"):
        if "mitigated_when" in path.read_text() and "  mitigation:" in path.read_text():
            sets = {"service": "checkout"} if path.stem == "latency-spike" else {}
            assert rehearse(path.stem, RunSettings(sets=sets)).plays
