"""Finding programs, and which Debian packages bring them."""

from __future__ import annotations

from pathlib import Path

import pytest

from drill.core.errors import Unavailable
from drill.target.sandbox import programs


def executable(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No program anywhere but in the cache at the returned path."""
    for name in ("DRILL_PROMETHEUS", "DRILL_ALERTMANAGER", "LD_LIBRARY_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setattr(programs, "_SBIN", ())
    monkeypatch.setattr(programs, "cache_root", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def test_what_is_nowhere_is_an_error_that_says_how_to_get_it(bare: Path) -> None:
    assert programs.locate("prometheus") is None
    with pytest.raises(Unavailable, match="prometheus was not found") as failure:
        programs.find("prometheus")
    assert "no root is needed" in failure.value.hint
    assert {each.name for each in programs.missing()} == {each.name for each in programs.REQUIRED}
    assert {each.name for each in programs.missing(essential_only=True)} == {"prometheus", "alertmanager", "ip"}


def test_path_comes_before_the_cache_and_the_environment_before_both(
    bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = executable(bare / "usr/bin/prometheus-alertmanager")
    assert programs.locate("alertmanager") == cached
    on_path = executable(tmp_path / "nothing/alertmanager")
    assert programs.locate("alertmanager") == on_path
    given = executable(tmp_path / "mine")
    monkeypatch.setenv("DRILL_ALERTMANAGER", str(given))
    assert programs.locate("alertmanager") == given
    monkeypatch.setenv("DRILL_ALERTMANAGER", str(tmp_path / "absent"))
    assert programs.locate("alertmanager") is None


def test_unpacked_libraries_are_put_in_reach_only_when_there_are_any(bare: Path) -> None:
    assert "LD_LIBRARY_PATH" not in programs.environment()
    library = bare / "usr/lib/x86_64-linux-gnu/libnftables.so.1"
    library.parent.mkdir(parents=True)
    library.touch()
    environment = programs.environment()
    assert environment["LD_LIBRARY_PATH"] == str(library.parent)
    assert str(bare / "usr/sbin") in environment["PATH"].split(":")


def test_only_needed_libraries_are_taken_from_apts_answer() -> None:
    text = """\
nftables
  Depends: libnftables1
  Depends: libc6
 |Depends: libalternative1
  Recommends: libnice0
  Depends: debconf
  PreDepends: libfirst2
"""
    assert programs.libraries_in(text) == ["libnftables1", "libc6", "libfirst2"]


@pytest.mark.parametrize(
    ("text", "major"),
    [("prometheus, version 2.42.0+ds (branch: x)", 2), ("prometheus, version 3.5.0", 3), ("nothing", 0)],
)
def test_the_servers_major_version_is_read(text: str, major: int) -> None:
    assert programs._prometheus_major(text) == major


def test_any_program_is_looked_for_in_the_same_places(bare: Path) -> None:
    assert programs.locate("unshare") is None
    cached = executable(bare / "usr/bin/unshare")
    assert programs.locate("unshare") == cached
