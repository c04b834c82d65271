"""What this process may do, by asking the API server (SelfSubjectAccessReview)."""

from __future__ import annotations

from collections.abc import Iterable

from controllers.cluster.client import Client
from controllers.cluster.discovery import Resource

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


async def may(client: Client, verb: str, resource: Resource, *, namespace: str = "") -> bool:
    """May we do this to objects of `resource`, everywhere or in one namespace? Raises ApiError and Unreachable."""
    asked = {
        "verb": verb,
        "group": resource.group,
        "version": resource.version,
        "resource": resource.plural,
        "subresource": resource.subresource,
        "namespace": namespace if resource.namespaced else "",
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {name: value for name, value in asked.items() if value}},
    }
    answer = await client.create(REVIEWS, review)
    return bool((answer.get("status") or {}).get("allowed"))


async def missing(client: Client, verbs: Iterable[str], resource: Resource, *, namespace: str = "") -> tuple[str, ...]:
    """The verbs that we lack."""
    return tuple([verb for verb in verbs if not await may(client, verb, resource, namespace=namespace)])
