"""promtool, the real program, agrees with the prediction: 301 random cases over seven grids of intervals."""

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

from drill.alerting.promtool import Slope, counter, read_oracle
from drill.target.sandbox.programs import search_path

ROOT = Path(__file__).parents[2]
CASES = 301


def bench() -> ModuleType:
    path = ROOT / "bench/predict_vs_promtool.py"
    spec = importlib.util.spec_from_file_location("predict_vs_promtool", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.e2e
def test_promtool_sees_nothing_outside_the_prediction() -> None:
    promtool = shutil.which("promtool", path=os.pathsep.join(search_path()))
    if promtool is None:
        pytest.skip("promtool is not installed (Debian: apt install prometheus)")
    module = bench()
    results, _, _ = module.compare(CASES, 20, promtool, module.GRIDS[:7])
    assert len(results) == CASES
    assert sum(seen.firing_s is not None for _, _, seen in results) > CASES / 3
    wrong = [(case, said, seen, text) for case, said, seen in results for text in module.mistakes(said, seen)]
    assert wrong == []
    assert [wide for case, said, _ in results if (wide := module.wider_than_formula(case, said))] == []


def test_a_counter_is_sampled_where_its_slope_changes_between_two_scrapes() -> None:
    assert counter([Slope(25, 1), Slope(60, 0)], 10) == "0+10x1 20 25+0x3"


def test_reads_the_times_promtool_prints() -> None:
    text = """FAILED:
        exp: {__name__="x"} -1E+00
        got: {alertname="A", case="1"} 7.29E+03, {alertname="A", case="2"} 60
    """
    assert read_oracle(text) == [({"alertname": "A", "case": "1"}, 7290.0), ({"alertname": "A", "case": "2"}, 60.0)]
