"""JSON text as Go's encoding/json writes it: sorted keys, no blanks, `<`, `>` and `&` escaped, numbers as float64."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

_EXACT = 1 << 53
"""Up to here every integer is a float64; larger ones lose their last digits as they do in Kyverno."""

_SPECIAL = re.compile(r'[\x00-\x1f"\\<>&\u2028\u2029\ud800-\udfff]')
_SPECIAL_PLAIN = re.compile(r'[\x00-\x1f"\\\u2028\u2029\ud800-\udfff]')
_SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


class UnsupportedNumber(ValueError):
    """NaN or an infinity: JSON has no text for them."""


def dumps(value: Any, *, escape_html: bool = True) -> str:
    """The text of a JSON value. Raises `UnsupportedNumber` for NaN and infinities.

    `escape_html=False` is json.Encoder with SetEscapeHTML(false).
    """
    parts: list[str] = []
    _write(value, parts, _SPECIAL if escape_html else _SPECIAL_PLAIN)
    return "".join(parts)


def quote(text: str) -> str:
    """One string as JSON, with quotes."""
    return f'"{_SPECIAL.sub(_escape, text)}"'


def number(value: float) -> str:
    """A number as Go writes a float64: `5`, `2.5`, `1e+21`, `1e-7`."""
    if value.__class__ is int:
        if -_EXACT <= value <= _EXACT:
            return str(value)
        try:
            value = float(value)
        except OverflowError:
            raise UnsupportedNumber(f"unsupported value: {'+' if value > 0 else '-'}Inf") from None
    if value != value or value in (float("inf"), float("-inf")):
        raise UnsupportedNumber(f"unsupported value: {'NaN' if value != value else '+Inf' if value > 0 else '-Inf'}")
    if value == 0:
        return "-0" if str(value)[0] == "-" else "0"
    shortest = Decimal(repr(value))
    if 1e-6 <= abs(value) < 1e21:
        text = format(shortest, "f")
        return text.rstrip("0").removesuffix(".") if "." in text else text
    _, digits, _ = shortest.as_tuple()
    text = "".join(map(str, digits)).rstrip("0")
    exponent = shortest.adjusted()
    fraction = f".{text[1:]}" if len(text) > 1 else ""
    # Go cleans up e-09 to e-9 but leaves e+21 alone, which has two digits anyway.
    return f"{'-' if value < 0 else ''}{text[0]}{fraction}e{'-' if exponent < 0 else '+'}{abs(exponent)}"


def _write(value: Any, parts: list[str], special: re.Pattern[str]) -> None:
    if isinstance(value, str):
        parts.append(f'"{special.sub(_escape, value)}"')
    elif value is None:
        parts.append("null")
    elif isinstance(value, bool):
        parts.append("true" if value else "false")
    elif isinstance(value, (int, float)):
        parts.append(number(value))
    elif isinstance(value, dict):
        separator = "{"
        for key in sorted(value):
            parts.append(f'{separator}"{special.sub(_escape, key)}":')
            _write(value[key], parts, special)
            separator = ","
        parts.append("}" if separator == "," else "{}")
    elif isinstance(value, (list, tuple)):
        separator = "["
        for item in value:
            parts.append(separator)
            _write(item, parts, special)
            separator = ","
        parts.append("]" if separator == "," else "[]")
    else:
        raise TypeError(f"no JSON value: {type(value).__name__}")


def _escape(found: re.Match[str]) -> str:
    char = found[0]
    if "\ud800" <= char <= "\udfff":  # a byte that is no UTF-8
        return "\\ufffd"
    return _SHORT.get(char) or f"\\u{ord(char):04x}"
