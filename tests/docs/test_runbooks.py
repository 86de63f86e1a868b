"""The shipped runbooks: alerts lead to them, their cells can be trusted, their links lead somewhere."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import promql_parser
import pytest
import yaml

from docs.runbook_pages import ALL_CELLS, PATHS, ROOT, RUNBOOKS, Cell, anchor, cells, fill, split
from drill.runbook.lint import lint
from drill.runbook.parse import load

HEADINGS = ["Meaning", "Impact", "Diagnosis", "Mitigation", "Resolve", "Escalate"]
WANTED = {
    "high-error-rate", "latency-spike", "disk-full", "oom-kill", "cpu-saturation", "pod-crash", "dependency-down",
}  # fmt: skip
ATTRIBUTES = {"name", "tag", "expect", "excludeFromRunAll", "verify", "within", "for", "undo", "role"}
LOOKS = {"diagnose", "verify"}
CHANGES = {"mitigate", "undo"}
KUBECTL_LOOKS = {"get", "describe", "logs", "top", "events", "exec", "rollout history", "rollout status"}
EXEC_LOOKS = {"df", "du", "find", "cat", "ps", "wget", "getent"}
DURATION = re.compile(r"(\d+(ms|s|m|h))+")
every_page = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
changing = pytest.mark.parametrize("cell", [cell for cell in ALL_CELLS if cell.tag in CHANGES], ids=str)
promql = pytest.mark.parametrize("cell", [cell for cell in ALL_CELLS if cell.language == "promql"], ids=str)
bash = pytest.mark.parametrize("cell", [cell for cell in ALL_CELLS if cell.language == "bash"], ids=str)
looking = pytest.mark.parametrize(
    "cell", [cell for cell in ALL_CELLS if cell.language == "bash" and cell.tag in LOOKS], ids=str
)


def alerts() -> list[tuple[str, str]]:
    """(name, runbook_url) of every rule."""
    groups = yaml.safe_load((ROOT / "prometheus" / "burn-rate-alerts.yaml").read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    return sorted({(rule["alert"], rule["annotations"]["runbook_url"]) for rule in rules if "alert" in rule})


def named(path: Path, name: str) -> Cell:
    found = [cell for cell in cells(path) if cell.name == name]
    assert len(found) == 1, f"{path.name} has {len(found)} cells called {name}"
    return found[0]


def test_all_runbooks_are_there() -> None:
    assert {path.stem for path in PATHS} == WANTED


@every_page
def test_front_matter_says_whose_it_is_and_where_help_is(path: Path) -> None:
    head, _ = split(path)
    assert set(head) == {"title", "alerts", "service", "owner", "escalate"}
    assert all(head.values())


@every_page
def test_parts_come_in_order(path: Path) -> None:
    assert re.findall(r"^## (.+)$", split(path)[1], re.MULTILINE) == HEADINGS


def test_every_alert_leads_to_a_runbook_that_knows_it() -> None:
    found = alerts()
    assert found
    for alert, url in found:
        path = RUNBOOKS / url.rsplit("/", 1)[1]
        assert path.is_file(), f"{alert}: {url}"
        assert alert in split(path)[0]["alerts"], f"{path.name} does not name {alert}"


@every_page
def test_every_alert_a_runbook_names_has_a_rule(path: Path) -> None:
    assert set(split(path)[0]["alerts"]) <= {alert for alert, _ in alerts()}


def test_every_scenario_names_a_runbook() -> None:
    for path in sorted((ROOT / "scenarios").glob("*.yaml")):
        scenario = yaml.safe_load(path.read_text())
        assert (RUNBOOKS / f"{scenario['runbook']}.md").is_file(), path.name


@pytest.mark.parametrize("cell", ALL_CELLS, ids=str)
def test_cells_have_names_and_known_attributes(cell: Cell) -> None:
    assert cell.language in ("promql", "bash")
    assert set(cell.attributes) <= ATTRIBUTES
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", cell.name)
    assert cell.tag in LOOKS | CHANGES
    for duration in ("within", "for"):
        assert DURATION.fullmatch(cell.attributes.get(duration, "1s"))
    expect = cell.attributes.get("expect", "empty")
    assert re.fullmatch(r"(<|<=|>|>=)-?\d+(\.\d+)?|empty|nonempty|exit=\d+", expect)


@every_page
def test_cell_names_are_unique(path: Path) -> None:
    names = [cell.name for cell in cells(path)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("cell", ALL_CELLS, ids=str)
def test_what_changes_stands_under_mitigation_and_what_looks_does_not(cell: Cell) -> None:
    assert (cell.heading == "Mitigation") == (cell.tag in CHANGES)


@promql
def test_promql_parses(cell: Cell) -> None:
    promql_parser.parse(fill(cell.body, SERVICE="checkout", NAMESPACE="shop", DEPENDENCY="payment"))


@promql
def test_promql_uses_variables_inside_quotes_only(cell: Cell) -> None:
    """Elsewhere a replaced variable could become PromQL of its own."""
    assert "$" not in re.sub(r'"[^"]*"', "", cell.body)


@bash
def test_commands_are_valid_shell_on_one_line(cell: Cell) -> None:
    """A dry parse by bash itself; -n reads commands and runs none of them."""
    assert len(cell.body.strip().splitlines()) == 1
    subprocess.run(["bash", "-n", "-c", cell.body], check=True, capture_output=True, timeout=20)


@bash
def test_shell_variables_are_quoted(cell: Cell) -> None:
    bare = re.sub(r"\"[^\"]*\"|'[^']*'", "", cell.body)
    assert "$" not in bare


@looking
def test_diagnosis_only_looks(cell: Cell) -> None:
    words = re.sub(r'-n "\$NAMESPACE" ', "", cell.body).split()
    assert words[0] == "kubectl"
    verb = " ".join(words[1:3]) if words[1] == "rollout" else words[1]
    assert verb in KUBECTL_LOOKS
    assert not re.search(r"[>;|&`]", re.sub(r"'[^']*'", "", cell.body))
    if verb == "exec":
        assert words[words.index("--") + 1] in EXEC_LOOKS


@changing
def test_changing_cells_are_guarded(cell: Cell) -> None:
    assert cell.attributes.get("excludeFromRunAll") == "true"
    assert cell.attributes.get("role") == "ops"


@pytest.mark.parametrize("cell", [cell for cell in ALL_CELLS if cell.tag == "mitigate"], ids=str)
def test_every_mitigation_is_verified_and_undone_or_says_why_not(cell: Cell) -> None:
    path = RUNBOOKS / f"{cell.runbook}.md"
    verify = named(path, cell.attributes["verify"])
    assert verify.tag in LOOKS
    assert "expect" in verify.attributes
    assert {"within", "for"} <= set(cell.attributes)
    if "undo" in cell.attributes:
        assert named(path, cell.attributes["undo"]).tag == "undo"
    else:
        part = re.split(r"^### ", "\n".join(path.read_text().splitlines()[: cell.line]), flags=re.MULTILINE)[-1]
        assert re.search(r"no undo|does not come back", part), "nothing takes it back, and the text does not say so"


@every_page
def test_every_undo_is_somebodys(path: Path) -> None:
    undone = {cell.attributes.get("undo") for cell in cells(path)}
    assert {cell.name for cell in cells(path) if cell.tag == "undo"} <= undone


@every_page
def test_links_lead_somewhere(path: Path) -> None:
    for target, fragment in re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", split(path)[1]):
        page = (path.parent / target) if target else path
        assert page.is_file(), target
        if fragment:
            headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
            assert fragment in {anchor(heading) for heading in headings}, f"{page.name}#{fragment}"


@every_page
def test_steps_the_text_points_to_exist(path: Path) -> None:
    """``step 4`` means a numbered heading of this page, or of the page named just before it."""
    text = split(path)[1]
    for page, step in re.findall(r"(?:\[[a-z-]+\]\(([a-z-]+\.md)\)\)?, )?\b[Ss]teps? (\d+)", text):
        wanted = (path.parent / page) if page else path
        assert re.search(rf"^### {step}\. ", wanted.read_text(), re.MULTILINE), f"{wanted.name}: step {step}"


@every_page
def test_cells_the_text_names_exist(path: Path) -> None:
    """A code span that looks like a cell's name is one, of this page."""
    names = {cell.name for page in PATHS for cell in cells(page)}
    here = {cell.name for cell in cells(path)}
    prose = re.sub(r"^```.*?^```", "", split(path)[1], flags=re.MULTILINE | re.DOTALL)
    for word in re.findall(r"`([a-z]+(?:-[a-z0-9]+)+|[a-z]+)`", prose):
        assert word in here or word not in names, f"`{word}` is a cell of another page"


@every_page
def test_every_diagnosis_step_says_what_its_answers_mean(path: Path) -> None:
    diagnosis = split(path)[1].split("\n## Diagnosis\n")[1].split("\n## ")[0]
    steps = re.split(r"^### ", diagnosis.split("<details>")[0], flags=re.MULTILINE)[1:]
    assert [int(step.split(".")[0]) for step in steps] == list(range(1, len(steps) + 1))
    for step in steps:
        assert "```" in step
        assert len(re.findall(r"^- \*\*", step, re.MULTILINE)) >= 2, step.splitlines()[0]


@every_page
def test_hints_are_ordered(path: Path) -> None:
    hints = re.findall(r"<details><summary>Hint (\d)</summary>", path.read_text())
    assert hints == [str(number + 1) for number in range(len(hints))]
    assert len(hints) >= 2


@every_page
def test_no_page_needs_drill(path: Path) -> None:
    """A colleague without drill on the machine can follow every word."""
    assert not re.search(r"\bdrill\b", path.read_text(), re.IGNORECASE)


def test_the_format_page_lists_every_attribute_and_every_runbook() -> None:
    text = (ROOT / "docs" / "runbooks.md").read_text()
    cells_part = text.split("| attribute | values | meaning |")[1].split("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", cells_part, re.MULTILINE)) == ATTRIBUTES
    assert set(re.findall(r"\]\(\.\./runbooks/([a-z-]+)\.md\)", text)) == WANTED


@every_page
def test_lint_finds_nothing(path: Path) -> None:
    """The product's own lint agrees with the checks above, with the alerts of ``prometheus/`` as known ones."""
    runbook, problems = load(path)
    assert [*problems, *lint(runbook, known_alerts={alert for alert, _ in alerts()})] == []


@every_page
def test_the_parser_sees_the_same_cells(path: Path) -> None:
    runbook, _ = load(path)
    assert [(cell.line, cell.name, cell.tag) for cell in runbook.cells] == [
        (cell.line, cell.name, cell.tag) for cell in cells(path)
    ]
    assert len(runbook.hints) == path.read_text().count("<details>")
    assert len(runbook.steps) == len(re.findall(r"^- \[ \] ", path.read_text(), re.MULTILINE))
