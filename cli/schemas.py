"""The schemas of the custom resources as JSON Schema draft-07: what an API server checks, in the words of editors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cli.file_schemas import API_VERSION, FILE_KINDS, file_schema
from crds.source.definition import Kind, Version
from crds.source.files import kinds as definitions

Schema = dict[str, Any]

DRAFT = "http://json-schema.org/draft-07/schema#"
OPEN = "x-kubernetes-preserve-unknown-fields"
INT_OR_STRING = "x-kubernetes-int-or-string"
_ONLY_NUMBERS = frozenset({"int32", "int64", "float", "double"})
"""Formats of numbers, which editors do not know."""

METADATA: Schema = {
    "description": "Name, labels and annotations.",
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "generateName": {"type": "string"},
        "namespace": {"type": "string"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}


def _by_name() -> dict[str, list[tuple[Kind, Version]]]:
    found: dict[str, list[tuple[Kind, Version]]] = {}
    for kind in definitions():
        found.setdefault(kind.kind, []).extend((kind, version) for version in kind.versions)
    return dict(sorted(found.items()))


_DEFINED: Mapping[str, list[tuple[Kind, Version]]] = _by_name()
KINDS = (*_DEFINED, *FILE_KINDS)
"""Kinds with a schema: custom resources, which may exist in several groups and versions, and files of the command line."""


def schema_of(kind: str) -> Schema:
    """The schema of a kind, all versions together: apiVersion chooses."""
    head: Schema = {"$schema": DRAFT, "title": kind}
    if kind in FILE_KINDS:
        return head | file_schema(kind)
    versions = {f"{definition.group}/{version.name}": _version(definition, version) for definition, version in _DEFINED[kind]}
    if len(versions) == 1:
        return head | next(iter(versions.values()))
    return head | {
        "type": "object",
        "required": ["apiVersion", "kind"],
        "properties": {"apiVersion": {"enum": list(versions)}, "kind": {"const": kind}},
        "allOf": [
            {"if": {"properties": {"apiVersion": {"const": name}}}, "then": {"$ref": f"#/definitions/{_pointer(name)}"}}
            for name in versions
        ],
        "definitions": versions,
    }


def combined(kinds: Iterable[str]) -> Schema:
    """One schema for documents of several kinds: apiVersion and kind choose."""
    definitions_: Schema = {}
    choices = []
    for api_version, kind, schema in _documents(kinds):
        name = f"{api_version}/{kind}"
        definitions_[name] = schema
        asked = {"apiVersion": {"const": api_version}, "kind": {"const": kind}}
        choices.append(
            {"if": {"properties": asked, "required": list(asked)}, "then": {"$ref": f"#/definitions/{_pointer(name)}"}}
        )
    return {"$schema": DRAFT, "title": "Policies", "type": "object", "allOf": choices, "definitions": definitions_}


def _documents(kinds: Iterable[str]) -> Iterator[tuple[str, str, Schema]]:
    """(apiVersion, kind, schema) of every version."""
    for kind in kinds:
        if kind in FILE_KINDS:
            yield API_VERSION, kind, file_schema(kind)
        for definition, version in _DEFINED.get(kind, []):
            yield f"{definition.group}/{version.name}", kind, _version(definition, version)


def _pointer(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _version(kind: Kind, version: Version) -> Schema:
    fields = {name: converted(field) for name, field in version.fields.items()}
    return {
        "description": kind.text,
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", *version.required],
        "properties": {
            "apiVersion": {"description": "Group and version of the schema.", "const": f"{kind.group}/{version.name}"},
            "kind": {"description": "Kind of the object.", "const": kind.kind},
            "metadata": METADATA,
            **fields,
        },
        "additionalProperties": False,
    }


def converted(schema: Any) -> Any:
    """A structural schema of an API server as draft-07: unknown fields are refused where the server would drop them."""
    if isinstance(schema, list):
        return [converted(member) for member in schema]
    if not isinstance(schema, dict):
        return schema
    found: Schema = {}
    for key, value in schema.items():
        if key.startswith("x-") or key == "nullable" or (key == "format" and value in _ONLY_NUMBERS):
            continue
        if key == "properties":
            found[key] = {name: converted(member) for name, member in value.items()}
        elif key in ("default", "enum", "required", "example"):
            found[key] = value
        else:
            found[key] = converted(value)
    if schema.get(INT_OR_STRING):
        found.pop("anyOf", None)
        found["type"] = ["integer", "string"]
    if schema.get("nullable") and isinstance(found.get("type"), str):
        found["type"] = [found["type"], "null"]
    if "properties" in found and "additionalProperties" not in found and not schema.get(OPEN):
        found["additionalProperties"] = False
    return found
