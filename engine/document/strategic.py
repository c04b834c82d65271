"""Strategic merge: a patch laid over an object as kustomize lays it (spec 2.7; oracle mutate.json).

Maps merge, null deletes, scalars replace. Lists of built-in kinds merge by the keys that Kubernetes publishes (merge_keys):
elements of the patch come first, the object's others after; lists of other kinds are replaced. `$patch: replace|delete|merge`
works on maps, on elements, and on a list when it stands alone in an element. Inputs are never written to; the result shares
what did not change, and is the object itself when nothing did.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from engine.document.merge_keys import KINDS, TYPES
from engine.lang.equality import same

DIRECTIVE = "$patch"
_EXACT = 1 << 53
"""Up to here every integer is a float64."""
_SCALARS = ("",)
"""The keys of a list that is a set of scalars."""


class StrategicMergeError(Exception):
    """A patch that does not fit the object; the text is Kyverno's."""


class _Deleted:
    """What a merge answers when the patch deletes the value."""


_DELETED: Final = _Deleted()


def strategic_merge(document: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """`document` with `patch` laid over it; raises StrategicMergeError where a map meets a list or a scalar."""
    kind = KINDS.get(str(document.get("apiVersion")), {}).get(str(document.get("kind")), "")
    merged = _merge_map(document, patch, kind)
    return {} if isinstance(merged, _Deleted) else merged


def wrong_kind(expected: str, found: Any) -> StrategicMergeError:
    """The error for a value of another shape than `expected` (`MappingNode`, `SequenceNode`, `ScalarNode`)."""
    text = json.dumps(found, ensure_ascii=False, sort_keys=True)
    return StrategicMergeError(f"wrong node kind: expected {expected} but got {node_kind(found)}: node contents:\n{text}\n")


def node_kind(value: Any) -> str:
    """What the error texts call a map, a list and everything else."""
    return "MappingNode" if isinstance(value, dict) else "SequenceNode" if isinstance(value, list) else "ScalarNode"


def _merge(old: Any, new: Any, kind: str, keys: tuple[str, ...]) -> Any:
    """The merged value, or `_DELETED`. `kind` is the type of the value or of its elements, `keys` say how a list merges."""
    if new is None:
        return _DELETED
    if old is None:
        return _fresh(new, kind, keys)
    if isinstance(old, dict) and isinstance(new, dict):
        return _merge_map(old, new, kind)
    if isinstance(old, list) and isinstance(new, list):
        return _merge_list(old, new, kind, keys)
    if isinstance(old, (dict, list)) or isinstance(new, (dict, list)):
        raise wrong_kind(node_kind(old), new)
    if isinstance(old, str) and not isinstance(new, str):
        new = _written(new)  # the object's quotes stay (oracle mutate.json: "x" patched with 2.5 is "2.5")
    return old if same(old, new) else new


def _merge_map(old: dict[str, Any], new: dict[str, Any], kind: str) -> dict[str, Any] | _Deleted:
    match _directive(new):
        case "delete":
            return _DELETED
        case "replace":
            return _fresh_map(new, kind)
    fields = TYPES.get(kind, {})
    merged = old
    for name, value in new.items():
        if name == DIRECTIVE:
            continue
        before = old.get(name)
        after = _merge(before, value, *fields.get(name, ("", ())))
        if isinstance(after, _Deleted):
            if name in merged:
                merged = {key: kept for key, kept in merged.items() if key != name}
        elif after is not before or name not in old:
            merged = {**merged, name: after}
    return merged


def _directive(value: dict[str, Any]) -> str:
    directive = value.get(DIRECTIVE, "merge")
    if directive not in ("merge", "replace", "delete"):
        raise StrategicMergeError(f"unknown patch strategy '{directive}'")
    return str(directive)


def _fresh(new: Any, kind: str, keys: tuple[str, ...]) -> Any:
    """A value of the patch where the object has none."""
    if isinstance(new, dict):
        return _DELETED if _directive(new) == "delete" else _fresh_map(new, kind)
    if isinstance(new, list) and keys:
        return _merge_list([], new, kind, keys)
    return _DELETED if new is None else new


def _fresh_map(new: dict[str, Any], kind: str) -> dict[str, Any]:
    fields = TYPES.get(kind, {})
    members = ((name, _fresh(value, *fields.get(name, ("", ())))) for name, value in new.items() if name != DIRECTIVE)
    return {name: value for name, value in members if not isinstance(value, _Deleted)}


def _merge_list(old: list[Any], new: list[Any], kind: str, keys: tuple[str, ...]) -> list[Any] | _Deleted:
    if not keys:
        return old if same(old, new) else new
    for element in new:
        if isinstance(element, dict) and list(element) == [DIRECTIVE]:
            directive = _directive(element)
            if directive == "delete":
                return _DELETED
            new = [other for other in new if other is not element]
            if directive == "replace":
                old = []
    if keys == _SCALARS:
        merged = _merge_set(old, new)
    else:
        for element in old:
            if not isinstance(element, dict) and element is not None:
                raise wrong_kind("MappingNode", element)
        used = tuple(key for key in keys if any(isinstance(element, dict) and key in element for element in (*old, *new)))
        merged = _merge_by_all(old, new, kind, used) if len(used) > 1 else _merge_by_one(old, new, kind, (used or keys)[0])
    return old if len(old) == len(merged) and all(a is b for a, b in zip(old, merged, strict=True)) else merged


def _merge_set(old: list[Any], new: list[Any]) -> list[Any]:
    merged = {_text(value): value for value in (*old, *new) if not isinstance(value, (dict, list))}
    ahead = dict.fromkeys(_text(value) for value in new)
    return [merged[text] for text in (*ahead, *(text for text in merged if text not in ahead)) if text]


def _merge_by_one(old: list[Any], new: list[Any], kind: str, key: str) -> list[Any]:
    """Merges elements by one key. An element of the patch without its key drops what is not merged yet (oracle mutate.json)."""
    rest: dict[str, dict[str, Any]] = {}
    for element in old:
        if element and (text := _text(element.get(key))):
            rest[text] = element
    merged: dict[str, dict[str, Any]] = {}
    for element in new:
        text = _text(element.get(key)) if isinstance(element, dict) else ""
        if not text:
            rest.clear()
        elif text not in merged:
            after = _merge_element(rest.pop(text, None), element, kind)
            if not isinstance(after, _Deleted):
                merged[text] = after
    return [*merged.values(), *rest.values()]


def _merge_by_all(old: list[Any], new: list[Any], kind: str, keys: tuple[str, ...]) -> list[Any]:
    """Merges elements by several keys: the object's stay in their order, new ones come first.

    An element that lacks a key fits others only when they lack it too. One of the patch that agrees with another element in
    the keys they have, but not in all, is dropped: the object's element stays as it is (oracle mutate.json, Service ports).
    """
    known = {_identity(element, keys): element for element in old if element and any(_identity(element, keys))}
    complete = {identity for element in new if isinstance(element, dict) and all(identity := _identity(element, keys))}
    ahead: dict[tuple[str, ...], dict[str, Any]] = {}
    for element in new:
        identity = _identity(element, keys) if isinstance(element, dict) else ()
        if not any(identity):
            known.clear()
        elif identity in known:
            after = _merge_element(known[identity], element, kind)
            if isinstance(after, _Deleted):
                del known[identity]
            else:
                known[identity] = after
        elif identity not in ahead and not _overlaps(identity, (*known, *complete)):
            after = _merge_element(None, element, kind)
            if not isinstance(after, _Deleted):
                ahead[identity] = after
    return [*ahead.values(), *known.values()]


def _merge_element(old: dict[str, Any] | None, new: dict[str, Any], kind: str) -> dict[str, Any] | _Deleted:
    directive = _directive(new)
    if directive == "delete":
        return _DELETED
    if old is None:
        return _fresh_map(new, kind)
    return old if directive == "replace" else _merge_map(old, new, kind)


def _identity(element: dict[str, Any], keys: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_text(element.get(key)) for key in keys)


def _overlaps(identity: tuple[str, ...], others: tuple[tuple[str, ...], ...]) -> bool:
    return any(other != identity and _agree(identity, other) for other in others)


def _agree(identity: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Is one of them the other with a key missing?"""
    pairs = list(_pairs(identity, other))
    return len(pairs) < len(identity) and bool(pairs) and all(mine == theirs for mine, theirs in pairs)


def _pairs(identity: tuple[str, ...], other: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    return ((mine, theirs) for mine, theirs in zip(identity, other, strict=True) if mine and theirs)


def _text(value: Any) -> str:
    """A key's value as text; empty when it is missing or no scalar."""
    if value is None or isinstance(value, (dict, list)):
        return ""
    return value if isinstance(value, str) else _written(value)


def _written(value: float | bool) -> str:
    """A boolean or number as JSON text; 5.0 is 5."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        value = int(value)
    return json.dumps(value)
