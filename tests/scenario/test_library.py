"""Names lead to files in known folders, the nearest first, and never out of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from drill.core.errors import UsageError
from drill.scenario import library
from drill.scenario.library import find, find_all, listed, packaged_root, shipped, shipped_roots


@pytest.fixture
def roots(tmp_path: Path) -> list[Path]:
    own, packaged = tmp_path / "own", tmp_path / "packaged"
    for root, names in (
        (own, ("cpu.yaml", "notes.txt", ".hidden.yaml")),
        (packaged, ("cpu.yaml", "latency-spike.yml")),
    ):
        root.mkdir()
        for name in names:
            (root / name).write_text(root.name)
    (tmp_path / "secret.yaml").write_text("secret")
    return [own, packaged]


def test_the_first_folder_wins(roots: list[Path]) -> None:
    assert find("cpu", roots) == roots[0] / "cpu.yaml"
    assert find("latency-spike", roots) == roots[1] / "latency-spike.yml"
    assert listed(roots, (".yaml", ".yml")) == [roots[0] / "cpu.yaml", roots[1] / "latency-spike.yml"]


def test_a_path_is_a_path(roots: list[Path]) -> None:
    path = roots[0].parent / "secret.yaml"
    assert find(str(path), roots) == path


def test_an_unknown_name_gets_a_suggestion(roots: list[Path]) -> None:
    with pytest.raises(UsageError, match="unknown scenario 'latency-spke'") as caught:
        find("latency-spke", roots)
    assert caught.value.hint == "did you mean 'latency-spike'?"


def test_a_missing_file_gets_a_suggestion(roots: list[Path]) -> None:
    with pytest.raises(UsageError, match=r"there is no file nowhere/cpuu\.yaml") as caught:
        find("nowhere/cpuu.yaml", roots)
    assert caught.value.hint == "did you mean 'cpu'?"


@pytest.mark.parametrize(
    "name", ["../secret", "..", ".", "", "/etc/passwd", "own/../../secret", "..\\secret", ".hidden"]
)
def test_a_name_cannot_climb_out(name: str, roots: list[Path]) -> None:
    with pytest.raises(UsageError):
        find(name, roots)


def test_no_folder_at_all_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        find("cpu", [])
    assert caught.value.hint == "no scenarios were found in ./scenarios"


def test_the_current_directory_comes_before_what_was_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged = tmp_path / "packaged"
    (packaged / "scenarios").mkdir(parents=True)
    (packaged / "scenarios" / "cpu.yaml").touch()
    monkeypatch.setattr(library, "packaged_root", lambda kind: packaged / kind)
    assert shipped_roots("scenarios", cwd=tmp_path) == [packaged / "scenarios"]
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "cpu.yaml").touch()
    assert shipped_roots("scenarios", cwd=tmp_path) == [tmp_path / "scenarios", packaged / "scenarios"]
    assert shipped("scenarios", cwd=tmp_path) == [tmp_path / "scenarios" / "cpu.yaml"]
    assert find_all([], "scenarios", cwd=tmp_path) == find_all(["cpu"], "scenarios", cwd=tmp_path)
    assert shipped_roots("scenarios", cwd=packaged) == [packaged / "scenarios"]


def test_what_was_shipped_is_found_in_a_wheel_and_in_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "src" / "drill"
    package.mkdir(parents=True)
    monkeypatch.setattr("drill.__file__", str(package / "__init__.py"))
    assert packaged_root("runbooks") is None
    (tmp_path / "runbooks").mkdir()
    assert packaged_root("runbooks") is None
    (tmp_path / "pyproject.toml").touch()
    assert packaged_root("runbooks") == tmp_path / "runbooks"
    (package / "shipped" / "runbooks").mkdir(parents=True)
    assert packaged_root("runbooks") == package / "shipped" / "runbooks"
