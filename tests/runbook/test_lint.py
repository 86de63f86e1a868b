"""What lint says, in exact words and places, and that it is silent about what is right."""

from __future__ import annotations

import pytest

from drill.core.problems import render
from drill.runbook.lint import lint
from drill.runbook.parse import parse

FRONT = "---\nowner: me\nescalate: them\nalerts: [Slow]\n---\n"


def said(text: str, known_alerts: set[str] | None = None) -> list[str]:
    runbook, problems = parse(text, "r.md")
    assert problems == ()
    return [f"{problem.place}: {problem.message}" for problem in lint(runbook, known_alerts=known_alerts)]


@pytest.mark.parametrize(
    ("fence", "expected"),
    [
        ("bash { name=a role=ops }", []),
        ("bash { name=a rol=ops }", ["r.md:1:18: unknown attribute 'rol'"]),
        ("bash { name=a b }", ["r.md:1:18: 'b' is no key=value"]),
        ('bash { name="a" }', ["r.md:1:11: the value of 'name' has a space, a quote or a brace in it"]),
        ("bash { name=a{1} }", ["r.md:1:11: the value of 'name' has a space, a quote or a brace in it"]),
        ("bash { tag=mitigate }", ["r.md:1:11: the cell 'cell-1' changes something and would run with all the others"]),
        ("bash { tag=undo excludeFromRunAll=true }", []),
        ("bash { tag=undo excludeFromRunAll=yes }", ["r.md:1:11: the cell 'cell-1' changes something and would run with all the others"]),
        ("bash { tag=mitigat }", ["r.md:1:11: the tag 'mitigat' does not say what the cell does"]),
        ("bash { tag=setup }", []),
        ("bash { tag=setup role=ops }", ["r.md:1:11: the tag 'setup' does not say what the cell does"]),
        ("bash { within=5 }", ["r.md:1:11: '5' is not a duration"]),
        ("bash { within=5m for=2m }", []),
        ("bash { expect=exit=0 }", []),
        ("bash { expect=nonempty }", []),
        ("bash { expect=small }", ["r.md:1:11: 'small' is not an expectation"]),
        ("promql { expect=exit=0 }", ["r.md:1:13: 'exit=0' cannot be expected of a query"]),
        ("bash { expect=<5 }", []),
        ("bash { undo=b }", ["r.md:1:11: undo=b: no cell is called 'b'"]),
        ("bash { verify=b }", ["r.md:1:11: verify=b: no cell is called 'b'"]),
        ("promql { tag=undo excludeFromRunAll=true }", ["r.md:1:13: a query changes nothing: 'cell-1' cannot be tagged undo"]),
    ],
)  # fmt: skip
def test_attributes(fence: str, expected: list[str]) -> None:
    assert said(f"```{fence}\nup\n```\n") == expected


def test_names_lead_to_cells_that_fit() -> None:
    text = (
        "```bash { name=a tag=mitigate excludeFromRunAll=true undo=c verify=b }\nx\n```\n"
        "```bash { name=b tag=undo excludeFromRunAll=true }\nx\n```\n```bash { name=c }\nx\n```\n"
        "```bash { name=c }\nx\n```\n"
    )
    assert said(text) == [
        "r.md:1:54: the cell 'c' is not tagged undo",
        "r.md:1:61: the cell 'b' changes something, so it proves nothing",
        "r.md:10:11: the cell name 'c' is given twice",
    ]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sum(rate(x[5m]))", []),
        ('rate(x{a="$SERVICE"}[$WINDOW]) > $LIMIT', []),
        ("rate(x[${RANGE}:1m] offset 5m)", []),
        ("sum(rate(x[5m])", ["r.md:2:1: not PromQL: unclosed left parenthesis"]),
        ("\n  sum(", ["r.md:3:3: not PromQL: unclosed left parenthesis"]),
        ("   ", ["r.md:1:1: the query is empty"]),
        ("up$", ["r.md:2:1: not PromQL: unexpected character: '$'"]),
    ],
)
def test_queries(query: str, expected: list[str]) -> None:
    assert said(f"```promql\n{query}\n```\n") == expected


def test_shell_is_not_judged() -> None:
    assert said("```bash\nfor x in; do (((\n```\n") == []


@pytest.mark.parametrize(
    ("text", "known", "expected"),
    [
        (FRONT, {"Slow"}, []),
        (FRONT, None, []),
        (FRONT, {"Slower"}, ["r.md:4:10: no rule makes the alert 'Slow'"]),
        ("---\nowner: me\nalerts:\n  - Slow\n  - Gone\n---\n", {"Slow"}, ["r.md:1:1: nobody to escalate to", "r.md:5:5: no rule makes the alert 'Gone'"]),
        ("---\nservice: a\n---\n", None, ["r.md:1:1: nobody owns this runbook", "r.md:1:1: nobody to escalate to"]),
        ("---\ntitle: a\nweight: 3\n---\n", set(), []),
        ("# No front matter\n", set(), []),
    ],
)  # fmt: skip
def test_front_matter(text: str, known: set[str] | None, expected: list[str]) -> None:
    assert said(text, known) == expected


def test_a_problem_shows_the_fence_and_what_to_do() -> None:
    runbook, _ = parse("text\n\n- item\n\n  ```bash { rol=ops }\n  x\n  ```\n", "r.md")
    assert [render(problem) for problem in lint(runbook)] == [
        "r.md:5:13: unknown attribute 'rol'\n"
        "      ```bash { rol=ops }\n"
        "                ^^^^^^^\n"
        "  hint: did you mean 'role'?"
    ]
