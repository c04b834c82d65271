"""Objects of any kind: found, listed and written through the resources that discovery knows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable

from controllers.cluster import generating
from controllers.cluster.client import ApiError, Client, segment
from controllers.cluster.discovery import Discovery, Resource
from controllers.cluster.events import Reference
from controllers.cluster.watch import Target, pages
from engine import Object

APPLY = "application/apply-patch+yaml"
MANAGER = "generate"
"""The field manager of generated objects (spec 2.8, useServerSideApply)."""


class Unserved(Exception):
    """A kind that the API server does not serve (yet)."""


class Objects:
    """The objects of one cluster."""

    def __init__(self, client: Client, discovery: Callable[[], Discovery]) -> None:
        self._client = client
        self._discovery = discovery
        self._found: tuple[Discovery, dict[tuple[str, str], Resource]] = Discovery(), {}

    @property
    def discovery(self) -> Discovery:
        return self._discovery()

    def resource(self, api_version: str, kind: str) -> Resource:
        """The resource of a kind; `Node/status` is that of the subresource. Raises `Unserved`."""
        discovery, known = self._found
        if discovery is not self.discovery:
            self._found = self.discovery, (known := {})
        held = known.get((api_version, kind))
        if held is None:
            found = self.discovery.find(generating.selector(api_version, kind))
            if not found:
                raise Unserved(f"the API server serves no {api_version} {kind}")
            held = known[api_version, kind] = found[0]
        return held

    async def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """The stored object; None where there is none."""
        try:
            found: Object = await self._client.get(_path(resource, namespace, name))
        except ApiError as error:
            if error.not_found:
                return None
            raise
        return found

    async def list(
        self, resource: Resource, namespace: str = "", *, labels: str = "", metadata: bool = False
    ) -> AsyncIterator[Object]:
        """All objects of a namespace, empty: of all; page by page. With `metadata` only that."""
        target = Target(_path(resource, namespace), label_selector=labels, metadata=metadata)
        kind = identity(resource)
        async for page, _ in pages(self._client, target):
            for document in page.objects:
                yield {**document, **kind}

    async def find(self, reference: Reference) -> Object | None:
        """The object with that uid, by its name where it is known; None where there is none (any more)."""
        resource = self.resource(reference.api_version, reference.kind)
        name = reference.name
        if not name:
            async for document in self.list(resource, reference.namespace, metadata=True):
                if document["metadata"].get("uid") == reference.uid:
                    name = document["metadata"]["name"]
                    break
            else:
                return None
        found = await self.get(resource, reference.namespace, name)
        if found is not None and reference.uid and found["metadata"]["uid"] != reference.uid:
            return None
        return found

    async def named(self, references: Iterable[Reference]) -> tuple[Reference, ...]:
        """Those of the objects, known by kind and uid, that are there, with their names: one list a kind and namespace."""
        wanted: dict[tuple[str, str, str], set[str]] = {}
        for one in references:
            wanted.setdefault((one.api_version, one.kind, one.namespace), set()).add(one.uid)
        found = []
        for (api_version, kind, namespace), uids in wanted.items():
            served = self.discovery.find(generating.selector(api_version, kind))
            for resource in served[:1]:
                async for document in self.list(resource, namespace, metadata=True):
                    if document["metadata"].get("uid") in uids:
                        found.append(reference(document))
        return tuple(found)

    async def create(self, resource: Resource, document: Object) -> Object:
        created: Object = await self._client.create(_path(resource, _namespace(document)), document)
        return created

    async def replace(self, resource: Resource, document: Object) -> Object:
        """Writes a new version; raises `ApiError` 409 when the stored one is not the one that `document` was made from."""
        path = _path(resource, _namespace(document), document["metadata"]["name"])
        replaced: Object = await self._client.replace(path, document)
        return replaced

    async def apply(self, resource: Resource, document: Object) -> Object:
        """Server-side apply, forced."""
        applied: Object = await self._client.call(
            "PATCH",
            _path(resource, _namespace(document), document["metadata"]["name"]),
            params={"fieldManager": MANAGER, "force": "true"},
            body=document,
            content_type=APPLY,
        )
        return applied

    async def delete(self, resource: Resource, document: Object) -> None:
        """Deletes exactly this object, not one that has taken its name."""
        metadata = document["metadata"]
        try:
            await self._client.call(
                "DELETE",
                _path(resource, metadata.get("namespace") or "", metadata["name"]),
                body={"preconditions": {"uid": metadata["uid"]}},
            )
        except ApiError as error:
            if not (error.not_found or error.conflict):
                raise

    async def terminating(self, namespace: str) -> bool:
        """Is the namespace on its way out?"""
        try:
            found = await self._client.get(f"/api/v1/namespaces/{segment(namespace)}")
        except ApiError as error:
            if error.not_found:
                return False
            raise
        return found["metadata"].get("deletionTimestamp") is not None


def reference(document: Object) -> Reference:
    """The object, as events and UpdateRequests name it."""
    metadata = document.get("metadata") or {}
    return Reference(
        str(document.get("apiVersion") or ""),
        str(document.get("kind") or ""),
        str(metadata.get("name") or ""),
        str(metadata.get("namespace") or ""),
        str(metadata.get("uid") or ""),
    )


def identity(resource: Resource) -> Object:
    """apiVersion and kind of its objects."""
    return {"apiVersion": _api_version(resource), "kind": resource.kind}


def _namespace(document: Object) -> str:
    return document["metadata"].get("namespace") or ""


def _api_version(resource: Resource) -> str:
    return f"{resource.group}/{resource.version}" if resource.group else resource.version


def _path(resource: Resource, namespace: str, name: str = "") -> str:
    base = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    within = f"/namespaces/{segment(namespace)}" if namespace and resource.namespaced else ""
    path = f"{base}{within}/{resource.plural}"
    if not name:
        return path
    path = f"{path}/{segment(name)}"
    return f"{path}/{resource.subresource}" if resource.subresource else path
