"""JSON values as JMESPath sees them: truth, equality, type names, numbers.

Numbers are float64 in Kyverno. Here they stay Python's int and float, which JSON made; results that are whole are given back
as int, so that they can be used where Kubernetes wants integers.
"""

from __future__ import annotations

import math
import re
from typing import Any

from engine.lang.errors import ExpressionError

NUMBERS = (int, float)
_INT64 = float(1 << 63)
_RAW_BYTE = re.compile("[\udc80-\udcff]")

TYPE_NAMES = {
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    list: "array",
    dict: "object",
    type(None): "null",
}


def is_true(value: Any) -> bool:
    """Everything but null, false and what is empty; numbers are true, also 0."""
    return bool(value) or value.__class__ in NUMBERS


def equal(left: Any, right: Any) -> bool:
    """Deep equality where `true` is not 1 and `1` is `1.0`."""
    kind = left.__class__
    if kind is str:
        return bool(left == right)
    if kind is bool or left is None:
        return left is right
    if kind in NUMBERS:
        return right.__class__ in NUMBERS and bool(left == right)
    if kind is not right.__class__ or len(left) != len(right):
        return False
    if kind is list:
        return all(map(equal, left, right))
    return all(key in right and equal(value, right[key]) for key, value in left.items())


def whole(value: float) -> int | float:
    """A computed number: int where it is whole and fits 64 bits. Raises `ExpressionError` for NaN and infinities."""
    if value.__class__ is int:
        return value
    if not math.isfinite(value):
        text = "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
        raise ExpressionError(f"json: unsupported value: {text}")
    return int(value) if -_INT64 < value < _INT64 and value == int(value) else value


def to_float(value: float) -> float:
    """A JSON number as float64; raises `ExpressionError` where an integer is out of its range."""
    try:
        return float(value)
    except OverflowError:
        raise ExpressionError("number out of range") from None


def to_bytes(text: str) -> bytes:
    """The bytes of a string, also of one that `from_bytes` made of bytes that are no UTF-8."""
    return text.encode("utf-8", "surrogateescape")


def from_bytes(data: bytes) -> str:
    """Bytes as a string; what is no UTF-8 survives as lone surrogates until `printable` sees it."""
    return data.decode("utf-8", "surrogateescape")


def printable(value: Any) -> Any:
    """`value` with every byte that is no UTF-8 as U+FFFD, as Go's JSON writes it."""
    if value.__class__ is str:
        return _RAW_BYTE.sub("\ufffd", value)
    if value.__class__ is list:
        return [printable(item) for item in value]
    if value.__class__ is dict:
        return {printable(key): printable(item) for key, item in value.items()}
    return value
