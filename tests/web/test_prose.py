"""Markdown becomes a tree of harmless elements, whatever is in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drill.web.prose import ELEMENTS, digest, tree

ROOT = Path(__file__).parents[2]
PLANTED = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](data:text/html,<script>alert(1)</script>)",
    "![x](http://evil.example/a.png)",
    "<a href='javascript:alert(1)'>x</a>",
    "<details onclick='alert(1)'>x</details>",
    "<http://[evil>",
    "[x](http://[bad)",
    '```"><script>alert(1)</script>\ncode\n```',
]


def walk(nodes: list[Any]) -> Iterator[list[Any]]:
    for node in nodes:
        if isinstance(node, list):
            yield node
            yield from walk(node[2:])


def harmless(nodes: list[Any]) -> None:
    for tag, attributes, *children in walk(nodes):
        assert tag in ELEMENTS
        assert set(attributes) <= {"href", "to", "language"}
        assert attributes.get("href", "http://").startswith(("http://", "https://"))
        assert attributes.get("language", "x").isalnum()
        assert all(isinstance(child, str | list) for child in children)


def words(nodes: list[Any]) -> str:
    return "".join(node if isinstance(node, str) else words(node[2:]) for node in nodes)


@pytest.mark.parametrize("planted", PLANTED)
@pytest.mark.parametrize(
    "around", ["{}", "# {}", "- {}", "> {}", "| a |\n|---|\n| {} |", "**{}**", "[{}](http://x)"]
)
def test_what_is_planted_stays_text(planted: str, around: str) -> None:
    """No script, no handler, no image, no address but the web's, wherever it stands."""
    harmless(tree(around.format(planted)))


@given(st.text(alphabet=st.sampled_from("<>/a=\"'`*_[]()#!|-: \ndetailsummryxp&;\\~"), max_size=120))
def test_any_text_is_harmless(text: str) -> None:
    """Nothing makes it stumble, or an element that is not on the list."""
    harmless(tree(text))


def test_raw_html_is_shown_as_it_stands() -> None:
    """A reader sees what the author wrote, not nothing."""
    assert "<img src=x onerror=alert(1)>" in words(tree("see <img src=x onerror=alert(1)>"))
    assert "<script>" in words(tree("<script>\nalert(1)\n</script>"))


def test_details_fold_their_content() -> None:
    """Hints of a runbook stay folded: everything between the tags is inside."""
    found = tree("<details><summary>Hint</summary>\n\nLook *there*.\n\n</details>\n\nafter")
    assert found == [
        ["details", {}, ["summary", {}, "Hint"], ["p", {}, "Look ", ["em", {}, "there"], "."]],
        ["p", {}, "after"],
    ]


def test_details_on_one_line() -> None:
    """As in the format's own example."""
    found = tree("<details><summary>Hint 1</summary>Compare.</details>")
    assert found == [["details", {}, ["summary", {}, "Hint 1"], "Compare."]]


def test_links_inside_and_outside() -> None:
    """The web's addresses stay, headings can be jumped to, files of the repository become words."""
    found = tree("[a](https://x/y) [b](#c-d) [e](other.md)")
    assert [node[1] for node in walk(found) if node[0] == "a"] == [{"href": "https://x/y"}, {"to": "c-d"}, {}]


def test_front_matter_is_no_prose() -> None:
    """The block between dashes is for the machine."""
    assert words(tree("---\ntitle: x\n---\n# Y\n")) == "Y"


@pytest.mark.parametrize("path", sorted((ROOT / "runbooks").glob("*.md")), ids=lambda path: path.stem)
def test_shipped_runbooks_lose_no_command(path: Path) -> None:
    """Every line of every fence is there, and every heading."""
    found = tree(path.read_text())
    harmless(found)
    shown = words(found)
    inside, fences = False, 0
    for line in path.read_text().splitlines():
        if line.lstrip().startswith("```"):
            inside, fences = not inside, fences + 1
        elif inside:
            assert line.strip() in shown
    assert sum(node[0] == "pre" for node in walk(found)) == fences / 2 > 0


def test_the_digest_tells_texts_apart() -> None:
    """The same text has the same name; none has none."""
    assert digest("a") == digest("a") != digest("b")
    assert digest("") == ""
