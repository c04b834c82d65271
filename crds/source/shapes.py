"""The building blocks of a structural schema (apiextensions.k8s.io/v1): each function returns one JSON Schema node as a new dict.

There is none for x-kubernetes-validations, on purpose: as soon as a schema has one CEL rule, the API server adds a sentence about
unchecked rules to every other schema error, and tests compare these texts (chainsaw globalcontext/validate-{crd,reference}).
"""

from collections.abc import Iterable, Mapping
from typing import Any

Schema = dict[str, Any]
PRESERVE = "x-kubernetes-preserve-unknown-fields"


def string(text: str = "", *, enum: Iterable[str] = (), **extra: Any) -> Schema:
    """A string, limited to ``enum`` when given; ``extra`` are further keywords (default, maxLength, format…)."""
    choices = {"enum": list(enum)} if enum else {}
    return _node("string", text, choices | extra)


def boolean(text: str = "", **extra: Any) -> Schema:
    """A boolean."""
    return _node("boolean", text, extra)


def integer(text: str = "", **extra: Any) -> Schema:
    """An integer; give ``format`` and bounds as keywords."""
    return _node("integer", text, extra)


def array(items: Schema, text: str = "", **extra: Any) -> Schema:
    """A list whose elements all have the shape ``items``."""
    return _node("array", text, {"items": items} | extra)


def strings(text: str = "", **extra: Any) -> Schema:
    """A list of strings."""
    return array(string(), text, **extra)


def string_map(text: str = "") -> Schema:
    """A map from any key to a string."""
    return _node("object", text, {"additionalProperties": string()})


def map_of(values: Schema, text: str = "") -> Schema:
    """A map from any key to ``values``."""
    return _node("object", text, {"additionalProperties": values})


def record(fields: Mapping[str, Schema], text: str = "", *, required: Iterable[str] = (), **extra: Any) -> Schema:
    """An object with exactly the given fields; the API server prunes or (under strict validation) refuses all others."""
    needed = {"required": list(required)} if required else {}
    return _node("object", text, {"properties": dict(fields)} | needed | extra)


def any_json(text: str = "") -> Schema:
    """Any JSON value at all: patterns, patches, conditions and other documents that the engine reads, not the API server."""
    return ({"description": text} if text else {}) | {PRESERVE: True}


def any_object(text: str = "") -> Schema:
    """Any JSON object."""
    return _node("object", text, {PRESERVE: True})


def one_of(*names: str) -> list[Schema]:
    """Value of ``oneOf``: exactly one of the named fields is set."""
    return [{"required": [name]} for name in names]


def not_together(*names: str) -> Schema:
    """Value of ``not``: the named fields are never all set at once."""
    return {"required": list(names)}


def undescribed(schema: Any) -> Any:
    """The same schema without descriptions: for a shape that is explained elsewhere in the same definition.

    Field names are kept even where a field is itself called ``description``.
    """
    if isinstance(schema, list):
        return [undescribed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain: Schema = {}
    for key, value in schema.items():
        if key == "properties":
            plain[key] = {name: undescribed(shape) for name, shape in value.items()}
        elif key != "description":
            plain[key] = undescribed(value)
    return plain


def _node(kind: str, text: str, keywords: Mapping[str, Any]) -> Schema:
    described = {"description": text} if text else {}
    return described | {"type": kind} | dict(keywords)
