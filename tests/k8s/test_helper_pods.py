"""The helper pod as it is asked for, and the conversation with a conductor over a stream that is no stream."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from drill.core.errors import ActionFailed, Unavailable
from drill.target.kubernetes import podspec
from drill.target.kubernetes.conversation import PROTOCOL, Conversation, Said
from drill.target.kubernetes.holding import left_behind, place
from drill.target.kubernetes.lines import exec_query
from drill.target.kubernetes.objects import Pod
from drill.target.kubernetes.pods import Waiting
from drill.target.kubernetes.podspec import HelperSettings, ephemeral_container, helper_name, helper_pod
from drill.target.kubernetes.ports import PodRef

POD = PodRef(
    namespace="shop", name="web-0", uid="u1", node="n1", address="10.0.0.7", port=8080, container="web",
    container_id="ab" * 32, data_path="/data",
)  # fmt: skip
SETTINGS = HelperSettings(image="registry/drill@sha256:aa", deadline_s=600, idle_s=30)


def test_the_helper_is_privileged_and_short_lived_and_has_no_rights_at_the_api() -> None:
    spec = helper_pod(SETTINGS, "n1", run="r1", holder="kim@laptop")["spec"]
    container = spec["containers"][0]
    assert spec["nodeName"] == "n1"
    assert spec["hostPID"] is True
    assert "hostNetwork" not in spec
    assert spec["automountServiceAccountToken"] is False
    assert spec["activeDeadlineSeconds"] == 600 + podspec.GRACE_S
    assert spec["restartPolicy"] == "Never"
    assert spec["tolerations"] == [{"operator": "Exists"}]
    assert container["image"] == "registry/drill@sha256:aa"
    assert container["securityContext"]["privileged"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert "limits" not in container["resources"]
    assert container["command"][-4:] == ["--idle", "30", "--deadline", "600"]


def test_whose_it_is_stands_on_the_pod_in_words_that_labels_allow() -> None:
    metadata = helper_pod(SETTINGS, "n1", run="r1", holder="kim lee@lap/top" + "x" * 80)["metadata"]
    assert metadata["labels"][podspec.RUN_LABEL] == "r1"
    assert metadata["labels"][podspec.HOLDER_LABEL].startswith("kim-lee-lap-top")
    assert len(metadata["labels"][podspec.HOLDER_LABEL]) <= 63
    assert metadata["annotations"]["drill.dev/holder"].startswith("kim lee@lap/top")


def test_names_are_dns_labels_and_differ_by_run_and_node() -> None:
    long = "ip-10-0-0-1.eu-central-1.compute.internal." + "x" * 60
    names = {helper_name(node, run) for node in ("n1", long, "UPPER_case") for run in ("a", "b")}
    assert len(names) == 6
    assert all(len(name) <= 63 and name.replace("-", "a").isalnum() and name == name.lower() for name in names)


def test_an_ephemeral_container_has_one_capability_and_ends_by_itself() -> None:
    container = ephemeral_container(SETTINGS, "drill-agent-1")
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN"]}
    assert "privileged" not in container["securityContext"]
    assert "sleep 600" in container["command"][-1]


def test_the_command_goes_word_by_word_so_that_no_shell_reads_it() -> None:
    query = exec_query("helper", ["python3", "-m", "x; rm"])
    assert [value for key, value in query if key == "command"] == ["python3", "-m", "x; rm"]
    assert ("stdin", "true") in query


def test_what_remains_is_named_with_its_pod() -> None:
    left_behind(POD, {"event": {}, "cleared": {"removed": ["x"], "remains": []}})
    with pytest.raises(ActionFailed, match="web-0: left behind: nft table drill_x"):
        left_behind(POD, {"cleared": {"remains": ["nft table drill_x"]}})
    assert place(POD)["path"] == "/data"


def test_a_helper_its_node_refuses_is_named_with_the_nodes_words() -> None:
    why = "Pod was rejected: Node didn't have enough resource: cpu, requested: 20, used: 1990, capacity: 2000"
    status = {"phase": "Failed", "reason": "OutOfcpu", "message": why}
    refused = Pod.model_validate({"metadata": {"name": "h"}, "spec": {"nodeName": "n1"}, "status": status})
    with pytest.raises(Unavailable, match="the helper pod on n1 cannot run: Failed: OutOfcpu: Pod was rejected"):
        Waiting(["n1"], lambda _: None).look_at(refused)


class FakeStream:
    """Answers as *conduct* says, in a thread of its own, as the real one does."""

    def __init__(self, conduct: Callable[[dict[str, Any]], list[dict[str, Any]]], hello: dict[str, Any]) -> None:
        self.conduct, self.hello, self.closed = conduct, hello, False

    def open(self, on_line: Any, on_end: Any, beat: Any, beat_s: float) -> FakeStream:
        self.on_line, self.on_end = on_line, on_end
        self._tell({"hello": self.hello})
        return self

    def _tell(self, message: dict[str, Any]) -> None:
        self.on_line(json.dumps(message).encode())

    def send(self, line: bytes) -> None:
        message = json.loads(line)

        def answer() -> None:
            for said in self.conduct(message):
                self._tell(said) if "die" not in said else self.on_end(said["die"])

        threading.Thread(target=answer, daemon=True).start()

    def close(self) -> None:
        self.closed = True


def talk(conduct: Callable[[dict[str, Any]], list[dict[str, Any]]], protocol: int = PROTOCOL) -> Conversation:
    return Conversation("n1", FakeStream(conduct, {"protocol": protocol, "pid": 7}).open)  # type: ignore[arg-type]


def test_answers_find_their_questions_whatever_comes_between() -> None:
    event = {"held": ["i", "u"], "event": {"event": "lost"}}
    conversation = talk(lambda asked: [event, {"id": -1, "ok": {}}, {"id": asked["id"], "ok": {"do": asked["do"]}}])
    assert conversation.ask({"do": "snapshot"}, 5) == {"do": "snapshot"}
    assert list(conversation.events) == [event]


def test_a_refusal_carries_the_nodes_words_and_is_not_asked_again() -> None:
    conversation = talk(lambda asked: [{"id": asked["id"], "error": "no such fault"}])
    with pytest.raises(Said, match="n1: no such fault"):
        conversation.ask({"do": "hold"}, 5)


def test_a_stream_that_ends_under_a_question_answers_it_at_once() -> None:
    conversation = talk(lambda _: [{"die": "the stream was closed"}])
    began = time.monotonic()
    with pytest.raises(Unavailable, match=r"did not answer 'hold': the stream was closed"):
        conversation.ask({"do": "hold"}, 30)
    assert time.monotonic() - began < 5
    assert not conversation.alive
    with pytest.raises(Unavailable, match="ended: the stream was closed"):
        conversation.ask({"do": "hold"}, 30)


def test_a_helper_of_another_version_is_refused() -> None:
    with pytest.raises(Unavailable, match="its image is of another version of drill"):
        talk(lambda _: [], protocol=PROTOCOL + 1)
