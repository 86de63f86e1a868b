"""Every shipped scenario becomes an experiment that Chaos Toolkit itself takes for valid."""

from __future__ import annotations

from pathlib import Path

import pytest
from chaoslib.experiment import ensure_experiment_is_valid

from drill.experiments.export import experiment_of
from drill.experiments.importing import import_experiment
from drill.faults.registry import parameter_models
from drill.scenario.library import shipped
from drill.scenario.loader import load


@pytest.mark.parametrize("path", shipped("scenarios"), ids=lambda path: path.stem)
def test_chaos_toolkit_accepts_the_experiment_of(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DRILL_TARGET", raising=False)
    loaded = load(path, faults=parameter_models(), placeholders=True)
    assert loaded.scenario is not None
    made = experiment_of(loaded.scenario, path.stem, {"service": "checkout"}, "sandbox", 60)
    ensure_experiment_is_valid(made)
    probes = made["steady-state-hypothesis"]["probes"]
    assert len(probes) == 2 * len(loaded.scenario.expect.alerts) + (loaded.scenario.expect.nothing_else is not None)
    assert {probe["tolerance"] for probe in probes} == {True}


def test_a_clusters_namespace_and_account_go_with_it() -> None:
    loaded = load(shipped("scenarios")[0], faults=parameter_models(), placeholders=True)
    assert loaded.scenario is not None
    place = {"namespace": "shop", "as_user": ""}
    made = experiment_of(loaded.scenario, "x", {}, "kind-drill", 60, place)
    arguments = made["method"][0]["provider"]["arguments"]
    assert (arguments["namespace"], "as_user" in arguments) == ("shop", False)


def test_an_exported_experiment_is_not_imported_but_named() -> None:
    import json

    loaded = load(shipped("scenarios")[0], faults=parameter_models(), placeholders=True)
    assert loaded.scenario is not None
    made = experiment_of(loaded.scenario, "x", {}, "sandbox", 60)
    back = import_experiment(json.dumps(made).encode(), "x.json")
    assert "drill itself" in back.lost[-1].message or any("drill itself" in one.message for one in back.lost)
    assert back.problems
