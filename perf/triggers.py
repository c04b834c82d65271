"""Policies whose triggers make work in the background, for `perf.background`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

NAMESPACE = "{{request.object.metadata.name}}"
GENERATED: dict[str, dict[str, Any]] = {
    "network-policy": {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "name": "default-deny",
        "data": {"spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}},
    },
    "secret": {
        "apiVersion": "v1",
        "kind": "Secret",
        "name": "registry",
        "clone": {"namespace": "default", "name": "registry"},
    },
    "role-binding": {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "name": f"{NAMESPACE}-owner",
        "data": {
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "{{request.userInfo.username}}"}],
        },
    },
}
"""What each Namespace gets: rule name -> target."""
ROLE = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRole",
    "metadata": {"name": "load", "labels": {"rbac.kyverno.io/aggregate-to-background-controller": "true"}},
    "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["create", "delete", "get", "list", "update"]}],
}


MUTATING = {
    "apiVersion": "kyverno.io/v1",
    "kind": "ClusterPolicy",
    "metadata": {"name": "stamp"},
    "spec": {
        "background": False,
        "rules": [
            {
                "name": "stamp",
                "match": {"any": [{"resources": {"kinds": ["ConfigMap"], "names": ["trigger"], "namespaces": ["default"]}}]},
                "mutate": {
                    "targets": [{"apiVersion": "v1", "kind": "ConfigMap", "namespace": "targets", "name": "target-*"}],
                    "patchStrategicMerge": {"metadata": {"labels": {"stamp": "{{request.object.data.stamp}}"}}},
                },
            }
        ],
    },
}


def generating(name: str, prefix: str, rules: Iterable[str]) -> dict[str, Any]:
    """A policy that makes objects for Namespaces whose names begin with `prefix`."""
    match = {"any": [{"resources": {"kinds": ["Namespace"], "names": [f"{prefix}-*"]}}]}
    return {
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": name},
        "spec": {
            "background": False,
            "rules": [
                {"name": rule, "match": match, "generate": {"synchronize": True, "namespace": NAMESPACE, **GENERATED[rule]}}
                for rule in rules
            ],
        },
    }
