"""Webhook configurations from policies: what the API server is told to send us."""

from __future__ import annotations

from typing import Any

import pytest

from controllers.admission.policy_hints import hints
from controllers.admission.webhooks import VALIDATING, Wanted, desired, differs
from controllers.cluster.discovery import Discovery, parse
from controllers.cluster.settings import Settings, WebhookDefaults
from engine import compile_policy
from engine.policy import Policy

Document = dict[str, Any]
EVERY = ["CONNECT", "CREATE", "DELETE", "UPDATE"]
WANTED = Wanted(ca_bundle=b"ca")
SETTINGS = Settings()


def served(group: str, kind: str, plural: str, *subresources: str, scope: str = "Namespaced", version: str = "v1") -> Document:
    resource = {
        "resource": plural,
        "responseKind": {"group": group, "version": version, "kind": kind},
        "scope": scope,
        "verbs": ["list", "create"],
        "subresources": [{"subresource": name, "verbs": ["update"]} for name in subresources],
    }
    return {"metadata": {"name": group}, "versions": [{"version": version, "resources": [resource]}]}


DISCOVERY = Discovery.of(
    parse(
        {
            "items": [
                served("", "Pod", "pods", "exec", "status"),
                served("", "ConfigMap", "configmaps"),
                served("", "Secret", "secrets"),
                served("apps", "Deployment", "deployments", "scale", "status"),
                served("apiextensions.k8s.io", "CustomResourceDefinition", "customresourcedefinitions", scope="Cluster"),
            ]
        }
    )
)


def policy(*kinds: str, name: str = "p", namespace: str = "", spec: Document | None = None, **resources: Any) -> Policy:
    rule: Document = {
        "name": "r",
        "match": {"any": [{"resources": {"kinds": list(kinds), **resources}}]},
        "validate": {"failureAction": "Audit", "message": "m", "pattern": {"metadata": {"labels": {"team": "?*"}}}},
    }
    metadata = {
        "name": name,
        "annotations": {"pod-policies.kyverno.io/autogen-controllers": "none"},
        **({"namespace": namespace} if namespace else {}),
    }
    return compile_policy(
        {
            "apiVersion": "kyverno.io/v1",
            "kind": "Policy" if namespace else "ClusterPolicy",
            "metadata": metadata,
            "spec": {"background": False, "rules": [rule], **(spec or {})},
        }
    )


def validating(*policies: Policy, wanted: Wanted = WANTED, settings: Settings = SETTINGS) -> list[Document]:
    found = desired(policies, settings, DISCOVERY, wanted)
    hooks: list[Document] = next(c for c in found if c["metadata"]["name"] == VALIDATING.name)["webhooks"]
    return hooks


def rule(resources: list[str], *, group: str = "", operations: list[str] | None = None, scope: str = "Namespaced") -> Document:
    version = "*" if group == "*" else "v1"
    return {
        "apiGroups": [group],
        "apiVersions": [version],
        "operations": operations or EVERY,
        "resources": resources,
        "scope": scope,
    }


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("Pod", rule(["pods", "pods/ephemeralcontainers"])),
        ("ConfigMap", rule(["configmaps"])),
        ("apps/v1/Deployment", rule(["deployments"], group="apps")),
        ("Deployment.scale", rule(["deployments/scale"], group="apps")),
        ("Pod/*", rule(["pods/exec", "pods/status"])),
        ("CustomResourceDefinition", rule(["customresourcedefinitions"], group="apiextensions.k8s.io", scope="Cluster")),
        ("*", rule(["*", "pods/ephemeralcontainers"], group="*", scope="*")),
        ("*/*", rule(["*/*"], group="*", scope="*")),
        ("*/scale", rule(["*/scale"], group="*", scope="*")),
    ],
)
def test_kinds_become_resources(kind: str, expected: Document) -> None:
    (hook,) = validating(policy(kind))
    assert hook["rules"] == [expected]


def test_one_webhook_for_each_failure_policy() -> None:
    hooks = validating(policy("Pod"), policy("Secret", name="q", spec={"failurePolicy": "Ignore"}))
    assert [(hook["name"], hook["failurePolicy"], hook["clientConfig"]["service"]["path"]) for hook in hooks] == [
        ("validate.kyverno.svc-fail", "Fail", "/validate/fail"),
        ("validate.kyverno.svc-ignore", "Ignore", "/validate/ignore"),
    ]


def test_no_policies_no_resource_webhooks() -> None:
    assert validating() == []


def test_resources_with_the_same_operations_share_a_rule() -> None:
    (hook,) = validating(policy("ConfigMap"), policy("Secret", name="q", namespace="blue"), policy("ConfigMap", name="s"))
    assert hook["rules"] == [rule(["configmaps", "secrets"])]


def test_operations_of_the_rules_are_asked_for_and_no_others() -> None:
    (hook,) = validating(policy("ConfigMap"), policy("*/scale", name="q", operations=["CREATE"]))
    assert hook["rules"] == [rule(["configmaps"]), rule(["*/scale"], group="*", operations=["CREATE"], scope="*")]


def test_operations_of_several_policies_on_one_kind_are_united() -> None:
    (hook,) = validating(policy("Secret", operations=["CREATE"]), policy("Secret", name="q", operations=["DELETE"]))
    assert hook["rules"] == [rule(["secrets"], operations=["CREATE", "DELETE"])]


@pytest.mark.parametrize(
    ("target", "operations"),
    [
        ({"data": {"data": {"a": "b"}}, "synchronize": True}, ["DELETE", "UPDATE"]),
        ({"clone": {"name": "source", "namespace": "default"}, "synchronize": True}, ["CREATE", "DELETE", "UPDATE"]),
        ({"data": {"data": {"a": "b"}}, "synchronize": False}, []),
    ],
)
def test_what_is_generated_is_watched_over_and_not_reviewed_when_it_is_made(target: Document, operations: list[str]) -> None:
    named = {"apiVersion": "v1", "kind": "ConfigMap", "name": "made", "namespace": "{{request.object.metadata.namespace}}"}
    match = {"any": [{"resources": {"kinds": ["Secret"]}}]}
    generating = {"name": "r", "match": match, "generate": {**named, **target}}
    (hook,) = validating(policy("Pod", spec={"rules": [generating]}))
    assert [entry["operations"] for entry in hook["rules"] if entry["resources"] == ["configmaps"]] == [operations] * bool(
        operations
    )


def test_everything_covers_single_kinds() -> None:
    (hook,) = validating(policy("Secret"), policy("*", name="q"))
    assert [r["resources"] for r in hook["rules"]] == [["*", "pods/ephemeralcontainers"]]


def test_a_wildcard_webhook_never_asks_about_leases_and_events() -> None:
    (hook,) = validating(policy("*"))
    assert [condition["name"] for condition in hook["matchConditions"]] == ["never-leases-and-events.pyvern.io"]


def test_an_unserved_kind_is_left_out_until_it_is_served() -> None:
    found = policy("Foo", "Pod")
    (hook,) = validating(found)
    assert hook["rules"] == [rule(["pods", "pods/ephemeralcontainers"])]
    (hint,) = hints(found, DISCOVERY)
    assert "unable to convert GVK to GVR for kinds Foo, err: failed to find resource (*/*/Foo/)" in hint


@pytest.mark.parametrize(
    ("kind", "pattern", "subresource"),
    [
        ("Deployment", {"spec": {"replicas": ">1"}}, "scale"),
        ("Deployment", {"=(status)": {"phase": "?*"}}, "status"),
        ("Deployment", {"spec": {"note": "{{ request.object.spec.replicas }}"}}, "scale"),
        ("Deployment", {"metadata": {"labels": {"status-page": "replicas1"}}}, ""),
        ("Deployment/scale", {"spec": {"replicas": ">1"}}, ""),
        ("ConfigMap", {"data": {"replicas": ">1", "status": "?*"}}, ""),
    ],
)
def test_a_field_that_a_subresource_writes_too_gets_a_hint(kind: str, pattern: Document, subresource: str) -> None:
    validate = {"validate": {"message": "the replicas of status", "pattern": pattern}}
    document = policy("Pod", spec={"background": False}).document
    rule = {**document["spec"]["rules"][0], "match": {"any": [{"resources": {"kinds": [kind]}}]}, **validate}
    compiled = compile_policy({**document, "spec": {"background": False, "rules": [rule]}})
    given = " ".join(hints(compiled, DISCOVERY))
    assert (f"the {subresource} subresource" in given) if subresource else not given


def test_a_policy_with_its_own_conditions_gets_its_own_webhook() -> None:
    conditions = [{"name": "c", "expression": "true"}]
    spec = {"webhookConfiguration": {"matchConditions": conditions, "timeoutSeconds": 4}}
    shared, own = validating(policy("Pod"), policy("Pod", name="q", namespace="blue", spec=spec))
    assert shared["name"] == "validate.kyverno.svc-fail"
    assert own["name"] == "validate.kyverno.svc-fail-finegrained-blue-q"
    assert own["clientConfig"]["service"]["path"] == "/validate/fail/finegrained/blue/q"
    assert (own["matchConditions"], own["timeoutSeconds"]) == (conditions, 4)


def test_names_that_would_meet_or_be_too_long_are_told_apart() -> None:
    """A tenant's policy `blue/q` must not stop the webhooks of everybody by being called as `blue-q` is."""
    spec = {"webhookConfiguration": {"timeoutSeconds": 4}}
    long = "n" * 250
    hooks = validating(
        policy("Pod", name="blue-q", spec=spec),
        policy("Pod", name="q", namespace="blue", spec=spec),
        policy("Pod", name=long, spec=spec),
    )
    names = [hook["name"] for hook in hooks]
    assert names[0] == "validate.kyverno.svc-fail-finegrained-blue-q"
    assert names[1].startswith("validate.kyverno.svc-fail-finegrained-blue-q-")
    assert len(set(names)) == 3
    assert max(map(len, names)) <= 253
    paths = [hook["clientConfig"]["service"]["path"] for hook in hooks]
    assert paths == [f"/validate/fail/finegrained/{key}" for key in ("blue-q", "blue/q", long)]


def test_conditions_of_several_authors_fit_into_one_webhook() -> None:
    ours = [{"name": "never-leases-and-events.pyvern.io", "expression": "1 == 1"}]
    ours += [{"name": f"c{number}", "expression": f"{number} == {number}"} for number in range(63)]
    theirs = Settings(webhooks=WebhookDefaults(match_conditions=({"name": "c1", "expression": "false"},)))
    (hook,) = validating(policy("*", spec={"webhookConfiguration": {"matchConditions": ours}}), settings=theirs)
    conditions = hook["matchConditions"]
    assert len({condition["name"] for condition in conditions}) == len(conditions) == 64
    text = " && ".join(condition["expression"] for condition in conditions)
    for expression in ("false", "1 == 1", "0 == 0", "62 == 62", "coordination.k8s.io"):
        assert expression in text


def test_forced_ignore_moves_everything() -> None:
    (hook,) = validating(policy("Pod"), wanted=Wanted(ca_bundle=b"ca", force_ignore=True))
    assert (hook["name"], hook["failurePolicy"]) == ("validate.kyverno.svc-ignore", "Ignore")


def test_a_policy_outside_admission_is_left_out() -> None:
    assert validating(policy("Pod", spec={"admission": False, "background": True})) == []


def test_a_server_outside_the_cluster_is_called_by_url() -> None:
    (hook,) = validating(policy("Pod"), wanted=Wanted(ca_bundle=b"ca", url="https://127.0.0.1:9443"))
    assert hook["clientConfig"] == {"url": "https://127.0.0.1:9443/validate/fail", "caBundle": "Y2E="}


def test_settings_of_the_config_map_are_on_every_resource_webhook() -> None:
    selector = {"matchExpressions": [{"key": "k", "operator": "Exists"}]}
    defaults = WebhookDefaults(namespace_selector=selector, labels={"l": "1"}, annotations={"a": "2"})
    found = desired([policy("Pod")], Settings(webhooks=defaults), DISCOVERY, WANTED)
    assert found[0]["metadata"]["labels"] == {"l": "1", "webhook.kyverno.io/managed-by": "kyverno"}
    assert found[0]["metadata"]["annotations"] == {"a": "2"}
    assert found[0]["webhooks"][0]["namespaceSelector"] == selector


def test_the_same_policies_in_another_order_want_the_same() -> None:
    first, second = policy("Pod"), policy("Secret", name="q")
    assert desired([first, second], SETTINGS, DISCOVERY, WANTED) == desired([second, first], SETTINGS, DISCOVERY, WANTED)


def test_metadata_of_others_makes_no_difference_but_any_webhook_does() -> None:
    wanted = desired([policy("Pod")], SETTINGS, DISCOVERY, WANTED)[0]
    live = {**wanted, "metadata": {**wanted["metadata"], "labels": {**wanted["metadata"]["labels"], "other": "x"}}}
    assert not differs(live, wanted)
    assert differs({**live, "webhooks": []}, wanted)
    assert differs(None, wanted)


def test_a_label_that_the_settings_give_up_goes_and_one_of_others_stays() -> None:
    def wanted(**labels: str) -> dict[str, Any]:
        return desired([policy("Pod")], Settings(webhooks=WebhookDefaults(labels=labels)), DISCOVERY, WANTED)[0]

    before, now = wanted(l="1"), wanted()
    live = {**before, "metadata": {**before["metadata"], "labels": {**before["metadata"]["labels"], "other": "x"}}}
    assert not differs(live, now)
    assert differs(live, now, last=before)
    assert not differs(
        {**live, "metadata": {**now["metadata"], "labels": {"other": "x", **now["metadata"]["labels"]}}}, now, last=before
    )
