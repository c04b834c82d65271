"""Policy documents to `Policy`, once: the only code that knows kinds of policies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.compiler.cleanup_policy import compile_cleanup_policy
from engine.compiler.cluster_policy import compile_cluster_policy
from engine.compiler.policy_exception import compile_exception
from engine.compiler.stored import compile_with_faults
from engine.compiler.update import check_update, update_warnings
from engine.document.size import deeper
from engine.errors import InvalidPolicy
from engine.policy import Policy
from engine.rules.later import later

__all__ = [
    "FRONTENDS",
    "check_update",
    "compile_exception",
    "compile_policy",
    "compile_stored",
    "update_warnings",
]

compile_admission_policy = later("engine.compiler.admission_policy", "compile_admission_policy")
FRONTENDS: dict[tuple[str, str], Callable[[Mapping[str, Any]], Policy]] = {
    ("kyverno.io", "ClusterPolicy"): compile_cluster_policy,
    ("kyverno.io", "Policy"): compile_cluster_policy,
    ("kyverno.io", "CleanupPolicy"): compile_cleanup_policy,
    ("kyverno.io", "ClusterCleanupPolicy"): compile_cleanup_policy,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): compile_admission_policy,
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"): compile_admission_policy,
}
"""(API group, kind) -> the compiler of its documents."""
MAX_DEPTH = 200
"""Maps and lists inside each other; orjson writes 254, and what autogen makes of a rule lies deeper than the rule."""


def compile_policy(document: Mapping[str, Any]) -> Policy:
    """Compiles and thereby validates a policy document; raises `InvalidPolicy` with the path of the first fault."""
    if not isinstance(document, Mapping):
        raise InvalidPolicy("", "a policy must be a map")
    group = str(document.get("apiVersion") or "").partition("/")[0]
    if deeper(document, MAX_DEPTH):
        raise InvalidPolicy("", "the document is nested too deeply")
    frontend = FRONTENDS.get((group, str(document.get("kind") or "")))
    if frontend is None:
        raise InvalidPolicy("kind", f"`{document.get('apiVersion')}, {document.get('kind')}` is no kind of policy")
    try:
        return frontend(document)
    except RecursionError:
        raise InvalidPolicy("", "the document is nested too deeply") from None


def compile_stored(document: Mapping[str, Any]) -> Policy:
    """As `compile_policy`, for a policy that the cluster holds already: rules at fault stay, and answer `error` (`Rule.error`).

    Raises `InvalidPolicy` where nothing can be enforced of it.
    """
    return compile_with_faults(document, compile_policy)
