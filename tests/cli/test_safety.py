"""What keeps a drill from starting: aborts, leases, freeze windows, protected targets. And their limits."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from drill.cli import live_runs, safety
from drill.cli.kept import kept_sandbox, sandbox_down
from drill.cli.leases import leases
from drill.cli.live_runs import abort, check_not_aborted, hear_aborts
from drill.cli.safety import check_activities, check_allowed, check_commands, check_undo, remember_undos
from drill.cli.state import state_dir
from drill.core.actions import RunActivity, UndoActivity, undo_of
from drill.core.activities import Activity, Call, ProcessProvider
from drill.core.clock import parse_rfc3339
from drill.core.errors import Refused, UsageError
from drill.plan.model import Plan
from verify import journals

IN_FREEZE = parse_rfc3339("2026-12-24T12:00:00Z")
AFTER = parse_rfc3339("2027-01-02T00:00:00Z")
FREEZE = "freeze: [{from: 2026-12-20T00:00:00Z, until: 2027-01-02T00:00:00Z, reason: end of year}]\n"


@pytest.fixture(autouse=True)
def own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("DRILL_SAFETY", str(tmp_path / "safety.yaml"))
    monkeypatch.setattr(safety, "SYSTEM", tmp_path / "none")
    monkeypatch.setattr(live_runs, "_sweep", lambda: ([], []))
    (tmp_path / "safety.yaml").write_text("")


def test_after_an_abort_nothing_starts_until_it_is_cleared() -> None:
    check_not_aborted()
    abort()
    with pytest.raises(Refused, match="abort is in force"):
        check_not_aborted()
    with pytest.raises(Refused), hear_aborts(threading.Event()):
        pytest.fail("an abort that came between the first look and the listing must be seen")
    abort(clear=True)
    check_not_aborted()


def test_abort_says_what_it_removed_and_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_runs, "_sweep", lambda: (["directory d"], ["nft table t"]))
    result = abort()
    assert (result.removed, result.remaining, result.exit_code) == (("directory d",), ("nft table t",), 5)


def test_entries_of_dead_runs_are_forgotten() -> None:
    for name, text in (("4194305", "{}"), ("1", json.dumps({"created": 1})), ("x", "{}"), ("2", "[]")):
        (state_dir() / "live").mkdir(exist_ok=True)
        (state_dir() / "live" / name).write_text(text)
    assert list(live_runs.live_processes()) == []
    assert list((state_dir() / "live").iterdir()) == []


def test_a_second_run_of_a_service_is_refused_and_told_who_has_it() -> None:
    with (
        leases(["sandbox 1/checkout", "sandbox 1/cart"], "the-first"),
        pytest.raises(Refused, match="sandbox 1/checkout is being drilled already, by the run the-first"),
        leases(["sandbox 1/checkout"], "second"),
    ):
        pytest.fail("it started")
    with leases(["sandbox 1/checkout"], "third"), leases(["sandbox 2/checkout"], "elsewhere"):
        pass


def test_a_refused_run_holds_none_of_its_leases() -> None:
    with leases(["b"], "one"):
        with pytest.raises(Refused), leases(["a", "b"], "two"):
            pytest.fail("it started")
        with leases(["a"], "three"):
            pass


def test_in_a_freeze_nothing_starts_but_in_the_sandbox(tmp_path: Path) -> None:
    (tmp_path / "safety.yaml").write_text(FREEZE)
    with pytest.raises(Refused, match=r"before 2027-01-02T00:00:00.000Z \(end of year\)"):
        check_allowed("prod", ["checkout"], IN_FREEZE)
    check_allowed("prod", ["checkout"], AFTER)
    check_allowed("sandbox", ["checkout"], IN_FREEZE)


def test_a_freeze_may_name_its_targets(tmp_path: Path) -> None:
    (tmp_path / "safety.yaml").write_text(FREEZE.replace("reason:", 'targets: ["sand*"], reason:'))
    with pytest.raises(Refused):
        check_allowed("sandbox", ["checkout"], IN_FREEZE)
    check_allowed("prod", ["checkout"], IN_FREEZE)


def test_protected_targets_are_never_drilled(tmp_path: Path) -> None:
    (tmp_path / "safety.yaml").write_text('protect: ["prod/pay*", "*/ledger"]\n')
    check_allowed("prod", ["checkout"], 0)
    for target, service in (("prod", "payment"), ("sandbox", "ledger")):
        with pytest.raises(Refused, match="protected"):
            check_allowed(target, ["checkout", service], 0)


@pytest.mark.parametrize(
    "text",
    ["freeze: [{from: now, until: 2027-01-02T00:00:00Z}]", "freeze: [{from: 2026-12-20T00:00:00, until: 2027-01-02T00:00:00}]",
     "protekt: []", "[", "- 1", "\x00", "freeze: " + "[" * 3000],
)  # fmt: skip
def test_a_file_that_cannot_be_read_forbids_everything(tmp_path: Path, text: str) -> None:
    (tmp_path / "safety.yaml").write_text(text)
    with pytest.raises(Refused, match="cannot be used"):
        check_allowed("sandbox", ["checkout"], 0)


def test_a_named_file_that_is_missing_forbids_everything(tmp_path: Path) -> None:
    (tmp_path / "safety.yaml").unlink()
    with pytest.raises(Refused, match="cannot be used"):
        check_allowed("sandbox", ["checkout"], 0)


def test_no_sandbox_is_ended_without_being_named() -> None:
    for name in ("", "nobody", "../x"):
        with pytest.raises(UsageError, match="there is no sandbox"):
            sandbox_down(name)


@pytest.mark.parametrize("target", ["sandbox:", "sandbox:../../etc", "prod", "", "sandbox:nobody"])
def test_only_targets_that_are_there_are_taken(target: str) -> None:
    with pytest.raises(UsageError, match="not known"):
        kept_sandbox(target)


def activity_plan(*paths: str) -> Plan:
    """A plan whose one step runs the programs *paths*: the action, and its undo."""
    do, undo = (Call(activity=Activity(name="", provider=_program(path))) for path in paths)
    action = RunActivity(injection="slow", service="checkout", call=do, undo=undo, hold_s=60)
    plan = journals.plan()
    (injection,) = plan.injections
    step = injection.steps[0].with_(action=action, undo=undo_of(action))
    return plan.with_(injections=(injection.with_(steps=(step,)),))


def _program(path: str) -> ProcessProvider:
    return ProcessProvider(type="process", path=path, arguments=["x"])


def test_programs_of_a_scenario_run_only_by_a_rule_that_names_them(tmp_path: Path) -> None:
    plan = activity_plan("touch", "rm")
    with pytest.raises(Refused, match=r"process:/\S*touch, process:/\S*rm"):
        check_activities(plan)
    (tmp_path / "safety.yaml").write_text("activities: ['process:*/touch']\n")
    with pytest.raises(Refused, match=r"no rule allows: process:/\S*rm$"):
        check_activities(plan)
    (tmp_path / "safety.yaml").write_text("activities: ['process:*/touch', 'process:*/rm']\n")
    check_activities(plan)


def test_a_program_given_one_text_is_a_shell_and_needs_a_rule_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "safety.yaml").write_text("activities: ['process:*']\n")
    call = Call(
        activity=Activity(name="", provider=ProcessProvider(type="process", path="true", arguments="; rm x"))
    )
    action = RunActivity(injection="slow", service="checkout", call=call, undo=call, hold_s=60)
    plan = activity_plan("true", "true")
    (injection,) = plan.injections
    step = injection.steps[0].with_(action=action, undo=undo_of(action))
    with pytest.raises(Refused, match="shell:"):
        check_activities(plan.with_(injections=(injection.with_(steps=(step,)),)))


def test_a_foreign_journal_runs_nothing(tmp_path: Path) -> None:
    """`drill recover` plays an undo only when this user has started a run with exactly that undo."""
    plan = activity_plan("touch", "rm")
    undo = plan.injections[0].steps[0].undo
    assert isinstance(undo, UndoActivity)
    with pytest.raises(Refused, match="no run of this user"):
        check_undo(undo)
    remember_undos(plan)
    check_undo(undo)
    with pytest.raises(Refused):
        check_undo(undo.with_(injection="another"))


RESTART = 'kubectl -n "shop" rollout restart deploy/"checkout"\n'


def test_a_runbooks_command_is_played_at_a_cluster_only_as_a_rule_says(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no rule allows `kubectl -n shop rollout restart deploy/checkout` at prod"):
        check_commands("prod", [RESTART])
    (tmp_path / "safety.yaml").write_text('runbooks: ["prod: kubectl -n shop rollout restart deploy/*"]\n')
    check_commands("prod", [RESTART])
    for target, command in (
        ("other", RESTART),
        ("prod", RESTART.replace("shop", "bank")),
        ("prod", "kubectl -n shop delete deploy/checkout"),
    ):
        with pytest.raises(Refused, match="no rule allows"):
            check_commands(target, [RESTART, command])


@pytest.mark.parametrize(
    "command",
    [
        "kubectl -n shop rollout restart deploy/x; rm -rf /",
        "kubectl -n shop rollout restart deploy/x && true",
        "kubectl -n shop rollout restart deploy/$(id)",
        'kubectl -n shop rollout restart "deploy/`id`"',
        "kubectl -n shop rollout restart deploy/x\nrm -rf /",
        "kubectl -n shop rollout restart deploy/x > /etc/passwd",
        "kubectl -n shop rollout restart deploy/$SERVICE",
        'kubectl -n shop rollout restart "deploy/x',
    ],
)
def test_a_star_in_a_rule_hides_no_second_command(command: str, tmp_path: Path) -> None:
    (tmp_path / "safety.yaml").write_text('runbooks: ["prod: *"]\n')
    with pytest.raises(Refused, match="is not played at prod"):
        check_commands("prod", [command])
