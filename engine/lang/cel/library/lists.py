"""Lists: Kubernetes' `isSorted sum min max indexOf lastIndexOf` and the lists extension."""

from __future__ import annotations

from typing import Any

from engine.lang.cel.comprehension import sorted_by_keys
from engine.lang.cel.errors import CelError
from engine.lang.cel.functions import Library, Overload
from engine.lang.cel.kinds import BOOL, DYN, INT, LIST, OPTIONAL
from engine.lang.cel.operators import ARITHMETIC
from engine.lang.cel.values import NONE, Optional, equal, less

_LARGEST_RANGE = 1_000_000
_PLUS = ARITHMETIC["+"]
_choose_plus = _PLUS.dispatcher(list(_PLUS.overloads))


def _is_sorted(items: list[Any]) -> bool:
    return not any(less(items[place + 1], items[place]) for place in range(len(items) - 1))


def _sum(items: list[Any]) -> Any:
    if not items:
        return 0
    total = items[0]
    for item in items[1:]:
        total = _choose_plus((total, item)).call(total, item)
    return total


def _best(items: list[Any], name: str) -> Any:
    if not items:
        raise CelError(f"{name} called on empty list")
    best = items[0]
    for item in items[1:]:
        if less(item, best) if name == "min" else less(best, item):
            best = item
    return best


def _index_of(items: list[Any], wanted: Any) -> int:
    return next((place for place, item in enumerate(items) if equal(item, wanted)), -1)


def _last_index_of(items: list[Any], wanted: Any) -> int:
    return next((place for place in range(len(items) - 1, -1, -1) if equal(items[place], wanted)), -1)


def _slice(items: list[Any], start: int, end: int) -> list[Any]:
    if start < 0 or end < 0 or start > end or end > len(items):
        raise CelError(f"cannot slice({start}, {end}), list is length {len(items)}")
    return items[start:end]


def _flatten(items: list[Any], depth: int = 1) -> list[Any]:
    if depth < 0:
        raise CelError("level must be non-negative")
    found: list[Any] = []
    for item in items:
        if item.__class__ is list and depth:
            found.extend(_flatten(item, depth - 1))
        else:
            found.append(item)
    return found


def _distinct(items: list[Any]) -> list[Any]:
    found: list[Any] = []
    for item in items:
        if not any(equal(item, other) for other in found):
            found.append(item)
    return found


def _range(count: int) -> list[int]:
    if count > _LARGEST_RANGE:
        raise CelError(f"lists.range({count}) is longer than {_LARGEST_RANGE}")
    return list(range(count))


def _length(items: list[Any], *_: Any) -> int:
    return len(items)


def _square(items: list[Any]) -> int:
    return len(items) ** 2


def _flat_length(items: list[Any], depth: int = 1) -> int:
    return len(items) + sum(_flat_length(item, depth - 1) for item in items if item.__class__ is list and depth > 0)


LIBRARY = Library(
    "lists",
    functions={"lists.range": (Overload((INT,), LIST, _range, lambda count: max(count, 0)),)},
    members={
        "isSorted": (Overload((LIST,), BOOL, _is_sorted, _length),),
        "sum": (Overload((LIST,), DYN, _sum, _length),),
        "min": (Overload((LIST,), DYN, lambda items: _best(items, "min"), _length),),
        "max": (Overload((LIST,), DYN, lambda items: _best(items, "max"), _length),),
        "indexOf": (Overload((LIST, DYN), INT, _index_of, _length),),
        "lastIndexOf": (Overload((LIST, DYN), INT, _last_index_of, _length),),
        "slice": (Overload((LIST, INT, INT), LIST, _slice, _length),),
        "flatten": (
            Overload((LIST,), LIST, _flatten, _flat_length),
            Overload((LIST, INT), LIST, _flatten, _flat_length),
        ),
        "distinct": (Overload((LIST,), LIST, _distinct, _square),),
        "sort": (Overload((LIST,), LIST, lambda items: sorted_by_keys([(item, item) for item in items]), _length),),
        "reverse": (Overload((LIST,), LIST, lambda items: items[::-1], _length),),
        "first": (Overload((LIST,), OPTIONAL, lambda items: Optional(items[0]) if items else NONE),),
        "last": (Overload((LIST,), OPTIONAL, lambda items: Optional(items[-1]) if items else NONE),),
    },
)
