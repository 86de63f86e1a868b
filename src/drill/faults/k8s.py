"""k8s/…: the actions of chaostoolkit-kubernetes by name, each with an undo and a proof that it reached something.

The driver reports success when nothing matched its selection. Owns which of its actions drill can take back and
prove, and how; :mod:`drill.chaostoolkit.k8s` does it. Its other actions are there as ``fault: chaostoolkit``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from pydantic import JsonValue, model_validator

from drill.core.activities import Activity, Call, PythonProvider
from drill.core.probes import Effect
from drill.faults.activities import Activities, proof, run, surroundings, unknown
from drill.faults.base import Backend, Outcome, Params, Site, TimedAction
from drill.faults.drivers import model_of

PACKAGE = "chaosk8s"
WRAPPER = "drill.chaostoolkit.k8s"
API = Backend("api", ("kubernetes",), "chaostoolkit-kubernetes, by the API server", api=True)
GONE: JsonValue = {"type": "gone"}
CHANGED: JsonValue = {"type": "changed"}


class SomePods(Params):
    """Without a selection the driver takes everything in the namespace; drill wants it said."""

    @model_validator(mode="after")
    def _selected(self) -> SomePods:
        _one_of(self, ("label_selector", "name_pattern"))
        return self


class SomeNodes(Params):
    """Without a selection the driver takes every node."""

    @model_validator(mode="after")
    def _selected(self) -> SomeNodes:
        _one_of(self, ("name", "label_selector", "pod_label_selector"))
        return self


class Named(Params):
    """Without a name the driver takes everything of that kind."""

    @model_validator(mode="after")
    def _selected(self) -> Named:
        _one_of(self, ("name", "label_selector"))
        return self


class Inline(Params):
    """What is created must be known when the plan is made."""

    @model_validator(mode="after")
    def _here(self) -> Inline:
        spec = getattr(self, "spec", None)
        name = spec.get("metadata", {}).get("name") if isinstance(spec, dict) else None
        if getattr(self, "spec_path", None) or not isinstance(name, str):
            raise ValueError("write the object under 'spec', with metadata.name: the plan must say what is created")
        return self


def _one_of(model: Params, names: tuple[str, ...]) -> None:
    known = [name for name in names if name in type(model).model_fields]
    if not any(getattr(model, name) for name in known):
        raise ValueError(f"one of {', '.join(known)} is needed: without it the driver takes everything there is")


@dataclass(frozen=True)
class Driver:
    """One action of the driver as a fault. ``tolerance`` judges what the wrapper observes of its selection."""

    function: str
    module: str
    summary: str
    tolerance: JsonValue
    checked: type[Params] = Params
    within_s: float = 120.0
    timeout_s: float = 60.0
    undo_s: float = 180.0

    @property
    def name(self) -> str:
        """As a scenario names it."""
        return f"k8s/{self.function}"

    @cached_property
    def params(self) -> type[Params]:
        """The arguments of the installed driver's function."""
        return model_of(PACKAGE, self.module, self.function, self.checked)

    def backends(self, params: Params) -> tuple[Backend, ...]:
        return (API,)

    def actions(self, params: Params, backend: str, site: Site) -> tuple[TimedAction, ...]:
        act = self._call("act", params, site, self.timeout_s)
        return run(site, act, self._call("restore", params, site, self.undo_s))

    def effect(self, params: Params, backend: str, site: Site) -> Effect:
        """What the selection shows is as the tolerance says, compared with before."""
        return proof(self._call("observe", params, site, 60.0, self.tolerance), self.within_s)

    def outcome(self, params: Params, backend: str, site: Site) -> Outcome:
        return unknown(site)

    def _call(self, step: str, params: Params, site: Site, timeout_s: float, tolerance: JsonValue = None) -> Call:
        """``act``, ``restore`` or ``observe`` of the wrapper, with the arguments the scenario gave."""
        given: dict[str, JsonValue] = params.model_dump(exclude_unset=True)
        provider = PythonProvider(
            type="python", module=WRAPPER, func=step, arguments={"action": self.function, "arguments": given}
        )
        activity = Activity(
            name=f"{self.function} {step}", provider=provider, timeout_s=timeout_s, tolerance=tolerance
        )
        return Call(activity=activity, surroundings=surroundings(Activities(), site, False))


MESH = "chaosmesh.network.actions"
STRESS = "chaosmesh.stress.actions"


def drivers() -> tuple[Driver, ...]:
    """Return the actions that drill can take back and prove."""
    return (
        Driver("terminate_pods", "pod.actions", "deletes pods; their controller must replace them", GONE, SomePods),
        Driver("delete_replica_set", "replicaset.actions", "deletes replica sets; the deployment must replace them",
               GONE, Named),
        Driver("rollout_deployment", "deployment.actions", "restarts a deployment pod by pod", GONE, Named),
        Driver("scale_deployment", "deployment.actions", "scales a deployment, and back to what it was", CHANGED),
        Driver("scale_statefulset", "statefulset.actions", "scales a stateful set, and back", CHANGED),
        Driver("scale_microservice", "actions", "scales a deployment by its older name", CHANGED),
        Driver("cordon_node", "node.actions", "takes nodes from the scheduler for a while", GONE, SomeNodes),
        Driver("drain_nodes", "node.actions", "evicts the pods of nodes; the nodes are given back", GONE, SomeNodes,
               timeout_s=300),
        Driver("deny_all_ingress", "networking.actions", "a NetworkPolicy that lets nothing in", CHANGED),
        Driver("deny_all_egress", "networking.actions", "a NetworkPolicy that lets nothing out", CHANGED),
        Driver("create_network_policy", "networking.actions", "a NetworkPolicy of your own", CHANGED, Inline),
        Driver("add_latency", MESH, "Chaos Mesh: delays packets", True),
        Driver("set_loss", MESH, "Chaos Mesh: loses packets", True),
        Driver("duplicate_packets", MESH, "Chaos Mesh: duplicates packets", True),
        Driver("corrupt_packets", MESH, "Chaos Mesh: corrupts packets", True),
        Driver("reorder_packets", MESH, "Chaos Mesh: reorders packets", True),
        Driver("set_bandwidth", MESH, "Chaos Mesh: limits the rate", True),
        Driver("stress_cpu", STRESS, "Chaos Mesh: burns CPU", True),
        Driver("stress_memory", STRESS, "Chaos Mesh: uses memory up", True),
    )  # fmt: skip
