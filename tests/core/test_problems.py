"""How a mistake is shown: place, line, caret, hint; in lines of any length and with any character."""

from __future__ import annotations

import pytest

from drill.core.problems import MAX_SHOWN, Problem, did_you_mean, render


def shown(source: str, column: int, width: int = 1) -> tuple[str, str]:
    """Return the source line and the caret line as rendered."""
    lines = render(Problem("f", 1, column, "m", source_line=source, width=width)).splitlines()
    return lines[1], lines[2]


def test_place_line_caret_and_hint() -> None:
    problem = Problem("a.yaml", 3, 5, "unknown key 'fro'", "did you mean 'for'?", "    fro: 5m", 3)
    assert render(problem) == (
        "a.yaml:3:5: unknown key 'fro'\n        fro: 5m\n        ^^^\n  hint: did you mean 'for'?"
    )


def test_a_problem_without_a_place_is_one_line() -> None:
    assert render(Problem("--set x", 0, 0, "unknown parameter 'x'")) == "--set x: unknown parameter 'x'"


@pytest.mark.parametrize("column", [1, 50, 150, 151, 500, 1000])
def test_a_long_line_is_cut_around_the_caret(column: int) -> None:
    source = "".join(chr(97 + n % 26) for n in range(1000))
    line, caret = shown(source, column)
    assert len(line) == MAX_SHOWN + 4
    assert line[caret.index("^")] == source[column - 1]


def test_a_line_that_fits_is_shown_whole() -> None:
    source = "x" * MAX_SHOWN
    assert shown(source, MAX_SHOWN)[0].strip() == source


def test_tabs_and_control_characters_do_not_move_the_caret() -> None:
    line, caret = shown("\ta\x1b[31mb", 8)
    assert line[caret.index("^")] == "b"
    assert "\x1b" not in line
    assert "\t" not in line


def test_the_caret_is_not_wider_than_the_line() -> None:
    caret = shown("abc", 2, width=50)[1]
    assert caret.count("^") == 2


def test_did_you_mean() -> None:
    known = ["delay", "jitter", "backend"]
    assert did_you_mean("dely", known) == "did you mean 'delay'?"
    assert did_you_mean("xyz", known) == "known: backend, delay, jitter"
    assert did_you_mean("xyz", [f"word{n}" for n in range(30)]) == ""
    assert did_you_mean("x", []) == ""


def test_problems_sort_by_place() -> None:
    problems = [Problem("b", 1, 1, "m"), Problem("a", 10, 1, "m"), Problem("a", 2, 9, "m"), Problem("a", 2, 1, "m")]
    assert [problem.place for problem in sorted(problems)] == ["a:2:1", "a:2:9", "a:10:1", "b:1:1"]
