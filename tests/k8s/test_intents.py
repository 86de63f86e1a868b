"""What stands on a Service is enough to undo, and what cannot be read is said to be so."""

from __future__ import annotations

from typing import Any

from drill.core.actions import AwaitReplica, ChangeTemplate, CordonNode, ReleaseFault, ScaleWorkload
from drill.target.kubernetes import intents, marks, objects
from drill.target.kubernetes.ports import PodRef
from drill.target.kubernetes.recover import by_hand_of

POD = PodRef(
    namespace="shop",
    name="web-x",
    uid="u",
    node="a",
    address="10.1.0.7",
    port=80,
    container="web",
    container_id="c",
)
SCALE = ScaleWorkload(injection="s", service="web", workload="Deployment/web", to=3, before=1, back=True)
RELEASE = ReleaseFault(injection="h", replica="web-0")


def service(annotations: dict[str, str]) -> objects.Service:
    said: dict[str, Any] = {"name": "web", "namespace": "shop", "annotations": annotations}
    return objects.Service.model_validate({"metadata": said})


def test_an_intent_is_read_back_as_it_was_written():
    written = intents.intent("run-1", "h", [RELEASE, SCALE], {"web-0": POD})
    (found,) = intents.found_on(service({written.key: written.model_dump_json(), "other": "1"}))
    assert found.intent == written
    assert (found.namespace, found.service, found.key) == ("shop", "web", written.key)


def test_the_key_is_a_valid_annotation_whatever_the_run_is_called():
    for run in ("20261125T031737Z-pod-kill", "x" * 300, "ä/ö"):
        name = intents.intent(run, "i", [], {}).key.removeprefix("drill.dev/")
        assert len(name) <= 63
        assert name.replace("-", "").isalnum()


def test_injections_of_one_run_and_runs_of_one_injection_stand_side_by_side():
    keys = {intents.intent(run, injection, [], {}).key for run in ("a", "b") for injection in ("x", "y")}
    assert len(keys) == 4


def test_what_another_version_wrote_is_named_and_not_guessed():
    (found,) = intents.found_on(
        service({f"{marks.INTENT}1": '{"run": "a", "injection": "x", "undo": [{"do": "new"}]}'})
    )
    assert found.intent is None
    assert "cannot be read" in found.why


def test_every_undo_has_a_command_for_hands():
    of = intents.intent("run", "h", [], {"web-0": POD})
    image = ChangeTemplate(
        injection="r",
        service="web",
        workload="Deployment/web",
        container="web",
        field="image",
        value='"a"',
        before='"b"',
    )
    said = {
        by_hand_of(undo, of, "kubectl -n shop")
        for undo in (SCALE, RELEASE, image, CordonNode(injection="n", service="web", node="a", back=True))
    }
    assert said == {
        "kubectl -n shop scale deployment/web --replicas=3",
        "kubectl -n shop delete pod web-x",
        "kubectl -n shop rollout undo deployment/web",
        "kubectl -n shop uncordon a",
    }
    assert (
        by_hand_of(AwaitReplica(injection="k", replica="web-0"), of, "kubectl -n shop")
        == "kubectl -n shop get pods"
    )
