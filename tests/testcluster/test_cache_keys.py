"""The cache: a thing is whole or absent, and its key changes with everything that goes into it."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
from testcluster.cache import Cache, key_of, user_cache


def test_a_thing_is_built_once(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    calls: list[Path] = []

    def build(out: Path) -> None:
        calls.append(out)
        (out / "program").write_text("x")

    first, built = cache.obtain("thing", "k1", build)
    again, rebuilt = cache.obtain("thing", "k1", build)
    assert (built, rebuilt, len(calls)) == (True, False, 1)
    assert first == again == cache.place("thing", "k1")
    assert (first / "program").read_text() == "x"


def test_another_key_is_another_thing(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    one, _ = cache.obtain("thing", "k1", lambda out: (out / "a").touch())
    two, built = cache.obtain("thing", "k2", lambda out: (out / "b").touch())
    assert built
    assert one != two
    assert one.is_dir()


def test_a_failed_build_leaves_nothing_that_looks_built(tmp_path: Path) -> None:
    cache = Cache(tmp_path)

    def fail(out: Path) -> None:
        (out / "half").touch()
        raise RuntimeError("no disk")

    with pytest.raises(RuntimeError):
        cache.obtain("thing", "k", fail)
    assert not cache.place("thing", "k").exists()
    place, built = cache.obtain("thing", "k", lambda out: (out / "whole").touch())
    assert built
    assert [each.name for each in place.iterdir()] == ["whole"]


def _obtain(root: Path, log: Path) -> None:
    def build(out: Path) -> None:
        with log.open("a") as file:
            file.write("built\n")
        (out / "x").touch()

    Cache(root).obtain("thing", "k", build)


def test_two_commands_at_once_build_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    spawn = multiprocessing.get_context("fork")
    workers = [spawn.Process(target=_obtain, args=(tmp_path / "cache", log)) for _ in range(4)]
    for each in workers:
        each.start()
    for each in workers:
        each.join(30)
    assert [each.exitcode for each in workers] == [0, 0, 0, 0]
    assert log.read_text() == "built\n"


def test_a_key_covers_names_contents_modes_and_links_of_a_folder(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "a").write_text("1")
    seen = {key_of(tree)}
    (tree / "a").write_text("2")
    seen.add(key_of(tree))
    (tree / "a").chmod(0o755)
    seen.add(key_of(tree))
    (tree / "a").rename(tree / "b")
    seen.add(key_of(tree))
    (tree / "link").symlink_to("b")
    seen.add(key_of(tree))
    (tree / "link").unlink()
    (tree / "link").symlink_to("elsewhere")
    seen.add(key_of(tree))
    assert len(seen) == 6
    (tree / "__pycache__").mkdir()
    (tree / "__pycache__" / "x.pyc").write_text("")
    assert key_of(tree) in seen


def test_a_key_does_not_mistake_one_list_for_another() -> None:
    assert key_of(["ab", "c"]) != key_of(["a", "bc"])
    assert key_of("x", "y") == key_of("x", "y")


@pytest.mark.parametrize("given", ["", "relative/folder"])
def test_the_cache_folder_follows_the_base_directory_specification(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", given)
    assert user_cache() == tmp_path / ".cache" / "drill"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    assert user_cache() == tmp_path / "own" / "drill"
