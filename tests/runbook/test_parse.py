"""Any Markdown is a runbook; what it means for a machine is read where people would read it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drill.cli.runbooks.showing import as_json, items, outline, what
from drill.core.problems import render
from drill.runbook.attributes import fill, split_info, variables
from drill.runbook.lint import lint
from drill.runbook.model import Cell, Runbook
from drill.runbook.parse import MAX_BYTES, load, parse

FIXTURES = sorted((Path(__file__).parent / "fixtures").glob("*.md"))
WHOLE = """\
---
title: Checkout latency
alerts: [SlowCheckout, FastBurn]
service: checkout
owner: team-payments
escalate: "#payments"
---
# Slow
## Diagnosis
```promql { name=p99 tag=diagnose expect=<0.5 }
up{service="$SERVICE"}
```
<details><summary>Hint 1</summary>Compare it with its dependencies.</details>
## Mitigation
- [ ] Say what you are about to do.
```bash { name=scale-out tag=mitigate excludeFromRunAll=true verify=p99 within=5m for=2m undo=scale-back role=ops }
kubectl scale deploy/checkout --replicas=6
```
```bash { name=scale-back tag=undo excludeFromRunAll=true }
kubectl scale deploy/checkout --replicas=3
```
"""


def runbook_of(text: str) -> Runbook:
    runbook, problems = parse(text, "r.md")
    assert problems == ()
    return runbook


def fixture(number: int) -> Runbook:
    runbook, problems = load(FIXTURES[number - 1])
    assert problems == ()
    return runbook


STEPS = {
    "01": "look run", "02": "", "03": "run", "04": "you you you you you you", "05": "look", "06": "look",
    "07": "ask ask ask", "08": "", "09": "you", "10": "", "11": "", "12": "run run", "13": "run",
    "14": "run run", "15": "", "16": "", "17": "run run run", "18": "", "19": "run run you", "20": "ask run",
    "21": "run", "22": "run run", "23": "run", "24": "you you run", "25": "", "26": "ask you you",
    "27": "run run", "28": "run run", "29": "you you you you you you", "30": "run", "31": "run", "32": "",
    "33": "you run", "34": "you", "35": "run you run", "36": "run you",
}  # fmt: skip
"""What a person is led through: ``ask`` Prometheus, ``look``, ``run`` (may change something), ``you``. Indented code,
console transcripts, tables and other languages are to be read.
"""


def test_there_are_thirty_ordinary_runbooks_of_different_forms() -> None:
    assert len(FIXTURES) >= 30
    assert {path.name[:2] for path in FIXTURES} == set(STEPS)


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_an_ordinary_runbook_is_shown_with_the_steps_a_reader_sees(path: Path) -> None:
    runbook, _ = load(path)
    assert " ".join(what(item) for item in items(runbook)) == STEPS[path.name[:2]]
    shown = outline(runbook, {})
    assert shown.startswith(runbook.title)
    assert all(item.name in shown for item in items(runbook) if isinstance(item, Cell))
    json.dumps(as_json(runbook))


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_an_ordinary_runbook_works_as_it_is(path: Path) -> None:
    runbook, problems = load(path)
    assert [render(problem) for problem in (*problems, *lint(runbook, known_alerts=set()))] == []
    assert runbook.title


def test_there_are_enough_ordinary_runbooks() -> None:
    assert len(FIXTURES) >= 10


def test_a_whole_runbook() -> None:
    runbook = runbook_of(WHOLE)
    assert lint(runbook, known_alerts={"SlowCheckout", "FastBurn"}) == ()
    front = runbook.front
    assert front is not None
    assert (runbook.title, front.alerts, front.service, front.owner, front.escalate) == (
        "Checkout latency", ("SlowCheckout", "FastBurn"), "checkout", "team-payments", "#payments",
    )  # fmt: skip
    assert [(cell.name, cell.kind, cell.tag, cell.line, cell.section) for cell in runbook.cells] == [
        ("p99", "promql", "diagnose", 10, "Diagnosis"),
        ("scale-out", "shell", "mitigate", 16, "Mitigation"),
        ("scale-back", "shell", "undo", 19, "Mitigation"),
    ]
    assert [(section.title, section.level, section.line) for section in runbook.sections] == [
        ("Slow", 1, 8), ("Diagnosis", 2, 9), ("Mitigation", 2, 14),
    ]  # fmt: skip
    assert [(step.text, step.line, step.section) for step in runbook.steps] == [
        ("Say what you are about to do.", 15, "Mitigation")
    ]
    assert [(hint.title, hint.text, hint.line) for hint in runbook.hints] == [
        ("Hint 1", "Compare it with its dependencies.", 13)
    ]


def test_a_cell_knows_what_it_may_do() -> None:
    p99, scale_out, scale_back = runbook_of(WHOLE).cells
    assert not p99.changing
    assert scale_out.changing
    assert scale_out.excluded
    assert scale_back.changing
    assert scale_out.attributes["undo"] == "scale-back"
    assert scale_out.body == "kubectl scale deploy/checkout --replicas=6\n"


def test_a_cell_without_a_tag_says_so() -> None:
    cells = fixture(1).cells
    assert [(cell.name, cell.tag, cell.tagged) for cell in cells] == [
        ("diagnosis-1", "diagnose", False), ("mitigation-1", "diagnose", False),
    ]  # fmt: skip


def test_made_up_names_never_meet_given_ones() -> None:
    runbook = runbook_of("# A\n```sh {name=a-2}\n1\n```\n```sh\n2\n```\n```sh\n3\n```\n")
    assert [cell.name for cell in runbook.cells] == ["a-2", "a-1", "a-3"]
    assert runbook.cell("a-3") == runbook.cells[2]
    assert runbook.cell("a-4") is None


def test_front_matter_of_other_tools_is_left_alone() -> None:
    runbook = fixture(2)
    assert runbook.title == "Disk is nearly full"
    assert runbook.front is not None
    assert runbook.front.alerts == ()
    assert [(cell.kind, cell.body) for cell in runbook.cells] == [("text", "df -h\ndu -x -d1 / | sort -n\n")]


def test_code_in_lists_and_underlined_headings() -> None:
    runbook = fixture(3)
    assert runbook.title == "Payment errors"
    assert [(cell.kind, cell.language, cell.line) for cell in runbook.cells] == [
        ("text", "console", 8),
        ("shell", "sh", 15),
    ]


def test_check_boxes_are_steps_of_people() -> None:
    assert [(step.text, step.checked, step.line) for step in fixture(4).steps] == [
        ("You have told the incident channel.", False, 5),
        ("The replica is less than 10 s behind.", True, 6),
        ("Somebody looks over your shoulder.", False, 7),
        ("Promote the replica", False, 11),
        ("Wait for `ready`", True, 12),
        ("Quoted, and still to be done", False, 14),
    ]


def test_details_are_hints_and_hide_nothing_that_follows() -> None:
    runbook = fixture(6)
    assert [(hint.title, hint.line) for hint in runbook.hints] == [
        ("Where are the consumers?", 7),
        ("One line", 18),
    ]
    assert "namespace `jobs`" in runbook.hints[0].text
    assert [cell.body for cell in runbook.cells] == ["kubectl -n jobs get pods\n"]
    assert [section.title for section in runbook.sections] == ["After the details"]


def test_details_in_code_are_code() -> None:
    runbook = runbook_of("```html\n<details><summary>a</summary>b</details>\n```\n")
    assert runbook.hints == ()
    assert runbook.cells[0].body == "<details><summary>a</summary>b</details>\n"


def test_a_rule_at_the_top_is_no_front_matter() -> None:
    runbook = fixture(8)
    assert runbook.front is None
    assert "What to do" in [section.title for section in runbook.sections]


def test_windows_files() -> None:
    runbook = fixture(9)
    assert runbook.title == "Windows line ends"
    assert (runbook.cells[0].body, runbook.cells[0].line) == ("Get-Process | Sort CPU\n", 5)
    assert [step.line for step in runbook.steps] == [9]


def test_a_shown_runbook_is_not_run() -> None:
    assert [cell.language for cell in fixture(10).cells][-1] == "markdown"
    assert not any(cell.changing for cell in fixture(10).cells)


def test_expected_output_belongs_to_the_cell_before() -> None:
    cells = fixture(12).cells
    assert [(cell.body, cell.output and (cell.output.similarity, cell.output.text)) for cell in cells] == [
        ("echo hello\n", ("0.9", "hello\n")), ("date\n", ("[0-9]+", "2026\n")),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("front", "message"),
    [
        ("owner: [a, b]", "r.md:2:9: 'owner' must be text, not a list"),
        ("alerts: [a", "r.md:3:1: the front matter is not YAML: did not find expected ',' or ']'"),
        ("a: b: c", "r.md:2:5: the front matter is not YAML: mapping values are not allowed in this context"),
        ("# " + "x" * 70_000, "r.md:1:1: the front matter is too long"),
    ],
)
def test_wrong_front_matter_is_a_problem_and_the_text_is_still_read(front: str, message: str) -> None:
    runbook, problems = parse(f"---\n{front}\n---\n# Title\n", "r.md")
    assert [f"{problem.place}: {problem.message}" for problem in problems] == [message]
    assert [section.line for section in runbook.sections] == [4]


@pytest.mark.parametrize(
    "front",
    [
        "alerts:\n  - A\n  - B",
        "alerts: [A, B]",
        "other: {alerts: [X]}\nalerts: [A, B]",
        "x: &x 1\ny: *x\nalerts: ['A', \"B\"]",
    ],
)
def test_alerts_in_every_style(front: str) -> None:
    parsed = runbook_of(f"---\n{front}\n---\n").front
    assert parsed is not None
    assert parsed.alerts == ("A", "B")


def test_front_matter_is_never_nested_or_expanded() -> None:
    deep = "[" * 30_000
    assert parse(f"---\na: {deep}\n---\n", "r.md")[1]
    bomb = "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))
    assert parse(f"---\na0: &a0 x\n{bomb}owner: me\n---\n", "r.md")[0].front is not None


def test_files_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "r.md"
    path.write_bytes(b"# caf\xe9\n")
    assert [problem.message for problem in load(path)[1]] == ["the byte 0xE9 is not UTF-8"]
    path.write_bytes(b"x" * (MAX_BYTES + 1))
    assert [problem.message for problem in load(path)[1]] == ["the file is larger than 1 MiB and was not read"]


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ("bash", ("bash", {}, [])),
        ("PromQL { name=x expect=<=0.5 }", ("promql", {"name": "x", "expect": "<=0.5"}, [])),
        ("sh {name=x tag=a,b}", ("sh", {"name": "x", "tag": "a,b"}, [])),
        ('sh {"name":"x","interactive":false}', ("sh", {"name": "x", "interactive": "false"}, [])),
        ("sh { name=a b expect=exit=0 }", ("sh", {"name": "a", "expect": "exit=0"}, ["b"])),
        ("sh { name=x", ("sh", {"name": "x"}, [])),
        ("", ("", {}, [])),
    ],
)
def test_info_strings(info: str, expected: tuple[str, dict[str, str], list[str]]) -> None:
    assert split_info(info) == expected


def test_variables_are_filled_where_known() -> None:
    body = 'up{service="$SERVICE", ns="${NAMESPACE}", x="$1", y="$lower"}'
    assert variables(body) == {"SERVICE", "NAMESPACE"}
    assert fill(body, {"SERVICE": "cart"}) == 'up{service="cart", ns="${NAMESPACE}", x="$1", y="$lower"}'


PIECES = st.sampled_from([
    "---\n", "```", "```bash {", "name=a ", "tag=undo ", "}", "\n", "# x\n", "- [ ] y\n", "<details>", "</details>", "<summary>",
    "</summary>", "~~~", "> ", "    ", "a: [b]\n", "<!-- expected_similarity=1 -->\n", "\t", "\r\n", "\x00", "é", "```promql\nup{\n```\n",
])  # fmt: skip


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(st.text(max_size=100), st.lists(PIECES, max_size=25).map("".join)))
def test_no_text_makes_it_raise(text: str) -> None:
    runbook, problems = parse(text, "r.md")
    for problem in (*problems, *lint(runbook, known_alerts=set())):
        assert render(problem).startswith("r.md:")
    for cell in runbook.cells:
        assert cell.line >= 1
