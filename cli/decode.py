"""Strict decoding of the command line's own documents: names without regard to case, nothing unknown, paths in errors.

As Go's strict JSON decoder reads them (cli-format.md 1): a null field is an absent one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from cli.errors import InputError
from cli.positions import place_of
from cli.yaml_load import Document

Shape = Callable[[Any, str], Any]
"""Gives the value in its canonical form, or raises `Misfit` at the path."""


class Misfit(Exception):
    """A value of the wrong shape."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


def anything(value: Any, path: str) -> Any:
    """Any JSON value."""
    return value


def text(value: Any, path: str) -> str:
    return str(_typed(value, path, str, "a string"))


def boolean(value: Any, path: str) -> bool:
    return bool(_typed(value, path, bool, "a boolean"))


def integer(value: Any, path: str) -> int:
    if isinstance(value, bool):
        raise Misfit(path, f"must be an integer, got `{_shown(value)}`")
    return int(_typed(value, path, int, "an integer"))


def mapping(value: Any, path: str) -> dict[str, Any]:
    return dict(_typed(value, path, dict, "a map"))


def kubernetes_object(value: Any, path: str) -> dict[str, Any]:
    """A map with apiVersion and kind; metadata, labels and annotations are maps, names are strings where they are there."""
    found = mapping(value, path)
    for field in ("apiVersion", "kind"):
        if not found.get(field):
            raise Misfit(_below(path, field), "Required value")
        text(found[field], _below(path, field))
    metadata = found.get("metadata")
    if metadata is not None:
        mapping(metadata, _below(path, "metadata"))
        for field in ("name", "generateName", "namespace"):
            if metadata.get(field) is not None:
                text(metadata[field], _below(path, f"metadata.{field}"))
        for field in ("labels", "annotations"):
            if metadata.get(field) is not None:
                mapping(metadata[field], _below(path, f"metadata.{field}"))
    return found


def _below(path: str, field: str) -> str:
    return f"{path}.{field}" if path else field


def one_of(*values: str) -> Shape:
    def check(value: Any, path: str) -> str:
        found = text(value, path)
        if found not in values:
            raise Misfit(path, f"`{found}` is none of {', '.join(value for value in values if value)}")
        return found

    return check


def list_of(member: Shape) -> Shape:
    def check(value: Any, path: str) -> list[Any]:
        return [member(item, f"{path}[{index}]") for index, item in enumerate(_typed(value, path, list, "a list"))]

    return check


def map_of(member: Shape) -> Shape:
    def check(value: Any, path: str) -> dict[str, Any]:
        return {key: member(item, f"{path}.{key}") for key, item in _typed(value, path, dict, "a map").items()}

    return check


def record(needed: tuple[str, ...] = (), /, **fields: Shape) -> Shape:
    """A map with these fields; `needed` ones must be there and not empty."""
    names = {name.lower(): name for name in fields}

    def check(value: Any, path: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, item in _typed(value, path, dict, "a map").items():
            name = names.get(key.lower())
            where = f"{path}.{key}" if path else key
            if name is None:
                raise Misfit(where, f"unknown field `{key}`")
            if name in found:
                raise Misfit(where, f"field `{key}` is given twice")
            if item is not None:
                found[name] = fields[name](item, where)
        for name in needed:
            if not found.get(name) and not isinstance(found.get(name), (bool, int)):
                raise Misfit(f"{path}.{name}" if path else name, "Required value")
        return found

    return check


def decode(document: Document, shape: Shape) -> Mapping[str, Any]:
    """The document in its canonical form; raises `InputError` with the place of the fault."""
    try:
        decoded: Mapping[str, Any] = shape(document.value, "")
    except Misfit as misfit:
        raise misplaced(document, misfit) from None
    return decoded


def misplaced(document: Document, misfit: Misfit) -> InputError:
    """The fault with its place in the file."""
    line, column = place_of(document, misfit.path)
    return InputError(document.file, misfit.reason, line=line, column=column, path=document.path(misfit.path))


def _typed(value: Any, path: str, kind: type, name: str) -> Any:
    if not isinstance(value, kind):
        raise Misfit(path, f"must be {name}, got `{_shown(value)}`")
    return value


def _shown(value: Any) -> str:
    written = orjson.dumps(value).decode()
    return written if len(written) <= 60 else f"{written[:57]}..."
