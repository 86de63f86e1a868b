"""Every fault has a page, and what the page says of parameters, backends and proof is what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import yaml
from pydantic_core import PydanticUndefined

from drill.faults.base import Backend, Fault, Params
from drill.faults.registry import BUILT_IN, parameter_models
from drill.scenario.model import Injection

PAGES = Path(__file__).parents[2] / "docs" / "faults"
FAULTS: tuple[Any, ...] = BUILT_IN
HEADINGS = [
    "What users feel",
    "How it is made",
    "Parameters",
    "How the effect is proven",
    "Undo, and when drill is killed",
    "What it never touches",
    "Example",
    "Limits and known traps",
]
PARAMETERS = ["name", "default", "allowed", "meaning"]
BACKENDS = ["backend", "needs", "how"]
every_fault = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)


def page(fault: Fault) -> str:
    return (PAGES / f"{fault.name}.md").read_text()


def table(text: str, header: list[str]) -> list[list[str]]:
    """The rows of the one table in *text* with that *header*; code spans lose their backticks."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    start = rows.index(header)
    body = []
    for row in rows[start + 2 :]:
        if len(row) != len(header):
            break
        body.append([cell.replace("`", "") for cell in row])
    return body


def example(fault: Fault) -> dict[str, Any]:
    block = re.search(r"```yaml\n(.*?)```", page(fault), re.DOTALL)
    assert block, "the page has no example"
    injections = yaml.safe_load(block[1].replace("$${", "${"))["injections"]  # as the loader reads it
    assert len(injections) == 1
    return dict(injections[0])


def example_params(fault: Fault) -> Params:
    return fault.params.model_validate(example(fault).get("with", {}))


def test_every_fault_has_a_page_and_every_page_a_fault() -> None:
    drivers = {name for name in parameter_models() if name.startswith("k8s/")}
    assert {path.stem for path in PAGES.glob("*.md")} - {"README", "k8s"} == set(parameter_models()) - drivers


def test_the_page_of_drivers_names_each_of_them() -> None:
    named = re.findall(r"^\| `(k8s/\w+)` \|", (PAGES / "k8s.md").read_text(), re.MULTILINE)
    assert named == [name for name in parameter_models() if name.startswith("k8s/")]


def test_the_overview_lists_every_fault() -> None:
    overview = (PAGES / "README.md").read_text()
    assert {fault.name for fault in FAULTS} == set(
        re.findall(r"^\| \[([a-z-]+)\]\(\1\.md\) \|", overview, re.MULTILINE)
    )


@every_fault
def test_a_page_has_every_part_in_order(fault: Fault) -> None:
    assert re.findall(r"^## (.+)$", page(fault), re.MULTILINE) == HEADINGS


@every_fault
def test_the_parameter_table_names_the_parameters_and_no_others(fault: Fault) -> None:
    assert [row[0] for row in table(page(fault), PARAMETERS)] == list(fault.params.model_fields)


def documented_default(text: str) -> object:
    return "" if text == "empty" else text


@every_fault
def test_documented_defaults_are_the_real_ones(fault: Fault) -> None:
    """A default is written as a user would write it, so it goes through the model like a user's value."""
    given = example(fault).get("with", {})
    for name, default, _, _ in table(page(fault), PARAMETERS):
        field = fault.params.model_fields[name]
        assert (default == "required") == field.is_required(), name
        if field.default is not PydanticUndefined and not field.is_required():
            written = fault.params.model_validate({**given, name: documented_default(default)})
            assert getattr(written, name) == field.default, name


@every_fault
def test_documented_choices_are_the_real_ones(fault: Fault) -> None:
    for name, _, allowed, _ in table(page(fault), PARAMETERS):
        annotation = fault.params.model_fields[name].annotation
        if get_origin(annotation) is Literal:
            assert allowed.split(", ") == list(get_args(annotation)), name


@every_fault
def test_documented_bounds_are_the_real_ones(fault: Fault) -> None:
    """Every number in the column *allowed* is accepted or refused exactly as the words around it say."""
    given = example(fault).get("with", {})
    for name, _, allowed, _ in table(page(fault), PARAMETERS):
        for value, accepted in bounds(allowed):
            if accepted:
                fault.params.model_validate({**given, name: value})
            else:
                with pytest.raises(ValueError, match=name):
                    fault.params.model_validate({**given, name: value})


def bounds(allowed: str) -> list[tuple[str, bool]]:
    """Values at the edges of ``1 to 100``, ``above 0, up to 60s``, ``8kbit or more``, and whether they are in."""
    number = r"(\d+)([a-z%]*)"
    unit = next((m[2] for m in re.finditer(number, allowed) if m[2]), "")
    found: list[tuple[str, bool]] = []
    if both := re.search(rf"^{number} to {number}", allowed):
        low, high = int(both[1]), int(both[3])
        found += [(f"{low}{unit}", True), (f"{high}{unit}", True), (f"{low - 1}{unit}", False)] if low else []
        found += [(f"{high + 1}{unit}", False)]
    if above := re.search(rf"above {number}", allowed):
        found += [(f"{above[1]}{unit}", False)]
    if up_to := re.search(rf"up to {number}", allowed):
        found += [(f"{up_to[1]}{unit}", True), (f"{int(up_to[1]) + 1}{unit}", False)]
    if least := re.search(rf"{number} or more", allowed):
        found += [(f"{least[1]}{unit}", True)] if unit or least[1] == "0" else []
        found += [(f"{int(least[1]) - 1}{unit}", False)] if int(least[1]) else []
    return found


@every_fault
def test_the_backend_table_names_the_backends_in_order_with_their_needs(fault: Fault) -> None:
    known: tuple[Backend, ...] = fault.backends(example_params(fault))
    documented = [(name, tuple(filter(None, needs.split(", ")))) for name, needs, _ in table(page(fault), BACKENDS)]
    assert documented == [(backend.name, backend.needs) for backend in known]


def test_the_overview_explains_every_need() -> None:
    explained = (PAGES / "README.md").read_text().split("| need | what it is |")[1].split("\n\n")[0]
    for fault in FAULTS:
        for backend in fault.backends(example_params(fault)):
            for need in backend.needs:
                assert f"`{need}`" in explained


@every_fault
def test_the_page_names_the_probe_and_how_long_the_effect_may_take(fault: Fault) -> None:
    proof = page(fault).split("## How the effect is proven")[1].split("\n## ")[0]
    effect = fault.effect(example_params(fault), fault.backends(example_params(fault))[0].name, site())
    assert f"`{effect.kind}`" in proof
    assert f"within {effect.within_s:g} s" in " ".join(proof.split())
    assert ("relative" in proof) == effect.relative


def site() -> Any:
    """Where the proof is asked for: only the peer's name and a time-out are looked at by ``effect``."""
    from drill.core.facts import Facts, Replica, Service
    from drill.faults.base import Site

    replica = Replica(name="a-0", service="a", address="192.0.2.1", port=80, memory_limit_bytes=2**26)
    service = Service(name="a", tier=1, replicas=(replica,))
    facts = Facts(
        target="test", services=(service,), scrape_interval_s=1, evaluation_interval_s=1, group_wait_s=1,
        group_interval_s=1, history_s=1,
    )  # fmt: skip
    return Site(injection="i", facts=facts, service=service, replica=replica, for_s=60.0)


@every_fault
def test_the_example_is_a_valid_injection_of_this_fault(fault: Fault) -> None:
    injection = Injection.model_validate(example(fault))
    assert injection.fault == fault.name
    parameter_models()[injection.fault].model_validate(injection.with_)


@pytest.mark.parametrize("path", sorted(PAGES.glob("*.md")), ids=lambda path: path.stem)
def test_links_between_pages_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", path.read_text()):
        assert (path.parent / target).is_file(), target
