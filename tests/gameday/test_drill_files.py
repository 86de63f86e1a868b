"""Drill files: the shipped ones are right, and every mistake of a wrong one is told at once with its place.

`DRILL_UPDATE_CASES=1 pytest tests/gameday/test_drill_files.py` writes the texts anew; read the difference.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from drill.core.problems import render
from drill.faults.registry import parameter_models
from drill.gameday.loader import LoadedDrill, load
from drill.gameday.model import Drill
from drill.gameday.schema import export
from drill.scenario.model import Part
from drill.scenario.yamltree import plain, read

ROOT = Path(__file__).parents[2]
DRILLS = sorted((ROOT / "drills").glob("*.yaml"))
CASES = sorted((Path(__file__).parent / "cases").glob("*.yaml"))
SMALL = """\
apiVersion: drill/v1
kind: Drill
metadata: {name: small, owner: sre}
goal: Know that it works.
hypothesis: It works.
scenarios:
  - {scenario: latency-spike, with: {service: checkout}}
"""


def loaded(tmp_path: Path, text: str, name: str = "small.yaml") -> LoadedDrill:
    file = tmp_path / name
    file.write_text(text)
    return load(file, parameter_models())


def said(found: LoadedDrill) -> list[str]:
    return [problem.message for problem in found.problems]


@pytest.mark.parametrize("file", DRILLS, ids=lambda path: path.stem)
def test_a_shipped_drill_has_no_mistakes_and_fits_the_schema(file: Path) -> None:
    found = load(file, parameter_models())
    assert said(found) == []
    root = read(file.read_bytes(), file.name).root
    assert root is not None
    errors = Draft202012Validator(json.loads(export())).iter_errors(plain(root))
    assert [error.message for error in errors] == []


def test_the_three_shipped_drills_are_what_they_are_meant_to_be() -> None:
    drills = {file.stem: load(file, parameter_models()).drill for file in DRILLS}
    assert set(drills) == {"monthly-smoke", "onboarding", "q1-checkout"}
    assert len(drills["q1-checkout"].scenarios) == 3  # type: ignore[union-attr]
    onboarding = drills["onboarding"]
    assert onboarding is not None
    assert len(onboarding.scenarios) == 6
    last = yaml.safe_load((ROOT / "scenarios" / f"{onboarding.scenarios[-1].scenario}.yaml").read_text())
    assert len(last["injections"]) == 2


def test_the_exported_schema_is_the_one_in_the_repository() -> None:
    Draft202012Validator.check_schema(json.loads(export()))
    assert (ROOT / "schemas" / "drill.v1.json").read_text() == export(), "run `make generate`"


def test_every_key_of_a_drill_file_is_described() -> None:
    schema = json.loads(export())
    parts = {"Drill": schema, **schema["$defs"]}
    missing = [
        f"{part}.{key}"
        for part, content in parts.items()
        for key, field in content.get("properties", {}).items()
        if "description" not in field
    ]
    assert missing == []
    assert issubclass(Drill, Part)  # closed: unknown keys are refused


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_every_mistake_is_told_at_once_with_its_place(
    case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(case, tmp_path / case.name)
    found = load(Path(case.name), parameter_models())
    text = "".join(f"{render(problem)}\n" for problem in found.problems)
    expected = case.with_suffix(".txt")
    if os.environ.get("DRILL_UPDATE_CASES"):
        expected.write_text(text)
    assert found.drill is None
    assert text == expected.read_text()


def test_there_are_cases_and_every_one_has_its_text() -> None:
    assert len(CASES) >= 4
    assert {path.stem for path in CASES} == {path.stem for path in CASES[0].parent.glob("*.txt")}


def test_the_small_one_is_right_and_each_damage_is_seen(tmp_path: Path) -> None:
    assert said(loaded(tmp_path, SMALL)) == []
    damages = {
        "scenario: latency-spike": ("scenario: latency-spiek", "unknown scenario 'latency-spiek'"),
        "with: {service: checkout}": ("seed: 1", "the scenario needs 'service' under 'with'"),
        "service: checkout": ("service: checkout, delay: soon", "'soon' is not a duration"),
        "kind: Drill": ("kind: Scenario", "expected 'Drill', found 'Scenario'"),
        "name: small": ("name: large", "the name 'large' differs from the file's"),
    }
    for old, (new, message) in damages.items():
        assert said(loaded(tmp_path, SMALL.replace(old, new))) == [message]


def test_a_scenario_beside_the_drill_is_found_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    shutil.copy(ROOT / "scenarios" / "pod-kill.yaml", tmp_path / "mine" / "own.yaml")
    text = SMALL.replace("latency-spike", "mine/own.yaml")
    assert [m for m in said(loaded(tmp_path, text)) if "unknown" in m or "no file" in m] == []
    broken = tmp_path / "mine" / "own.yaml"
    broken.write_text(broken.read_text().replace("fault: pod-kill", "fault: pod-kil"))
    assert said(loaded(tmp_path, text)) == ["the scenario's file has 1 mistake"]


def test_steps_without_an_id_are_named_by_their_scenario_and_numbered(tmp_path: Path) -> None:
    call = "  - {scenario: latency-spike, with: {service: checkout}}\n"
    drill = loaded(tmp_path, SMALL + call + call.replace("{scenario", "{id: latency-spike-2, scenario")).drill
    assert drill is not None
    assert drill.step_ids() == ("latency-spike", "latency-spike-3", "latency-spike-2")


@pytest.mark.parametrize(
    "junk", [b"", b"\xff\xfe", b"- 1\n", b"a: [", b"{}", b"scenarios: 3\nschedule: x\nroles: [1]\n"]
)
def test_any_bytes_are_answered_by_problems(junk: bytes, tmp_path: Path) -> None:
    file = tmp_path / "junk.yaml"
    file.write_bytes(junk)
    found = load(file, parameter_models())
    assert found.drill is None
    assert found.problems


def test_a_file_that_is_not_there_is_a_problem_without_a_place(tmp_path: Path) -> None:
    (problem,) = load(tmp_path / "none.yaml", parameter_models()).problems
    assert problem.line == 0
    assert "cannot be read" in problem.message
