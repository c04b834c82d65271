"""The message of a denied request (spec 3.5)."""

from __future__ import annotations

from typing import Any

from engine.compiler import compile_policy
from engine.evaluate import validate
from engine.policyset import PolicySet
from tests.policies import request_for

CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": "team"}}


def denying(kind: str, rule: str, **metadata: str) -> dict[str, Any]:
    body = {"message": f"{rule} says no", "failureAction": "Enforce", "deny": {}}
    match = {"any": [{"resources": {"kinds": ["ConfigMap"]}}]}
    spec = {"rules": [{"name": rule, "match": match, "validate": body}]}
    return {"apiVersion": "kyverno.io/v1", "kind": kind, "metadata": {"name": "p", **metadata}, "spec": spec}


def test_policies_of_one_name_are_both_in_the_message() -> None:
    documents = denying("ClusterPolicy", "first"), denying("Policy", "second", namespace="team")
    verdict = validate(PolicySet(map(compile_policy, documents)), request_for(CONFIG_MAP))
    assert not verdict.allowed
    assert verdict.message == (
        "\n\nresource ConfigMap/team/m was blocked due to the following policies \n\n"
        "p:\n  first: first says no\n  second: second says no\n"
    )
