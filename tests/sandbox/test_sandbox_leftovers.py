"""Who is alive and what is swept, in a runtime root of the test's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from drill.target.sandbox import leftovers


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(leftovers, "runtime_root", lambda: tmp_path)
    monkeypatch.setattr(leftovers, "runtime_roots", lambda: [tmp_path])
    monkeypatch.setattr(leftovers.cgroups, "existing", lambda: iter(()))
    return tmp_path


def test_a_sandbox_lives_as_long_as_its_lock_is_held(root: Path) -> None:
    path, lock = leftovers.make_runtime_directory("aa")
    assert path.stat().st_mode & 0o777 == 0o700
    assert leftovers.running() == ["aa"]
    assert leftovers.sweep() == []
    os.close(lock)
    assert leftovers.running() == []
    assert leftovers.sweep() == [f"directory {path}"]
    assert not path.exists()


def test_the_noted_cgroups_go_with_the_directory_and_foreign_paths_do_not(root: Path) -> None:
    path, lock = leftovers.make_runtime_directory("bb")
    os.close(lock)
    mine, foreign = root / "cg" / "drill-sandbox-bb", root / "cg" / "somebody"
    for directory in (mine, foreign):
        directory.mkdir(parents=True)
    leftovers.write_bases(path, [mine, foreign])
    assert leftovers.remove_runtime(path) == []
    assert not mine.exists()
    assert foreign.exists()


def test_a_directory_that_is_just_being_made_is_left_alone(root: Path) -> None:
    (root / "drill-sandbox-cc").mkdir()  # between mkdir and its lock
    assert leftovers.sweep() == []
    old = root / "drill-sandbox-dd"
    old.mkdir()
    os.utime(old, (0, 0))
    assert leftovers.sweep() == [f"directory {old}"]


def test_a_symbolic_link_is_never_followed(root: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (root / "drill-sandbox-ee").symlink_to(precious)
    leftovers.sweep()
    assert precious.exists()


def test_this_process_carries_no_sandboxes_id() -> None:
    assert os.getpid() not in leftovers.processes("no-such-sandbox")
