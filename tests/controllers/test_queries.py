"""Requests to the API server, as the metric of client queries counts them."""

from __future__ import annotations

import pytest

from controllers.cluster.discovery import Discovery, Resource
from controllers.cluster.metrics import Metrics
from controllers.cluster.queries import Queries

DISCOVERY = Discovery.of(
    [
        Resource("", "v1", "Namespace", "namespaces", "", False, True),
        Resource("", "v1", "Pod", "pods", "", True, True),
        Resource("kyverno.io", "v2", "UpdateRequest", "updaterequests", "", True, True),
    ]
)


@pytest.mark.parametrize(
    ("method", "path", "watching", "operation", "kind"),
    [
        ("GET", "/api/v1/namespaces", False, "list", "Namespace"),
        ("GET", "/api/v1/namespaces", True, "watch", "Namespace"),
        ("GET", "/api/v1/namespaces/blue", False, "get", "Namespace"),
        ("GET", "/api/v1/namespaces/blue/pods?limit=5", False, "list", "Pod"),
        ("DELETE", "/api/v1/namespaces/blue/pods/p", False, "delete", "Pod"),
        ("DELETE", "/api/v1/namespaces/blue/pods", False, "delete_collection", "Pod"),
        ("PUT", "/api/v1/namespaces/blue/status", False, "update_status", "Namespace"),
        ("PATCH", "/apis/kyverno.io/v2/namespaces/kyverno/updaterequests/ur/status", False, "patch_status", "UpdateRequest"),
        ("POST", "/apis/kyverno.io/v2/namespaces/kyverno/updaterequests", False, "create", "UpdateRequest"),
        ("GET", "/apis/example.com/v1/things/t", False, "get", "things"),
    ],
)
def test_a_request_is_counted_by_operation_and_kind(method: str, path: str, watching: bool, operation: str, kind: str) -> None:
    metrics = Metrics()
    Queries(metrics, lambda: DISCOVERY)(method, path, watching)
    line = f'kyverno_client_queries_total{{client_type="dynamic",operation="{operation}",resource_kind="{kind}"}} 1.0'
    assert line in metrics.render().decode().splitlines()


@pytest.mark.parametrize("path", ["/version", "/api", "/apis", "/api/v1", "/apis/apps/v1", "/"])
def test_what_names_no_resource_is_not_counted(path: str) -> None:
    metrics = Metrics()
    Queries(metrics, lambda: DISCOVERY)("GET", path, False)
    assert b"kyverno_client_queries" not in metrics.render()
