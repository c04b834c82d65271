"""JSON text -> value, as strict as Go's decoder where Python's is not."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

_SURROGATE = re.compile("[\ud800-\udfff]")


def loads(text: str) -> Any:
    """The value; raises `ValueError` (one line, lower case) also for NaN, numbers beyond float64 and bottomless nesting.

    Lone surrogates become U+FFFD, as Go decodes them.
    """
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except RecursionError:
        raise ValueError("exceeded max depth") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg[:1].lower()}{error.msg[1:]} at offset {error.pos}") from None
    return _valid(value) if "\\u" in text else value


def valid_text(text: str) -> str:
    """`text` with the replacement character for lone surrogates, as Go decodes them."""
    return _SURROGATE.sub("\ufffd", text)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"cannot unmarshal number {text} into Go value of type float64")
    return number


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"invalid character '{name[0]}' looking for beginning of value")


def _valid(value: Any) -> Any:
    if isinstance(value, str):
        return valid_text(value)
    if isinstance(value, list):
        return [_valid(item) for item in value]
    if isinstance(value, dict):
        return {valid_text(key): _valid(item) for key, item in value.items()}
    return value
