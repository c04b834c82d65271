"""Which API paths of policies are collections that can be kept in memory."""

from __future__ import annotations

from typing import Any

import pytest

from controllers.cluster.list_paths import ANY, Place, place_of, places
from engine import compile_policy

RBAC = "/apis/rbac.authorization.k8s.io/v1"


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/api/v1/pods", Place("/api/v1", "pods")),
        ("/api/v1/namespaces", Place("/api/v1", "namespaces")),
        (f"{RBAC}/rolebindings", Place(RBAC, "rolebindings")),
        ("/api/v1/namespaces/prod/secrets", Place("/api/v1", "secrets", "prod")),
        ("/api/v1/namespaces/{{request.namespace}}/pods", Place("/api/v1", "pods", ANY)),
        ("/api/v1/namespaces/team-{{ x }}/pods?labelSelector=a=b", Place("/api/v1", "pods", ANY, "labelSelector=a=b")),
        ("/api/v1/namespaces/{{request.namespace}}/secrets", None),
        ("/api/v1/namespaces/{{request.namespace}}/configmaps", None),
        ("/api/v1/namespaces/prod", None),
        ("/api/v1/namespaces/prod/pods/web", None),
        ("/api/v1/namespaces/prod/pods/{{ name }}", None),
        ("/api/v1/{{ plural }}", None),
        ("/apis/{{ group }}/v1/things", None),
        ("/api/v1/pods?limit=1", None),
        ("/api/v1/pods?labelSelector=app={{ app }}", None),
        ("{{ path }}", None),
        ("/healthz", None),
        ("/openapi/v3/apis/apps/v1", None),
    ],
)
def test_collections_are_told_from_everything_else(path: str, place: Place | None) -> None:
    assert place_of(path) == place


def policy(*calls: dict[str, Any], name: str = "found") -> Any:
    entries = [{"name": f"{name}{index}", "apiCall": call} for index, call in enumerate(calls)]
    never = {"key": "{{ found0 }}", "operator": "Equals", "value": 1}
    loop = {"list": "request.object.items", "context": entries[1:], "deny": {"conditions": {"any": [never]}}}
    rule = {
        "name": "r",
        "match": {"any": [{"resources": {"kinds": ["Deployment"]}}]},
        "context": entries[:1],
        "validate": {"message": "no", "foreach": [loop]},
    }
    document = {"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "p"}, "spec": {"rules": [rule]}}
    return compile_policy(document)


def test_a_policy_names_the_paths_of_its_get_calls_wherever_they_stand() -> None:
    review = {
        "urlPath": "/apis/authorization.k8s.io/v1/subjectaccessreviews",
        "method": "POST",
        "data": [{"key": "a", "value": 1}],
    }
    named = places(policy({"urlPath": "/api/v1/pods"}, {"urlPath": "/api/v1/nodes", "method": "GET"}, review))
    assert named == {Place("/api/v1", "pods"): True, Place("/api/v1", "nodes"): True}


def test_a_policy_about_managed_fields_reads_them_from_the_api_server() -> None:
    named = places(policy({"urlPath": "/api/v1/pods", "jmesPath": "items[].metadata.managedFields"}))
    assert named == {Place("/api/v1", "pods"): False}
