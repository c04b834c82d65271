"""AdmissionReview bytes to a Request, a Verdict to AdmissionReview bytes (spec 3.5). Pure."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from engine import Object, Verdict

API_VERSION = "admission.k8s.io/v1"


class Malformed(ValueError):
    """Bytes that are no AdmissionReview of admission.k8s.io/v1; the API server's failurePolicy decides what that means."""


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
    _check_texts(request, OPTIONAL, "request")
    _check_texts(request["kind"], request["kind"], "request.kind")
    _check_texts(request["resource"], request["resource"], "request.resource")
    _check_user(request["userInfo"])
    for name in ("object", "oldObject"):
        _check_object(request.get(name), f"request.{name}")
    return request


SHAPE: Mapping[str, type] = {"uid": str, "kind": dict, "resource": dict, "operation": str, "userInfo": dict}
OPTIONAL = ("name", "namespace", "subResource")
IDENTITY = ("name", "generateName", "namespace", "uid", "resourceVersion")


def _check_texts(holder: Mapping[str, Any], names: Iterable[str], path: str) -> None:
    for name in names:
        if not isinstance(holder.get(name), str | None):
            raise Malformed(f"{path}.{name} is no text")


def _check_user(user: Mapping[str, Any]) -> None:
    _check_texts(user, ("username", "uid"), "request.userInfo")
    groups = user.get("groups") or []
    if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
        raise Malformed("request.userInfo.groups is no list of texts")


def _check_object(value: Any, path: str) -> None:
    """What the API server ensures of every object's metadata, and everybody after us relies on."""
    if value is None:
        return
    if not isinstance(value, dict):
        raise Malformed(f"{path} is no object")
    metadata = value.get("metadata")
    if metadata is None:
        return
    if not isinstance(metadata, dict):
        raise Malformed(f"{path}.metadata is no object")
    _check_texts(metadata, IDENTITY, f"{path}.metadata")
    for name in ("labels", "annotations"):
        pairs = metadata.get(name)
        if pairs is None:
            continue
        if not isinstance(pairs, dict):
            raise Malformed(f"{path}.metadata.{name} is no object")
        _check_texts(pairs, pairs, f"{path}.metadata.{name}")


PRIVATE = frozenset({"Secret", "TokenRequest", "TokenReview"})
"""Kinds whose objects never get into a log."""


def shown(document: Object) -> str:
    """An AdmissionRequest for the log (--dumpPayload); of secrets, wherever they stand in it, only the names."""
    kept = _without_secrets(document)
    if (document.get("kind") or {}).get("kind") in PRIVATE:
        kept = {**kept, **{name: _name_only(document[name]) for name in ("object", "oldObject") if document.get(name)}}
    return orjson.dumps(kept).decode()


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        if "apiVersion" in value and str(value.get("kind")) in PRIVATE:
            return _name_only(value)
        return {name: _without_secrets(member) for name, member in value.items()}
    return [_without_secrets(member) for member in value] if isinstance(value, list) else value


def _name_only(value: Mapping[str, Any]) -> Object:
    """Annotations are left out too: kubectl keeps a copy of the object in one."""
    metadata = {name: text for name, text in (value.get("metadata") or {}).items() if name in IDENTITY}
    return {"apiVersion": value.get("apiVersion"), "kind": value.get("kind"), "metadata": metadata, "redacted": True}


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
