"""One object, deleted: exactly the one that was meant, its dependants as the policy says."""

from __future__ import annotations

from typing import Any

from controllers.cluster.client import ApiError, Client, segment
from controllers.cluster.discovery import Resource

PROPAGATIONS = ("Foreground", "Background", "Orphan")


def collection(resource: Resource, namespace: str = "") -> str:
    """The path of all objects of a resource, or of those in one namespace."""
    base = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    where = f"/namespaces/{namespace}" if namespace and resource.namespaced else ""
    return f"{base}{where}/{resource.plural}"


async def delete(client: Client, resource: Resource, metadata: dict[str, Any], *, propagation: str = "") -> bool:
    """Deletes the object of these metadata; False when it was gone already.

    It must have the same uid and, where `metadata` knows one, the same resourceVersion: what was judged is what is deleted.
    Raises ApiError (409: it has changed since) and Unreachable.
    """
    conditions = {name: metadata[name] for name in ("uid", "resourceVersion") if metadata.get(name)}
    options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": conditions}
    if propagation:
        options["propagationPolicy"] = propagation
    try:
        path = f"{collection(resource, metadata.get('namespace') or '')}/{segment(metadata['name'])}"
        await client.call("DELETE", path, body=options)
    except ApiError as error:
        if error.not_found:
            return False
        raise
    return True
