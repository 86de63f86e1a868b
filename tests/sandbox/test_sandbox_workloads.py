"""The pure parts of the sandbox's mitigations: deployments, the kubectl's words and tables, and exec's toolbox."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from drill.target.sandbox import topology
from drill.target.sandbox.cgroups import Cgroups, CpuSample
from drill.target.sandbox.deployments import Deployment
from drill.target.sandbox.kubectl import changing, looking, objects, show, words
from drill.target.sandbox.kubectl.words import SWITCH, VALUE, Refused, split
from drill.target.sandbox.toolbox import PodView, execute


def deployment() -> Deployment:
    return Deployment(topology.BY_NAME["checkout"])


# ---- deployments ----


def test_an_undo_makes_the_former_template_the_newest_revision_and_back() -> None:
    one = deployment()
    assert one.limit(0.5, None)
    assert [revision.number for revision in one.revisions] == [1, 2]
    one.undo()
    assert one.current.number == 3
    assert one.current.template.cpus == topology.CPU_LIMIT
    one.undo()
    assert (one.current.number, one.current.template.cpus) == (4, 0.5)
    assert len(one.revisions) == 2


def test_an_undo_without_a_former_revision_is_refused_as_kubectl_refuses_it() -> None:
    with pytest.raises(ValueError, match="no rollout history"):
        deployment().undo()
    one = deployment()
    one.restart("now")
    with pytest.raises(ValueError, match="unable to find"):
        one.undo(7)


def test_a_change_that_changes_nothing_makes_no_revision() -> None:
    one = deployment()
    assert not one.limit(topology.CPU_LIMIT, topology.MEMORY_LIMIT)
    assert not one.set_env({"FALLBACK": None})
    assert one.current.number == 1


@pytest.mark.parametrize("replicas", [0, 2, topology.MAX_REPLICAS])
def test_replicas_the_sandbox_cannot_have_are_refused(replicas: int) -> None:
    with pytest.raises(ValueError, match="3 to 7"):
        deployment().scale(replicas)


def test_a_service_does_without_what_it_calls_and_nothing_else() -> None:
    one = deployment()
    assert one.set_env({"FALLBACK": "payment,cart"})
    assert one.current.template.without() == {"payment", "cart"}
    with pytest.raises(ValueError, match=r"does not call recommendations; it calls payment, cart, catalog"):
        one.set_env({"FALLBACK": "recommendations"})
    with pytest.raises(ValueError, match="not a name"):
        one.set_env({"A B": "1"})


def test_limits_out_of_reason_are_refused() -> None:
    for cpus, memory in ((5.0, None), (0.0001, None), (None, 10), (None, 2**40)):
        with pytest.raises(ValueError, match="a replica in the sandbox gets"):
            deployment().limit(cpus, memory)


def test_limits_of_a_replica_are_written_in_both_versions(tmp_path: Path) -> None:
    (tmp_path / "c-0").mkdir()
    Cgroups(2, {"cpu": tmp_path, "memory": tmp_path}).limit("c-0", 0.5, 2**26)
    assert (tmp_path / "c-0/cpu.max").read_text() == "50000 100000"
    assert (tmp_path / "c-0/memory.max").read_text() == str(2**26)
    Cgroups(1, {"cpu": tmp_path, "memory": tmp_path}).limit("c-0", 0.5, 2**26)
    assert (tmp_path / "c-0/cpu.cfs_quota_us").read_text() == "50000"


# ---- kubectl's words ----


def test_flags_stand_anywhere_before_the_two_dashes() -> None:
    known = {"selector": VALUE, "output": VALUE, "prefix": SWITCH}
    line = split(["pods", "-lapp=x", "--prefix", "-n", "shop", "--output=wide", "--", "ls", "-l"], known, "get")
    assert line.operands == ("pods",)
    assert line.flags == {"selector": "app=x", "prefix": "true", "namespace": "shop", "output": "wide"}
    assert line.command == ("ls", "-l")


def test_an_unknown_flag_is_refused_with_those_there_are() -> None:
    with pytest.raises(Refused, match=r"does not know the flag --watch of get; there is: --output"):
        split(["pods", "--watch"], {"output": VALUE}, "get")


def test_a_selector_with_another_operator_is_refused() -> None:
    assert words.selector("app=x,tier==1") == {"app": "x", "tier": "1"}
    with pytest.raises(Refused, match="knows selectors like"):
        words.selector("app!=x")


@pytest.mark.parametrize(("text", "cpus"), [("1", 1.0), ("500m", 0.5), ("0.25", 0.25)])
def test_amounts_of_cpu(text: str, cpus: float) -> None:
    assert changing.cpus(text) == cpus


# ---- kubectl's objects and tables ----


def told(**changes: Any) -> dict[str, Any]:
    return {
        "name": "checkout-0", "address": "10.231.1.1", "app": "checkout", "running": True, "serving": True,
        "ending": False, "born_at": 1e9, "started_at": 1e9, "restarts": 2, "generation": 1, "revision": 1,
        "cpus": 0.2, "memory": 64 * 2**20, "env": {},
        "last_end": {"code": 137, "reason": "OOMKilled", "started_at": 1e9, "at": 1e9 + 5}, **changes,
    }  # fmt: skip


def test_custom_columns_of_the_runbooks_find_their_fields() -> None:
    pod = objects.pod("checkout", told())
    spec = (
        "POD:.metadata.name,REASON:.status.containerStatuses[*].lastState.terminated.reason,"
        "EXIT:.status.containerStatuses[*].lastState.terminated.exitCode,"
        "WAITING:.status.containerStatuses[*].state.waiting.reason,"
        "LIMIT:.spec.containers[*].resources.limits.memory"
    )
    head, row = show.custom_columns(spec, [pod], True).splitlines()
    assert head.split() == ["POD", "REASON", "EXIT", "WAITING", "LIMIT"]
    assert row.split() == ["checkout-0", "OOMKilled", "137", "<none>", "64Mi"]


def test_a_filter_in_a_json_path_chooses_by_value() -> None:
    path = '.status.conditions[?(@.type=="DiskPressure")].status'
    assert show.follow(objects.node(), path) == ["False"]
    with pytest.raises(Refused, match="does not know this JSONPath"):
        show.follow({}, ".a..b")


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "Running"),
        ({"running": False}, "CrashLoopBackOff"),
        ({"running": False, "restarts": 0}, "OOMKilled"),
        ({"ending": True}, "Terminating"),
    ],
)
def test_the_column_status_says_what_kubectl_says(changes: dict[str, Any], state: str) -> None:
    assert looking.pod_state(objects.pod("checkout", told(**changes))) == state


# ---- exec ----


def pod(tmp_path: Path) -> PodView:
    return PodView(
        "checkout-0", str(tmp_path), (os.getpid(),), {"FALLBACK": "cart"}, CpuSample(1.5, 9, 4), 0.2, 2**26
    )


def test_commands_see_the_pods_disk_as_data(tmp_path: Path) -> None:
    (tmp_path / "journal.log").write_text("x" * 5000)
    view = pod(tmp_path)
    assert "journal.log" in execute(view, ["ls", "-l", "/data"])[1]
    assert "/data/journal.log" in execute(view, ["du", "-xa", "/data"])[1]
    assert execute(view, ["find", "/data"]) == (0, "/data/journal.log\n")
    assert execute(view, ["truncate", "-s", "0", "/data/journal.log"]) == (0, "")
    assert (tmp_path / "journal.log").stat().st_size == 0
    assert execute(view, ["rm", "/data/journal.log"]) == (0, "")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", ["/etc/passwd", "/data/../etc/passwd", "../../etc/passwd", "/", "/proc/1/environ"])
def test_nothing_outside_the_pod_can_be_read_or_removed(tmp_path: Path, path: str) -> None:
    for command in (["cat", path], ["rm", "-f", path], ["truncate", "-s", "0", path], ["du", path]):
        code, said = execute(pod(tmp_path), command)
        assert code == 1, said
        assert "in this sandbox only /data is shown" in said


def test_a_link_that_leads_out_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    inside = tmp_path / "inside"
    inside.mkdir()
    outside.write_text("secret")
    (inside / "link").symlink_to(outside)
    (inside / "folder").symlink_to(tmp_path)
    for path in ("/data/link", "/data/folder/outside"):
        for command in (["cat", path], ["rm", path], ["truncate", "-s", "0", path]):
            assert execute(pod(inside), command)[0] == 1
    assert outside.read_text() == "secret"


def test_an_open_file_of_another_disk_is_not_emptied(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("kept")
    with victim.open("rb") as stream:
        path = f"/proc/{os.getpid()}/fd/{stream.fileno()}"
        view = PodView("x", "/dev/shm", (), {}, None, 0.2, 1)
        code, said = execute(view, ["truncate", "-s", "0", path])
    assert (code, victim.read_text()) == (1, "kept")
    assert "not on this pod's disk" in said


def test_a_deleted_file_that_is_still_open_is_found_and_emptied() -> None:
    """The way out of a full disk whose filler has no name."""
    import tempfile

    with tempfile.TemporaryFile(dir="/dev/shm") as held:
        held.write(b"x" * 8192)
        held.flush()
        view = PodView("x", "/dev/shm", (), {}, None, 0.2, 1)
        found = execute(view, ["find", "/proc", "-maxdepth", "3", "-path", "*/fd/*", "-lname", "*(deleted)"])[1]
        mine = f"/proc/{os.getpid()}/fd/{held.fileno()}"
        assert mine in found.splitlines()
        assert execute(view, ["truncate", "-s", "0", mine]) == (0, "")
        assert os.fstat(held.fileno()).st_size == 0


def test_a_command_there_is_not_says_which_there_are(tmp_path: Path) -> None:
    code, said = execute(pod(tmp_path), ["tcpdump"])
    assert code == 127
    assert "there is: cat, curl, df" in said


def test_counters_of_the_cgroup_read_like_version_2(tmp_path: Path) -> None:
    said = execute(pod(tmp_path), ["cat", "/sys/fs/cgroup/cpu.stat"])[1]
    assert said.splitlines() == ["usage_usec 1500000", "nr_periods 9", "nr_throttled 4"]
