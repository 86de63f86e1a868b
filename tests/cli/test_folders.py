"""Folders of runs never collide, whoever starts how many at once."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from drill.cli import folders
from drill.cli.folders import MOST_A_SECOND, new_folder
from drill.core.errors import UsageError


@pytest.fixture
def one_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second that does not end."""
    now = time.gmtime(1_700_000_000)
    monkeypatch.setattr(folders.time, "gmtime", lambda: now)


@pytest.mark.usefixtures("one_second")
def test_runs_of_one_name_that_start_at_once_get_folders_of_their_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: new_folder(tmp_path, "latency-spike"), range(32)))
    assert len(set(made)) == 32
    assert all(folder.is_dir() for folder in made)


@pytest.mark.usefixtures("one_second")
def test_a_file_of_that_name_is_left_alone(tmp_path: Path) -> None:
    taken = tmp_path / "20231114T221320Z-pause"
    taken.write_text("somebody's")
    assert new_folder(tmp_path, "pause") != taken
    assert taken.read_text() == "somebody's"


@pytest.mark.usefixtures("one_second")
def test_when_every_name_is_taken_it_says_so(tmp_path: Path) -> None:
    for _ in range(MOST_A_SECOND):
        new_folder(tmp_path, "pause")
    with pytest.raises(UsageError, match="too many of pause"):
        new_folder(tmp_path, "pause")
