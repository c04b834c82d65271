"""AdmissionReview bytes to a Request, a Verdict to AdmissionReview bytes (spec 3.5). Pure."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import orjson

from controllers.cluster.discovery import Discovery
from engine import GroupVersionKind, GroupVersionResource, Object, Request, User, Verdict

API_VERSION = "admission.k8s.io/v1"


class Malformed(ValueError):
    """Bytes that are no AdmissionReview of admission.k8s.io/v1; the API server's failurePolicy decides what that means."""


class UnknownResource(Exception):
    """A request to a subresource of a resource that discovery does not know, so that nobody can say what kind it is of."""


class Asker(NamedTuple):
    """What bindings say of the user who asks (spec 2.1)."""

    roles: tuple[str, ...] = ()
    cluster_roles: tuple[str, ...] = ()


NOBODY = Asker()


def parse(body: bytes) -> Object:
    """The AdmissionRequest inside a review. Raises `Malformed`."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"the body is no JSON: {error}") from error
    if not isinstance(document, dict) or document.get("kind") != "AdmissionReview":
        raise Malformed("the body is no AdmissionReview")
    if document.get("apiVersion") != API_VERSION:
        raise Malformed(f"the review is not of {API_VERSION}")
    request = document.get("request")
    if not isinstance(request, dict):
        raise Malformed("the review holds no request")
    for name, kind in SHAPE.items():
        if not isinstance(request.get(name), kind):
            raise Malformed(f"request.{name} is missing or of the wrong type")
    for name in ("object", "oldObject"):
        if not isinstance(request.get(name), (dict, type(None))):
            raise Malformed(f"request.{name} is no object")
    return request


SHAPE: Mapping[str, type] = {"uid": str, "kind": dict, "resource": dict, "operation": str, "userInfo": dict}


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
        document={**document, "roles": list(asker.roles), "clusterRoles": list(asker.cluster_roles)},
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


def answer(uid: str, verdict: Verdict) -> bytes:
    """The review that answers request `uid`."""
    response: Object = {"uid": uid, "allowed": verdict.allowed}
    if not verdict.allowed:
        response["status"] = {"status": "Failure", "message": verdict.message}
    if verdict.warnings:
        response["warnings"] = list(verdict.warnings)
    if verdict.patch:
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(orjson.dumps(list(verdict.patch))).decode()
    return orjson.dumps({"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": response})


def allowed(uid: str, warnings: Iterable[str] = ()) -> bytes:
    """Yes."""
    return answer(uid, Verdict(allowed=True, warnings=tuple(warnings)))


def denied(uid: str, message: str, warnings: Iterable[str] = ()) -> bytes:
    """No, because."""
    return answer(uid, Verdict(allowed=False, message=message, warnings=tuple(warnings)))
