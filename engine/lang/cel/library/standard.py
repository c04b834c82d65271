"""CEL's standard functions: `size`, conversions, `matches`, tests on strings, `type` and `dyn`."""

from __future__ import annotations

import math
import re
from typing import Any

import re2

from engine.lang.cel.calendar import in_timestamp_range, parse_span, parse_timestamp, span_text, timestamp_text
from engine.lang.cel.errors import CelError
from engine.lang.cel.functions import NOT_CONSTANT, Implementation, Library, Overload
from engine.lang.cel.kinds import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    LIST,
    MAP,
    NULL,
    OPTIONAL,
    STRING,
    TIMESTAMP,
    TYPE,
    UINT,
)
from engine.lang.cel.values import (
    INT_MAX,
    INT_MIN,
    UINT_MAX,
    TypeValue,
    UInt,
    in_uint_range,
    kind_of,
)
from engine.lang.duration import SECOND
from engine.lang.go_format import shortest

_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})
_INTEGER = re.compile(r"[+-]?[0-9]{1,25}", re.ASCII)
_UNSIGNED = re.compile(r"[0-9]{1,25}", re.ASCII)
_FLOAT = re.compile(
    r"[+-]?(?:[0-9]++\.?[0-9]*+(?:[eE][+-]?[0-9]+)?|\.[0-9]++(?:[eE][+-]?[0-9]+)?|inf(?:inity)?|nan)", re.ASCII | re.IGNORECASE
)


def regular_expression(pattern: str) -> Any:
    """A compiled RE2 pattern. Raises `CelError`."""
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        text = reason.decode() if isinstance(reason, bytes) else reason
        raise CelError(f"invalid regular expression `{pattern}`: {text}") from None


def regex_cost(text: str, pattern: str, *_: Any) -> int:
    """Searching costs with the text's length times the pattern's."""
    return (len(text) + 10) * (len(pattern) + 4) // 400


def _matches(text: str, pattern: str) -> bool:
    return regular_expression(pattern).search(text) is not None


def _prepared_matches(_: Any, pattern: Any) -> Implementation | None:
    if pattern is NOT_CONSTANT or not isinstance(pattern, str):
        return None
    search = regular_expression(pattern).search
    return lambda text, _: search(text) is not None


def _to_int(value: float) -> int:
    if not math.isfinite(value) or not INT_MIN < value < INT_MAX:
        raise CelError("integer overflow: double out of int range")
    return int(value)


def _to_uint(value: float) -> UInt:
    if not math.isfinite(value) or not 0 <= value < UINT_MAX:
        raise CelError("unsigned integer overflow: double out of uint range")
    return UInt(int(value))


def _int_of_text(text: str) -> int:
    if _INTEGER.fullmatch(text) and INT_MIN <= int(text) <= INT_MAX:
        return int(text)
    raise CelError(f"cannot convert `{text}` to int")


def _uint_of_text(text: str) -> UInt:
    if _UNSIGNED.fullmatch(text) and int(text) <= UINT_MAX:
        return UInt(int(text))
    raise CelError(f"cannot convert `{text}` to uint")


def _uint_to_int(value: UInt) -> int:
    if value > INT_MAX:
        raise CelError("integer overflow: uint out of int range")
    return int(value)


def _double_of_text(text: str) -> float:
    if _FLOAT.fullmatch(text):
        return float(text)
    raise CelError(f"cannot convert `{text}` to double")


def _bool_of_text(text: str) -> bool:
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise CelError(f"Type conversion error: cannot convert `{text}` to bool")


def double_text(value: float) -> str:
    """Go's `%g`."""
    if value != value:
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "-0" if value == 0 and math.copysign(1, value) < 0 else shortest(value)


def _text_of_bytes(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise CelError("invalid UTF-8 in bytes, cannot convert to string") from None


def _same(value: Any) -> Any:
    return value


def _length(value: Any) -> int:
    return len(value)


_SIZE = tuple(Overload((kind,), INT, _length) for kind in (STRING, BYTES, LIST, MAP))

LIBRARY = Library(
    "standard",
    functions={
        "size": _SIZE,
        "bool": (Overload((BOOL,), BOOL, _same), Overload((STRING,), BOOL, _bool_of_text)),
        "int": (
            Overload((INT,), INT, _same),
            Overload((UINT,), INT, _uint_to_int),
            Overload((DOUBLE,), INT, _to_int),
            Overload((STRING,), INT, _int_of_text),
            Overload((TIMESTAMP,), INT, lambda value: int(value) // SECOND),
            Overload((DURATION,), INT, lambda value: int(value)),
        ),
        "uint": (
            Overload((UINT,), UINT, _same),
            Overload((INT,), UINT, in_uint_range),
            Overload((DOUBLE,), UINT, _to_uint),
            Overload((STRING,), UINT, _uint_of_text),
        ),
        "double": (
            Overload((DOUBLE,), DOUBLE, _same),
            Overload((INT,), DOUBLE, float),
            Overload((UINT,), DOUBLE, float),
            Overload((STRING,), DOUBLE, _double_of_text),
        ),
        "string": (
            Overload((STRING,), STRING, _same),
            Overload((BOOL,), STRING, lambda value: "true" if value else "false"),
            Overload((INT,), STRING, str),
            Overload((UINT,), STRING, lambda value: str(int(value))),
            Overload((DOUBLE,), STRING, double_text),
            Overload((BYTES,), STRING, _text_of_bytes),
            Overload((TIMESTAMP,), STRING, timestamp_text),
            Overload((DURATION,), STRING, span_text),
        ),
        "bytes": (Overload((BYTES,), BYTES, _same), Overload((STRING,), BYTES, lambda value: value.encode())),
        "timestamp": (
            Overload((TIMESTAMP,), TIMESTAMP, _same),
            Overload((STRING,), TIMESTAMP, parse_timestamp),
            Overload((INT,), TIMESTAMP, lambda value: in_timestamp_range(value * SECOND)),
        ),
        "duration": (
            Overload((DURATION,), DURATION, _same),
            Overload((STRING,), DURATION, parse_span),
        ),
        "type": (Overload((DYN,), TYPE, lambda value: TypeValue(kind_of(value))),),
        "dyn": (Overload((DYN,), DYN, _same),),
        "matches": (Overload((STRING, STRING), BOOL, _matches, regex_cost, _prepared_matches),),
    },
    members={
        "size": _SIZE,
        "matches": (Overload((STRING, STRING), BOOL, _matches, regex_cost, _prepared_matches),),
        "contains": (Overload((STRING, STRING), BOOL, lambda text, part: part in text),),
        "startsWith": (Overload((STRING, STRING), BOOL, str.startswith),),
        "endsWith": (Overload((STRING, STRING), BOOL, str.endswith),),
    },
    types=(
        BOOL,
        INT,
        UINT,
        DOUBLE,
        STRING,
        BYTES,
        LIST,
        MAP,
        NULL,
        TYPE,
        TIMESTAMP,
        DURATION,
        OPTIONAL,
    ),
)
