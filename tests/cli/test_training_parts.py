"""The parts of `drill train` around the session: what the shell's commands change, doors, lessons, runbooks."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from drill.cli.settings import RunSettings
from drill.cli.training import curriculum
from drill.cli.training.books import readable, reader
from drill.cli.training.choose import Choice, limit_of
from drill.cli.training.choose import start as choose
from drill.cli.training.door import RemoteStage, opened, session, sessions
from drill.cli.training.lookout import LOG_LINES, newest_lines
from drill.cli.training.record import Recorder, read_events, replayed, write_card, write_debrief
from drill.cli.training.screens import facilitator_lines, page_lines, status_lines
from drill.cli.training.shell import typed
from drill.cli.training.tabletop import Table, TableClock
from drill.core.errors import Unavailable, UsageError
from drill.faults.registry import parameter_models
from drill.journal.journal import Journal
from drill.runbook.parse import parse
from drill.scenario.library import find, shipped, shipped_roots
from drill.scenario.loader import load
from drill.training import commands as c
from drill.training import events as t
from drill.training.build import Around, facilitator_view, trainee_view
from drill.training.hold import held
from drill.training.live import LiveStage
from drill.training.views import LogLine, ReplicaLine
from training.told import Talk, gone, script


@pytest.mark.parametrize(
    "line",
    [
        "kubectl rollout restart deploy/checkout",
        'kubectl -n "$NAMESPACE" scale deploy/"$SERVICE" --replicas=6',
        "kubectl label pod checkout-1 app=quarantine --overwrite",
        "kubectl delete pod checkout-1",
        "kubectl set env deploy/checkout FALLBACK=payment",
        "kubectl exec checkout-1 -- truncate -s 0 /data/journal.log",
        "kubectl exec -it checkout-1 -- sh -c 'rm /data/x'",
        "kubectl get pods && kubectl rollout undo deploy/cart",
        "POD=checkout-1 kubectl --namespace default delete pod $POD",
        "/usr/bin/kubectl patch deploy checkout -p {}",
    ],
)
def test_a_command_that_changes_something_is_an_act(line: str):
    assert typed(line).changes


@pytest.mark.parametrize(
    "line",
    [
        "kubectl get pods -o wide",
        "kubectl -n default describe pod checkout-1",
        "kubectl rollout history deploy/checkout",
        "kubectl rollout status deploy/checkout",
        "kubectl exec checkout-1 -- df -h /data",
        "kubectl logs delete-me",
        "kubectl delete pod checkout-1 --dry-run=client",
        "curl http://127.0.0.1:9090/api/v1/alerts",
        "echo kubectl delete pod",
        "kubectl",
        "",
        "kubectl get pods 'unfinished",
    ],
)
def test_a_command_that_only_looks_is_none(line: str):
    assert not typed(line).changes


def written(folder: Path) -> Talk:
    """Write a whole session down as drill would: its events, and the run's journal."""
    talk = Talk().to_the_page()
    talk.give(115, c.Acknowledge())
    talk.give(120, c.Suspect(text="packets to checkout are delayed"))
    talk.mended(140)
    talk.hear(*gone(158))
    talk.give(170, c.Done())
    folder.mkdir(parents=True)
    recorder = Recorder(folder / "training.jsonl")
    for event in talk.events:
        recorder.write(event)
    recorder.close()
    with Journal(folder / "journal.jsonl") as journal:
        for line in talk.journal:
            journal.append(line)
    return talk


def test_the_debrief_is_made_from_the_files_alone(tmp_path: Path):
    talk = written(tmp_path / "s")
    debrief, text = write_debrief(tmp_path / "s")
    assert debrief.mitigated
    assert debrief.session == talk.told.session
    assert debrief.ending == talk.state.sentence
    assert (tmp_path / "s/debrief.md").read_text() == text
    assert json.loads((tmp_path / "s/debrief.json").read_text())["scenario"] == "latency-spike"
    for part in ("## Phases", "## The system's card", "## The cause", "## Timeline", "Nonce: `00ff`"):
        assert part in text


def test_a_session_that_was_cut_off_has_a_debrief_that_says_so(tmp_path: Path):
    written(tmp_path / "s")
    path = tmp_path / "s/training.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:4]) + lines[4][:20])
    assert len(read_events(tmp_path / "s")) == 4
    assert "killed" in write_debrief(tmp_path / "s")[0].ending
    assert not replayed(tmp_path / "s").over_at


def test_the_responders_card_is_for_one_reader(tmp_path: Path):
    written(tmp_path / "s")
    _, text, path = write_card(tmp_path / "s", tmp_path / "cards")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert "For you alone" in text
    assert "Your first stated cause was right." in text
    assert "Your card" not in (write_debrief(tmp_path / "s")[1])


def test_a_second_recorder_does_not_write_over_the_first(tmp_path: Path):
    Recorder(tmp_path / "training.jsonl").close()
    with pytest.raises(FileExistsError):
        Recorder(tmp_path / "training.jsonl")


# ---- the facilitator's door ----


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state/drill"


def live() -> LiveStage:
    return LiveStage(script(), lambda: 50.0, lambda event: event, lambda _: "")


def test_the_facilitator_leads_through_a_door_that_wants_its_key(state: Path):
    stage = live()
    with opened(stage, "a-training") as address:
        assert stat.S_IMODE(address.path.stat().st_mode) == 0o600
        assert [one.session for one in sessions()] == ["a-training"]
        remote = RemoteStage(session("last"))
        assert remote.facilitator_view().scenario == "latency-spike"
        assert remote.facilitator_does(c.Whisper(text="look at one replica")).ok
        assert stage.trainee_view().messages[0].text == "look at one replica"
        assert remote.wait_for_change(0, 0.1) > 1
        stranger = RemoteStage(type(address)(address.session, address.path, "0" * 32, address.pid))
        with pytest.raises(Unavailable, match="not the key"):
            stranger.facilitator_view()
    assert not address.path.exists()
    with pytest.raises(Unavailable):
        remote.facilitator_view()


def test_doors_of_dead_sessions_are_cleared(state: Path):
    folder = state / "training"
    folder.mkdir(parents=True)
    dead = {"session": "old", "path": str(folder / "x.sock"), "token": "t", "pid": 2**22 + 1}
    (folder / "x.json").write_text(json.dumps(dead))
    assert not sessions()
    assert not list(folder.iterdir())
    with pytest.raises(UsageError, match="no training 'last'"):
        session("last")


# ---- lessons ----


def onboarding() -> curriculum.Drill:
    from drill.gameday.loader import load as load_drill

    path = find("onboarding", shipped_roots("drills"), endings=(".yaml",), what="drill")
    drill = load_drill(path, parameter_models()).drill
    assert drill is not None
    return drill


def test_six_lessons_from_beginner_to_two_faults_each_with_a_runbook_and_an_answer():
    drill = onboarding()
    assert len(drill.scenarios) == 6
    levels = []
    for call in drill.scenarios:
        loaded = load(
            find(call.scenario, shipped_roots("scenarios")), faults=parameter_models(), overrides=call.with_
        )
        assert loaded.scenario is not None, call.scenario
        scenario = loaded.scenario
        levels.append(("beginner", "intermediate", "advanced").index(scenario.metadata.difficulty))
        assert scenario.people.answer.cause
        assert scenario.people.hints
        assert scenario.mitigated_when
        find(scenario.runbook, shipped_roots("runbooks"), endings=(".md",), what="runbook")
    assert levels == sorted(levels)
    assert len(scenario.injections) == 2


def test_the_curriculum_goes_on_where_it_was_left(state: Path, tmp_path: Path):
    drill = onboarding()
    assert curriculum.chosen(drill, {}, None)[0] == 0  # type: ignore[index]
    folder = tmp_path / "s"
    written(folder)
    debrief, _ = write_debrief(folder)
    held_session = curriculum.Held(debrief, folder, 0)
    curriculum.keep("onboarding", "lesson-1", held_session)
    done = curriculum.read_progress("onboarding")
    assert done["lesson-1"]["mitigated"] is True
    assert curriculum.chosen(drill, done, None)[0] == 1  # type: ignore[index]
    lost = curriculum.Held(debrief.with_(mitigated=False), folder, 0)
    curriculum.keep("onboarding", "lesson-2", lost)
    assert curriculum.chosen(drill, curriculum.read_progress("onboarding"), None)[0] == 1  # type: ignore[index]
    curriculum.keep("onboarding", "lesson-1", lost)
    assert curriculum.read_progress("onboarding")["lesson-1"]["mitigated"], "what was done stays done"
    everything = {name: {"mitigated": True} for name in drill.step_ids()}
    assert curriculum.chosen(drill, everything, None) is None
    assert curriculum.chosen(drill, everything, "3")[0] == 2  # type: ignore[index]
    with pytest.raises(UsageError, match="no lesson 'x'"):
        curriculum.chosen(drill, everything, "x")


def test_progress_that_cannot_be_read_is_none(state: Path):
    curriculum.progress_file("onboarding").write_text("{not json")
    assert curriculum.read_progress("onboarding") == {}


# ---- holding faults ----


def test_faults_are_held_until_somebody_ends_them():
    loaded = load(find("high-error-rate", shipped_roots("scenarios")), faults=parameter_models())
    assert loaded.scenario is not None
    scenario, _ = held(loaded.scenario, loaded.fault_params, 900, 60)
    assert [one.for_ / 60 for one in scenario.injections] == [900]
    assert scenario.guardrails.max_duration / 60 > 900


def test_a_kill_is_done_again_and_again():
    loaded = load(find("pod-kill", shipped_roots("scenarios")), faults=parameter_models())
    assert loaded.scenario is not None
    _, params = held(loaded.scenario, loaded.fault_params, 900, 60)
    kill = params["kill"]
    assert kill.times * kill.every / 60 == pytest.approx(900, abs=10)  # type: ignore[attr-defined]
    assert kill.every / 60 >= 5  # type: ignore[attr-defined]


# ---- what is read ----


def test_a_runbook_is_readable_and_its_queries_fit_the_target():
    text = readable(
        '---\ntitle: x\nalerts: [A]\n---\n# Slow\n\n```promql { name=a expect=<1 }\n'
        'rate(x{job="$SERVICE"}[5m]) / rate(x[1h] offset 1h)\n```\n\nAt `$SERVICE` wait for [5m].\n',
        {"SERVICE": "cart"}, 60,
    )  # fmt: skip
    assert text.startswith("# Slow")
    assert "```promql\n" in text
    assert 'rate(x{job="cart"}[5s]) / rate(x[1m] offset 1m)' in text
    assert "wait for [5m]" in text


def test_every_shipped_runbook_can_be_read():
    read = reader(60.0)
    for path in shipped("runbooks"):
        text = read(path.stem, "checkout")
        assert text.startswith("# "), path
        assert "excludeFromRunAll" not in text, path
        assert "$SERVICE" not in "".join(cell.body for cell in parse(text, "x")[0].cells if cell.kind == "promql")
    assert read("no-such-book", "checkout") == ""


def test_no_screen_is_wider_than_a_plain_terminal():
    talk = Talk().to_the_page()
    talk.give(117, c.Suspect(text="the disk of checkout is full " * 5))
    around = Around(
        ready=True,
        replicas=(ReplicaLine(name="checkout-0", service="checkout", state="serving", restarts=3),),
        logs=(LogLine(at=1, source="s", text="x"),),
    )
    view = trainee_view(talk.state, 130, around, 1)
    lines = [*status_lines(view), *page_lines(view.pages[0])]
    lines += facilitator_lines(facilitator_view(talk.state, 130, around, 1))
    assert max(len(text) for text, _ in lines) <= 79
    assert len(status_lines(view)) <= 22


@pytest.mark.parametrize(("text", "seconds"), [("15m", 900), ("1m", 60), ("2h", 7200)])
def test_limits(text: str, seconds: float):
    assert limit_of(text) == seconds


@pytest.mark.parametrize("text", ["10s", "5h", "soon", "-1m"])
def test_limits_that_make_no_sense(text: str):
    with pytest.raises(UsageError):
        limit_of(text)


@pytest.mark.parametrize(
    "choice", [Choice(None, Path("x")), Choice("pod-kill", Path("x"), random_=True), Choice("nope", Path("x"))]
)
def test_a_choice_that_cannot_be_touches_nothing(choice: Choice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError):
        choose(choice)
    assert not list(tmp_path.iterdir())


# ---- the table ----


def test_a_tabletop_goes_step_by_step_from_page_to_hint_to_inject():
    clock = TableClock(0)
    began = clock()
    stage = LiveStage(script(mode="tabletop", limit_s=3600), clock, lambda event: event, lambda _: "")
    page = t.PageTold(labels={"alertname": "A", "severity": "page", "sloth_service": "checkout"})
    table = Table(stage, clock, [(50.0, page)], began)
    table.tick()
    assert not stage.state.pages
    assert table.step() == ""
    assert stage.state.paged_at == pytest.approx(began + 50, abs=0.1)
    said = []
    while not table.step():
        said.append((len(stage.state.messages), len(stage.state.hints)))
    assert said == [(1, 0), (2, 0), (2, 1), (2, 2)]
    stage.trainee_does(c.Suspect(text="slow network"))
    assert stage.trainee_does(c.Done()).ok
    assert stage.state.over_at
    assert "as was said" in stage.state.sentence
    assert RunSettings().target == "sandbox"


def test_the_newest_lines_of_pods_and_platform_are_in_the_order_of_time() -> None:
    recent = {
        "lines": {
            "checkout-0": ["2026-11-25T08:00:03.500Z ERROR GET / 503 in 4 ms", "Traceback (most recent call last):"],
            "cart-1": ["2026-11-25T08:00:01.250Z WARN payment answered after 412 ms, 10.9.0.7", ""],
        },
        "events": [{"at": 1795593602.0, "kind": "Warning", "reason": "BackOff", "about": "pod/cart-0",
                    "message": "Back-off restarting failed container"}],
    }  # fmt: skip
    assert [(one.source, one.text) for one in newest_lines(recent)] == [
        ("cart-1", "WARN payment answered after 412 ms, 10.9.0.7"),
        ("events", "pod/cart-0: Back-off restarting failed container"),
        ("checkout-0", "ERROR GET / 503 in 4 ms"),
    ]


def test_only_the_newest_lines_are_shown() -> None:
    lines = [f"2026-11-25T08:00:{second:02d}.000Z ERROR {second}" for second in range(60)]
    found = newest_lines({"lines": {"cart-0": lines}, "events": []})
    assert [one.text for one in found] == [f"ERROR {second}" for second in range(60 - LOG_LINES, 60)]
