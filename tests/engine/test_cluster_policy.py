"""ClusterPolicy and Policy documents as compiled policies (spec 1.2, 2.2, 3.7)."""

from __future__ import annotations

from typing import Any

import pytest

from engine.compiler import compile_policy
from engine.policy import Effect, Policy
from engine.request import Object, Request, kind_of
from tests.policies import cluster_policy, outcomes, request_for, rows

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "namespace": "prod"},
    "spec": {"containers": [{"name": "c", "image": "nginx:1.25"}]},
}
TEAM = {"pattern": {"metadata": {"labels": {"team": "?*"}}}, "message": "label 'team' is required"}


def rule(validate: Object | None = None, **more: Any) -> Object:
    return {
        "name": "check-team",
        "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
        "validate": TEAM if validate is None else validate,
        **more,
    }


def policy(*rules: Object, kind: str = "ClusterPolicy", metadata: Object | None = None, **spec: Any) -> Policy:
    return compile_policy(
        {
            "apiVersion": "kyverno.io/v1",
            "kind": kind,
            "metadata": {"name": "p", **(metadata or {})},
            "spec": {"background": False, "rules": list(rules) or [rule()], **spec},
        }
    )


def test_a_pod_without_the_label_fails() -> None:
    assert rows(policy(), request_for(POD)) == [
        (
            "check-team",
            "fail",
            "validation error: label 'team' is required. rule check-team failed at path /metadata/labels/",
        )
    ]


def test_generated_rules_come_after_the_written_ones() -> None:
    compiled = policy()
    assert [r.name for r in compiled.rules] == ["check-team", "autogen-check-team", "autogen-cronjob-check-team"]
    assert [r.origin for r in compiled.rules] == ["", "check-team", "check-team"]
    assert [document["name"] for document in compiled.autogen] == ["autogen-check-team", "autogen-cronjob-check-team"]


def test_preconditions_skip_with_their_message() -> None:
    unmet = {"all": [{"key": 1, "operator": "Equals", "value": 2, "message": "one is not two"}]}
    assert rows(policy(rule(preconditions=unmet)), request_for(POD)) == [
        ("check-team", "skip", "preconditions not met; one is not two")
    ]


def test_preconditions_without_a_value_are_an_error() -> None:
    broken = {"all": [{"key": "{{ request.object.nope }}", "operator": "Equals", "value": 2}]}
    ((_, status, text),) = rows(policy(rule(preconditions=broken)), request_for(POD))
    assert status == "error"
    assert text.startswith("failed to evaluate preconditions: failed to substitute variables in condition key: failed to resolve")


def test_context_reaches_preconditions_check_and_message() -> None:
    body = {"message": "{{ who }}", "deny": {"conditions": {"all": [{"key": "{{ who }}", "operator": "Equals", "value": "web"}]}}}
    context = [{"name": "who", "variable": {"jmesPath": "request.object.metadata.name"}}]
    met = {"all": [{"key": "{{ who }}", "operator": "Equals", "value": "web"}]}
    assert rows(policy(rule(body, context=context, preconditions=met)), request_for(POD)) == [("check-team", "fail", "web")]


def test_context_of_one_rule_is_unknown_to_the_next() -> None:
    one = rule({"message": "{{ to_string(x) }}", "deny": {}}, name="one", context=[{"name": "x", "variable": {"value": "a"}}])
    two = rule({"message": "{{ to_string(x) }}", "deny": {}}, name="two")
    assert [text for _, _, text in rows(policy(one, two), request_for(POD))] == ["a", "null"]


def test_pattern_rules_are_not_asked_on_delete_but_deny_is() -> None:
    compiled = policy(rule(), rule({"message": "stay", "deny": {}}, name="deny"))
    assert rows(compiled, request_for(POD, "DELETE")) == [("deny", "fail", "stay")]


@pytest.mark.parametrize(
    ("validate", "spec", "namespace", "labels", "action"),
    [
        ({}, {}, "prod", {}, "Audit"),
        ({}, {"validationFailureAction": "enforce"}, "prod", {}, "Enforce"),
        ({"failureAction": "Audit"}, {"validationFailureAction": "Enforce"}, "prod", {}, "Audit"),
        ({"failureAction": "Enforce"}, {}, "prod", {}, "Enforce"),
        (
            {"failureAction": "Audit", "failureActionOverrides": [{"action": "Enforce", "namespaces": ["pr*"]}]},
            {},
            "prod",
            {},
            "Enforce",
        ),
        (
            {"failureAction": "Audit", "failureActionOverrides": [{"action": "Enforce", "namespaces": ["dev"]}]},
            {},
            "prod",
            {},
            "Audit",
        ),
        (
            {},
            {"validationFailureActionOverrides": [{"action": "Enforce", "namespaceSelector": {"matchLabels": {"env": "live"}}}]},
            "prod",
            {"env": "live"},
            "Enforce",
        ),
        (
            {},
            {
                "validationFailureAction": "Enforce",
                "validationFailureActionOverrides": [
                    {"action": "Audit", "namespaces": ["prod"], "namespaceSelector": {"matchLabels": {"env": "live"}}}
                ],
            },
            "prod",
            {"env": "test"},
            "Enforce",
        ),
        (
            {"failureAction": "Audit"},
            {"validationFailureActionOverrides": [{"action": "Enforce", "namespaces": ["prod"]}]},
            "prod",
            {},
            "Audit",
        ),
    ],
)
def test_the_effective_action(validate: Object, spec: Object, namespace: str, labels: dict[str, str], action: str) -> None:
    compiled = policy(rule({**TEAM, **validate}), **spec)
    request = Request(operation="CREATE", kind=kind_of(POD), object=POD, namespace=namespace, namespace_labels=labels)
    assert compiled.rules[0].action(request) == action


def test_settings_and_their_defaults() -> None:
    plain = policy(background=None)
    assert (plain.admission, plain.background, plain.apply_one, plain.emit_warning, plain.scored) == (
        True,
        True,
        False,
        False,
        True,
    )
    assert (plain.webhook.failure_policy, plain.webhook.timeout_seconds, plain.webhook.fine_grained) == ("Fail", None, False)
    assert plain.rules[0].allow_existing_violations
    assert plain.rules[0].skip_background_requests
    conditions = [{"name": "a", "expression": "true"}]
    tuned = policy(
        rule({**TEAM, "allowExistingViolations": False}, skipBackgroundRequests=False),
        metadata={"annotations": {"policies.kyverno.io/scored": "false"}},
        applyRules="One",
        emitWarning=True,
        webhookConfiguration={"failurePolicy": "Ignore", "timeoutSeconds": 5, "matchConditions": conditions},
    )
    assert (tuned.background, tuned.apply_one, tuned.emit_warning, tuned.scored) == (False, True, True, False)
    assert (tuned.webhook.failure_policy, tuned.webhook.timeout_seconds, tuned.webhook.fine_grained) == ("Ignore", 5, True)
    assert not tuned.rules[0].allow_existing_violations
    assert not tuned.rules[0].skip_background_requests


def test_identity_of_a_namespaced_policy() -> None:
    compiled = policy(kind="Policy", metadata={"namespace": "prod", "uid": "u", "resourceVersion": "7"})
    assert compiled.identity.key == "prod/p"
    assert (compiled.identity.kind, compiled.identity.uid, compiled.identity.resource_version) == ("Policy", "u", "7")
    assert rows(compiled, request_for(POD))
    assert rows(compiled, request_for({**POD, "metadata": {"name": "web", "namespace": "dev"}})) == []


def test_rules_of_all_kinds_are_counted_and_have_an_effect() -> None:
    where = {"any": [{"resources": {"kinds": ["ConfigMap"]}}]}
    mutate = {"patchStrategicMerge": {"metadata": {"labels": {"a": "b"}}}}
    target = {"apiVersion": "v1", "kind": "Secret", "name": "s", "namespace": "n"}
    compiled = policy(
        rule(match=where),
        {"name": "mutate", "match": where, "mutate": mutate},
        {"name": "existing", "match": where, "mutate": {**mutate, "targets": [target]}},
        {
            "name": "generate",
            "match": where,
            "generate": {"apiVersion": "v1", "kind": "Secret", "name": "s", "namespace": "n", "data": {}},
        },
        {"name": "images", "match": where, "verifyImages": [{"imageReferences": ["*"], "mutateDigest": False}]},
    )
    assert [r.effect for r in compiled.rules] == [
        Effect.VALIDATE,
        Effect.MUTATE,
        Effect.MUTATE_EXISTING,
        Effect.GENERATE,
        Effect.VERIFY_IMAGES,
    ]
    assert compiled.rule_count == {"validate": 1, "mutate": 2, "generate": 1, "verifyimages": 1}


def test_images_of_the_pod_are_variables() -> None:
    body = {"message": "{{ images.containers.c.registry }}/{{ images.containers.c.tag }}", "deny": {}}
    assert rows(policy(rule(body)), request_for(POD)) == [("check-team", "fail", "docker.io/1.25")]


def test_image_extractors_find_images_in_other_kinds() -> None:
    task = {
        "apiVersion": "tekton.dev/v1",
        "kind": "Task",
        "metadata": {"name": "t"},
        "spec": {"steps": [{"name": "build", "image": "ghcr.io/a/b"}]},
    }
    extracting = {
        "name": "r",
        "match": {"any": [{"resources": {"kinds": ["Task"]}}]},
        "imageExtractors": {"Task": [{"path": "/spec/steps/*", "value": "image", "key": "name", "name": "steps"}]},
        "validate": {"message": "{{ images.steps.build.reference }}", "deny": {}},
    }
    assert rows(policy(extracting), request_for(task)) == [("r", "fail", "ghcr.io/a/b:latest")]


def test_report_properties_are_filled_in() -> None:
    compiled = policy(rule(reportProperties={"who": "{{ request.object.metadata.name }}", "fixed": "yes"}))
    ((_, outcome),) = outcomes(compiled, request_for(POD))
    assert outcome.properties == {"who": "web", "fixed": "yes"}


def test_evaluating_changes_neither_policy_nor_object() -> None:
    body = {
        "message": "{{ request.object.metadata.name }}",
        "deny": {
            "conditions": {
                "all": [{"key": "{{ request.object.spec.containers[].image }}", "operator": "AnyIn", "value": ["nginx*"]}]
            }
        },
    }
    document = {
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": "p"},
        "spec": {"background": False, "rules": [rule(body)]},
    }
    before = repr((document, POD))
    rows(compile_policy(document), request_for(POD))
    assert repr((document, POD)) == before


def test_an_assertion_tree_is_accepted_and_says_nothing() -> None:
    rule = {
        "name": "r",
        "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
        "validate": {"assert": {"all": [{"check": {"spec": {"(length(containers) > `9`)": True}}}]}},
    }
    policy = compile_policy(cluster_policy(rule))
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": []}}
    assert outcomes(policy, request_for(pod)) == []
