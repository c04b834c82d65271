"""Any document compiles or raises `InvalidPolicy`."""

from __future__ import annotations

import copy
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.compiler import compile_policy
from engine.errors import InvalidPolicy

CONDITIONS = {"any": [{"key": "{{ request.object.a }}", "operator": "AnyIn", "value": ["x"], "message": "m"}]}
CONTEXT = [
    {"name": "v", "variable": {"value": {"a": "{{ request.object.b }}"}, "jmesPath": "a", "default": 1}},
    {"name": "c", "configMap": {"name": "n", "namespace": "d"}},
    {"name": "p", "apiCall": {"urlPath": "/api/v1/pods", "method": "GET", "jmesPath": "items"}},
    {
        "name": "s",
        "apiCall": {"method": "POST", "data": [{"key": "k", "value": 1}], "service": {"url": "https://x", "headers": []}},
    },
]


def rule(name: str, **body: Any) -> dict[str, Any]:
    match = {"any": [{"resources": {"kinds": ["Pod"], "namespaces": ["x*"], "operations": ["CREATE"]}}]}
    return {"name": name, "match": match, "context": CONTEXT, "preconditions": CONDITIONS, **body}


POLICY = {
    "apiVersion": "kyverno.io/v1",
    "kind": "ClusterPolicy",
    "metadata": {"name": "p", "annotations": {"pod-policies.kyverno.io/autogen-controllers": "Deployment"}},
    "spec": {
        "webhookConfiguration": {"timeoutSeconds": 5, "matchConditions": [{"name": "a", "expression": "true"}]},
        "validationFailureActionOverrides": [
            {"action": "Audit", "namespaces": ["a"], "namespaceSelector": {"matchLabels": {"a": "b"}}}
        ],
        "rules": [
            rule(
                "pattern", validate={"message": "{{ v }}", "pattern": {"spec": {"=(a)": [{"b": "{{ v }}|$(./../c)", "c": "1"}]}}}
            ),
            rule("any", validate={"anyPattern": [{"a": "?*"}, {"b": 1}]}),
            rule("deny", validate={"deny": {"conditions": CONDITIONS}}, exclude={"any": [{"resources": {"kinds": ["Pod"]}}]}),
            rule(
                "foreach",
                validate={
                    "foreach": [
                        {
                            "list": "request.object.a",
                            "context": CONTEXT,
                            "preconditions": CONDITIONS,
                            "pattern": {"a": "{{ element }}"},
                        },
                        {"list": "request.object.a", "foreach": [{"list": "element", "deny": {"conditions": CONDITIONS}}]},
                    ]
                },
            ),
            rule(
                "psa",
                validate={"podSecurity": {"level": "baseline", "exclude": [{"controlName": "Capabilities", "images": ["*"]}]}},
            ),
            rule("mutate", mutate={"patchStrategicMerge": {"metadata": {"labels": {"+(a)": "{{ v }}"}}}}),
            rule(
                "images",
                verifyImages=[{"imageReferences": ["*"], "mutateDigest": False, "attestors": [{"entries": [{"keys": {}}]}]}],
            ),
        ],
    },
}

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        ["", "x", "*", "{{ request.object.a }}", "{{ v }}", "{{", "{{ a b }}", "$(./../x)", "=(a)", "<5", "a/b/c/d/e", "\x00"]
    ),
    st.text(max_size=5),
    st.lists(st.sampled_from([None, 1, "x", {}, []]), max_size=2),
    st.dictionaries(st.sampled_from(["a", "key", "name", "any", "{{ v }}"]), st.sampled_from([None, 1, "x", {}, []]), max_size=2),
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, member in members for place in places(member, (*at, key)))]


PLACES = [place for place in places(POLICY) if place]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PLACES), VALUES), min_size=1, max_size=2))
def test_a_damaged_policy_compiles_or_is_refused(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    document = copy.deepcopy(POLICY)
    for place, value in changes:
        with suppress(KeyError, IndexError, TypeError):
            holder: Any = document
            for key in place[:-1]:
                holder = holder[key]
            holder[place[-1]] = value
    before = repr(document)
    with suppress(InvalidPolicy):
        compile_policy(document)
    assert repr(document) == before


def test_the_policy_itself_compiles() -> None:
    compile_policy(POLICY)
