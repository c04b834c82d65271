"""Rights in the cluster: what the controllers have as they are shipped, and what policies need beyond it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from cli.kinds import BUILT_IN, Kinds, resource_of
from engine import GroupVersionKind, KindSelector
from engine.lint import Need

READ = ("get", "list", "watch")
CHANGE = ("create", "delete", "get", "list", "patch", "update")

Rules = tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]
"""(group, resources, verbs)"""

_CORE = (
    "bindings configmaps endpoints events limitranges namespaces persistentvolumeclaims pods replicationcontrollers "
    "resourcequotas serviceaccounts services"
)
VIEW: Rules = (
    ("", tuple(_CORE.split()), READ),
    ("apps", ("controllerrevisions", "daemonsets", "deployments", "replicasets", "statefulsets"), READ),
    ("autoscaling", ("horizontalpodautoscalers",), READ),
    ("batch", ("cronjobs", "jobs"), READ),
    ("discovery.k8s.io", ("endpointslices",), READ),
    ("networking.k8s.io", ("ingresses", "networkpolicies"), READ),
    ("policy", ("poddisruptionbudgets",), READ),
)
"""What the built-in cluster role `view` grants; the controllers but cleanup are bound to it."""

SHIPPED: Mapping[str, Rules] = {
    "admission-controller": (
        *VIEW,
        ("rbac.authorization.k8s.io", ("clusterrolebindings", "rolebindings"), ("list", "watch")),
        ("authorization.k8s.io", ("subjectaccessreviews",), ("create",)),
        ("apiextensions.k8s.io", ("customresourcedefinitions",), READ),
    ),
    "background-controller": (
        *VIEW,
        ("networking.k8s.io", ("ingressclasses", "ingresses", "networkpolicies"), CHANGE),
        ("rbac.authorization.k8s.io", ("rolebindings", "roles"), CHANGE),
        ("rbac.authorization.k8s.io", ("clusterrolebindings", "rolebindings"), READ),
        ("", ("configmaps", "limitranges", "resourcequotas"), CHANGE),
        ("", ("configmaps", "namespaces"), READ),
        ("resource.k8s.io", ("resourceclaims", "resourceclaimtemplates"), CHANGE),
    ),
    "cleanup-controller": (("", ("namespaces",), READ),),
    "reports-controller": (*VIEW, ("", ("configmaps", "namespaces"), READ)),
}
"""What deploy/components grants of the resources that policies may name (a test compares)."""


class Missing(NamedTuple):
    """Rights that a controller does not have; `path` is what in the policy needs them."""

    controller: str
    group: str
    resource: str
    verbs: tuple[str, ...]
    path: str

    def __str__(self) -> str:
        where = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"the {self.controller} may not {', '.join(self.verbs)} `{where}`"


def missing(needs: Iterable[Need], *, kinds: Kinds = BUILT_IN, granted: Mapping[str, Rules] = SHIPPED) -> list[Missing]:
    """The rights among `needs` that are not granted, each once."""
    found: dict[tuple[str, str, str], Missing] = {}
    for need in needs:
        group, resource = (need.kind.group, need.resource) if need.resource else _resource(need.kind, kinds)
        verbs = tuple(verb for verb in need.verbs if not _allows(granted.get(need.controller, ()), group, resource, verb))
        key = (need.controller, group, resource)
        if not verbs:
            continue
        if key in found:
            verbs = tuple(sorted({*found[key].verbs, *verbs}))
            found[key] = found[key]._replace(verbs=verbs)
        else:
            found[key] = Missing(need.controller, group, resource, verbs, need.path)
    return list(found.values())


def _resource(kind: KindSelector, kinds: Kinds) -> tuple[str, str]:
    """API group and plural of a kind; `*` where it is a wildcard."""
    if "*" in kind.kind or "?" in kind.kind:
        return kind.group or "*", "*"
    known = [gvk for gvk in kinds if gvk.kind == kind.kind and kind.group in ("*", gvk.group)]
    if known:
        return known[0].group, kinds[known[0]].plural
    return kind.group, resource_of(GroupVersionKind(kind.group, kind.version, kind.kind), kinds).plural


def _allows(rules: Rules, group: str, resource: str, verb: str) -> bool:
    return any(
        of in (group, "*") and not {resource, "*"}.isdisjoint(resources) and not {verb, "*"}.isdisjoint(verbs)
        for of, resources, verbs in rules
    )


def roles_for(rights: Iterable[Missing]) -> list[dict[str, Any]]:
    """One ClusterRole for each controller that grants the rights by aggregation."""
    from cli.create import aggregated_role

    by_controller: dict[str, dict[tuple[str, tuple[str, ...]], list[str]]] = {}
    for right in rights:
        rules = by_controller.setdefault(right.controller, {})
        rules.setdefault((right.group, right.verbs), []).append(right.resource)
    return [
        aggregated_role(
            f"kyverno:{controller}:policies",
            [controller],
            [
                {"apiGroups": [group], "resources": sorted(resources), "verbs": list(verbs)}
                for (group, verbs), resources in sorted(rules.items())
            ],
        )
        for controller, rules in sorted(by_controller.items())
    ]


def rules_of_roles(documents: Iterable[Mapping[str, Any]]) -> dict[str, Rules]:
    """What ClusterRole documents grant to the controllers that their labels aggregate to."""
    granted: dict[str, Rules] = {}
    prefix = "rbac.kyverno.io/aggregate-to-"
    for document in documents:
        if document.get("kind") != "ClusterRole":
            continue
        labels = (document.get("metadata") or {}).get("labels") or {}
        rules: Rules = tuple(
            (str(group), tuple(rule.get("resources") or ()), tuple(rule.get("verbs") or ()))
            for rule in document.get("rules") or []
            if not rule.get("resourceNames")
            for group in rule.get("apiGroups") or []
        )
        for label in labels:
            if label.startswith(prefix):
                controller = label.removeprefix(prefix)
                granted[controller] = (*granted.get(controller, ()), *rules)
    return granted
