"""Control groups on a made-up file system: where they go, what is written, what is read back."""

from __future__ import annotations

from pathlib import Path

import pytest

from drill.target.sandbox import cgroups
from drill.target.sandbox.cgroups import CgroupMount, Cgroups, parse_mounts, parse_own

V1_MOUNTS = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
30 25 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct
31 25 0:27 / /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw,memory
32 25 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate
"""
V1_OWN = "5:cpu,cpuacct:/user/me\n4:memory:/user\n1:name=systemd:/user.slice\n0::/user.slice/a.scope\n"


def test_the_callers_own_place_is_found_in_each_v1_hierarchy() -> None:
    homes = cgroups.v1_homes(parse_mounts(V1_MOUNTS), parse_own(V1_OWN))
    assert homes == {
        "cpu": Path("/sys/fs/cgroup/cpu,cpuacct/user/me"),
        "cpuacct": Path("/sys/fs/cgroup/cpu,cpuacct/user/me"),
        "memory": Path("/sys/fs/cgroup/memory/user"),
    }


def test_a_bind_mounted_hierarchy_is_seen_from_its_root() -> None:
    mount = CgroupMount(Path("/sys/fs/cgroup/memory"), "/docker/abc", 1, frozenset({"memory"}))
    assert mount.directory("/docker/abc/x") == Path("/sys/fs/cgroup/memory/x")
    assert mount.directory("/elsewhere") is None


def test_v2_offers_the_callers_cgroup_first_and_the_mount_point_last() -> None:
    homes = cgroups.v2_homes(parse_mounts(V1_MOUNTS), parse_own(V1_OWN))
    assert homes == [Path("/sys/fs/cgroup/unified") / part for part in ("user.slice/a.scope", "user.slice", "")]


def fake_proc(tmp_path: Path, mountinfo: str, own: str) -> Path:
    proc = tmp_path / "proc"
    proc.mkdir()
    (proc / "mountinfo").write_text(mountinfo)
    (proc / "cgroup").write_text(own)
    return proc


def v1_tree(tmp_path: Path) -> Path:
    lines = []
    for controller in cgroups.V1_CONTROLLERS:
        (tmp_path / controller / "me").mkdir(parents=True)
        lines.append(f"1 2 0:1 / {tmp_path}/{controller} rw - cgroup cgroup rw,{controller}")
    own = "".join(f"{i}:{name}:/me\n" for i, name in enumerate(cgroups.V1_CONTROLLERS, 1))
    return fake_proc(tmp_path, "\n".join(lines), own)


def test_v1_groups_get_the_quota_the_memory_limit_and_the_weight(tmp_path: Path) -> None:
    groups = cgroups.create("ab12", ["cart-0", "cart-1"], v1_tree(tmp_path))
    assert groups.version == 1
    assert groups.missing == {}
    cpu, memory = (tmp_path / name / "me/drill-sandbox-ab12" for name in ("cpu", "memory"))
    assert (cpu / "cart-1/cpu.cfs_quota_us").read_text() == "20000"
    assert (cpu / "cart-1/cpu.cfs_period_us").read_text() == "100000"
    assert (cpu / "cpu.shares").read_text() == "262144"
    assert (memory / "cart-0/memory.limit_in_bytes").read_text() == str(64 * 2**20)
    assert len(groups.directories("cart-0")) == 3


def test_v1_counters_are_read(tmp_path: Path) -> None:
    groups = cgroups.create("ab12", ["cart-0"], v1_tree(tmp_path))
    at = {name: tmp_path / name / "me/drill-sandbox-ab12/cart-0" for name in cgroups.V1_CONTROLLERS}
    (at["cpu"] / "cpu.stat").write_text("nr_periods 50\nnr_throttled 20\nthrottled_time 123\n")
    (at["cpuacct"] / "cpuacct.usage").write_text("2500000000\n")
    (at["memory"] / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    (at["memory"] / "memory.usage_in_bytes").write_text(str(48 * 2**20))
    (at["memory"] / "memory.stat").write_text(f"cache 1\ntotal_inactive_file {16 * 2**20}\n")
    (at["memory"] / "cgroup.procs").write_text("7\n8\n0\n")
    assert groups.cpu("cart-0") == cgroups.CpuSample(2.5, 50, 20)
    assert groups.oom_kills("cart-0") == 3
    assert groups.memory_ratio("cart-0") == 0.5
    assert groups.pids("cart-0") == {7, 8}


def v2_tree(tmp_path: Path, busy: str = "") -> Path:
    """A delegated slice with a scope in it; *busy* names the directory that refuses (as EBUSY would)."""
    root = tmp_path / "cg"
    scope = root / "user.slice" / "me.scope"
    scope.mkdir(parents=True)
    for directory in (root, root / "user.slice", scope):
        (directory / "cgroup.controllers").write_text("cpu io memory pids")
        (directory / "cgroup.procs").write_text("")
        if directory.name == busy:
            (directory / "cgroup.subtree_control").mkdir()  # writing to it fails
        else:
            (directory / "cgroup.subtree_control").write_text("memory pids" if directory == scope else "cpu memory")
    return fake_proc(tmp_path, f"1 2 0:1 / {root} rw - cgroup2 cgroup2 rw", "0::/user.slice/me.scope\n")


def prepared_v2(monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory made in a real cgroupfs has its files at once; here they are put there when it is made."""
    really = Path.mkdir

    def mkdir(self: Path, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        really(self, mode, parents, exist_ok)
        if "drill-sandbox-" in str(self):
            (self / "cgroup.controllers").write_text("cpu memory")
            (self / "cgroup.subtree_control").write_text("")
            (self / "cgroup.procs").write_text("")

    monkeypatch.setattr(Path, "mkdir", mkdir)


def test_v2_controllers_are_handed_down_and_an_oom_kills_the_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proc = v2_tree(tmp_path)
    prepared_v2(monkeypatch)
    groups = cgroups.create("ab12", ["cart-0"], proc)
    scope = tmp_path / "cg/user.slice/me.scope"
    assert groups.bases == {"cpu": scope / "drill-sandbox-ab12", "memory": scope / "drill-sandbox-ab12"}
    assert (scope / "cgroup.subtree_control").read_text() == "+cpu +memory"
    group = scope / "drill-sandbox-ab12/cart-0"
    assert (group / "cpu.max").read_text() == "20000 100000"
    assert (group / "memory.max").read_text() == str(64 * 2**20)
    assert (group / "memory.oom.group").read_text() == "1"
    assert (group.parent / "cpu.weight").read_text() == "10000"
    assert groups.directories("cart-0") == [group]


def test_v2_goes_up_where_the_own_cgroup_may_not_hand_controllers_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proc = v2_tree(tmp_path, busy="me.scope")
    prepared_v2(monkeypatch)
    groups = cgroups.create("ab12", ["cart-0"], proc)
    assert groups.bases["cpu"] == tmp_path / "cg/user.slice/drill-sandbox-ab12"


def test_v2_counters_are_read(tmp_path: Path) -> None:
    group = tmp_path / "cart-0"
    group.mkdir()
    (group / "cpu.stat").write_text("usage_usec 1500000\nnr_periods 9\nnr_throttled 4\n")
    (group / "memory.events").write_text("low 0\noom 2\noom_kill 1\noom_group_kill 1\n")
    (group / "memory.current").write_text(str(32 * 2**20))
    (group / "memory.max").write_text(str(64 * 2**20))
    (group / "memory.stat").write_text("anon 5\ninactive_file 0\n")
    groups = Cgroups(2, {"cpu": tmp_path, "memory": tmp_path})
    assert groups.cpu("cart-0") == cgroups.CpuSample(1.5, 9, 4)
    assert groups.oom_kills("cart-0") == 1
    assert groups.memory_ratio("cart-0") == 0.5


def test_without_any_hierarchy_both_controllers_are_missing_with_a_reason(tmp_path: Path) -> None:
    groups = cgroups.create("ab12", ["cart-0"], fake_proc(tmp_path, "", ""))
    assert groups.version == 0
    assert set(groups.missing) == {"cpu", "memory"}
    assert groups.directories("cart-0") == []
    assert groups.cpu("cart-0") is None
    assert groups.memory_ratio("cart-0") is None
    assert groups.oom_kills("cart-0") is None


def test_a_v2_system_that_hands_nothing_down_says_how_to_get_it(tmp_path: Path) -> None:
    root = tmp_path / "cg"
    root.mkdir()
    (root / "cgroup.controllers").write_text("pids")
    proc = fake_proc(tmp_path, f"1 2 0:1 / {root} rw - cgroup2 cgroup2 rw", "0::/\n")
    groups = cgroups.create("ab12", ["cart-0"], proc)
    assert "Delegate=yes" in groups.missing["cpu"]
    assert not (root / "drill-sandbox-ab12").exists()


def test_empty_groups_are_removed_and_nothing_else(tmp_path: Path) -> None:
    base = tmp_path / "drill-sandbox-ab12"
    (base / "cart-0").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    assert cgroups.remove([base, base]) == []
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
