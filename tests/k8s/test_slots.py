"""A place keeps its name whatever happens to its pod, and counts how often it was started."""

from __future__ import annotations

from drill.target.kubernetes.objects import Pod
from drill.target.kubernetes.slots import Slots


def pod(uid: str, *, made: str = "", restarts: int = 0, gone: bool = False, owner: str = "ReplicaSet") -> Pod:
    return Pod.model_validate(
        {
            "metadata": {
                "name": f"web-{uid}",
                "uid": uid,
                "creationTimestamp": made or uid,
                "deletionTimestamp": "now" if gone else None,
                "ownerReferences": [{"kind": owner, "name": "web", "controller": True}],
            },
            "status": {"containerStatuses": [{"name": "web", "restartCount": restarts}]},
        }
    )


def places(slots: Slots, *pods: Pod, grow: bool = False) -> dict[str, str]:
    return {name: found.metadata.uid for name, found in slots.see(pods, grow=grow).items()}


def test_places_are_numbered_by_age():
    assert places(Slots("web"), pod("b"), pod("a")) == {"web-0": "a", "web-1": "b"}


def test_a_new_pod_takes_the_place_of_one_that_is_going_and_counts_as_a_start():
    slots = Slots("web")
    places(slots, pod("a"), pod("b", restarts=4))
    assert slots.starts("web-1") == 4
    assert places(slots, pod("a"), pod("b", gone=True), pod("c")) == {"web-0": "a", "web-1": "c"}
    assert slots.starts("web-1") == 5
    assert slots.starts("web-0") == 0
    places(slots, pod("a"), pod("c", restarts=2))
    assert slots.starts("web-1") == 7


def test_a_restart_of_the_container_counts_as_a_start():
    slots = Slots("web")
    places(slots, pod("a"))
    places(slots, pod("a", restarts=1))
    assert slots.starts("web-0") == 1


def test_a_place_without_a_pod_is_left_out_until_one_comes():
    slots = Slots("web")
    places(slots, pod("a"), pod("b"))
    assert places(slots, pod("b")) == {"web-1": "b"}
    assert places(slots, pod("b"), pod("c")) == {"web-0": "c", "web-1": "b"}


def test_the_surge_pod_of_a_rollout_is_not_one_replica_more():
    slots = Slots("web")
    places(slots, pod("a"), pod("b"))
    assert places(slots, pod("a"), pod("b"), pod("c")) == {"web-0": "a", "web-1": "b"}
    assert places(slots, pod("b"), pod("c")) == {"web-0": "c", "web-1": "b"}


def test_facts_that_are_read_again_see_replicas_that_were_added():
    slots = Slots("web")
    places(slots, pod("a"))
    assert places(slots, pod("a"), pod("b"), grow=True) == {"web-0": "a", "web-1": "b"}


def test_pods_of_a_stateful_set_keep_their_own_names():
    slots = Slots("db")
    first = pod("1", owner="StatefulSet").model_copy(update={"metadata": pod("1", owner="StatefulSet").metadata})
    assert places(slots, first) == {"web-1": "1"}
    again = Pod.model_validate(
        {
            "metadata": {
                "name": "web-1", "uid": "9",
                "ownerReferences": [{"kind": "StatefulSet", "name": "web", "controller": True}],
            }
        }
    )  # fmt: skip
    assert places(slots, again) == {"web-1": "9"}
    assert slots.starts("web-1") == 1


def test_a_container_that_waits_to_be_restarted_has_ended_and_is_counted_once():
    """Kubelet counts the restart when it comes; after the second end within minutes that takes 10 s and more."""

    def restarts(state: dict[str, object], count: int, last: dict[str, object] | None = None) -> int:
        status = {"name": "web", "restartCount": count, "state": state, "lastState": last or {}}
        return Pod.model_validate({"status": {"containerStatuses": [status]}}).restarts

    ended, waiting = {"terminated": {"reason": "Error"}}, {"waiting": {"reason": "CrashLoopBackOff"}}
    assert restarts({"waiting": {"reason": "ContainerCreating"}}, 0) == 0
    assert restarts({"running": {}}, 0) == 0
    assert restarts(ended, 0) == 1
    assert restarts({"running": {}}, 1, ended) == 1
    assert restarts(waiting, 1, ended) == 2
    assert restarts({"running": {}}, 2, ended) == 2
