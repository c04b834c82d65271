"""Objects and lists: labels, look-ups, keys and values."""

from __future__ import annotations

from typing import Any

from engine.lang import go_format
from engine.lang.errors import ExpressionError
from engine.lang.jmes.functions.signature import function
from engine.lang.jmes.values import NUMBERS, equal


def label_match(wanted: dict[str, Any], found: dict[str, Any]) -> bool:
    return all(key in found and equal(value, found[key]) for key, value in wanted.items())


def lookup(collection: Any, key: Any) -> Any:
    """The value of a key or index; null where there is none."""
    if collection.__class__ is dict:
        if key.__class__ is not str:
            raise ExpressionError("JMESPath function 'lookup': argument #2 is not of type String")
        return collection.get(key)
    if key.__class__ not in NUMBERS:
        raise ExpressionError("JMESPath function 'lookup': argument #2 is not of type Number")
    if key != int(key):
        raise ExpressionError(
            f"JMESPath function 'lookup': argument #2: expected an integer number but got: {go_format.plain(key)}"
        )
    return collection[int(key)] if 0 <= key < len(collection) else None


def items(collection: Any, key_name: str, value_name: str) -> list[dict[str, Any]]:
    """One object per entry; entries of an object come sorted by key."""
    if collection.__class__ is list:
        return [{key_name: index, value_name: value} for index, value in enumerate(collection)]
    return [{key_name: key, value_name: collection[key]} for key in sorted(collection)]


def object_from_lists(keys: list[Any], values: list[Any]) -> dict[str, Any]:
    """Keys that are no strings are written as Go prints them; missing values are null."""
    made: dict[str, Any] = {}
    for index, key in enumerate(keys):
        if key.__class__ in (list, dict) or key is None:
            raise ExpressionError("JMESPath function 'object_from_lists': argument #1 is not of type StringArray")
        made[go_format.plain(key)] = values[index] if index < len(values) else None
    return made


OBJECTS = {
    "items": function("object|array, string, string -> array", items, "a list of objects with the given names for key and value"),
    "label_match": function("object, object -> boolean", label_match, "are all pairs of the first object in the second"),
    "lookup": function("object|array, string|number -> any", lookup, "the value of a key or an index, null if absent"),
    "object_from_lists": function("array, array -> object", object_from_lists, "an object from a list of keys and one of values"),
}
