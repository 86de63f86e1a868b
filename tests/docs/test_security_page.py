"""The page on security names tests; each of them is there, where the page says."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_test_the_page_names_exists() -> None:
    page = (ROOT / "docs" / "security.md").read_text()
    named = set(re.findall(r"`(test_\w+?)`", page))
    files = [path.read_text() for path in (ROOT / "tests").rglob("test_*.py")]
    defined = {name for text in files for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE)}
    assert len(named) > 10
    assert named - defined == set()


def test_every_file_the_page_names_exists() -> None:
    page = (ROOT / "docs" / "security.md").read_text()
    for name in re.findall(r"`((?:tests|bench|src)/[\w/.]+\.py)`", page):
        assert (ROOT / name).is_file(), name
    names = {path.name for path in (ROOT / "tests").rglob("*.py")}
    for name in re.findall(r"`(test_\w+\.py)`", page):
        assert name in names, name
