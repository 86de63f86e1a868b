"""A good file becomes a scenario; what the caller gives is checked as strictly as what the file says."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import BaseModel

from drill.core.problems import render
from drill.scenario.loader import Loaded, load
from drill.scenario.model import Scenario

Faults = Mapping[str, type[BaseModel]]


def loaded(text: str, faults: Faults, **overrides: str) -> Loaded:
    return load(text, faults=faults, overrides=overrides)


def scenario_of(result: Loaded) -> Scenario:
    assert result.scenario is not None, "\n".join(map(render, result.problems))
    assert result.problems == ()
    return result.scenario


def test_a_good_file_becomes_a_scenario(good: str, faults: Faults) -> None:
    result = loaded(good, faults, service="checkout")
    scenario = scenario_of(result)
    assert scenario.injections[0].target.service == "checkout"
    assert scenario.injections[0].with_ == {"delay": "400ms", "jitter": "20ms"}
    assert scenario.injections[1].with_ == {"workers": 3}
    assert scenario.injections[1].at == 60.0
    assert scenario.expect.alerts[0].match == {"slo": "checkout-latency", "severity": "page"}
    assert scenario.mitigated_when is not None
    assert scenario.mitigated_when.promql == 'errors:ratio{service="checkout"} < 0.01'
    assert result.parameters == {"service": "checkout", "delay": "400ms", "workers": "3"}


def test_fault_parameters_come_back_checked(good: str, faults: Faults) -> None:
    result = loaded(good, faults, service="checkout", delay="1s")
    assert {name: params.model_dump() for name, params in result.fault_params.items()} == {
        "slow": {"delay": 1.0, "jitter": 0.02, "backend": "auto"},
        "busy": {"workers": 3, "load": 100},
    }


def test_the_hash_is_of_the_file_and_not_of_what_was_put_in(good: str, faults: Faults, tmp_path: Path) -> None:
    path = tmp_path / "slow.yaml"
    path.write_text(good)
    hashes = {load(path, faults=faults, overrides={"service": name}).sha256 for name in ("checkout", "cart")}
    assert hashes == {hashlib.sha256(path.read_bytes()).hexdigest()}


def test_a_required_parameter_without_a_value_is_asked_for(good: str, faults: Faults) -> None:
    result = loaded(good, faults)
    assert result.scenario is None
    assert [(one.place, one.message, one.hint) for one in result.problems] == [
        ("<text>:6:12", "parameter 'service' has no value", "give it on the command line: --service NAME")
    ]


def test_the_hint_for_other_parameters_shows_a_value_of_their_type(good: str, faults: Faults) -> None:
    result = loaded(good.replace("delay: {type: duration, default: 400ms}", "delay: {type: duration, required: true}"),
                    faults, service="checkout")  # fmt: skip
    assert [one.hint for one in result.problems] == ["give it on the command line: --set delay=10s"]


def test_samples_stand_in_when_a_file_is_only_checked(good: str, faults: Faults) -> None:
    result = load(good, faults=faults, placeholders=True)
    assert scenario_of(result).injections[0].target.service == "sample"


@pytest.mark.parametrize(
    ("kind", "sample"),
    [
        ("string", "sample"), ("duration", "10s"), ("percent", "50%"), ("size", "64Mi"), ("rate", "1mbit"),
        ("integer", "1"), ("number", "1"), ("boolean", "true"),
    ],
)  # fmt: skip
def test_every_type_has_a_sample(kind: str, sample: str, good: str, faults: Faults) -> None:
    text = good.replace("  workers:", f"  more: {{type: {kind}, required: true}}\n  workers:")
    assert load(text, faults=faults, placeholders=True).parameters["more"] == sample


def test_a_sample_is_one_of_the_choices(good: str, faults: Faults) -> None:
    text = good.replace("{type: string, required: true}", "{required: true, choices: [cart, checkout]}")
    assert scenario_of(load(text, faults=faults, placeholders=True)).injections[0].target.service == "cart"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"delay": "400"}, "--set delay: '400' is not a duration\n"
                           "  hint: write a number with a unit, like 400ms, 30s, 5m or 1h30m"),
        ({"workers": "many"}, "--set workers: 'many' is not a whole number\n  hint: write one like 3"),
        ({"workers": "9" * 5000}, f"--set workers: '{'9' * 59}…' is not a whole number\n  hint: write one like 3"),
        ({"dely": "1s"}, "--set dely: unknown parameter 'dely'\n  hint: did you mean 'delay'?"),
    ],
)  # fmt: skip
def test_what_the_caller_gives_is_checked(overrides: dict[str, str], said: str, good: str, faults: Faults) -> None:
    result = load(good, faults=faults, overrides={"service": "checkout", **overrides})
    assert result.scenario is None
    assert [render(one) for one in result.problems] == [said]


def test_a_value_of_the_caller_that_does_not_fit_is_shown_where_it_is_used(good: str, faults: Faults) -> None:
    result = loaded(good, faults, service="checkout", delay="5m")
    assert [render(one) for one in result.problems] == [
        "<text>:13:19: '5m' is out of range: it must be at most 1m (from ${delay})\n"
        '        with: {delay: "${delay}", jitter: 20ms}\n'
        "                      ^^^^^^^^^^"
    ]


def test_a_choice_is_a_choice(good: str, faults: Faults) -> None:
    text = good.replace("{type: string, required: true}", "{default: cart, choices: [cart, checkout]}")
    assert scenario_of(loaded(text, faults, service="checkout")).injections[0].target.service == "checkout"
    assert [render(one) for one in loaded(text, faults, service="sample").problems] == [
        "--set service: 'sample' is not allowed\n  hint: write one of cart, checkout"
    ]


def test_values_are_put_in_after_reading_so_they_cannot_change_the_file(good: str, faults: Faults) -> None:
    evil = "x, pods: 1}, fault: pause # ${delay}"
    scenario = scenario_of(loaded(good, faults, service=evil))
    assert scenario.injections[0].target.service == evil
    assert scenario.injections[0].fault == "latency"


def test_a_doubled_dollar_is_a_literal_one(good: str, faults: Faults) -> None:
    text = good.replace("severity: page", 'severity: "$${service} $5 $$ $${"')
    assert (
        scenario_of(loaded(text, faults, service="a")).expect.alerts[0].match["severity"] == "${service} $5 $$ ${"
    )


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ("{type: integer, default: 7}", 7),
        ("{type: number, default: 0.5}", 0.5),
        ("{type: boolean, default: yes}", True),
        ("{type: string, default: '7'}", "7"),
        ("{type: size, default: 64Mi}", "64Mi"),
    ],
)
def test_a_whole_reference_takes_the_values_type(declared: str, value: object, good: str, faults: Faults) -> None:
    text = good.replace("  workers: {type: integer, default: 3}", f"  workers: {declared}")
    text = text.replace('"${workers}"', '"${workers}"')
    text += (
        'people: {injects: [{at: +1m, to: ops, say: "x", expect: {whole: "${workers}", part: "n=${workers}"}}]}\n'
    )
    text = text.replace('with: {workers: "${workers}"}', "with: {}")
    expected = scenario_of(loaded(text, faults, service="a")).people.injects[0].expect
    assert expected["whole"] == value
    assert type(expected["whole"]) is type(value)
    assert str(expected["part"]).startswith("n=")


def test_the_with_of_python_is_not_a_key_of_the_file(good: str, faults: Faults) -> None:
    result = loaded(good.replace("    with: {workers", "    with_: {workers"), faults, service="a")
    assert [one.message for one in result.problems] == ["unknown key 'with_'"]
    assert result.problems[0].hint == "did you mean 'with'?"


def test_later_stages_can_point_into_the_file(good: str, faults: Faults) -> None:
    result = loaded(good, faults, service="checkout")
    at = {path: result.problem_at(path, "x") for path in [
        ("injections", 0, "with", "delay"), ("injections", 0, "for_"), ("injections", 1, "target", "peer"),
        ("injections", 9), ("nowhere",),
    ]}  # fmt: skip
    assert [problem.place.removeprefix("<text>:") for problem in at.values()] == [
        "13:19",
        "14:10",
        "17:13",
        "10:3",
        "1:1",
    ]
    assert at["injections", 0, "with", "delay"].width == len('"${delay}"')


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_a_file_that_cannot_be_read_is_a_problem(name: str, faults: Faults, tmp_path: Path) -> None:
    result = load(tmp_path / name, faults=faults)
    assert result.scenario is None
    assert result.problems[0].message.startswith("the file cannot be read: ")
    assert result.problem_at(("metadata",), "x").line == 0


def test_only_the_beginning_of_a_huge_file_is_read(faults: Faults, tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    with path.open("wb") as stream:
        stream.truncate(10 * 2**20)
    result = load(path, faults=faults)
    assert [one.message for one in result.problems] == ["the file is larger than 1 MiB and was not read"]


def test_thousands_of_mistakes_end_in_a_count(faults: Faults) -> None:
    text = "".join(f"key{n}: x\n" for n in range(4000))
    result = load(text, faults=faults)
    assert len(result.problems) == 101
    assert result.problems[-1].message.endswith("more problems are not shown")
