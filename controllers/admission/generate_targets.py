"""Targets of generate rules against what the API server serves: namespaced objects need a namespace, others must have none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from controllers.cluster.discovery import Discovery
from engine import InvalidPolicy, KindSelector, Policy


def check_generate_targets(policy: Policy, discovery: Discovery) -> None:
    """Raises `InvalidPolicy` for a target whose scope does not fit. Kinds that are not served yet or are variables pass."""
    namespaced_policy = bool(policy.identity.namespace)
    for index, rule in enumerate(rule for rule in policy.rules if not rule.origin):
        generate = rule.document.get("generate")
        if generate:
            path = f"spec.rules[{index}].generate"
            for target, where in _targets(generate, path):
                if target.get("cloneList"):
                    _check_clone_list(target["cloneList"], f"{where}.cloneList", discovery, namespaced_policy)
                else:
                    _check_target(target, where, discovery, namespaced_policy)


def _targets(generate: Mapping[str, Any], path: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    if generate.get("foreach"):
        yield from ((entry, f"{path}.foreach[{index}]") for index, entry in enumerate(generate["foreach"]))
    else:
        yield generate, path


def _check_target(target: Mapping[str, Any], path: str, discovery: Discovery, namespaced_policy: bool) -> None:
    kind = str(target.get("kind") or "").strip()
    namespaced = _namespaced(str(target.get("apiVersion") or ""), kind, discovery)
    if namespaced is None:
        return
    _refuse_cluster_scope(namespaced, kind, f"{path}.kind", namespaced_policy)
    if namespaced and not target.get("namespace"):
        raise InvalidPolicy(f"{path}.namespace", f"target namespace must be set for a namespaced resource, `{kind}` is one")
    if not namespaced and target.get("namespace"):
        raise InvalidPolicy(f"{path}.namespace", f"target namespace must not be set for a cluster-wide resource, `{kind}` is one")


def _check_clone_list(clone_list: Mapping[str, Any], path: str, discovery: Discovery, namespaced_policy: bool) -> None:
    scopes: dict[bool, str] = {}
    for index, written in enumerate(clone_list.get("kinds") or ()):
        api_version, _, kind = str(written).rpartition("/")
        namespaced = _namespaced(api_version, kind, discovery)
        if namespaced is None:
            continue
        _refuse_cluster_scope(namespaced, kind, f"{path}.kinds[{index}]", namespaced_policy)
        scopes[namespaced] = kind
    if len(scopes) > 1:
        raise InvalidPolicy(f"{path}.kinds", f"mixed scope of target resources is forbidden: `{scopes[True]}`, `{scopes[False]}`")
    if True in scopes and not clone_list.get("namespace"):
        raise InvalidPolicy(f"{path}.namespace", f"the namespace must be set for namespaced resources, `{scopes[True]}` is one")
    if False in scopes and clone_list.get("namespace"):
        raise InvalidPolicy(
            f"{path}.namespace", f"the namespace is forbidden for cluster-wide resources, `{scopes[False]}` is one"
        )


def _refuse_cluster_scope(namespaced: bool, kind: str, path: str, namespaced_policy: bool) -> None:
    if namespaced_policy and not namespaced:
        raise InvalidPolicy(path, f"a namespaced policy cannot generate cluster-scoped resources such as `{kind}`")


def _namespaced(api_version: str, kind: str, discovery: Discovery) -> bool | None:
    """Is the kind namespaced? None where that is not known."""
    group, _, version = api_version.rpartition("/")
    name, _, subresource = kind.partition("/")
    if "{{" in api_version or "{{" in kind or not name:
        return None
    found = discovery.find(KindSelector(group, version, name, subresource, kind))
    return any(resource.namespaced for resource in found) if found else None
