"""mutate: what a rule makes of the object of a request, or of other objects (spec 2.7)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.clauses.template import Template
from engine.errors import InvalidPolicy
from engine.policy import Check
from engine.result import Outcome
from engine.rules import json_patch, mutate_existing, mutate_foreach, strategic_merge
from engine.rules.patching import UNCHANGED, Patch, mutated
from engine.rules.subject import subject_of
from engine.scope import Scope

PATCHES: dict[str, Callable[..., Patch]] = {
    "patchStrategicMerge": strategic_merge.compile_patch,
    "patchesJson6902": json_patch.compile_patch,
}


def compile_check(spec: Any, *, rule: str, message: Template | None, path: str, policy_namespace: str = "") -> Check:
    """Compiles the value of `mutate`.

    The check's outcome is pass with `patched`, or skip when nothing changes. With `targets` it is about other objects: see
    `mutate_existing`.
    """
    mutate = _compile_mutation(spec, path=path, policy_namespace=policy_namespace)
    if spec.get("targets"):
        return mutate_existing.compile_check(spec["targets"], mutate, path=f"{path}.targets", policy_namespace=policy_namespace)
    return lambda scope: mutate(scope, subject_of(scope))


def _compile_mutation(spec: Any, *, path: str, policy_namespace: str) -> mutate_existing.Mutation:
    kinds = [kind for kind in (*PATCHES, "foreach") if spec.get(kind)]
    if len(kinds) != 1:
        raise InvalidPolicy(path, f"exactly one of {', '.join(PATCHES)}, foreach must be specified")
    (kind,) = kinds
    if kind == "foreach":
        return mutate_foreach.compile_foreach(spec[kind], PATCHES, path=f"{path}.foreach", policy_namespace=policy_namespace)
    patch = PATCHES[kind](spec[kind], path=f"{path}.{kind}", at=f"/mutate/{kind}")

    def mutate(scope: Scope, subject: Any) -> Outcome:
        patched = patch(scope, subject)
        return UNCHANGED if patched is subject else mutated(patched)

    return mutate
