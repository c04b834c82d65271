"""Arithmetic, comparison and `in`: their overloads for the checker, and closures that try the common classes first."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from engine.lang.cel.calendar import in_timestamp_range
from engine.lang.cel.errors import CelError
from engine.lang.cel.frame import Code, Frame, Run, charge
from engine.lang.cel.functions import Function, Overload
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
    NUMERIC,
    STRING,
    TIMESTAMP,
    UINT,
    Struct,
    Type,
)
from engine.lang.cel.values import (
    INT_MAX,
    INT_MIN,
    Duration,
    KeyedMap,
    Timestamp,
    equal,
    in_int_range,
    in_uint_range,
    less,
    no_overload,
)


def _quotient(left: int, right: int) -> int:
    if not right:
        raise CelError("division by zero")
    return abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)


def _remainder(left: int, right: int) -> int:
    if not right:
        raise CelError("modulus by zero")
    return abs(left) % abs(right) * (-1 if left < 0 else 1)


def _ratio(left: float, right: float) -> float:
    if right:
        return left / right
    return math.nan if not left or left != left else math.copysign(math.inf, left) * math.copysign(1.0, right)


def _duration(nanoseconds: int) -> Duration:
    return Duration(in_int_range(nanoseconds))


def _moment(nanoseconds: int) -> Timestamp:
    return in_timestamp_range(nanoseconds)


def _numbers(on_int: Callable[[int, int], int], on_double: Callable[[float, float], float] | None = None) -> tuple[Overload, ...]:
    overloads = [
        Overload((INT, INT), INT, lambda left, right: in_int_range(on_int(int(left), int(right)))),
        Overload((UINT, UINT), UINT, lambda left, right: in_uint_range(on_int(int(left), int(right)))),
    ]
    if on_double is not None:
        overloads.append(Overload((DOUBLE, DOUBLE), DOUBLE, on_double))
    return tuple(overloads)


def _joined(left: Any, right: Any) -> Any:
    return left + right


def _length(left: Any, right: Any) -> int:
    return (len(left) + len(right)) // 10


ARITHMETIC: dict[str, Function] = {
    "+": Function(
        "_+_",
        (
            *_numbers(lambda left, right: left + right, lambda left, right: left + right),
            Overload((STRING, STRING), STRING, _joined, cost=_length),
            Overload((BYTES, BYTES), BYTES, _joined, cost=_length),
            Overload((LIST, LIST), LIST, _joined, cost=_length),
            Overload((TIMESTAMP, DURATION), TIMESTAMP, lambda left, right: _moment(int(left) + int(right))),
            Overload((DURATION, TIMESTAMP), TIMESTAMP, lambda left, right: _moment(int(left) + int(right))),
            Overload((DURATION, DURATION), DURATION, lambda left, right: _duration(int(left) + int(right))),
        ),
    ),
    "-": Function(
        "_-_",
        (
            *_numbers(lambda left, right: left - right, lambda left, right: left - right),
            Overload((TIMESTAMP, TIMESTAMP), DURATION, lambda left, right: _duration(int(left) - int(right))),
            Overload((TIMESTAMP, DURATION), TIMESTAMP, lambda left, right: _moment(int(left) - int(right))),
            Overload((DURATION, DURATION), DURATION, lambda left, right: _duration(int(left) - int(right))),
        ),
    ),
    "*": Function("_*_", _numbers(lambda left, right: left * right, lambda left, right: left * right)),
    "/": Function("_/_", _numbers(_quotient, _ratio)),
    "%": Function("_%_", _numbers(_remainder)),
}
NEGATE = Function(
    "-_",
    (
        Overload((INT,), INT, lambda value: in_int_range(-value)),
        Overload((DOUBLE,), DOUBLE, lambda value: -value),
    ),
)
_ORDERED_KINDS = (BOOL, STRING, BYTES, TIMESTAMP, DURATION)
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda left, right: less(left, right),
    ">": lambda left, right: less(right, left),
    "<=": lambda left, right: less(left, right) or equal(left, right),
    ">=": lambda left, right: less(right, left) or equal(left, right),
}
ORDER: dict[str, Function] = {
    operator: Function(
        f"_{operator}_",
        tuple(Overload((kind, kind), BOOL, compare) for kind in _ORDERED_KINDS)
        + tuple(Overload((left, right), BOOL, compare) for left in sorted(NUMERIC) for right in sorted(NUMERIC)),
    )
    for operator, compare in _ORDERS.items()
}
MEMBERSHIP = Function(
    "@in", tuple(Overload((DYN, kind), BOOL, lambda item, items: contains(items, item)) for kind in (LIST, MAP))
)


def contains(container: Any, item: Any) -> bool:
    """`item in container`: an element of a list, or a key of a map."""
    cls = container.__class__
    if cls is list:
        if item.__class__ is str:
            return item in container
        return any(equal(item, element) for element in container)
    if cls is dict:
        return item.__class__ is str and item in container
    if cls is KeyedMap:
        try:
            container[item]
        except (KeyError, TypeError):
            return False
        return True
    raise no_overload("@in", item, container)


def plus(left: Run, right: Run, slow: Callable[[Frame, Any, Any], Any]) -> Run:
    """`left + right`, ints and strings first; `slow` answers for all other values."""

    def added(frame: Frame) -> Any:
        first, second = left(frame), right(frame)
        cls = first.__class__
        if cls is second.__class__:
            if cls is int:
                total = first + second
                if INT_MIN <= total <= INT_MAX:
                    return total
            elif cls is str:
                text = first + second
                charge(frame, len(text) // 10)
                return text
        return slow(frame, first, second)

    return added


def order(operator: str, left: Run, right: Run) -> Run:
    """`<`, `<=`, `>`, `>=` with a fast way for two ints."""
    compare = _ORDERS[operator]
    match operator:
        case "<":

            def below(frame: Frame) -> bool:
                first, second = left(frame), right(frame)
                if first.__class__ is int and second.__class__ is int:
                    return first < second
                return compare(first, second)

            return below
        case ">":

            def above(frame: Frame) -> bool:
                first, second = left(frame), right(frame)
                if first.__class__ is int and second.__class__ is int:
                    return first > second
                return compare(first, second)

            return above
    return lambda frame: compare(left(frame), right(frame))


def same(left: Code, right: Code) -> Run:
    """`left == right`; against a constant only its own class has to be looked at."""
    for one, other in ((left, right), (right, left)):
        if other.is_constant:
            special = _same_as(one.run, other.constant)
            if special is not None:
                return special
    first, second = left.run, right.run

    def compared(frame: Frame) -> bool:
        one, other = first(frame), second(frame)
        if one.__class__ is str and other.__class__ is str:
            return one == other
        return equal(one, other)

    return compared


def _same_as(run: Run, value: Any) -> Run | None:
    if value.__class__ is str or value.__class__ is bytes:
        return lambda frame: run(frame) == value
    if value is None or value.__class__ is bool:
        return lambda frame: run(frame) is value
    return None


def member_of(item: Run, container: Code) -> Run:
    """`item in container`; a constant list of strings is looked up in a set."""
    known = container.constant
    if known.__class__ is list and all(element.__class__ is str for element in known):
        names = frozenset(known)

        def in_names(frame: Frame) -> bool:
            value = item(frame)
            return value.__class__ is str and value in names

        return in_names
    run = container.run
    return lambda frame: contains(run(frame), item(frame))


def comparable(left: Type, right: Type) -> bool:
    """May `==` between these static types ever be true? Null compares with everything, numbers with each other."""
    if left == right or DYN in (left, right) or NULL in (left, right):
        return True
    if isinstance(left, Struct) or isinstance(right, Struct):
        return MAP in (left, right) or (isinstance(left, Struct) and isinstance(right, Struct))
    return left in NUMERIC and right in NUMERIC
