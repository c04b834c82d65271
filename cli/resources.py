"""Kubernetes objects from files, as they are when policies see them (cli-format.md 2, "Resources as loaded")."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from cli.documents import load_paths, require_object
from cli.errors import InputError
from cli.kinds import BUILT_IN, Kinds, resource_of
from cli.yaml_load import Document
from engine import GroupVersionKind, Object, kind_of

_MAPS = frozenset({"annotations", "labels", "matchLabels", "nodeSelector", "data", "stringData"})
"""Fields that are maps: null there is an empty map."""


class Resource(NamedTuple):
    """An object and where it stands."""

    object: Object
    document: Document

    @property
    def kind(self) -> GroupVersionKind:
        return kind_of(self.object)

    @property
    def name(self) -> str:
        return name_of(self.object)

    @property
    def namespace(self) -> str:
        return namespace_of(self.object)


class Resources(NamedTuple):
    """The objects of some files; `errors` are documents that are none, `warnings` what was left out."""

    items: list[Resource]
    errors: list[InputError]
    warnings: list[str]


def name_of(object_: Object) -> str:
    metadata = object_.get("metadata")
    return str(metadata.get("name") or metadata.get("generateName") or "") if isinstance(metadata, dict) else ""


def namespace_of(object_: Object) -> str:
    metadata = object_.get("metadata")
    return str(metadata.get("namespace") or "") if isinstance(metadata, dict) else ""


def load_resources(paths: Iterable[str], *, kinds: Kinds = BUILT_IN, once: bool = False) -> Resources:
    """The objects of files and folders; `once`: of two with the same group, kind, namespace and name the first stays."""
    loaded = load_paths(paths)
    items: list[Resource] = []
    errors = list(loaded.errors)
    warnings: list[str] = []
    seen: set[tuple[str, str, str, str]] = set()
    for document in loaded.documents:
        try:
            resource = Resource(completed(require_object(document), kinds), document)
        except InputError as error:
            errors.append(error)
            continue
        key = (resource.kind.group, resource.kind.kind, resource.namespace, resource.name)
        if once and key in seen:
            name = "/".join(filter(None, key[2:]))
            warnings.append(f"{document.file}:{document.line}: a second {key[1]} {name} is not used")
            continue
        seen.add(key)
        items.append(resource)
    return Resources(items, errors, warnings)


def completed(object_: Object, kinds: Kinds = BUILT_IN) -> Object:
    """The object with empty maps for null where maps belong, and a namespaced one with a namespace."""
    whole: Object = without_nulls(object_)
    metadata = whole.get("metadata")
    if (metadata is None or isinstance(metadata, dict)) and not (metadata or {}).get("namespace"):
        gvk = kind_of(whole)
        if resource_of(gvk, kinds).namespaced:
            return {**whole, "metadata": {**(metadata or {}), "namespace": "default"}}
    return whole


def without_nulls(value: Any) -> Any:
    """The value with empty maps for null where a map belongs; itself where nothing changes."""
    if isinstance(value, dict):
        changed = None
        for key, member in value.items():
            new = {} if member is None and key in _MAPS else without_nulls(member) if isinstance(member, (dict, list)) else member
            if new is not member:
                changed = changed if changed is not None else dict(value)
                changed[key] = new
        return value if changed is None else changed
    if isinstance(value, list):
        members = [without_nulls(member) if isinstance(member, (dict, list)) else member for member in value]
        return value if all(new is old for new, old in zip(members, value, strict=True)) else members
    return value
