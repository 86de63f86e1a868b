"""What is imported before the first word is printed: the budget of `--help`, without measuring time."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

HEAVY = (
    "pydantic",
    "rich",
    "yaml",
    "requests",
    "jinja2",
    "kubernetes",
    "prometheus_api_client",
    "psutil",
    "aiohttp",
)
PROBE = "import sys; from drill.cli.app import main; code = main(); print(code, *sys.modules, file=sys.stderr)"


def modules(*args: str, **env: str) -> tuple[int, set[str]]:
    """Run drill in a new interpreter; return its exit code and the modules it had loaded at the end."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *args],
        capture_output=True, text=True, timeout=60, check=True, env={**os.environ, **env},
    )  # fmt: skip
    code, *loaded = done.stderr.splitlines()[-1].split()
    return int(code), set(loaded)


@pytest.mark.parametrize("args", [("--help",), ("-h",), ("--version",), ()])
def test_help_and_version_load_click_and_no_command(args: tuple[str, ...]) -> None:
    _, loaded = modules(*args)
    assert "click" in loaded
    assert not [name for name in loaded if name.split(".")[0] in HEAVY]
    assert not [name for name in loaded if name.startswith("drill.cli.commands.")]


@pytest.mark.parametrize(
    "command",
    ["run", "plan", "list", "runs", "doctor", "predict", "report", "sandbox", "gameday", "schedule", "coverage",
     "compare", "policy", "demo"],
)  # fmt: skip
def test_the_help_of_a_command_loads_only_that_command(command: str) -> None:
    code, loaded = modules(command, "--help")
    assert code == 0
    assert {name for name in loaded if name.startswith("drill.cli.commands.")} == {f"drill.cli.commands.{command}"}
    assert not [name for name in loaded if name.split(".")[0] in HEAVY]


def test_unknown_commands_are_answered_without_loading_any() -> None:
    code, loaded = modules("rnu")
    assert code == 2
    assert not [name for name in loaded if name.startswith("drill.cli.commands.")]


def complete(words: str) -> list[str]:
    """Ask drill, as bash does, for what may follow *words*; nothing heavy may be loaded for it."""
    script = (
        "import sys, atexit; from drill.cli.app import main\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr)); main([])"
    )
    env = {
        "_DRILL_COMPLETE": "bash_complete",
        "COMP_WORDS": f"drill {words}",
        "COMP_CWORD": str(len(words.split(" "))),
    }
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, env={**os.environ, **env}
    )
    loaded = done.stderr.splitlines()[-1].split()
    assert not [name for name in loaded if name.split(".")[0] in HEAVY]
    return [line.partition(",")[2] for line in done.stdout.split()]


def test_completion_knows_commands_scenarios_and_services_and_loads_nothing_heavy() -> None:
    assert complete("ru") == ["run", "runs"]
    assert "latency-spike" in complete("run lat")
    assert complete("run latency-spike --service che") == ["checkout"]
    assert "prod.yaml" in complete("plan prod.yaml")  # nothing fits: a file, then
