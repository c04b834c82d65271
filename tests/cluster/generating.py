"""What tests of the background operator share: policies that generate, and how to look at what they made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deploy.local.api import Api
from tests.cluster.calls import Document

UPDATES = "/apis/kyverno.io/v2/namespaces/kyverno/updaterequests"
NAMESPACES = "/api/v1/namespaces"
ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MERGE = "application/merge-patch+json"
Apply = Callable[[Document], Document]


def generating(name: str, /, *, trigger: str = "", spec: Document | None = None, **generate: Any) -> Document:
    """A policy that makes ConfigMap NAME-made of ConfigMaps whose names begin with `trigger`, in their namespace."""
    target = {
        "synchronize": True,
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": f"{name}-made-{{{{request.object.metadata.name}}}}",
        "namespace": "{{request.object.metadata.namespace}}",
        "data": {"data": {"from": "{{request.object.data.a}}"}},
        **generate,
    }
    return background_policy(
        name, trigger or name, {"generate": {key: value for key, value in target.items() if value is not None}}, spec
    )


def background_policy(name: str, trigger: str, body: Document, spec: Document | None = None) -> Document:
    match = {"any": [{"resources": {"kinds": ["ConfigMap"], "names": [f"{trigger}-in*"]}}]}
    return {
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": name},
        "spec": {"background": False, "rules": [{"name": "r", "match": match, **body}], **(spec or {})},
    }


def data(api: Api, path: str) -> Document | None:
    found = api.find(path)
    return None if found is None else found.get("data") or {}


def patch(api: Api, path: str, body: Document) -> None:
    api.ask(path, method="PATCH", body=body, content_type=MERGE)
