"""The shape of match and exclude: which field holds what. Checked once, so that nothing behind it asks again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.errors import InvalidPolicy

OPERATIONS = frozenset({"CREATE", "UPDATE", "DELETE", "CONNECT"})

Shape = Callable[[Any, str], None]
"""(value, its path) -> raises InvalidPolicy"""


def check_shape(clause: Any, path: str) -> None:
    """Raises `InvalidPolicy` with the exact place unless `clause`, which stands at `path`, has the shape of match or exclude.

    Absent and null fields are fine everywhere. Selectors are only checked to be maps, their compiler checks the rest.
    """
    CLAUSE(clause, path)
    if clause.get("any") and clause.get("all"):
        raise InvalidPolicy(path, "any and all cannot be given together")
    written = [key for key in BLOCK_FIELDS if clause.get(key)]
    if written and (clause.get("any") or clause.get("all")):
        raise InvalidPolicy(path, f"any and all cannot be given together with {written[0]}")


def _text(value: Any, path: str) -> None:
    if not isinstance(value, str):
        raise InvalidPolicy(path, "must be a string")


def _operation(value: Any, path: str) -> None:
    _text(value, path)
    if value not in OPERATIONS:
        raise InvalidPolicy(path, f"unknown operation `{value}`, must be one of {', '.join(sorted(OPERATIONS))}")


def _list_of(item: Shape) -> Shape:
    def check(value: Any, path: str) -> None:
        if not isinstance(value, list):
            raise InvalidPolicy(path, "must be a list")
        for index, each in enumerate(value):
            item(each, f"{path}[{index}]")

    return check


def _map_of(item: Shape | None = None) -> Shape:
    def check(value: Any, path: str) -> None:
        if not isinstance(value, Mapping):
            raise InvalidPolicy(path, "must be a map")
        for key, each in value.items():
            _text(key, path)
            if item is not None:
                item(each, f"{path}[{key}]")

    return check


def _fields(fields: Mapping[str, Shape]) -> Shape:
    def check(value: Any, path: str) -> None:
        if not isinstance(value, Mapping):
            raise InvalidPolicy(path, "must be a map")
        for key, field in fields.items():
            if value.get(key) is not None:
                field(value[key], f"{path}.{key}")

    return check


RESOURCE_FIELDS: dict[str, Shape] = {
    "kinds": _list_of(_text),
    "operations": _list_of(_operation),
    "name": _text,
    "names": _list_of(_text),
    "namespaces": _list_of(_text),
    "annotations": _map_of(_text),
    "selector": _map_of(),
    "namespaceSelector": _map_of(),
}
BLOCK_FIELDS: dict[str, Shape] = {
    "resources": _fields(RESOURCE_FIELDS),
    "roles": _list_of(_text),
    "clusterRoles": _list_of(_text),
    "subjects": _list_of(_fields({"kind": _text, "name": _text, "namespace": _text, "apiGroup": _text})),
}
BLOCK = _fields(BLOCK_FIELDS)
CLAUSE = _fields({"any": _list_of(BLOCK), "all": _list_of(BLOCK), **BLOCK_FIELDS})
