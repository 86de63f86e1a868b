"""What becomes of experiments: a scenario that loads, or what it still needs; every loss with its place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from drill.experiments.importing import Imported, import_experiment
from drill.faults.registry import parameter_models
from drill.scenario.loader import load

FIXTURES = Path(__file__).parent / "fixtures"
EXPERIMENTS = sorted(path for path in FIXTURES.iterdir() if path.suffix in (".json", ".yaml"))
NOTHING = {"broken", "not-an-experiment", "ours", "probes-only"}
"""Files of which no scenario can be made."""
INCOMPLETE = {"no-rollback", "secrets-inline", "strange-shapes"}
"""Files whose scenario needs an undo or a proof before it can run."""


def made_of(path: Path) -> Imported:
    return import_experiment(path.read_bytes(), path.name)


def said(made: Imported) -> str:
    lines = [f"{one.line}:{one.column}: {one.message}" for one in (*made.lost, *made.problems)]
    return "\n".join([*lines, "", made.text])


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_an_experiment_becomes_exactly_this(path: Path) -> None:
    """The golden files beside the experiments were read by a person; DRILL_GOLDEN=write writes them anew."""
    golden = FIXTURES / "golden" / f"{path.stem}.txt"
    if os.environ.get("DRILL_GOLDEN") == "write":
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(said(made_of(path)))
    assert said(made_of(path)) == golden.read_text()


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_what_is_made_loads_or_says_what_it_needs(path: Path) -> None:
    made = made_of(path)
    assert (not made.text) == (path.stem in NOTHING) == bool(made.problems)
    if not made.text:
        return
    loaded = load(made.text, faults=parameter_models(), placeholders=True)
    assert bool(loaded.problems) == (path.stem in INCOMPLETE), [one.message for one in loaded.problems]
    for one in loaded.problems if path.stem != "strange-shapes" else ():
        assert "under 'with'" in one.message, "only an undo or a probe may be missing"


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_no_secret_of_the_file_is_repeated(path: Path) -> None:
    made = made_of(path)
    everything = said(made) + "".join(f"{one.source_line} {one.hint}" for one in (*made.lost, *made.problems))
    for secret in (
        "hunter2hunter2",
        "correct-horse-battery",
        "abcdef0123456789",
        "k-1234567890abcdef",
        "not-a-group",
    ):
        assert secret not in everything.replace("is no group", "")


def test_chaos_toolkits_references_survive_the_way_through_a_scenario() -> None:
    made = made_of(FIXTURES / "http-flag.yaml")
    loaded = load(made.text, faults=parameter_models(), placeholders=True)
    params = loaded.fault_params["slow-the-flags"].model_dump()
    assert params["action"]["provider"]["headers"]["Authorization"] == "Bearer ${token}"
    assert params["secrets"] == {"flags": {"token": {"env": "FLAG_TOKEN", "file": ""}}}


def test_rollbacks_find_their_actions_by_name() -> None:
    loaded = load(made_of(FIXTURES / "two-actions.yaml").text, faults=parameter_models(), placeholders=True)
    undos = {name: one.model_dump()["undo"]["provider"]["func"] for name, one in loaded.fault_params.items()}
    assert undos == {"block-the-cache": "unblock", "slow-the-search": "quick"}
    assert loaded.scenario is not None
    assert [(one.at, one.for_) for one in loaded.scenario.injections] == [(0, 60), (60, 120)]


def test_a_rollback_without_a_provider_is_no_undo() -> None:
    """Found by the fuzzer."""
    action = "{name: a, type: action, provider: {type: process, path: x}}"
    made = import_experiment(f"method: [{action}]\nrollbacks: [{{name: a, type: action}}]\n".encode(), "x.yaml")
    assert any("no rollback takes this action back" in one.message for one in made.lost)
