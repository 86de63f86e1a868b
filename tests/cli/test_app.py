"""Every failure has its exit code and its words; nothing ends in a traceback unless asked for."""

from __future__ import annotations

from typing import Any

import click
import pytest

from drill.cli.app import COMMANDS, cli, main
from drill.core import errors
from drill.core.problems import Problem


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make `drill runs` raise what a test wants."""

    def fail(error: BaseException) -> None:
        def callback(**_: Any) -> None:
            raise error

        monkeypatch.setattr("drill.cli.commands.runs.command.callback", callback)

    return fail


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError("x", hint="do y"), 2),
        (errors.Unavailable("x", hint="do y"), 3),
        (errors.ActionFailed("x", hint="do y"), 3),
        (errors.Refused("x", hint="do y"), 4),
        (errors.UndoIncomplete("x", hint="do y"), 5),
        (errors.DrillError("x", hint="do y"), 3),
    ],
)
def test_each_error_of_the_tree_has_its_code_message_and_hint(
    failing: Any, capsys: Any, error: Any, code: int
) -> None:
    failing(error)
    assert main(["runs"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "drill: x\n  hint: do y\n"


def test_problems_are_shown_with_their_line_and_caret(failing: Any, capsys: Any) -> None:
    problem = Problem("a.yaml", 4, 8, "unknown fault 'lag'", "did you mean 'latency'?", "fault: lag", 3)
    failing(errors.ProblemsFound([problem]))
    assert main(["runs"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "a.yaml:4:8: unknown fault 'lag'",
        "    fault: lag",
        "           ^^^",
        "  hint: did you mean 'latency'?",
        "drill: 1 problem found",
    ]


def test_a_mistake_of_drill_itself_apologises_and_shows_the_traceback_only_with_debug(
    failing: Any, capsys: Any
) -> None:
    failing(KeyError("boom"))
    assert main(["runs"]) == 3
    err = capsys.readouterr().err
    assert "sorry" in err
    assert "KeyError: 'boom'" in err
    assert "Traceback" not in err
    assert main(["--debug", "runs"]) == 3
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_ctrl_c_outside_of_a_run_is_aborted(failing: Any, capsys: Any, error: BaseException) -> None:
    failing(error)
    assert main(["runs"]) == 4
    assert "aborted" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["rnu"], "there is no command 'rnu'; did you mean 'run'?"),
        (["--nonsense"], "No such option"),
        (["plan"], "Missing argument 'SCENARIO|FILE'"),
        (["list", "--format", "xml"], "'xml' is not one of 'text', 'json'"),
    ],
)
def test_wrong_usage_exits_2_and_says_what_is_wrong(capsys: Any, args: list[str], said: str) -> None:
    assert main(args) == 2
    assert said in capsys.readouterr().err


def test_help_and_version_exit_0(capsys: Any) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("drill 0.")
    assert main([]) == 2
    assert main(["--help"]) == 0
    assert "Exit codes" in capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_in_the_help_exists_and_has_a_help_with_an_example(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.help
    texts = [command.epilog or ""]
    if isinstance(command, click.Group):
        texts += [sub.epilog or "" for sub in command.commands.values()]
    assert any(f"drill {name}" in text for text in texts)


def test_as_a_plugin_of_kubectl_the_usage_says_what_was_typed(capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/local/bin/kubectl-drill", "runs", "--no-such-option"])
    assert main() == 2
    assert "Usage: kubectl drill runs" in capsys.readouterr().err
