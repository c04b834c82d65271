"""Server-side apply without owners: a configuration laid over an object as an API server merges it.

Maps merge; lists of built-in kinds merge by the keys that Kubernetes publishes (merge_keys): elements keep their places, new ones
come last, sets of scalars are united. Other lists are atomic, and a configuration must not have them: what it does not repeat
would be lost without notice.
"""

from __future__ import annotations

from typing import Any

from engine.document.merge_keys import KINDS, TYPES
from engine.lang.equality import same

_SET = ("",)
_DEFAULTS = {"protocol": "TCP"}
"""Keys of list elements that the API server fills in."""


class ApplyError(Exception):
    """A configuration that cannot be applied; the text names the field."""


def apply_configuration(document: dict[str, Any], configuration: dict[str, Any]) -> dict[str, Any]:
    """`document` with `configuration` applied; shares what did not change and is the document itself when nothing did.

    Raises `ApplyError`.
    """
    kind = KINDS.get(str(document.get("apiVersion")), {}).get(str(document.get("kind")), "")
    return _merge_map(document, configuration, kind, "")


def _merge_map(old: dict[str, Any], new: dict[str, Any], kind: str, path: str) -> dict[str, Any]:
    fields = TYPES.get(kind, {})
    merged = old
    for name, value in new.items():
        before = old.get(name)
        after = _merge(before, value, *fields.get(name, ("", ())), f"{path}.{name}")
        if after is not before or name not in old:
            merged = {**merged, name: after}
    return merged


def _merge(old: Any, new: Any, kind: str, keys: tuple[str, ...], path: str) -> Any:
    if isinstance(new, dict):
        if old is not None and not isinstance(old, dict):
            raise ApplyError(f"{path}: expected {_kind(old)}, got a map")
        return _merge_map({} if old is None else old, new, kind, path) if new or old is not None else new
    if isinstance(new, list):
        if not keys:
            raise ApplyError(f"may not mutate atomic arrays, maps or structs: {path}")
        if old is not None and not isinstance(old, list):
            raise ApplyError(f"{path}: expected {_kind(old)}, got a list")
        return _merge_set(old or [], new) if keys == _SET else _merge_list(old or [], new, kind, keys, path)
    if isinstance(old, (dict, list)) and new is not None:
        raise ApplyError(f"{path}: expected {_kind(old)}, got {_kind(new)}")
    return old if same(old, new) and old is not None else new


def _merge_set(old: list[Any], new: list[Any]) -> list[Any]:
    added = [value for index, value in enumerate(new) if value not in old and value not in new[:index]]
    return [*old, *added] if added else old


def _merge_list(old: list[Any], new: list[Any], kind: str, keys: tuple[str, ...], path: str) -> list[Any]:
    places: dict[tuple[Any, ...], int] = {}
    for index, element in enumerate(old):
        if isinstance(element, dict):
            places.setdefault(_identity(element, keys), index)
    merged = list(old)
    for index, element in enumerate(new):
        where = f"{path}[{index}]"
        if not isinstance(element, dict):
            raise ApplyError(f"{where}: expected a map, got {_kind(element)}")
        absent = [key for key in keys if element.get(key) is None and key not in _DEFAULTS]
        if absent:
            raise ApplyError(f"{where}: associative list with keys has an element that omits key field `{absent[0]}`")
        identity = _identity(element, keys)
        place = places.get(identity)
        if place is None:
            places[identity] = len(merged)
            merged.append(_merge_map({}, element, kind, where))
        else:
            merged[place] = _merge_map(merged[place], element, kind, where)
    return old if len(old) == len(merged) and all(a is b for a, b in zip(old, merged, strict=True)) else merged


def _identity(element: dict[str, Any], keys: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(str(element.get(key, _DEFAULTS.get(key))) for key in keys)


def _kind(value: Any) -> str:
    return "a map" if isinstance(value, dict) else "a list" if isinstance(value, list) else "a scalar"
