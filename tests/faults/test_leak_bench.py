"""The benches of kills know every fault there is: a new one must be given parameters there, or they do not start."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from bench.leaks import faultset
from bench.leaks.results import Result, read_results, table

from drill.faults.registry import faults
from faults.world import facts


def test_every_fault_of_drills_own_has_parameters():
    mine = {name for name in faults() if name != "chaostoolkit" and "/" not in name}
    assert set(faultset.names()) == mine


def test_what_only_a_platform_has_is_not_asked_of_a_sandbox():
    by_api = {name for name in faultset.names() if faultset.asks_only_an_api(name)}
    assert by_api == {"scale-down", "node-cordon", "node-drain", "bad-rollout"}


@pytest.mark.parametrize("name", [one for one in faultset.names() if not faultset.asks_only_an_api(one)])
def test_each_fault_is_made_by_a_way_the_target_can_go(name: str):
    action = faultset.action(name, "i", facts().services[0].replicas[0].name, facts(), random.Random(1))
    assert action.injection == "i"


def test_a_fault_that_cannot_be_made_there_is_said():
    with pytest.raises(LookupError, match="partition cannot be made"):
        faultset.action(
            "partition", "i", facts().services[0].replicas[0].name, facts({"nft": "no"}), random.Random(1)
        )


def test_results_are_read_back_and_counted(tmp_path: Path):
    assert read_results(tmp_path / "none") == []
    kills = [Result(1, "pause", "agent", 1.0), Result(2, "pause", "runner", 3.0, recovered=True, left=["x"])]
    head, row = table("by fault", kills, lambda each: each.fault.split("+"))
    assert head.split() == ["by", "fault", "kills", "leaks", "by", "recover", "p50", "p95", "max"]
    assert row.split() == ["pause", "2", "1", "1", "3.00", "3.00", "3.00"]
