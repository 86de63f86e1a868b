"""Cells are run and judged: only what is known to only look looks, and a mitigation is believed when it is verified."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from docs.runbook_pages import ALL_CELLS
from docs.runbook_pages import Cell as ShippedCell
from drill.core.errors import Unavailable
from drill.core.promql import promql_error
from drill.runbook.answers import Answer, Series, meets
from drill.runbook.hasten import hastened, patience_s
from drill.runbook.parse import parse
from drill.runbook.records import STEPS, Step, append, read
from drill.runbook.rules import why_changing
from drill.runbook.walk import Walker

BOOK = """\
---
title: Slow
owner: team-x
escalate: "#x"
---
# Slow
```promql { name=burning tag=diagnose expect=<1 }
burn{service="$SERVICE"}
```
```promql { name=worst-replica tag=diagnose }
topk(1, slow{job="$SERVICE"})
```
```bash { name=pods tag=diagnose expect=exit=0 }
kubectl get pods -l app="$SERVICE"
```
```bash { name=sneaky tag=diagnose }
kubectl delete pod "$POD"
```
```bash { name=restart tag=mitigate excludeFromRunAll=true verify=burning within=2m for=10s role=ops }
kubectl delete pod "$POD"
```
```bash { name=unchecked tag=mitigate excludeFromRunAll=true }
kubectl rollout restart deploy/"$SERVICE"
```
"""


@dataclass
class World:
    """A target whose burn rate follows a script, on a clock that only moves when somebody waits."""

    burn: list[float]
    exit_code: int = 0
    fast_forward: float = 1.0
    target: str = "toy"
    down: bool = False
    ran: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    now: float = 1000.0

    def ask(self, promql: str) -> Sequence[Series]:
        if self.down:
            raise Unavailable("Prometheus does not answer")
        self.asked.append(promql)
        if promql.startswith("topk"):
            return [Series(labels={"instance": "checkout-2"}, value=3.0)]
        value = self.burn.pop(0) if len(self.burn) > 1 else self.burn[0]
        return [Series(labels={}, value=value)]

    def run(self, command: str, language: str, values: Mapping[str, str]) -> tuple[int, str]:
        self.ran.append((command, dict(values)))
        return self.exit_code, "out\n"

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def walker(world: World, **values: str) -> Walker:
    runbook, problems = parse(BOOK, "books/slow.md")
    assert problems == ()
    known = {"SERVICE": "checkout", **values}
    return Walker(runbook, world, known, "ops-1", lambda: world.now, world.sleep)


def cell(walk: Walker, name: str):
    found = walk.runbook.cell(name)
    assert found is not None
    return found


# ---- outcomes ----


def test_a_mitigation_is_proven_when_its_check_holds_long_enough() -> None:
    world = World([9.0, 9.0, 0.5])
    walk = walker(world)
    assert walk.find_pod() == "checkout-2"
    step = walk.act(cell(walk, "restart"))
    assert (step.outcome, step.tag, step.role, step.owner, step.by) == (
        "proven",
        "mitigate",
        "ops",
        "team-x",
        "ops-1",
    )
    assert step.runbook == "slow"
    assert step.command == 'kubectl delete pod "checkout-2"'
    assert step.ended - step.began >= 10.0
    assert world.ran[0][1]["POD"] == "checkout-2"


def test_a_check_that_holds_only_for_a_moment_proves_nothing() -> None:
    step = walker(World([9.0, *[0.5, 9.0] * 400]), POD="x").act(cell(walker(World([1.0])), "restart"))
    assert step.outcome == "contradicted"


def test_a_mitigation_that_ran_and_did_not_help_is_contradicted() -> None:
    walk = walker(World([9.0]), POD="x")
    step = walk.act(cell(walk, "restart"))
    assert (step.outcome, step.meets) == ("contradicted", False)
    assert "expected <1, got 9" in step.why


def test_a_command_that_fails_is_failed_and_nobody_waits_for_its_effect() -> None:
    world = World([0.0], exit_code=3)
    walk = walker(world, POD="x")
    step = walk.act(cell(walk, "restart"))
    assert (step.outcome, step.why) == ("failed", "exit code 3")
    assert world.asked == []


def test_without_a_check_it_is_done_and_unproven() -> None:
    walk = walker(World([0.0]))
    assert walk.act(cell(walk, "unchecked")).outcome == "done-unproven"


def test_what_cannot_be_asked_is_unavailable_and_never_proven() -> None:
    walk = walker(World([0.0], down=True), POD="x")
    assert walk.look(cell(walk, "burning"))[0].outcome == "unavailable"
    assert walk.act(cell(walk, "restart")).outcome == "unavailable"


def test_a_command_with_an_unknown_value_is_not_run() -> None:
    world = World([0.0])
    walk = walker(world)
    step = walk.act(cell(walk, "restart"))
    assert (step.outcome, step.why, world.ran) == ("unavailable", "no value for $POD", [])


def test_a_look_is_judged_by_what_it_expects() -> None:
    good, bad = walker(World([0.5])), walker(World([2.0]))
    assert good.look(cell(good, "burning"))[0].meets is True
    assert bad.look(cell(bad, "burning"))[0].meets is False


def test_a_cell_that_says_it_only_looks_and_does_more_is_refused() -> None:
    walk = walker(World([0.0]), POD="x")
    with pytest.raises(ValueError, match="does more than look: `kubectl delete` changes something"):
        walk.look(cell(walk, "sneaky"))


def test_a_fast_forwarded_target_is_asked_and_waited_for_in_its_own_time() -> None:
    world = World([9.0, 0.5], fast_forward=60.0)
    walk = walker(world, POD="x")
    step = walk.act(cell(walk, "restart"))
    assert step.outcome == "proven"
    assert step.ended - step.began < 5.0


# ---- rules ----


@pytest.mark.parametrize("shipped", [one for one in ALL_CELLS if one.language == "bash"], ids=str)
def test_shipped_cells_look_when_they_say_so_and_change_when_they_say_so(shipped: ShippedCell) -> None:
    assert (why_changing(shipped.body) == "") == (shipped.tag in ("diagnose", "verify"))


@pytest.mark.parametrize(
    "command",
    [
        "kubectl get pods; kubectl delete pod x", "kubectl get pods | sh", "kubectl get pods > /etc/passwd",
        "kubectl get pods && reboot", 'kubectl get pods "$(reboot)"', "kubectl get pods `reboot`",
        "kubectl get pods $X", "kubectl get pods\nreboot", "kubectl -n get delete pod x", "kubectl exec x -- rm -rf /",
        "kubectl exec x -- find / -delete", "kubectl exec x -- wget http://x/y", "kubectl exec x -- sh -c 'df'",
        "kubectl exec x", "rm -rf /", "kubectl rollout restart deploy/x", "kubectl 'unfinished", "curl -X POST x",
        "kubectl get pods & reboot", "kubectl", 'kubectl get pods "${X:-$(reboot)}"', "(kubectl get pods)",
        "kubectl exec x -- wget -O - --post-data=1 http://x",
    ],
)  # fmt: skip
def test_whatever_might_change_something_needs_a_yes(command: str) -> None:
    assert why_changing(command)


# ---- answers ----


@pytest.mark.parametrize(
    ("expect", "values", "met"),
    [
        ("<1", [0.5], True), ("<1", [0.5, 2.0], False), ("<1", [], False), ("<1", [float("nan")], False),
        (">=1", [1.0, 3.0], True), ("empty", [], True), ("empty", [0.0], False), ("nonempty", [0.0], True),
        ("!=0", [0.0], False), ("==-2.5", [-2.5], True), ("", [1.0], None), ("exit=0", [1.0], None),
    ],
)  # fmt: skip
def test_expectations_of_queries(expect: str, values: list[float], met: bool | None) -> None:
    series = tuple(Series(labels={"i": str(n)}, value=value) for n, value in enumerate(values))
    assert meets(expect, Answer(series=series)) is met


def test_expectations_of_commands() -> None:
    assert meets("exit=0", Answer(exit_code=0, output="")) is True
    assert meets("exit=0", Answer(exit_code=1, output="")) is False
    assert meets("<80", Answer(exit_code=0, output=" 79.5\n")) is True
    assert meets("<80", Answer(exit_code=0, output="many")) is False
    assert meets("empty", Answer(exit_code=0, output="\n")) is True
    assert meets("<1", Answer(error="down")) is None


# ---- fast-forward ----


@pytest.mark.parametrize(
    ("query", "quick"),
    [
        ('rate(x{a="b"}[5m])', 'rate(x{a="b"}[5s])'),
        ("rate(x[5m] offset 1h)", "rate(x{}[5s] offset 1m)"),
        ("rate(x[1m])", "rate(x{}[4s])"),
        ("x offset 1h", "x{} offset 1m"),
        ("max_over_time(rate(x[5m])[30m:1m] offset 10m)", "max_over_time(rate(x{}[5s])[30s:1s] offset 10s)"),
        ("time() - x", "time() - x{}"),
    ],
)
def test_times_in_a_query_are_divided_and_nothing_else(query: str, quick: str) -> None:
    assert hastened(query, 60).replace("\n", "") == quick
    assert hastened(query, 1) == query


@pytest.mark.parametrize("shipped", [one for one in ALL_CELLS if one.language == "promql"], ids=str)
def test_every_shipped_query_still_parses_when_it_is_hastened(shipped: ShippedCell) -> None:
    quick = hastened(shipped.body.replace("$SERVICE", "checkout").strip(), 60)
    assert promql_error(quick) == ""
    assert "5m]" not in quick
    assert "offset 1h" not in quick


def test_waiting_is_divided_but_for_what_nothing_makes_quicker() -> None:
    assert patience_s(600.0, 1.0) == 600.0
    assert patience_s(600.0, 60.0) == 20.0


# ---- records ----


def step(**changes: object) -> Step:
    base = {"runbook": "r", "sha256": "0", "name": "n", "outcome": "proven", "began": 1.0, "ended": 2.0}
    return Step.model_validate({**base, **changes})


def test_steps_are_read_back_in_order_without_a_line_that_was_cut(tmp_path: Path) -> None:
    append(tmp_path / STEPS, step(name="b", began=5.0))
    append(tmp_path / STEPS, step(name="a", began=1.0))
    with (tmp_path / STEPS).open("a") as file:
        file.write('{"runbook": "r", "na')
    assert [one.name for one in read(tmp_path)] == ["a", "b"]
    assert read(tmp_path / "nowhere") == ()


def test_secrets_in_an_answer_are_not_written_down(tmp_path: Path) -> None:
    append(tmp_path / STEPS, step(answer="password=hunter2 token: abcdef"))
    text = (tmp_path / STEPS).read_text()
    assert "hunter2" not in text
    assert "abcdef" not in text
