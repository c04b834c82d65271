"""Go's `%v`, `%f` and `%E` text of JSON values: how Kyverno's messages and comparisons see values that are no strings."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any


def plain(value: Any) -> str:
    """`%v`: `<nil>`, `true`, `2.5`, `1e+06`, `[a b]`, `map[a:1 b:<nil>]` (sorted keys, strings bare)."""
    if isinstance(value, str):
        return value
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return shortest(value)
    return "".join(_pieces(value))


def _pieces(value: Any) -> Iterator[str]:
    # A stack of our own: objects may be nested deeper than Python recurses.
    pending: list[tuple[str, Any]] = [("", value)]
    while pending:
        before, item = pending.pop()
        yield before
        if item is _NOTHING:
            continue
        if isinstance(item, list):
            yield "["
            pending.append(("]", _NOTHING))
            pending += [(" " if index else "", item[index]) for index in reversed(range(len(item)))]
        elif isinstance(item, dict):
            yield "map["
            pending.append(("]", _NOTHING))
            keys = sorted(item)
            pending += [(f"{' ' if index else ''}{keys[index]}:", item[keys[index]]) for index in reversed(range(len(keys)))]
        else:
            yield plain(item)


_NOTHING = object()


def type_name(value: Any) -> str:
    """`%T`; numbers are float64."""
    return "<nil>" if value is None else _TYPES[type(value)]


_TYPES = {
    str: "string",
    bool: "bool",
    int: "float64",
    float: "float64",
    list: "[]interface {}",
    dict: "map[string]interface {}",
}


def shortest(value: float) -> str:
    """`%v` of a float64: the fewest digits that read back the same, with an exponent below 1e-4 and from 1e6 on."""
    digits, exponent = _digits(value)
    if -5 < exponent < 6:
        text = format(Decimal(repr(value)), "f")
        return text.rstrip("0").removesuffix(".") if "." in text else text
    return _scientific(value, digits, exponent, "e")


def scientific(value: float) -> str:
    """`%E` with the fewest digits: `2.5E+00`."""
    digits, exponent = _digits(value)
    return _scientific(value, digits, exponent, "E")


def _digits(value: float) -> tuple[str, int]:
    """Significant digits without trailing zeros, and the exponent of the first one."""
    _, digits, power = Decimal(repr(value)).as_tuple()
    text = "".join(map(str, digits))
    return text.rstrip("0") or "0", int(power) + len(text) - 1 if value else 0


def _scientific(value: float, digits: str, exponent: int, letter: str) -> str:
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{'-' if value < 0 else ''}{digits[0]}{fraction}{letter}{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
