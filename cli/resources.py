"""Kubernetes objects from files, as they are when policies see them (cli-format.md 2, "Resources as loaded")."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from cli.documents import Loaded, load_paths, require_object
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


def load_resources(paths: Iterable[str], *, kinds: Kinds = BUILT_IN) -> Resources:
    """The objects of files and folders; of two with the same group, kind, namespace and name the first stays."""
    return from_documents(load_paths(paths), kinds=kinds)


def from_documents(loaded: Loaded, *, kinds: Kinds = BUILT_IN) -> Resources:
    items: dict[tuple[str, str, str, str], Resource] = {}
    errors = list(loaded.errors)
    warnings: list[str] = []
    for document in loaded.documents:
        try:
            object_ = _completed(require_object(document), kinds)
        except InputError as error:
            errors.append(error)
            continue
        resource = Resource(object_, document)
        key = (resource.kind.group, resource.kind.kind, resource.namespace, resource.name)
        if key in items:
            warnings.append(f"{document.file}:{document.line}: a second {key[1]} {'/'.join(filter(None, key[2:]))} is not used")
        else:
            items[key] = resource
    return Resources(list(items.values()), errors, warnings)


def _completed(object_: Object, kinds: Kinds) -> Object:
    completed: Object = without_nulls(object_)
    metadata = completed.get("metadata")
    if (metadata is None or isinstance(metadata, dict)) and not (metadata or {}).get("namespace"):
        gvk = kind_of(completed)
        if resource_of(gvk, kinds).namespaced:
            return {**completed, "metadata": {**(metadata or {}), "namespace": "default"}}
    return completed


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
