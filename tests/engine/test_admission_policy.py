"""Native admission policies: what they match, what they say, what they change (as the API server would)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine import (
    Effect,
    Facts,
    GroupVersionKind,
    GroupVersionResource,
    InvalidPolicy,
    PolicySet,
    Request,
    Response,
    Unknown,
    bind,
    compile_policy,
    mutate,
    respond,
    validate,
)
from engine.facts import Lookup, resource, resources
from engine.request import Object
from engine.result import Result, Status

EVERY: Object = {"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]}
PODS: Object = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["pods"]}


def policy(**spec: Any) -> Object:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicy" if "mutations" in spec else "ValidatingAdmissionPolicy",
        "metadata": {"name": "p"},
        "spec": {"matchConstraints": {"resourceRules": [PODS]}, **spec},
    }


def binding(name: str = "b", *, kind: str = "ValidatingAdmissionPolicyBinding", **spec: Any) -> Object:
    metadata = {"name": name}
    if kind == "ValidatingAdmissionPolicyBinding":
        spec = {"validationActions": ["Deny"], **spec}
    spec = {"policyName": "p", **spec}
    return {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": metadata, "spec": spec}


def pod(name: str = "x", **metadata: Any) -> Object:
    spec = {"containers": [{"name": "c", "image": "a", "ports": [{"containerPort": 80}]}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "blue", **metadata}, "spec": spec}


def asking(document: Object | None = None, **changes: Any) -> Request:
    document = document or pod()
    request = Request(
        operation="CREATE",
        kind=GroupVersionKind("", "v1", "Pod"),
        resource=GroupVersionResource("", "v1", "pods"),
        object=document,
        namespace="blue",
        name=document["metadata"]["name"],
    )
    return replace(request, **changes)


def results(
    document: Object, *bindings: Object, request: Request | None = None, answers: dict[Lookup, Any] | None = None
) -> tuple[Result, ...]:
    policies = PolicySet([bind(compile_policy(document), bindings)])
    effects = frozenset({Effect.VALIDATE, Effect.MUTATE})
    found: tuple[Response, ...] = respond(policies, request or asking(), Facts(answers or {}), effects=effects)
    return tuple(result for response in found for result in response.results)


FALSE: Object = {"expression": "object.metadata.name != 'x'"}


def test_the_first_validation_that_is_false_fails_the_policy() -> None:
    (result,) = results(policy(validations=[{"expression": "true"}, FALSE, {"expression": "false", "message": "later"}]))
    assert (result.rule.name, result.status) == ("p", Status.FAIL)
    assert result.message == "failed expression: object.metadata.name != 'x'"
    assert results(policy(validations=[{"expression": "true"}]))[0][1:3] == (Status.PASS, "")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"message": "no {{ x }}"}, "no {{ x }}"),
        ({"messageExpression": "'no ' + object.metadata.name", "message": "m"}, "no x"),
        ({"messageExpression": "object.nope.nope", "message": "m"}, "m"),
        ({"messageExpression": "'a\\nb'", "message": "m"}, "m"),
        ({"messageExpression": "'  '"}, "failed expression: object.metadata.name != 'x'"),
    ],
)
def test_what_a_failure_says(said: Object, message: str) -> None:
    assert results(policy(validations=[{**FALSE, **said}]))[0].message == message


BROKEN: Object = {"expression": "object.spec.nope == 1"}


def test_an_expression_that_cannot_be_evaluated_is_an_error() -> None:
    (result,) = results(policy(validations=[BROKEN, FALSE]))
    assert result.status is Status.ERROR
    assert result.message == "expression 'object.spec.nope == 1' resulted in error: no such key: nope"


def test_with_failure_policy_ignore_another_validation_may_still_fail() -> None:
    (result,) = results(policy(validations=[BROKEN, FALSE], failurePolicy="Ignore"))
    assert result.status is Status.FAIL
    (result,) = results(policy(validations=[BROKEN], failurePolicy="Ignore"))
    assert result.status is Status.ERROR


def test_errors_block_by_failure_policy() -> None:
    for failure_policy, allowed in (("Fail", False), ("Ignore", True)):
        compiled = bind(compile_policy(policy(validations=[BROKEN], failurePolicy=failure_policy)), [binding()])
        assert validate(PolicySet([compiled]), asking()).allowed is allowed


def test_match_conditions_skip_the_policy() -> None:
    unmet = [{"name": "a", "expression": "object.nope"}, {"name": "b", "expression": "false"}]
    assert results(policy(validations=[FALSE], matchConditions=unmet))[0][1:3] == (Status.SKIP, "match conditions aren't met")
    broken = [{"name": "a", "expression": "object.nope == 1"}]
    assert results(policy(validations=[FALSE], matchConditions=broken))[0].status is Status.ERROR
    ignoring = policy(validations=[FALSE], matchConditions=broken, failurePolicy="Ignore")
    assert results(ignoring)[0].status is Status.SKIP


def test_variables_build_on_each_other() -> None:
    variables = [{"name": "n", "expression": "object.metadata.name"}, {"name": "m", "expression": "variables.n + '!'"}]
    assert results(policy(variables=variables, validations=[{"expression": "variables.m == 'x!'"}]))[0].status is Status.PASS


def test_audit_annotations_become_properties() -> None:
    annotations = [
        {"key": "name", "valueExpression": "'is ' + object.metadata.name"},
        {"key": "none", "valueExpression": "null"},
    ]
    assert results(policy(auditAnnotations=annotations))[0].properties == {"name": "is x"}
    broken = [{"key": "name", "valueExpression": "object.nope"}]
    assert results(policy(auditAnnotations=broken))[0].status is Status.ERROR
    assert results(policy(auditAnnotations=broken, failurePolicy="Ignore"))[0].status is Status.PASS


def test_every_binding_that_matches_gives_a_result() -> None:
    only_red = {"objectSelector": {"matchLabels": {"colour": "red"}}}
    bindings = [binding("a"), binding("b", validationActions=["Audit"]), binding("c", matchResources=only_red)]
    found = results(policy(validations=[FALSE]), *bindings, binding("d", policyName="q"))
    assert [(one.properties["binding"], one.enforced) for one in found] == [("a", True), ("b", False)]


def test_without_bindings_nothing_is_enforced() -> None:
    (result,) = results(policy(validations=[FALSE]))
    assert (result.enforced, dict(result.properties)) == (False, {})


def matching(constraints: Object, request: Request) -> bool:
    document = policy(validations=[FALSE], matchConstraints={"resourceRules": [EVERY], **constraints})
    return bool(results(document, request=request))


@pytest.mark.parametrize(
    ("rule", "matched"),
    [
        ({}, True),
        ({"apiGroups": ["apps"]}, False),
        ({"apiVersions": ["v2"]}, False),
        ({"operations": ["UPDATE"]}, False),
        ({"resources": ["pods", "services"]}, True),
        ({"resources": ["services"]}, False),
        ({"resources": ["pods/status"]}, False),
        ({"resources": ["pods/*"]}, True),
        ({"resources": ["*/*"]}, True),
        ({"resourceNames": ["x"]}, True),
        ({"resourceNames": ["y"]}, False),
        ({"scope": "Namespaced"}, True),
        ({"scope": "Cluster"}, False),
    ],
)
def test_resource_rules(rule: Object, matched: bool) -> None:
    one = {**EVERY, **rule}
    assert matching({"resourceRules": [one]}, asking()) is matched
    assert matching({"excludeResourceRules": [one]}, asking()) is not matched


def test_subresources_are_asked_for_by_name() -> None:
    request = asking(subresource="status")
    assert not matching({}, request)
    for resource_name, matched in (("pods/status", True), ("*/status", True), ("pods/*", True), ("pods/scale", False)):
        assert matching({"resourceRules": [{**EVERY, "resources": [resource_name]}]}, request) is matched


def test_the_object_selector_looks_at_the_old_object_too() -> None:
    constraints = {"objectSelector": {"matchLabels": {"a": "b"}}}
    labelled, bare = pod(labels={"a": "b"}), pod()
    assert matching(constraints, asking(labelled))
    assert not matching(constraints, asking(bare))
    assert matching(constraints, asking(bare, operation="UPDATE", old_object=labelled))
    assert matching(constraints, asking(bare, operation="DELETE", object=None, old_object=labelled))


def test_the_namespace_selector() -> None:
    constraints = {"namespaceSelector": {"matchExpressions": [{"key": "env", "operator": "In", "values": ["prod"]}]}}
    assert matching(constraints, asking(namespace_labels={"env": "prod"}))
    assert not matching(constraints, asking(namespace_labels={"env": "test"}))
    assert not matching(constraints, asking())
    assert matching(constraints, asking(namespace=""))  # a cluster-scoped object lies in no namespace
    for labels, matched in (({"env": "prod"}, True), ({}, False)):
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "blue", "labels": labels}}
        itself = asking(namespace, kind=GroupVersionKind("", "v1", "Namespace"), namespace_labels={"env": "prod"})
        assert matching(constraints, itself) is matched


CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap"}
LIMITED = policy(paramKind=CONFIG_MAP, validations=[{"expression": "object.metadata.name == params.data.name"}])


def config(name: str) -> Object:
    return {**CONFIG_MAP, "metadata": {"name": name, "labels": {"kind": "limit"}}, "data": {"name": name}}


def test_parameters_are_asked_for_by_name() -> None:
    bound = binding(paramRef={"name": "x", "namespace": "limits"})
    asked = resource("v1", "ConfigMap", namespace="limits", name="x")
    with pytest.raises(Unknown) as caught:
        results(LIMITED, bound)
    assert caught.value.lookups == {asked}
    assert results(LIMITED, bound, answers={asked: config("x")})[0].status is Status.PASS
    assert results(LIMITED, bound, answers={asked: config("y")})[0].status is Status.FAIL


def test_every_parameter_that_a_selector_finds_must_agree() -> None:
    selector = {"matchLabels": {"kind": "limit"}}
    bound = binding(paramRef={"selector": selector})
    asked = resources("v1", "ConfigMap", namespace="blue", selector=selector)
    other = {**config("y"), "metadata": {"name": "y"}}
    assert results(LIMITED, bound, answers={asked: [config("x"), other]})[0].status is Status.PASS
    assert results(LIMITED, bound, answers={asked: [config("x"), config("y")]})[0].status is Status.FAIL


def test_parameters_that_are_not_there() -> None:
    asked = resource("v1", "ConfigMap", namespace="blue", name="x")
    (result,) = results(LIMITED, binding(paramRef={"name": "x"}), answers={asked: None})
    assert result.status is Status.ERROR
    assert "no params found" in result.message
    allowing = binding(paramRef={"name": "x", "parameterNotFoundAction": "Allow"})
    assert results(LIMITED, allowing, answers={asked: None}) == ()


def mutating(*expressions: str, **spec: Any) -> Object:
    mutations = [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": text}} for text in expressions]
    return policy(mutations=mutations, **spec)


def json_patch(expression: str) -> Object:
    return policy(mutations=[{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}])


def test_mutations_see_what_the_ones_before_did() -> None:
    (result,) = results(
        mutating(
            "Object{metadata: Object.metadata{labels: {'a': '1'}}}",
            "Object{metadata: Object.metadata{labels: {'b': object.metadata.labels['a'] + '2'}}}",
        )
    )
    assert (result.status, result.message) == (Status.PASS, "mutation is successfully applied")
    assert result.patched is not None
    assert result.patched["metadata"]["labels"] == {"a": "1", "b": "12"}


def test_lists_of_built_in_kinds_merge_by_their_keys() -> None:
    container = "Object.spec.containers{name: '%s', image: '%s'}"
    (result,) = results(
        mutating(f"Object{{spec: Object.spec{{containers: [{container % ('d', 'q')}, {container % ('c', 'z')}]}}}}")
    )
    assert result.patched is not None
    ports = [{"containerPort": 80}]
    assert result.patched["spec"]["containers"] == [{"name": "c", "image": "z", "ports": ports}, {"name": "d", "image": "q"}]


def test_atomic_lists_are_not_applied() -> None:
    (result,) = results(mutating("Object{spec: Object.spec{containers: [Object.spec.containers{name: 'c', args: ['-v']}]}}"))
    assert result.status is Status.ERROR
    assert result.message.endswith("may not mutate atomic arrays, maps or structs: .spec.containers[0].args")


def test_a_json_patch_is_made_by_an_expression() -> None:
    escaped = "JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('a/b'), value: 'c'}"
    added = "[JSONPatch{op: 'add', path: '/metadata/labels', value: {}}, " + escaped + "]"
    (result,) = results(json_patch(added))
    assert result.patched is not None
    assert result.patched["metadata"]["labels"] == {"a/b": "c"}


def test_a_json_patch_whose_test_fails_changes_nothing() -> None:
    (result,) = results(json_patch("[JSONPatch{op: 'test', path: '/metadata/name', value: 'y'}]"))
    assert (result.status, result.patched) == (Status.PASS, None)
    (result,) = results(json_patch("[JSONPatch{op: 'remove', path: '/metadata/nope'}]"))
    assert result.status is Status.ERROR


def test_the_verb_makes_a_patch_of_it() -> None:
    policies = PolicySet([compile_policy(mutating("Object{metadata: Object.metadata{labels: {'a': '1'}}}"))])
    verdict = mutate(policies, asking())
    assert list(verdict.patch) == [{"op": "add", "path": "/metadata/labels", "value": {"a": "1"}}]


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("Object{spec: Object.metadata{}}", 'unexpected type name "Object.metadata", expected "Object.spec"'),
        ("Object.spec{}", '1:8: unexpected type name "Object.spec", expected "Object", which'),
        (
            "true ? Object{} : Object{spec: Object.spec{containers: [Object.spec{}]}}",
            'unexpected type name "Object.spec", expected "Object.spec.containers"',
        ),
    ],
)
def test_object_types_stand_where_their_fields_are(expression: str, fault: str) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        compile_policy(mutating(expression))
    assert fault in caught.value.reason


def test_a_json_patch_has_the_fields_of_an_operation() -> None:
    with pytest.raises(InvalidPolicy) as caught:
        compile_policy(json_patch("[JSONPatch{op: 'add', pfad: '/a'}]"))
    assert "undefined field 'pfad'" in caught.value.reason


def test_an_empty_configuration_changes_nothing() -> None:
    assert results(mutating("Object{}"))[0].patched is None


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (policy(), "spec"),
        (policy(validations=[FALSE], matchConstraints=None), "spec.matchConstraints"),
        (policy(validations=[FALSE], matchConstraints={}), "spec.matchConstraints.resourceRules"),
        (
            policy(validations=[FALSE], matchConstraints={"resourceRules": [{**PODS, "operations": ["PATCH"]}]}),
            "spec.matchConstraints.resourceRules[0].operations[0]",
        ),
        (
            policy(validations=[FALSE], matchConstraints={"resourceRules": [{**PODS, "resources": []}]}),
            "spec.matchConstraints.resourceRules[0].resources",
        ),
        (policy(validations=[{"expression": "object."}]), "spec.validations[0].expression"),
        (policy(validations=[{"expression": "1 + 1"}]), "spec.validations[0].expression"),
        (policy(validations=[{"expression": "params.a == 1"}]), "spec.validations[0].expression"),
        (
            policy(validations=[FALSE], matchConditions=[{"name": "a", "expression": "nope"}]),
            "spec.matchConditions[0].expression",
        ),
        (policy(validations=[FALSE], colour="red"), "spec.colour"),
        (policy(mutations=[{"patchType": "Merge"}]), "spec.mutations[0].patchType"),
        (policy(mutations=[{"patchType": "JSONPatch"}]), "spec.mutations[0].jsonPatch.expression"),
        (json_patch("true"), "spec.mutations[0].jsonPatch.expression"),
    ],
)
def test_faults_are_named_by_their_path(document: Object, path: str) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        compile_policy(document)
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("bound", "path"),
    [
        (binding(validationActions=["Shout"]), "spec.validationActions[0]"),
        (binding(paramRef={"name": "a", "selector": {}}), "spec.paramRef"),
        (binding(paramRef={}), "spec.paramRef"),
        (binding(matchResources={"resourceRules": [{}]}), "spec.matchResources.resourceRules[0].apiGroups"),
    ],
)
def test_faults_of_bindings(bound: Object, path: str) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        bind(compile_policy(LIMITED), [bound])
    assert caught.value.path == path
