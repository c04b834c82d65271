"""What a process asks the API server, counted as Kyverno's metric of client queries does (spec 6.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from controllers.cluster.discovery import Discovery
from controllers.cluster.metrics import Metrics
from engine import GroupVersionResource

METRIC = "kyverno_client_queries"
CLIENT = "dynamic"
OPERATIONS: Mapping[str, tuple[str, str]] = {
    "GET": ("list", "get"),
    "POST": ("create", "create"),
    "PUT": ("update", "update"),
    "PATCH": ("patch", "patch"),
    "DELETE": ("delete_collection", "delete"),
}
"""HTTP method -> the operation on a collection, on one object."""


class Place(NamedTuple):
    """What a path of the API server names; `name` and `namespace` are empty where there is none."""

    resource: GroupVersionResource
    namespace: str
    name: str
    subresource: str


class Queries:
    """Counts requests, watches included. A kind that is not (yet) discovered is named by its plural."""

    def __init__(self, metrics: Metrics, discovery: Callable[[], Discovery]) -> None:
        self._metrics = metrics
        self._discovery = discovery

    def __call__(self, method: str, path: str, watching: bool) -> None:
        place = place_of(path)
        if place is None:
            return
        kind = self._discovery().kind_of(place.resource)
        named = kind.kind if kind is not None else place.resource.resource
        operation = "watch" if watching else OPERATIONS[method][bool(place.name)]
        if place.subresource:
            operation = f"{operation}_{place.subresource}"
        self._metrics.count(METRIC, (CLIENT, operation, named, place.namespace))


def place_of(path: str) -> Place | None:
    """The resource and the object that a path names; None for paths that name no resource, such as /version."""
    parts = path.partition("?")[0].strip("/").split("/")
    if parts[0] == "api" and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    plural, name, subresource = (*rest, "", "")[:3]
    return Place(GroupVersionResource(group, version, plural), namespace, name, subresource)
