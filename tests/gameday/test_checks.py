"""Prerequisites: each blocks when it is not met, and also when it cannot be seen."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from drill.core.errors import Unavailable
from drill.gameday.checks import Given, check_all
from drill.gameday.model import Drill

TODAY = date(2027, 1, 19)


class World:
    def __init__(self, budgets: Mapping[str, float] | None = None, pages: list[str] | None = None) -> None:
        self._budgets, self._pages = budgets, pages

    def budgets(self) -> Mapping[str, float]:
        if self._budgets is None:
            raise Unavailable("Prometheus does not answer")
        return self._budgets

    def open_pages(self) -> list[str]:
        if self._pages is None:
            raise Unavailable("Alertmanager does not answer")
        return self._pages


def found(
    world: World | None = None, folder: Path = Path(), given: Given | None = None, **parts: Any
) -> dict[str, list]:
    """Levels by check."""
    drill = Drill.model_validate({
        "apiVersion": "drill/v1", "kind": "Drill", "metadata": {"name": "day", "owner": "sre"}, "goal": "g",
        "hypothesis": "h", "target": "prod", "scenarios": [{"scenario": "x"}], **parts,
    })  # fmt: skip
    levels: dict[str, list[str]] = {}
    for check in check_all(drill, given or Given(TODAY), world or World(), folder):
        levels.setdefault(check.check, []).append(check.level)
    return levels


BUDGET = {"remaining_budget": {"at_least": "30%", "slos": ["a"]}}


@pytest.mark.parametrize(
    ("budgets", "levels"),
    [
        ({"a": 0.3}, ["ok"]),
        ({"a": 0.29}, ["block"]),
        ({"a": -1.0}, ["block"]),
        ({"b": 1.0}, ["block"]),
        ({}, ["block"]),
        (None, ["block"]),
    ],
)
def test_the_budget_must_be_seen_and_large_enough(budgets: Mapping[str, float] | None, levels: list[str]) -> None:
    assert found(World(budgets), prerequisites=BUDGET) == {"budget": levels}


def test_without_named_slos_all_count_and_none_at_all_is_not_enough() -> None:
    every = {"remaining_budget": {"at_least": "30%"}}
    assert found(World({"a": 0.5, "b": 0.1}), prerequisites=every) == {"budget": ["ok", "block"]}
    assert found(World({}), prerequisites=every) == {"budget": ["block"]}


@pytest.mark.parametrize(("pages", "levels"), [([], ["ok"]), (["X", "Y"], ["block", "block"]), (None, ["block"])])
def test_an_open_page_blocks_and_so_does_not_knowing(pages: list[str] | None, levels: list[str]) -> None:
    assert found(World(pages=pages), prerequisites={"no_open_page": True}) == {"open pages": levels}


def test_a_fresh_sandbox_needs_neither_unless_servers_are_named() -> None:
    both = {**BUDGET, "no_open_page": True}
    assert found(target="sandbox", prerequisites=both) == {"budget": ["ok"], "open pages": ["ok"]}
    servers = {"prometheus": "http://p", "alertmanager": "http://a"}
    assert found(target="sandbox", prerequisites=both, servers=servers) == {
        "budget": ["block"],
        "open pages": ["block"],
    }


PEOPLE: dict[str, Any] = {
    "roles": {"ic": "required", "scribe": "optional"},
    "participants": [{"name": "Kim", "role": "ic"}],
    "prerequisites": {"people_confirmed": True},
}


@pytest.mark.parametrize(
    ("given", "levels"),
    [
        (Given(TODAY), ["block", "note"]),
        (Given(TODAY, confirmed=frozenset({"Kim"})), ["ok", "note"]),
        (Given(TODAY, confirmed=frozenset({"Sam"})), ["block", "note"]),
        (Given(TODAY, everybody=True), ["ok", "note"]),
    ],
)
def test_every_required_role_needs_somebody_who_said_to_come(given: Given, levels: list[str]) -> None:
    assert found(given=given, **PEOPLE) == {"people": levels}


@pytest.mark.parametrize(
    ("approval", "given", "level"),
    [
        ({"role": "owner"}, Given(TODAY), "block"),
        ({"role": "owner"}, Given(TODAY, everybody=True), "block"),
        ({"role": "owner"}, Given(TODAY, approvals={"owner": "Kim"}), "ok"),
        ({"role": "owner", "by": "Kim"}, Given(TODAY), "ok"),
        ({"role": "owner", "by": "Kim", "until": "2027-01-19"}, Given(TODAY), "ok"),
        ({"role": "owner", "by": "Kim", "until": "2027-01-18"}, Given(TODAY), "block"),
        ({"role": "owner", "by": "Kim", "until": "2027-01-18"}, Given(TODAY, approvals={"owner": "Kim"}), "ok"),
    ],
)
def test_consent_is_given_by_name_holds_for_its_time_and_is_not_part_of_yes(
    approval: dict, given: Given, level: str
) -> None:
    assert found(given=given, approvals=[approval]) == {"approval": [level]}


def test_the_freeze_file_blocks_as_long_as_it_is_there(tmp_path: Path) -> None:
    asked = {"prerequisites": {"freeze_file": "FREEZE"}}
    assert found(folder=tmp_path, **asked) == {"freeze": ["ok"]}
    (tmp_path / "FREEZE").write_text("")
    assert found(folder=tmp_path, **asked) == {"freeze": ["block"]}
    (tmp_path / "FREEZE").unlink()
    (tmp_path / "FREEZE").mkdir()  # cannot be read: not taken as free
    assert found(folder=tmp_path, **asked) == {"freeze": ["block"]}
