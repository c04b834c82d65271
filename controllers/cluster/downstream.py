"""What is to be done so that the downstreams of a trigger are what its rule wants (spec 2.8, 9.6). Pure.

Nothing is ever deleted to be created anew: what cannot be changed in place stays, and the failure is told.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from controllers.cluster.generating import CLONE_SOURCE, PREFIX, SOURCE_UID
from engine import Object, json_text, kind_of

Action = Literal["create", "update", "delete", "unlabel"]
Leftovers = Literal["delete", "unlabel", "keep"]
"""What becomes of downstreams that are not wanted any more: the trigger has changed, the rule has, or nobody synchronizes."""
Identity = tuple[str, str, str, str]
_EXACT = frozenset({"data", "binaryData"})
"""Sections of ConfigMaps and Secrets: the API server adds nothing to them, so that what is too much was put there by somebody."""
_SERVER = frozenset(
    {"uid", "resourceVersion", "creationTimestamp", "managedFields", "selfLink", "generation", "deletionTimestamp"}
)


@dataclass(frozen=True, slots=True)
class Step:
    """One write. `object` is what is sent; to delete: what is deleted."""

    action: Action
    object: Object


def identity(document: Object) -> Identity:
    """Group, kind, namespace and name: what cannot exist twice."""
    group, _, kind = kind_of(document)
    metadata = document.get("metadata") or {}
    return group, kind, metadata.get("namespace") or "", metadata.get("name") or ""


def plan(
    wanted: Iterable[Object],
    existing: Sequence[Object],
    *,
    synchronize: bool,
    leftovers: Leftovers = "keep",
    force: bool = False,
) -> tuple[Step, ...]:
    """The writes that lead from `existing` to `wanted`; none where all is well.

    `existing` are stored objects: the downstreams there are of this trigger and rule, and whatever already has a wanted name.
    Without `synchronize` what exists is left as it is. `force`: the rule has changed, so that what it no longer says must go from
    objects which still contain all that it does say.
    """
    stored = {identity(document): document for document in existing}
    steps: list[Step] = []
    named: set[Identity] = set()
    for document in wanted:
        document = plain(document)
        key = identity(document)
        if key in named:
            continue
        named.add(key)
        held = stored.get(key)
        if held is None:
            steps.append(Step("create", document))
        elif synchronize and held["metadata"].get("deletionTimestamp") is None and (force or not satisfies(held, document)):
            steps.append(Step("update", renewed(held, document)))
    if leftovers != "keep":
        for key, held in stored.items():
            if key not in named:
                steps.append(Step("delete", held) if leftovers == "delete" else Step("unlabel", unlabelled(held)))
    return tuple(steps)


def plain(document: Object) -> Object:
    """The wanted object as the API server would keep it: no status, a Secret's stringData as data, labels that are texts.

    A variable may render a number or a truth value where only texts can stand.
    """
    body = {key: value for key, value in document.items() if key != "status"}
    metadata = body.get("metadata") or {}
    for key in ("labels", "annotations"):
        if isinstance(metadata.get(key), dict):
            metadata = {**metadata, key: {name: _text(value) for name, value in metadata[key].items()}}
    body["metadata"] = metadata
    if kind_of(document) == ("", "v1", "Secret") and isinstance(body.get("stringData"), dict):
        texts = body.pop("stringData")
        encoded = {key: base64.b64encode(str(value).encode()).decode() for key, value in texts.items()}
        body["data"] = {**(body.get("data") or {}), **encoded}
    return body


def _text(value: Any) -> Any:
    return value if isinstance(value, str) or value is None else json_text(value)


def satisfies(held: Object, wanted: Object) -> bool:
    """Is the stored object all that is wanted? Whatever else it has was added by others, in sections where they may."""
    copied = SOURCE_UID in ((wanted.get("metadata") or {}).get("labels") or {})
    for key, value in wanted.items():
        if key == "metadata":
            if not _contains(_metadata(held), {name: value[name] for name in ("labels", "annotations") if value.get(name)}):
                return False
        elif key in _EXACT and isinstance(value, dict):
            if (held.get(key) or {}) != value:
                return False
        elif not _contains(held.get(key), value):
            return False
    return not copied or all(key in wanted or not held.get(key) for key in _EXACT)


def renewed(held: Object, wanted: Object) -> Object:
    """The stored object with every section that is wanted as it is wanted; labels and annotations of others stay."""
    metadata = {**_metadata(held)}
    for key, value in (wanted.get("metadata") or {}).items():
        metadata[key] = {**(metadata.get(key) or {}), **value} if key in ("labels", "annotations") and value else value
    metadata = {**metadata, **{key: held["metadata"][key] for key in _SERVER if key in held["metadata"]}}
    return {**held, **wanted, "metadata": metadata}


def overlaid(held: Object, wanted: Object) -> Object:
    """As `renewed`, keeping what the stored object has inside the sections: for kinds with fields that must not go away."""
    body = {key: _overlay(held.get(key), value) for key, value in wanted.items() if key != "metadata"}
    return {**renewed(held, wanted), **body}


def restored(document: Object) -> Object:
    """An object that somebody changed or deleted, as it is to be written again."""
    metadata = {key: value for key, value in document["metadata"].items() if key not in _SERVER}
    return {**document, "metadata": metadata}


def unlabelled(document: Object) -> Object:
    """The object without the labels that say whose it is."""
    metadata = _metadata(document)
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if not key.startswith(PREFIX)}
    return {**document, "metadata": {**metadata, "labels": labels}}


def as_source(document: Object) -> Object | None:
    """The object marked as one that is copied; None where it is marked already."""
    metadata = _metadata(document)
    labels = metadata.get("labels") or {}
    if CLONE_SOURCE in labels:
        return None
    return {**document, "metadata": {**metadata, "labels": {**labels, CLONE_SOURCE: ""}}}


def _metadata(document: Object) -> Mapping[str, Any]:
    return document.get("metadata") or {}


def _contains(held: Any, wanted: Any) -> bool:
    """Maps may have more keys than wanted, lists no more elements; absent and empty are the same."""
    if isinstance(wanted, dict):
        if not wanted:
            return held is None or isinstance(held, dict)
        return isinstance(held, dict) and all(_contains(held.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        if not wanted:
            return not held
        return (
            isinstance(held, list)
            and len(held) == len(wanted)
            and all(_contains(one, other) for one, other in zip(held, wanted, strict=True))
        )
    if wanted is None:
        return True
    return bool(held == wanted) and isinstance(held, bool) == isinstance(wanted, bool)


def _overlay(held: Any, wanted: Any) -> Any:
    if isinstance(held, dict) and isinstance(wanted, dict):
        return {**held, **{key: _overlay(held.get(key), value) for key, value in wanted.items()}}
    return wanted
