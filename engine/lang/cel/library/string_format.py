"""`format`: `%s %d %f %e %b %o %x %X` and `%%`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from engine.lang.cel.calendar import span_text, timestamp_text
from engine.lang.cel.errors import CelError
from engine.lang.cel.values import MAPS, Duration, Timestamp, TypeValue, UInt, kind_of

_CLAUSE = re.compile(r"%(?:%|(?:\.([0-9]+))?(.?))", re.DOTALL)
_MAX_PRECISION = 1000
_INTEGERS = frozenset({int, UInt})


def formatted(text: str, items: list[Any]) -> str:
    """`text` with its clauses replaced by the items in turn. Raises `CelError` for items that a clause does not take."""
    used = 0

    def clause(found: re.Match[str]) -> str:
        nonlocal used
        if found[0] == "%%":
            return "%"
        write = _CLAUSES.get(found[2])
        if write is None:
            raise CelError(f'could not parse formatting clause: unrecognized formatting clause "{found[2]}"')
        if used >= len(items):
            raise CelError(f"index {used} out of range")
        precision = int(found[1]) if found[1] and len(found[1]) < 6 else 6 if not found[1] else _MAX_PRECISION + 1
        if precision > _MAX_PRECISION:
            raise CelError("could not parse formatting clause: precision is too large")
        used += 1
        try:
            return write(items[used - 1], precision)
        except _Unfit as unfit:
            raise CelError(f"error during formatting: {unfit}, was given {kind_of(items[used - 1])}") from None

    return _CLAUSE.sub(clause, text)


class _Unfit(Exception):
    """A value that a clause does not take."""


def value_text(value: Any) -> str:
    """`%s`: strings bare, lists in brackets, maps in braces with sorted keys."""
    cls = value.__class__
    if cls is str:
        return str(value)
    if value is None:
        return "null"
    if cls is bool:
        return "true" if value else "false"
    if cls is list:
        return f"[{', '.join(map(value_text, value))}]"
    if cls in MAPS:
        entries = sorted((value_text(key), value_text(item)) for key, item in value.items())
        return f"{{{', '.join(f'{key}: {item}' for key, item in entries)}}}"
    writer = _WRITERS.get(cls)
    if writer is None:
        raise _Unfit(
            "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, "
            "and timestamps"
        )
    return writer(value)


def _double(value: float) -> str:
    if not math.isfinite(value):
        return _special(value)
    text = format(Decimal(repr(value)), "f")
    return text.rstrip("0").removesuffix(".") if "." in text else text


def _special(value: float) -> str:
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


_WRITERS: dict[type, Callable[[Any], str]] = {
    int: str,
    UInt: lambda value: str(int(value)),
    float: _double,
    bytes: lambda value: value.decode("utf-8", "replace"),
    Timestamp: timestamp_text,
    Duration: span_text,
    TypeValue: lambda value: str(value.name),
}


def _integer(value: Any, _: int) -> str:
    if value.__class__ in _INTEGERS:
        return str(int(value))
    if value.__class__ is float and not math.isfinite(value):
        return _special(value)
    raise _Unfit("decimal clause can only be used on integers")


def _number(value: Any, clause: str) -> float:
    if value.__class__ in _INTEGERS or value.__class__ is float:
        return float(value)
    raise _Unfit(f"{clause} clause can only be used on doubles")


def _fixed(value: Any, precision: int) -> str:
    number = _number(value, "fixed-point")
    return f"{number:.{precision}f}" if math.isfinite(number) else _special(number)


def _scientific(value: Any, precision: int) -> str:
    number = _number(value, "scientific")
    return f"{number:.{precision}e}" if math.isfinite(number) else _special(number)


def _binary(value: Any, _: int) -> str:
    if value.__class__ in _INTEGERS or value.__class__ is bool:
        return f"{int(value):b}"
    raise _Unfit("only integers and bools can be formatted as binary")


def _octal(value: Any, _: int) -> str:
    if value.__class__ in _INTEGERS:
        return f"{int(value):o}"
    raise _Unfit("octal clause can only be used on integers")


def _hex(value: Any, _: int) -> str:
    if value.__class__ in _INTEGERS:
        return f"{int(value):x}"
    if value.__class__ is str:
        return str(value.encode().hex())
    if value.__class__ is bytes:
        return str(value.hex())
    raise _Unfit("only integers, byte buffers, and strings can be formatted as hex")


_CLAUSES: dict[str, Callable[[Any, int], str]] = {
    "s": lambda value, _: value_text(value),
    "d": _integer,
    "f": _fixed,
    "e": _scientific,
    "b": _binary,
    "o": _octal,
    "x": _hex,
    "X": lambda value, precision: _hex(value, precision).upper(),
}
