"""The functions of the JMESPath specification, as Kyverno's fork answers them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import reduce
from typing import Any

from engine.lang import go_json
from engine.lang.errors import ExpressionError
from engine.lang.jmes.functions.signature import Closure, function
from engine.lang.jmes.values import NUMBERS, TYPE_NAMES, equal, to_float, whole

_FLOAT = re.compile(r"[+-]?(?:[0-9]+(?:_[0-9]+)*\.?(?:[0-9]+(?:_[0-9]+)*)?|\.[0-9]+(?:_[0-9]+)*)(?:[eE][+-]?[0-9]+)?", re.ASCII)
_HEX_FLOAT = re.compile(r"[+-]?0[xX](?:[0-9a-fA-F_]+\.?[0-9a-fA-F_]*|\.[0-9a-fA-F_]+)[pP][+-]?[0-9]+", re.ASCII)


def average(values: list[Any]) -> int | float:
    if not values:
        raise ExpressionError("json: unsupported value: NaN")  # 0/0, which JSON cannot write
    return whole(reduce(float.__add__, map(to_float, values)) / len(values))


def contains(subject: Any, item: Any) -> bool:
    if subject.__class__ is str:
        return item.__class__ is str and item in subject
    if item.__class__ in (list, dict) and any(item.__class__ is member.__class__ for member in subject):
        # Kyverno crashes here (spec 9.8).
        raise ExpressionError("JMESPath function 'contains': lists and objects cannot be looked for")
    return any(equal(member, item) for member in subject)


def merge(*objects: dict[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for each in objects:
        merged.update(each)
    return merged


def not_null(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def reverse(subject: Any) -> Any:
    return subject[::-1]


def values(subject: dict[str, Any]) -> list[Any]:
    return list(subject.values())


def to_array(value: Any) -> list[Any]:
    return value if value.__class__ is list else [value]


def to_string(value: Any) -> str:
    if value.__class__ is str:
        return str(value)
    try:
        return go_json.dumps(value)
    except go_json.UnsupportedNumber as error:
        raise ExpressionError(f"json: {error}") from None


def to_number(value: Any) -> int | float | None:
    if value.__class__ in NUMBERS:
        return whole(value)
    if value.__class__ is not str:
        return None
    if _FLOAT.fullmatch(value):
        number = float(value)
    elif _HEX_FLOAT.fullmatch(value):
        number = float.fromhex(value.replace("_", ""))
    elif value.lower().lstrip("+-") in ("inf", "infinity", "nan"):
        number = float(value)
    else:
        return None
    return whole(number)


def type_name(value: Any) -> str:
    return TYPE_NAMES[value.__class__]


def map_each(each: Closure, items: list[Any]) -> list[Any]:
    return [each(item) for item in items]


def _keyed(items: list[Any], key: Closure) -> list[tuple[Any, Any]]:
    """(key, item) pairs whose keys are all strings or all numbers."""
    pairs = [(key(item), item) for item in items]
    for kinds in ((str,), NUMBERS):
        if pairs[0][0].__class__ in kinds:
            if any(found.__class__ not in kinds for found, _ in pairs):
                raise ExpressionError("invalid type, all values must be of the same type")
            return pairs
    raise ExpressionError("invalid type, must be number of string")


def sort_by(items: list[Any], key: Closure) -> list[Any]:
    if not items:
        return items
    return [item for _, item in sorted(_keyed(items, key), key=lambda pair: pair[0])]


def _extreme(choose: Callable[..., Any]) -> Callable[..., Any]:
    def extreme(items: list[Any], key: Closure) -> Any:
        return choose(_keyed(items, key), key=lambda pair: pair[0])[1] if items else None

    return extreme


def sort(items: list[Any]) -> list[Any]:
    return sorted(items)


def _least(items: list[Any]) -> Any:
    return min(items, default=None)


def _greatest(items: list[Any]) -> Any:
    return max(items, default=None)


BUILTIN = {
    "abs": function("number -> number", abs, "absolute value", builtin=True),
    "avg": function("array[number] -> number", average, "mean; an error for an empty list", builtin=True),
    "ceil": function("number -> number", math.ceil, "rounds up", builtin=True),
    "contains": function(
        "array|string, any -> boolean", contains, "is the item in the list, the text in the string", builtin=True
    ),
    "ends_with": function("string, string -> boolean", str.endswith, "does the string end with the suffix", builtin=True),
    "floor": function("number -> number", math.floor, "rounds down", builtin=True),
    "join": function("string, array[string] -> string", str.join, "the strings with the glue between them", builtin=True),
    "keys": function("object -> array[string]", list, "the keys of an object", builtin=True),
    "length": function("string|array|object -> number", len, "characters, elements or keys", builtin=True),
    "map": function("expref, array -> array", map_each, "the expression's value for every element", builtin=True),
    "max": function("array[number]|array[string] -> any", _greatest, "the largest; null for an empty list", builtin=True),
    "max_by": function("array, expref -> any", _extreme(max), "the element with the largest key", builtin=True),
    "merge": function("object... -> object", merge, "one object; later keys win", builtin=True),
    "min": function("array[number]|array[string] -> any", _least, "the smallest; null for an empty list", builtin=True),
    "min_by": function("array, expref -> any", _extreme(min), "the element with the smallest key", builtin=True),
    "not_null": function("any... -> any", not_null, "the first value that is not null", builtin=True),
    "reverse": function("array|string -> any", reverse, "backwards", builtin=True),
    "sort": function("array[string]|array[number] -> array", sort, "in order", builtin=True),
    "sort_by": function("array, expref -> array", sort_by, "in the order of the expression's values", builtin=True),
    "starts_with": function("string, string -> boolean", str.startswith, "does the string start with the prefix", builtin=True),
    "to_array": function("any -> array", to_array, "a list as it is, anything else as its only element", builtin=True),
    "to_number": function("any -> number", to_number, "the number a string writes; null where there is none", builtin=True),
    "to_string": function("any -> string", to_string, "a string as it is, anything else as JSON text", builtin=True),
    "type": function("any -> string", type_name, "the JSON type", builtin=True),
    "values": function("object -> array", values, "the values of an object", builtin=True),
}
"""`sum` is missing: Kyverno's own takes its place."""
