"""Policies, settings and objects made to hurt the operator or each other: what they cannot do on a real API server."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from deploy.local.api import Api, Refused
from deploy.local.operators import Operators, Running
from tests.cluster.calls import CPOL, MAPS, RESOURCE_HOOKS, Document, config_map, denied, policy, probe, ready, until

pytestmark = pytest.mark.cluster
Apply = Callable[[Document], Document]
TENANT = "/apis/kyverno.io/v1/namespaces/default/policies"
SETTINGS = "/api/v1/namespaces/kyverno/configmaps/kyverno"
OWN: dict[str, Any] = {"webhookConfiguration": {"matchConditions": [{"name": "c", "expression": "true"}]}}


def rule(*kinds: str, **validate: Any) -> Document:
    return {
        "name": "r",
        "match": {"any": [{"resources": {"kinds": list(kinds)}}]},
        "validate": {"failureAction": "Enforce", **validate},
    }


def admitted(api: Api, path: str, document: Document) -> bool:
    try:
        api.ask(f"{path}?dryRun=All", method="POST", body=document)
    except Refused:
        return False
    return True


@pytest.mark.parametrize(("failure_policy", "passes"), [("Fail", False), ("Ignore", True)])
def test_of_a_rule_that_errs_the_failure_policy_decides(api: Api, apply: Apply, failure_policy: str, passes: bool) -> None:
    erring = rule(
        "ConfigMap", deny={"conditions": {"any": [{"key": "{{ request.object.nowhere }}", "operator": "Equals", "value": 1}]}}
    )
    apply(policy("erring", rules=[erring], failurePolicy=failure_policy))
    if passes:
        assert admitted(api, MAPS, config_map("erring"))
    else:
        assert 'Unknown key "nowhere" in path' in denied(api, MAPS, config_map("erring"))


def test_a_tenant_cannot_stop_the_webhooks_of_others_by_a_name(api: Api, apply: Apply) -> None:
    apply(policy("default-x", kind="ConfigMap", **OWN))
    tenants = {**policy("x", kind="ConfigMap", **OWN), "kind": "Policy"}
    api.ask(TENANT, method="POST", body=tenants)
    try:
        until(lambda: ready(api.ask(f"{TENANT}/x")))
        apply(policy("later", kind="Secret"))
        assert len(api.ask(RESOURCE_HOOKS)["webhooks"]) == 3
    finally:
        api.ask(f"{TENANT}/x", method="DELETE")


@pytest.mark.parametrize(
    "data",
    [
        {"webhooks": json.dumps({"namespaceSelector": {"matchExpressions": [{"key": "no label!", "operator": "Exists"}]}})},
        {"webhooks": json.dumps({"objectSelector": {"matchExpressions": [{"key": "a", "operator": "In", "values": "text"}]}})},
        {"matchConditions": json.dumps([{"name": "n", "expression": "this is ( nonsense"}])},
        {"webhookLabels": json.dumps({"no label!": "x"})},
        {"updateRequestThreshold": "²"},
    ],
    ids=lambda data: f"{next(iter(data))}",
)
@pytest.mark.parametrize("wait", [0.0, 1.0], ids=["at once", "later"])
def test_settings_that_the_api_server_refuses_hold_up_no_policy(
    api: Api, apply: Apply, data: dict[str, str], wait: float
) -> None:
    before = api.ask(SETTINGS)["data"]
    merge = "application/merge-patch+json"
    try:
        api.ask(SETTINGS, method="PATCH", body={"data": data}, content_type=merge)
        time.sleep(wait)
        apply(policy("unmoved", kind="ConfigMap"))
        denied(api, MAPS, config_map("unmoved"))
    finally:
        restored = {**dict.fromkeys(data), **before}
        api.ask(SETTINGS, method="PATCH", body={"data": restored}, content_type=merge)


def test_a_policy_for_all_kinds_can_be_deleted_and_spares_what_the_cluster_lives_on(api: Api, apply: Apply) -> None:
    apply(policy("everything", rules=[rule("*", message="nothing goes", deny={})]))
    assert "nothing goes" in denied(api, MAPS, config_map("everything"))
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "spared"}, "spec": {}}
    assert admitted(api, "/apis/coordination.k8s.io/v1/namespaces/default/leases", lease)
    assert admitted(api, "/api/v1/namespaces/kyverno/configmaps", config_map("spared"))
    assert "nothing goes" in denied(api, CPOL, policy("another"))
    api.ask(f"{CPOL}/everything", method="DELETE")
    until(lambda: admitted(api, MAPS, config_map("everything")), timeout=2)


def test_who_names_policies_guards_them(api: Api, apply: Apply) -> None:
    apply(policy("guarded"))
    guard = rule(
        "ClusterPolicy",
        message="stays",
        deny={"conditions": {"all": [{"key": "{{request.name}}", "operator": "Equals", "value": "guarded"}]}},
    )
    apply(policy("guard", rules=[guard]))
    with pytest.raises(Refused, match="stays"):
        api.ask(f"{CPOL}/guarded", method="DELETE")
    api.ask(f"{CPOL}/guard", method="DELETE")
    until(lambda: not any("clusterpolicies" in str(hook["rules"]) for hook in api.ask(RESOURCE_HOOKS).get("webhooks") or ()))


def test_a_policy_of_a_namespace_concerns_no_other(api: Api) -> None:
    tenants = {**policy("mine", kind="ConfigMap"), "kind": "Policy"}
    reaching = json.loads(json.dumps(tenants))
    reaching["spec"]["rules"][0]["match"]["any"][0]["resources"]["namespaces"] = ["kube-public"]
    assert "Filtering namespaces not allowed" in denied(api, TENANT, reaching)
    api.ask(TENANT, method="POST", body=tenants)
    try:
        until(lambda: ready(api.ask(f"{TENANT}/mine")))
        until(lambda: not admitted(api, MAPS, config_map("mine")))
        assert admitted(api, "/api/v1/namespaces/kube-public/configmaps", config_map("mine"))
    finally:
        api.ask(f"{TENANT}/mine", method="DELETE")


def test_a_policy_nested_without_end_is_denied_and_hurts_nobody(api: Api, admission: Running, operators: Operators) -> None:
    body: Document = {"list": "request.object.data.*", "deny": {}}
    for _ in range(150):
        body = {"list": "request.object.data.*", "foreach": [body]}
    assert "nested too deeply" in denied(api, CPOL, policy("deep", rules=[rule("ConfigMap", foreach=[body])]))
    assert probe(admission) == 200


def test_yaml_that_nests_without_end_is_denied_and_hurts_nobody(api: Api, apply: Apply, admission: Running) -> None:
    condition = {"key": "{{ parse_yaml(request.object.data.text) }}", "operator": "Equals", "value": "x"}
    apply(policy("parsing", rules=[rule("ConfigMap", deny={"conditions": {"any": [condition]}})]))
    for text in ("[" * 200_000, "- " * 200_000):
        assert "exceeded max depth" in denied(api, MAPS, config_map("bomb", text=text))
    assert probe(admission) == 200
