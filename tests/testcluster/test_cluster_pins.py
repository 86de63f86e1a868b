"""Versions and builds: everything comes from go.mod files of ours, and a changed pin is another key."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from testcluster.gobuild import Build, cluster_builds, kubernetes_stamps, server_builds
from testcluster.steps import Failed
from testcluster.versions import HERE, kubernetes, pinned, prometheus_release

from testcluster import gobuild

GO_MOD = """module x

tool example.org/tool

require (
\texample.org/direct v1.2.3
\texample.org/direct/more v9.0.0
\texample.org/indirect v0.4.0 // indirect
)

require example.org/single v2.0.0

replace example.org/replaced => example.org/replaced v7.0.0
"""


@pytest.mark.parametrize(
    ("module", "version"),
    [
        ("example.org/direct", "v1.2.3"),
        ("example.org/indirect", "v0.4.0"),
        ("example.org/single", "v2.0.0"),
    ],
)
def test_a_pin_is_read_from_go_mod(module: str, version: str, tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text(GO_MOD)
    assert pinned(tmp_path / "go.mod", module) == version


@pytest.mark.parametrize("module", ["example.org/absent", "example.org/replaced", "example.org/tool"])
def test_a_module_that_is_not_pinned_is_refused(module: str, tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text(GO_MOD)
    with pytest.raises(Failed, match=module):
        pinned(tmp_path / "go.mod", module)


@pytest.mark.parametrize(
    ("module", "release"),
    [("v0.316.0", "3.16.0"), ("v0.300.1", "3.0.1"), ("v0.55.1", "2.55.1")],
)
def test_a_version_of_prometheus_module_stands_for_a_release(module: str, release: str) -> None:
    assert prometheus_release(module) == release


def test_a_version_that_is_none_of_prometheus_is_refused() -> None:
    with pytest.raises(Failed, match=re.escape("v1.2.3")):
        prometheus_release("v1.2.3")


def test_kubernetes_and_all_its_staging_repositories_are_of_one_release() -> None:
    staging = re.findall(
        r"^\tk8s\.io/(\S+) => k8s\.io/(\S+) v0\.(\S+)$", (HERE / "go.mod").read_text(), re.MULTILINE
    )
    assert len(staging) > 25
    assert {release for _, _, release in staging} == {kubernetes().removeprefix("v1.")}
    assert all(name == target for name, target, _ in staging)


def test_kubernetes_is_one_that_still_runs_on_cgroup_v1() -> None:
    """From 1.35 on the kubelet refuses cgroup v1 unless told otherwise."""
    assert kubernetes().startswith("v1.34.")


def test_the_stamps_are_what_kubernetes_programs_say_of_themselves() -> None:
    stamps = kubernetes_stamps("v1.34.4")
    assert stamps["k8s.io/component-base/version.gitVersion"] == "v1.34.4"
    assert stamps["k8s.io/client-go/pkg/version.gitMinor"] == "34"
    assert stamps["k8s.io/component-base/version.gitMajor"] == "1"


def test_programs_that_our_sources_build_have_their_sources() -> None:
    own = [b.module / p for b in cluster_builds() for p in b.programs.values() if p.startswith(".")]
    assert len(own) == 5
    assert all((folder / "main.go").is_file() for folder in own)


def test_every_name_of_the_one_kubernetes_program_is_known_to_it() -> None:
    source = (HERE / "cmd/kube/main.go").read_text()
    assert set(gobuild.KUBE) == set(re.findall(r'^\t"(kube\S+)":', source, re.MULTILINE))


def test_no_two_builds_share_a_folder() -> None:
    builds = [*cluster_builds(), *server_builds()]
    assert len({(b.name, b.version, b.key) for b in builds}) == len(builds)
    programs = [program for build in builds for program in build.programs]
    assert len(set(programs)) == len(programs)


def _module(where: Path, content: str) -> Path:
    (where / "cmd").mkdir(parents=True)
    (where / "go.mod").write_text(GO_MOD)
    (where / "go.sum").write_text("")
    (where / "cmd/main.go").write_text(content)
    return where


def test_a_build_has_another_key_when_source_pins_flags_or_names_change(tmp_path: Path) -> None:
    build = Build("x", "1", _module(tmp_path / "a", "package main"), {"x": "./cmd"})
    same = replace(build, module=_module(tmp_path / "b", "package main"))
    others = [
        replace(build, module=_module(tmp_path / "c", "package other")),
        replace(build, stamps={"main.version": "2"}),
        replace(build, tags=("netgo",)),
        replace(build, links=("y",)),
        replace(build, programs={"y": "./cmd"}),
    ]
    assert same.key == build.key
    assert len({build.key, *(other.key for other in others)}) == 6
    (build.module / "go.sum").write_text("changed")
    assert build.key != same.key
