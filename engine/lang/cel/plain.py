"""Values of expressions as plain JSON: what becomes part of an object."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from engine.lang.cel.errors import CelError
from engine.lang.cel.values import KeyedMap, UInt, kind_of


def plain(value: Any) -> Any:
    """The JSON value: bytes as base64, maps with string keys. Raises `CelError` for what JSON does not have."""
    if isinstance(value, dict):
        return {key: plain(member) for key, member in value.items()}
    if isinstance(value, list):
        return [plain(member) for member in value]
    if value is None or value.__class__ in (bool, int, float, str):
        return value
    if isinstance(value, UInt):
        return int(value)
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, KeyedMap) and not len(value):
        return {}
    raise CelError(f"a value of type {kind_of(value)} cannot be part of an object")
