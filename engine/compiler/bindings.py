"""Which bindings belong to a native admission policy. Apart from its compiler, so that sorting files loads no CEL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.policy import Policy
from engine.rules.later import later

GROUP = "admissionregistration.k8s.io"
BINDINGS = {
    (GROUP, "ValidatingAdmissionPolicyBinding"): "ValidatingAdmissionPolicy",
    (GROUP, "MutatingAdmissionPolicyBinding"): "MutatingAdmissionPolicy",
}
"""(API group, kind) of a binding -> the kind of policy it binds."""

compile_admission_policy = later("engine.compiler.admission_policy", "compile_admission_policy")


def bind(policy: Policy, bindings: Sequence[Mapping[str, Any]]) -> Policy:
    """The policy with its bindings among these documents; the policy itself where none is its own. Raises `InvalidPolicy`."""
    kind, name = policy.identity.kind, policy.identity.name
    if not any(binds(binding, kind, name) for binding in bindings):
        return policy
    bound: Policy = compile_admission_policy(policy.document, bindings)
    return bound


def binds(binding: Mapping[str, Any], kind: str, name: str) -> bool:
    """Does it bind the policy of that kind and name?"""
    group = str(binding.get("apiVersion") or "").partition("/")[0]
    spec = binding.get("spec")
    return (
        BINDINGS.get((group, str(binding.get("kind") or ""))) == kind
        and isinstance(spec, Mapping)
        and spec.get("policyName") == name
    )
