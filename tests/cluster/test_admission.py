"""The admission operator on a real API server: denials, webhooks that follow policies, status, events."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from typing import Any

import pytest

from deploy.local.api import Api
from deploy.local.operators import Running
from tests.cluster.calls import (
    CPOL,
    PODS,
    RESOURCE_HOOKS,
    denied,
    pod,
    policy,
    post,
    review,
    until,
)

pytestmark = pytest.mark.cluster


def test_a_bad_pod_is_denied_with_kyvernos_message_and_a_good_one_comes_in(api: Api, apply: Any) -> None:
    apply(policy("require-team"))
    assert denied(api, PODS, pod("bad", app="a")).endswith(
        'admission webhook "validate.kyverno.svc-fail" denied the request: \n\n'
        "resource Pod/default/bad was blocked due to the following policies \n\n"
        "require-team:\n"
        "  check-team: 'validation error: label ''team'' is required. rule check-team failed\n"
        "    at path /metadata/labels/team/'\n"
    )
    api.ask(PODS, method="POST", body=pod("good", team="a"))
    api.ask(f"{PODS}/good?gracePeriodSeconds=0", method="DELETE")


def test_status_tells_what_the_policy_holds(api: Api, apply: Any) -> None:
    status = apply(policy("counted"))["status"]
    assert status["rulecount"] == {"validate": 1, "mutate": 0, "generate": 0, "verifyimages": 0}
    (condition,) = status["conditions"]
    assert (condition["reason"], condition["message"]) == ("Succeeded", "Ready")
    version = api.ask(f"{CPOL}/counted")["metadata"]["resourceVersion"]
    time.sleep(1.0)
    assert api.ask(f"{CPOL}/counted")["metadata"]["resourceVersion"] == version, "the status is written once"


def test_webhooks_follow_policies_within_two_seconds(api: Api, apply: Any) -> None:
    begun = time.monotonic()
    apply(policy("first", kind="ConfigMap"))
    (hook,) = api.ask(RESOURCE_HOOKS)["webhooks"]
    assert [rule["resources"] for rule in hook["rules"]] == [["configmaps"]]
    assert time.monotonic() - begun < 2
    begun = time.monotonic()
    api.ask(f"{CPOL}/first", method="DELETE")
    until(lambda: not api.ask(RESOURCE_HOOKS).get("webhooks"), timeout=2)
    assert time.monotonic() - begun < 2


def test_a_webhook_somebody_changed_is_put_right(api: Api, apply: Any) -> None:
    apply(policy("guarded", kind="ConfigMap"))
    broken = api.ask(RESOURCE_HOOKS)
    broken["webhooks"][0]["failurePolicy"] = "Ignore"
    api.ask(RESOURCE_HOOKS, method="PUT", body=broken)
    until(lambda: api.ask(RESOURCE_HOOKS)["webhooks"][0]["failurePolicy"] == "Fail")
    api.ask(RESOURCE_HOOKS, method="DELETE")
    until(lambda: (api.find(RESOURCE_HOOKS) or {}).get("webhooks"))


def test_an_invalid_policy_is_denied_with_path_and_reason(api: Api, apply: Any) -> None:
    document = policy("invalid")
    document["spec"]["rules"].append(dict(document["spec"]["rules"][0]))
    assert "spec.rules[1].name" in denied(api, CPOL, document)


def test_conditions_the_api_server_cannot_compile_are_denied(api: Api, apply: Any) -> None:
    broken = {"matchConditions": [{"name": "c", "expression": "request.object.metadata.keys(@)"}]}
    assert "matchConditions" in denied(api, CPOL, policy("conditions", webhookConfiguration=broken))


def test_expressions_that_no_object_of_the_kind_can_satisfy_are_told_with_their_place(admission: Running) -> None:
    cel = {"expressions": [{"expression": "object.spec.replicas > 1"}, {"expression": "object.replicas > 1"}]}
    written = policy("typed", kind="Deployment")
    written["spec"]["rules"][0]["validate"] = {"message": "no", "cel": cel}
    request: dict[str, Any] = {"uid": "7", "operation": "CREATE", "name": "typed", "object": written}
    request["userInfo"] = {"username": "ann"}
    request["kind"] = {"group": "kyverno.io", "version": "v1", "kind": "ClusterPolicy"}
    request["resource"] = {"group": "kyverno.io", "version": "v1", "resource": "clusterpolicies"}
    body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    status, answer = post(admission, "/policyvalidate", json.dumps(body).encode())
    assert status == 200, answer
    response = json.loads(answer)["response"]
    assert response["allowed"]
    assert [warning for warning in response["warnings"] if "undefined" in warning] == [
        "spec.rules[0].validate.cel.expressions[1].expression: Invalid value: compilation failed: "
        "1:8: undefined field 'replicas'; apps/v1 Deployment: object.replicas > 1"
    ]


def test_a_violation_becomes_an_event(api: Api, apply: Any) -> None:
    apply(policy("watched"))
    denied(api, PODS, pod("eventful"))
    (event,) = until(
        lambda: [
            item
            for item in api.ask("/apis/events.k8s.io/v1/namespaces/default/events")["items"]
            if item["regarding"].get("name") == "watched"
        ]
    )
    assert (event["type"], event["reason"], event["action"]) == ("Warning", "PolicyViolation", "Resource Blocked")
    assert event["reportingController"] == "kyverno-admission"
    assert event["related"]["name"] == "eventful"
    assert event["note"].startswith("Pod default/eventful: [check-team] fail (blocked); validation error: ")


def test_audit_lets_pass_and_says_so_when_asked(api: Api, apply: Any, admission: Running) -> None:
    apply(policy("audited", action="Audit", emitWarning=True))
    status, answer = post(admission, "/validate/fail", review())
    response = json.loads(answer)["response"]
    assert (status, response["allowed"]) == (200, True)
    assert [warning.partition(":")[0] for warning in response["warnings"]] == ["policy audited.check-team"]
    api.ask(f"{PODS}?dryRun=All", method="POST", body=pod("audited"))


def test_metrics_count_what_was_answered(api: Api, apply: Any, admission: Running) -> None:
    apply(policy("measured"))
    denied(api, PODS, pod("measured"))

    def seen() -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{admission.metrics_port}/metrics", timeout=5) as response:
            text = response.read().decode()
        return "kyverno_admission_requests_total{" in text and 'policy_name="measured"' in text

    until(seen)


def test_an_unknown_kind_in_a_policy_waits_for_its_definition(api: Api, apply: Any) -> None:
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    names = {"plural": "gadgets", "singular": "gadget", "kind": "Gadget"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "gadgets.test.pyvern.io"},
        "spec": {
            "group": "test.pyvern.io",
            "names": names,
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }
    apply(policy("gadgets", kind="Gadget"))
    assert not api.ask(RESOURCE_HOOKS).get("webhooks")
    api.ask(definitions, method="POST", body=definition)
    try:
        until(lambda: api.ask(RESOURCE_HOOKS).get("webhooks"), timeout=15)
        time.sleep(0.3)
        gadget = {"apiVersion": "test.pyvern.io/v1", "kind": "Gadget", "metadata": {"name": "g"}}
        assert "Gadget/default/g" in denied(api, "/apis/test.pyvern.io/v1/namespaces/default/gadgets", gadget)
    finally:
        api.ask(f"{definitions}/gadgets.test.pyvern.io", method="DELETE")
