"""Stored policies that do not compile: the rules at fault stay and answer `error`, so that failurePolicy decides."""

from __future__ import annotations

from typing import Any

import pytest

from engine import (
    Effect,
    GroupVersionKind,
    InvalidPolicy,
    Object,
    PolicySet,
    Request,
    Status,
    compile_policy,
    compile_stored,
    validate,
)

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "d", "labels": {"team": "a"}}, "spec": {}}
DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "d"}, "spec": {}}
GOOD = {"name": "good", "match": {"any": [{"resources": {"kinds": ["ConfigMap"]}}]}, "validate": {"pattern": {"data": "?*"}}}


def rule(name: str = "broken", **body: Any) -> Object:
    body = body or {"validate": {"failureAction": "Enforce", "message": "{{ a( }}", "deny": {}}}
    return {"name": name, "match": {"any": [{"resources": {"kinds": ["Pod"]}}]}, **body}


def policy(*rules: Object, **spec: Any) -> Object:
    return {
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": "stored"},
        "spec": {**spec, "rules": list(rules)},
    }


def request(document: Object, operation: str = "CREATE") -> Request:
    group, _, version = document["apiVersion"].rpartition("/")
    kind = GroupVersionKind(group, version, document["kind"])
    gone = operation == "DELETE"
    return Request(
        operation=operation,
        kind=kind,
        object=None if gone else document,
        old_object=document if gone else None,
        namespace=document["metadata"]["namespace"],
    )


def test_a_policy_without_faults_is_what_it_always_was() -> None:
    stored, compiled = (
        compile_stored(policy(GOOD, rule(validate={"deny": {}}))),
        compile_policy(policy(GOOD, rule(validate={"deny": {}}))),
    )
    assert [r.name for r in stored.rules] == [r.name for r in compiled.rules]
    assert not any(r.error for r in stored.rules)


@pytest.mark.parametrize(("failure_policy", "allowed"), [("Fail", False), ("Ignore", True)])
def test_the_failure_policy_answers_for_a_rule_at_fault(failure_policy: str, allowed: bool) -> None:
    policies = PolicySet([compile_stored(policy(rule(), failurePolicy=failure_policy))])
    verdict = validate(policies, request(POD))
    assert verdict.allowed is allowed
    assert [(r.rule.name, r.status) for r in verdict.results] == [("broken", Status.ERROR)]
    assert verdict.results[0].message.startswith("spec.rules[0]: ")


def test_a_rule_at_fault_that_audits_blocks_nothing() -> None:
    body = {"message": "{{ a( }}", "deny": {}}
    assert validate(PolicySet([compile_stored(policy(rule(validate=body)))]), request(POD)).allowed


def test_generated_rules_of_a_rule_at_fault_err_too() -> None:
    compiled = compile_stored(policy(rule()))
    assert [bool(r.error) for r in compiled.rules] == [True, True, True]
    assert compiled.autogen == ()
    assert not validate(PolicySet([compiled]), request(DEPLOYMENT)).allowed


def test_the_other_rules_go_on() -> None:
    compiled = compile_stored(policy(rule("one"), GOOD, rule("two")))
    assert {r.name for r in compiled.rules if not r.error} == {"good"}
    assert compiled.rule_count["validate"] == 3


def test_a_body_that_judges_shape_still_lets_objects_go() -> None:
    compiled = compile_stored(policy(rule(validate={"failureAction": "Enforce", "message": "{{ a( }}", "pattern": {"spec": {}}})))
    assert not validate(PolicySet([compiled]), request(POD)).allowed
    assert validate(PolicySet([compiled]), request(POD, "DELETE")).allowed


@pytest.mark.parametrize(
    ("body", "effect"),
    [
        ({"mutate": {"patchesJson6902": "[}"}}, Effect.MUTATE),
        (
            {"mutate": {"targets": [{"apiVersion": "v1", "kind": "Pod", "name": "{{ a( }}"}], "patchStrategicMerge": {}}},
            Effect.MUTATE_EXISTING,
        ),
        ({"generate": {"apiVersion": "v1", "kind": "{{ a( }}", "name": "x", "namespace": "y", "data": {}}}, Effect.GENERATE),
        ({}, Effect.VALIDATE),
    ],
)
def test_a_rule_at_fault_keeps_its_effect(body: Object, effect: Effect) -> None:
    document = rule(**body) if body else {"name": "broken", "match": rule()["match"]}
    assert {(r.effect, bool(r.error)) for r in compile_stored(policy(document)).rules if not r.origin} == {(effect, True)}


@pytest.mark.parametrize(
    "document",
    [
        policy(rule(), admission=False, background=False),
        policy({**rule(), "match": {"any": [{"resources": {"kinds": ["Pod"], "selector": {"matchLabels": 1}}}]}}),
        policy(rule("same"), rule("same")),
        policy({"name": "none"}),
    ],
    ids=["the policy itself", "match", "name", "no match"],
)
def test_what_nobody_can_place_is_refused_as_a_whole(document: Object) -> None:
    with pytest.raises(InvalidPolicy):
        compile_stored(document)
