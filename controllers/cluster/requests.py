"""Questions to the engine: an AdmissionRequest, fresh or kept in an UpdateRequest, or a stored object. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from controllers.cluster.discovery import Discovery, Resource
from engine import GroupVersionKind, GroupVersionResource, Object, Request, User


class UnknownResource(Exception):
    """A request to a subresource of a resource that discovery does not know, so that nobody can say what kind it is of."""


class Asker(NamedTuple):
    """What bindings say of the user who asks (spec 2.1)."""

    roles: tuple[str, ...] = ()
    cluster_roles: tuple[str, ...] = ()


NOBODY = Asker()


def request_of(
    document: Object,
    discovery: Discovery,
    *,
    asker: Asker = NOBODY,
    namespace_labels: Mapping[str, str] | None = None,
    now: int,
) -> Request:
    """The engine's question. `document` is what `parse` gave and what `{{ request.* }}` will read.

    The kind is that of the object, for a subresource that of its parent. Raises `UnknownResource`.
    """
    resource = _gvr(document["resource"])
    subresource = document.get("subResource") or ""
    kind = _kind(document, resource, subresource, discovery)
    user = document["userInfo"]
    namespace = document.get("namespace") or ""
    if kind.kind == "Namespace" and not kind.group:
        namespace = ""
    return Request(
        operation=document["operation"],
        kind=kind,
        object=document.get("object"),
        old_object=document.get("oldObject"),
        resource=resource,
        subresource=subresource,
        namespace=namespace,
        name=document.get("name") or _name(document),
        user=User(
            username=user.get("username") or "",
            groups=tuple(user.get("groups") or ()),
            roles=asker.roles,
            cluster_roles=asker.cluster_roles,
        ),
        namespace_labels=namespace_labels,
        dry_run=bool(document.get("dryRun")),
        uid=document["uid"],
        document={**document, "roles": list(asker.roles) or None, "clusterRoles": list(asker.cluster_roles) or None},
        now=now,
        seed=now,
    )


def _kind(document: Object, resource: GroupVersionResource, subresource: str, discovery: Discovery) -> GroupVersionKind:
    if not subresource:
        return GroupVersionKind(*(document["kind"].get(part) or "" for part in ("group", "version", "kind")))
    kind = discovery.kind_of(resource)
    if kind is None:
        raise UnknownResource(f"{resource.group}/{resource.version}/{resource.resource}")
    return kind


def _gvr(part: Mapping[str, Any]) -> GroupVersionResource:
    return GroupVersionResource(part.get("group") or "", part.get("version") or "", part.get("resource") or "")


def _name(document: Object) -> str:
    metadata = (document.get("object") or document.get("oldObject") or {}).get("metadata") or {}
    return str(metadata.get("name") or metadata.get("generateName") or "")


def as_it_is(request: Request) -> Request:
    """The question about the new object alone: on UPDATE an object must not match by what it was before.

    `{{ request.oldObject }}` is still there.
    """
    if request.object is None or request.old_object is None:
        return request
    return replace(request, old_object=None)


def of_stored(
    resource: Resource,
    document: Object,
    *,
    operation: str = "CREATE",
    namespace_labels: Mapping[str, str] | None = None,
    now: int,
) -> Request:
    """The question about a stored object: as if `operation` were asked for it now, by nobody.

    A Namespace has labels of its own in place of `namespace_labels`.
    """
    metadata = document["metadata"]
    namespace = metadata.get("namespace") or ""
    if resource.kind == "Namespace" and not resource.group:
        namespace_labels = metadata.get("labels") or {}
    return Request(
        operation=operation,
        kind=GroupVersionKind(resource.group, resource.version, resource.kind),
        resource=GroupVersionResource(resource.group, resource.version, resource.plural),
        object=document,
        namespace=namespace,
        name=metadata["name"],
        namespace_labels=namespace_labels,
        uid=metadata.get("uid") or "",
        now=now,
        seed=now,
    )
