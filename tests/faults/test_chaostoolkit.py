"""Activities in scenario files: what is refused, at which line and column, and what becomes of the rest."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from drill.core.actions import RunActivity, UndoActivity, describe, undo_of
from drill.core.activities import secrets_in
from drill.core.redact import redact
from drill.faults.activities import tolerance_error
from drill.faults.base import Site
from drill.faults.k8s import drivers
from drill.faults.registry import faults, parameter_models
from drill.scenario.loader import Loaded, load
from faults.world import facts

DO = {"provider": {"type": "process", "path": "touch", "arguments": ["/tmp/x"]}}
ASK = {"provider": {"type": "http", "url": "http://127.0.0.1:9/"}, "tolerance": 200}


def loaded(with_: dict[str, Any], fault: str = "chaostoolkit") -> Loaded:
    text = yaml.safe_dump(
        {
            "apiVersion": "drill/v1",
            "kind": "Scenario",
            "metadata": {"name": "x", "owner": "sre"},
            "hypothesis": "h",
            "injections": [
                {"id": "one", "fault": fault, "target": {"service": "checkout"}, "with": with_, "for": "5m"}
            ],
            "expect": {"alerts": [{"match": {"slo": "a"}}]},
        },
        sort_keys=False,
    )
    return load(text, faults=parameter_models(), file="x.yaml")


def whole(**changes: Any) -> dict[str, Any]:
    return {"action": DO, "undo": DO, "probe": ASK, **changes}


@pytest.mark.parametrize(
    ("with_", "message", "at"),
    [
        ({"action": DO, "probe": ASK}, "needs 'undo' under 'with'", "action:"),
        ({"action": DO, "undo": DO}, "needs 'probe' under 'with'", "action:"),
        (whole(probe={"provider": ASK["provider"]}), "needs 'tolerance' under 'with'", "provider:"),
        (whole(probe={**ASK, "tolerance": 0.5}), "a fraction is never met", "0.5"),
        (whole(probe={**ASK, "tolerance": {"type": "regex", "pattern": "("}}), "a regular expression: missing )", "type: regex"),
        (whole(action={"provider": {"type": "ftp"}}), "'ftp' is no type of this", "type: ftp"),
        (whole(action={"provider": {"path": "x"}}), "missing key 'type'", "path: x"),
        (whole(action={"provider": {"type": "python", "module": "os; rm", "func": "x"}}), "os; rm", "os; rm"),
        (whole(action={**DO, "timeout": "0s"}), "out of range", "0s"),
        (whole(action={**DO, "pauses": {"after": 1}}), "no parameter 'pauses'", "pauses"),
        (whole(secrets={"a": {"b": "hunter2"}}), "a secret itself never stands in a scenario", ""),
        (whole(secrets={"a": {"b": {"env": "X", "file": "y"}}}), "write one of {env: VARIABLE} and {file: PATH}", "env: X"),
        (whole(configuration={"password": "hunter2hunter2"}), "looks like a secret", ""),
    ],
)  # fmt: skip
def test_a_mistake_is_told_where_it_stands(with_: dict[str, Any], message: str, at: str) -> None:
    found = loaded(with_)
    assert found.scenario is None
    (problem,) = found.problems
    assert message in problem.message, problem.message
    assert at in problem.source_line, (problem.source_line, at)
    assert at or not problem.source_line, "the line of a secret is not shown"
    assert problem.line


@pytest.mark.parametrize(
    "value",
    [
        {"headers": {"Authorization": "Bearer abcdef0123456789"}},
        {"url": "https://user:pa55word@host/"},
        {"arguments": ["--token=abcdef123456"]},
        {"arguments": {"api_key": "k"}},
    ],
)
def test_what_looks_like_a_secret_is_found(value: object) -> None:
    assert list(secrets_in(value))


@pytest.mark.parametrize(
    "value",
    [
        {"headers": {"Authorization": "Bearer ${token}"}},
        {"password": "${password}"},
        {"arguments": ["--token", "${token}"], "url": "https://host/?q=1"},
        {"name": "secretary", "number": 5, "nothing": None},
    ],
)
def test_references_and_ordinary_values_are_none(value: object) -> None:
    assert not list(secrets_in(value))


def test_a_reference_to_a_secret_is_not_redacted_from_a_file() -> None:
    assert redact("Authorization: Bearer $${token}") == "Authorization: Bearer $${token}"
    assert redact("Authorization: Bearer abcdef012") == "Authorization: *** abcdef012" or "abcdef012" not in redact(
        "Authorization: Bearer abcdef012"
    )


@pytest.mark.parametrize(
    ("tolerance", "good"),
    [
        (True, True), (200, True), ("text", True), ([200, 204], True), ({"type": "changed"}, True),
        ({"type": "gone", "at_least": 2}, True), ({"type": "gone", "at_least": 0}, False),
        ({"type": "not", "tolerance": 200}, True), ({"type": "not", "tolerance": 0.2}, False),
        ({"type": "range", "range": [1, 2]}, True), ({"type": "range", "range": [1]}, False),
        ({"type": "probe"}, False), (0.5, False), ({}, False), (None, False),
    ],
)  # fmt: skip
def test_tolerances(tolerance: object, good: bool) -> None:
    assert (tolerance_error(tolerance) == "") == good


def site(number: int = 0, target: str = "sandbox") -> Site:
    world = facts().with_(target=target)
    checkout = world.service("checkout")
    assert checkout
    return Site("one", world, checkout, checkout.replicas[number], 20.0)


def actions(with_: dict[str, Any], number: int = 0) -> RunActivity:
    fault = faults()["chaostoolkit"]
    ((at_s, action),) = fault.actions(fault.params.model_validate(with_), "chaoslib", site(number))
    assert at_s == 0.0
    assert isinstance(action, RunActivity)
    return action


def test_an_activity_of_a_service_is_one_action_whichever_replica_is_asked() -> None:
    assert actions(whole(), 0) == actions(whole(), 1)
    assert actions(whole()).replica == ""


def test_an_activity_of_each_replica_knows_the_replica() -> None:
    first, second = actions(whole(each="replica"), 0), actions(whole(each="replica"), 1)
    assert (first.replica, second.replica) == ("checkout-0", "checkout-1")
    known = second.call.surroundings.configuration
    assert known["drill_replica"] == "checkout-1"
    assert known["drill_address"] == "10.231.1.2"
    assert not first.touches() & second.touches()


def test_its_undo_is_an_activity_that_outlives_it_and_its_guard_waits_longer_than_the_plan() -> None:
    action = actions(whole())
    undo = undo_of(action)
    assert isinstance(undo, UndoActivity)
    assert undo_of(undo) == undo
    assert undo.touches() == frozenset()
    assert action.hold_s == 20 + 30 + 30 + 20
    assert "touch /tmp/x" in describe(action)


def test_the_sandbox_gives_activities_no_kubernetes_context() -> None:
    fault = faults()["chaostoolkit"]
    params = fault.params.model_validate(whole())
    ((_, there),) = fault.actions(params, "chaoslib", site(target="kind-drill"))
    assert isinstance(there, RunActivity)
    assert (actions(whole()).call.surroundings.context, there.call.surroundings.context) == ("", "kind-drill")


@pytest.mark.parametrize("driver", drivers(), ids=lambda driver: driver.function)
def test_the_installed_driver_has_every_function_and_it_takes_a_secrets_argument(driver: Any) -> None:
    assert "secrets" not in driver.params.model_fields
    assert driver.params.model_fields


@pytest.mark.parametrize(
    ("fault", "with_", "message", "at"),
    [
        ("k8s/terminate_pods", {"ns": "shop"}, "one of label_selector, name_pattern is needed", "ns: shop"),
        ("k8s/terminate_pods", {"label_selector": "a=b", "qtty": 1}, "no parameter 'qtty'", "qtty"),
        ("k8s/terminate_pods", {"label_selector": "a=b", "qty": "many"}, "expected a whole number", "qty: many"),
        ("k8s/scale_deployment", {"name": "cart"}, "needs 'replicas' under 'with'", "name: cart"),
        ("k8s/drain_nodes", {"timeout": 5}, "is needed: without it the driver takes everything", "timeout: 5"),
        ("k8s/create_network_policy", {"spec_path": "x.yaml"}, "write the object under 'spec'", "spec_path"),
        ("k8s/terminate_podz", {}, "unknown fault 'k8s/terminate_podz'", "terminate_podz"),
    ],
)
def test_arguments_of_a_driver_are_checked_by_its_signature(
    fault: str, with_: dict[str, Any], message: str, at: str
) -> None:
    (problem,) = loaded(with_, fault).problems
    assert message in problem.message, problem.message
    assert at in problem.source_line
    if fault.endswith("podz"):
        assert problem.hint == "did you mean 'k8s/terminate_pods'?"


def test_a_drivers_action_needs_a_cluster() -> None:
    (driver,) = (one for one in drivers() if one.function == "terminate_pods")
    assert driver.backends(driver.params.model_validate({"label_selector": "a=b"}))[0].needs == ("kubernetes",)


def test_models_of_drivers_are_made_only_when_asked_for() -> None:
    """Listing names must not read the driver's source: completion and `drill validate` have their budgets."""
    from drill.faults import drivers as reading

    reading._tree.cache_clear()
    assert "k8s/add_latency" in parameter_models()
    assert reading._tree.cache_info().currsize == 0
