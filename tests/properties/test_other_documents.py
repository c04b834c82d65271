"""Documents beside ClusterPolicy: any of them compiles or raises `InvalidPolicy`, and is never written to."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import InvalidPolicy, bind, compile_exception, compile_policy
from tests.properties.test_policy_documents import CONDITIONS, CONTEXT, VALUES, places

MATCH = {"any": [{"resources": {"kinds": ["Pod"], "selector": {"matchLabels": {"a": "b"}}}}]}
TARGET = {"apiVersion": "v1", "kind": "ConfigMap", "name": "{{ request.object.a }}", "namespace": "b"}
GENERATE = [
    {**TARGET, "data": {"data": {"a": "{{ v }}"}}},
    {**TARGET, "clone": {"name": "a", "namespace": "b"}},
    {"namespace": "b", "cloneList": {"namespace": "c", "kinds": ["v1/Secret"], "selector": {"matchLabels": {"a": "b"}}}},
    {"foreach": [{"list": "request.object.a", "context": CONTEXT, "preconditions": CONDITIONS, **TARGET}]},
]
RULES = [
    {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["pods"], "scope": "*"}]}
]
CONSTRAINTS = {**RULES[0], "objectSelector": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}}
SHARED = {
    "matchConstraints": CONSTRAINTS,
    "matchConditions": [{"name": "a", "expression": "object.a"}],
    "variables": [{"name": "a", "expression": "1"}],
    "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
}


def document(api_version: str, kind: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "p", "namespace": "n"}, "spec": spec}


POLICY = document("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", validations=[{"expression": "true"}], **SHARED)


def compile_binding(binding: Any) -> None:
    bind(compile_policy(POLICY), [binding])


DOCUMENTS: list[tuple[Callable[[Any], Any], dict[str, Any]]] = [
    (
        compile_exception,
        document(
            "kyverno.io/v2",
            "PolicyException",
            match=MATCH,
            conditions=CONDITIONS,
            exceptions=[{"policyName": "p", "ruleNames": ["a*"]}],
            podSecurity=[{"controlName": "Capabilities", "images": ["*"]}],
        ),
    ),
    (
        compile_policy,
        document(
            "kyverno.io/v2",
            "ClusterCleanupPolicy",
            schedule="*/5 * * * *",
            match=MATCH,
            conditions=CONDITIONS,
            context=[entry for entry in CONTEXT if "configMap" not in entry],
        ),
    ),
    (
        compile_policy,
        document(
            "kyverno.io/v1",
            "ClusterPolicy",
            rules=[{"name": f"r{n}", "match": MATCH, "context": CONTEXT, "generate": body} for n, body in enumerate(GENERATE)],
        ),
    ),
    (
        compile_policy,
        document(
            "admissionregistration.k8s.io/v1",
            "ValidatingAdmissionPolicy",
            validations=[{"expression": "variables.a == 1", "messageExpression": "'a'", "reason": "Invalid"}],
            auditAnnotations=[{"key": "a", "valueExpression": "'a'"}],
            **SHARED,
        ),
    ),
    (
        compile_policy,
        document(
            "admissionregistration.k8s.io/v1alpha1",
            "MutatingAdmissionPolicy",
            mutations=[
                {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{spec: Object.spec{}}"}},
                {"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{op: 'add', path: '/a', value: 1}]"}},
            ],
            **SHARED,
        ),
    ),
    (
        compile_binding,
        document(
            "admissionregistration.k8s.io/v1",
            "ValidatingAdmissionPolicyBinding",
            policyName="p",
            validationActions=["Deny"],
            paramRef={"selector": {"matchLabels": {"a": "b"}}, "parameterNotFoundAction": "Allow"},
            matchResources=CONSTRAINTS,
        ),
    ),
]
PLACES = [(index, place) for index, (_, whole) in enumerate(DOCUMENTS) for place in places(whole) if place]


@pytest.mark.parametrize("index", range(len(DOCUMENTS)))
def test_the_documents_themselves_compile(index: int) -> None:
    compiling, whole = DOCUMENTS[index]
    compiling(whole)


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(PLACES), VALUES)
def test_a_damaged_document_compiles_or_is_refused(place: tuple[int, tuple[Any, ...]], value: Any) -> None:
    compiling, whole = DOCUMENTS[place[0]]
    damaged = copy.deepcopy(whole)
    holder: Any = damaged
    for key in place[1][:-1]:
        holder = holder[key]
    holder[place[1][-1]] = value
    before = repr(damaged)
    with suppress(InvalidPolicy):
        compiling(damaged)
    assert repr(damaged) == before
