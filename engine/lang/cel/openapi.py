"""Object types from OpenAPI v3 documents, as the API server publishes them for each group and version (/openapi/v3).

Wherever a schema leaves a value open (formats, ints that may be strings, unknown fields that are kept, unions) its type is
`dyn`: the checker refuses only what can never succeed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.lang.cel.kinds import BOOL, DYN, INT, LIST, MAP, STRING, Struct, Type

Schema = Mapping[str, Any]
KINDS = "x-kubernetes-group-version-kind"
OPEN = ("x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string", "nullable")
SCALARS: dict[str, Type] = {"string": STRING, "integer": INT, "boolean": BOOL, "array": LIST}
ROOT_FIELDS: dict[str, Type] = {"apiVersion": STRING, "kind": STRING, "metadata": DYN}


def object_type(document: Mapping[str, Any], *, group: str, version: str, kind: str) -> Struct | None:
    """The type of a kind's objects. None where the document does not describe it, or leaves its fields open."""
    wanted = {"group": group, "version": version, "kind": kind}
    schemas: Mapping[str, Schema] = (document.get("components") or {}).get("schemas") or {}
    for name, schema in schemas.items():
        if wanted in (schema.get(KINDS) or ()):
            found = _type(name, schema, schemas)
            return found if isinstance(found, Struct) else None
    return None


class _Fields(Mapping[str, Type]):
    """The fields of a schema; their types are made when they are asked for, because schemas may hold themselves."""

    __slots__ = ("_open", "_properties", "_schemas")

    def __init__(self, properties: Mapping[str, Schema], schemas: Mapping[str, Schema], more: Mapping[str, Type]) -> None:
        self._properties = properties
        self._schemas = schemas
        self._open = more

    def __getitem__(self, name: str) -> Type:
        if name in self._properties:
            return _type(name, self._properties[name], self._schemas)
        return self._open[name]

    def __iter__(self) -> Iterator[str]:
        yield from self._properties
        yield from (name for name in self._open if name not in self._properties)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    __eq__ = object.__eq__
    __hash__ = object.__hash__


def _type(name: str, schema: Schema, schemas: Mapping[str, Schema]) -> Type:
    if any(schema.get(mark) for mark in OPEN):
        return DYN
    reference, parts = schema.get("$ref"), list(schema.get("allOf") or ())
    if not reference and len(parts) == 1 and "type" not in schema:
        reference = parts[0].get("$ref")
    if reference:
        target = str(reference).rpartition("/")[2]
        return _type(target, schemas[target], schemas) if target in schemas else DYN
    kind = schema.get("type")
    if kind != "object":
        return DYN if schema.get("format") and kind == "string" else SCALARS.get(str(kind), DYN)
    if schema.get("properties"):
        return Struct(name, _Fields(schema["properties"], schemas, ROOT_FIELDS if schema.get(KINDS) else {}))
    return MAP if schema.get("additionalProperties") else DYN
