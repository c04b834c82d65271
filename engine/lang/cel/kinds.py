"""Types as the checker knows them: the name of a CEL type, `dyn`, or a `Struct` with declared fields.

Lists and maps have no element types here: an element is `dyn`. The checker therefore refuses only what can never succeed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

BOOL: Final = "bool"
INT: Final = "int"
UINT: Final = "uint"
DOUBLE: Final = "double"
STRING: Final = "string"
BYTES: Final = "bytes"
LIST: Final = "list"
MAP: Final = "map"
NULL: Final = "null_type"
TYPE: Final = "type"
TIMESTAMP: Final = "google.protobuf.Timestamp"
DURATION: Final = "google.protobuf.Duration"
OPTIONAL: Final = "optional_type"
DYN: Final = "dyn"

NUMERIC: Final = frozenset({INT, UINT, DOUBLE})


@dataclass(frozen=True, slots=True)
class Struct:
    """An object type: selecting a field that it does not declare is a compile error. Its values are maps."""

    name: str
    fields: Mapping[str, Type] = field(default_factory=dict)


Type = str | Struct


def kind_name(kind: Type) -> str:
    """The type as error messages show it."""
    return kind if isinstance(kind, str) else kind.name


def fits(given: Type, wanted: str) -> bool:
    """May a value of the static type `given` be one of kind `wanted`? Structs are maps."""
    if given in (wanted, DYN) or wanted == DYN:
        return True
    return isinstance(given, Struct) and wanted == MAP


def joined(first: Type, second: Type) -> Type:
    """The type of a value that has one of two."""
    return first if first == second else DYN
