"""Shapes of JSON documents: small checks that combine to whole schemas, with the path of the first fault."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.errors import InvalidPolicy, UnknownField
from engine.lang import go_json

Check = Callable[[Any, str], None]
"""Raises `InvalidPolicy` at the given path for a value of the wrong shape."""


_KINDS: Mapping[type, str] = {
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "a map",
    type(None): "null",
}


_SHOWN = 60
"""Characters of a value that an error shows."""


def anything(value: Any, path: str) -> None:
    """Any JSON value."""


def _typed(name: str, *types: type) -> Check:
    def check(value: Any, path: str) -> None:
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            raise InvalidPolicy(path, f"must be {name}, got {_kind(value)}")

    return check


def _kind(value: Any) -> str:
    """What the value is; a short scalar is shown, as an unquoted `no` is `false` to YAML and the author should see it."""
    shown = go_json.dumps(value) if isinstance(value, (bool, int, float, str)) else ""
    return f"{_KINDS[type(value)]}: `{shown}`" if 0 < len(shown) <= _SHOWN else _KINDS[type(value)]


text = _typed("a string", str)
boolean = _typed("a boolean", bool)
integer = _typed("an integer", int)
mapping = _typed("a map", dict)


def one_of(*values: str) -> Check:
    """One of these strings."""
    supported = ", ".join(f'"{value}"' for value in values)

    def check(value: Any, path: str) -> None:
        text(value, path)
        if value not in values:
            raise InvalidPolicy(path, f"Unsupported value: {go_json.dumps(value)}: supported values: {supported}")

    return check


def list_of(member: Check) -> Check:
    """A list without nulls."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, list):
            raise InvalidPolicy(path, f"must be a list, got {_kind(value)}")
        for index, item in enumerate(value):
            if item is None:
                raise InvalidPolicy(f"{path}[{index}]", "must not be null")
            member(item, f"{path}[{index}]")

    return check


def map_of(member: Check) -> Check:
    """A map with any keys."""

    def check(value: Any, path: str) -> None:
        mapping(value, path)
        for key, item in value.items():
            member(item, f"{path}.{key}")

    return check


def record(needed: tuple[str, ...] = (), /, **fields: Check) -> Check:
    """A map with these fields only; a field that is null counts as absent."""
    return lambda value, path: _check_record(value, path, needed, fields)


def _check_record(value: Any, path: str, required: tuple[str, ...], fields: Mapping[str, Check]) -> None:
    mapping(value, path)
    for key, item in value.items():
        check = fields.get(key)
        if check is None:
            raise UnknownField(f"{path}.{key}", fields)
        if item is not None:
            check(item, f"{path}.{key}")
    for key in required:
        if value.get(key) is None:
            raise InvalidPolicy(f"{path}.{key}", "Required value")


def nested(get: Callable[[], Check]) -> Check:
    """A check that is defined in terms of itself."""
    return lambda value, path: get()(value, path)


_DOCUMENT = ("apiVersion", "kind", "metadata", "spec", "status")
_METADATA: dict[str, Check] = {
    "name": text,
    "namespace": text,
    "uid": text,
    "resourceVersion": text,
    "labels": map_of(text),
    "annotations": map_of(text),
}


def check_document(document: Mapping[str, Any], check_spec: Check) -> None:
    """Checks a whole document that has metadata and a spec. Raises `InvalidPolicy` for the first fault."""
    for key in document:
        if key not in _DOCUMENT:
            raise UnknownField(key, _DOCUMENT)
    for key in ("metadata", "spec"):
        if document.get(key) is None:
            raise InvalidPolicy(key, "Required value")
    mapping(document["metadata"], "metadata")
    for key, check in _METADATA.items():
        if document["metadata"].get(key) is not None:
            check(document["metadata"][key], f"metadata.{key}")
    if not document["metadata"].get("name") and not document["metadata"].get("generateName"):
        raise InvalidPolicy("metadata.name", "Required value")
    check_spec(document["spec"], "spec")
