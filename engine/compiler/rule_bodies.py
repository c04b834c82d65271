"""What the policy webhook refuses within validate, mutate, generate and verifyImages (spec 3.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.errors import InvalidPolicy
from engine.request import Object

BODIES = ("pattern", "anyPattern", "deny", "foreach", "podSecurity", "cel", "manifests", "assert")
FOREACH_CHECKS = ("pattern", "anyPattern", "deny", "foreach")
FOREACH_PATCHES = ("patchStrategicMerge", "patchesJson6902", "foreach")
NOT_TEXT = 'labels and annotations supports only string values, "use double quotes around the non string values"'


def check_validate(validate: Object, path: str, *, namespaced: bool) -> None:
    """One body, and overrides only where they can mean something. Raises `InvalidPolicy` (spec 3.4)."""
    bodies = [body for body in BODIES if validate.get(body) is not None]
    if not bodies:
        raise InvalidPolicy(f"{path}.validate", "one of pattern, anyPattern, deny, foreach, cel must be specified")
    if len(bodies) > 1:
        raise InvalidPolicy(
            f"{path}.validate",
            f"only one of pattern, anyPattern, deny, foreach, cel can be specified, not {' and '.join(bodies)}",
        )
    if namespaced and validate.get("failureActionOverrides"):
        raise InvalidPolicy(
            f"{path}.validate.failureActionOverrides",
            "Forbidden: Use of failureActionOverrides is supported only with ClusterPolicy",
        )
    _check_foreach(validate.get("foreach"), f"{path}.validate.foreach", FOREACH_CHECKS)


def _check_foreach(entries: Any, path: str, bodies: tuple[str, ...]) -> None:
    for index, entry in enumerate(entries or []):
        where = f"{path}[{index}]"
        found = [body for body in bodies if entry.get(body) is not None]
        if not entry.get("list"):
            raise InvalidPolicy(where, "foreach.list is required")
        if "foreach" in found and len(found) > 1:
            raise InvalidPolicy(where, "a nested foreach cannot contain other declarations")
        if len(found) != 1:
            raise InvalidPolicy(where, f"exactly one of {', '.join(bodies)} must be specified")
        _check_foreach(entry.get("foreach"), f"{where}.foreach", bodies)


def check_mutate(mutate: Object, spec: Object, path: str, namespace: str) -> None:
    """One way to change things, and targets that can be found. Raises `InvalidPolicy` (spec 2.7, 3.4)."""
    here = f"{path}.mutate"
    found = [body for body in FOREACH_PATCHES if mutate.get(body)]
    if not found:
        raise InvalidPolicy(here, "one of patchStrategicMerge, patchesJson6902, foreach must be specified")
    if len(found) > 1:
        raise InvalidPolicy(here, f"only one of {', '.join(FOREACH_PATCHES)} can be specified, not {' and '.join(found)}")
    _check_foreach(mutate.get("foreach"), f"{here}.foreach", FOREACH_PATCHES)
    _check_tags(mutate.get("patchStrategicMerge"), f"{here}.patchStrategicMerge")
    targets = mutate.get("targets")
    on_update = mutate.get("mutateExistingOnPolicyUpdate")
    on_update = spec.get("mutateExistingOnPolicyUpdate") if on_update is None else on_update
    if on_update and not targets:
        raise InvalidPolicy(here, "mutateExistingOnPolicyUpdate needs targets")
    for index, target in enumerate(targets or []):
        where = f"{here}.targets[{index}]"
        for field in ("apiVersion", "kind"):
            if not target.get(field):
                raise InvalidPolicy(f"{where}.{field}", "Required value")
        if namespace and target.get("namespace") != namespace:
            raise InvalidPolicy(f"{where}.namespace", f"a namespaced policy may only mutate its own namespace `{namespace}`")


def _check_tags(patch: Any, path: str) -> None:
    metadata = patch.get("metadata") if isinstance(patch, dict) else None
    if not isinstance(metadata, dict):
        return
    for tag in ("labels", "annotations"):
        values = metadata.get(tag)
        if isinstance(values, dict) and not all(isinstance(value, str) for value in values.values()):
            raise InvalidPolicy(f"{path}.metadata.{tag}", NOT_TEXT)


def check_generate(generate: Object, path: str, namespace: str) -> None:
    """One source of data and a whole target. Raises `InvalidPolicy` (spec 2.8, 3.4)."""
    here = f"{path}.generate"
    if generate.get("foreach"):
        for index, entry in enumerate(generate["foreach"]):
            where = f"{here}.foreach[{index}]"
            if not entry.get("list"):
                raise InvalidPolicy(where, "foreach.list is required")
            _check_generated(entry, where, namespace)
    else:
        _check_generated(generate, here, namespace)


def _check_generated(target: Object, path: str, namespace: str) -> None:
    sources = [source for source in ("data", "clone", "cloneList") if target.get(source)]
    if len(sources) > 1:
        raise InvalidPolicy(path, f"only one of data, clone, cloneList can be specified, not {' and '.join(sources)}")
    if target.get("cloneList"):
        _check_clone_list(target, path, namespace)
    else:
        for field in ("apiVersion", "kind", "name"):
            if not target.get(field):
                raise InvalidPolicy(f"{path}.{field}", "Required value")
    if namespace:
        if target.get("namespace") != namespace:
            raise InvalidPolicy(f"{path}.namespace", f"a namespaced policy may only generate in its own namespace `{namespace}`")
        for source in ("clone", "cloneList"):
            if target.get(source) and (target[source].get("namespace") or namespace) != namespace:
                raise InvalidPolicy(
                    f"{path}.{source}.namespace", f"a namespaced policy may only clone from its own namespace `{namespace}`"
                )


def _check_clone_list(target: Mapping[str, Any], path: str, namespace: str) -> None:
    clone_list = target["cloneList"]
    if not clone_list.get("kinds"):
        raise InvalidPolicy(f"{path}.cloneList.kinds", "Required value")
    for field in ("apiVersion", "kind", "name"):
        if target.get(field):
            raise InvalidPolicy(f"{path}.{field}", "must not be given together with cloneList")
    if namespace and not clone_list.get("namespace"):
        raise InvalidPolicy(f"{path}.cloneList.namespace", "Required value")


def check_verify_images(entries: list[Object], spec: Object, path: str) -> None:
    """Images are named, and only enforcing rules change digests. Raises `InvalidPolicy` (spec 2.9, 3.4)."""
    for index, entry in enumerate(entries):
        where = f"{path}.verifyImages[{index}]"
        if not entry.get("imageReferences") and not entry.get("image"):
            raise InvalidPolicy(where, "An image reference is required")
        action = entry.get("failureAction") or spec.get("validationFailureAction") or "Audit"
        if action.lower() == "audit" and entry.get("mutateDigest") is not False:
            raise InvalidPolicy(where, "mutateDigest must be set to false for 'Audit' failure action")
