"""The operators of conditions: preconditions, deny, exceptions, cleanup (spec 2.3, 9.8; oracle conditions.json).

An operator takes the condition's value and gives a test of keys, so that a constant value is prepared once. Both are JSON
values with all variables resolved.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from engine.lang.duration import MAX, MIN, SECOND, parse_duration
from engine.lang.equality import same
from engine.lang.membership import MEMBERSHIP
from engine.lang.operators import parse_float
from engine.lang.quantity import parse_amount
from engine.lang.semver import parse_version
from engine.lang.wildcard import matches

Test = Callable[[Any], bool]
_Order = Callable[[Any, Any], bool]


# Equality


def _equals(value: Any) -> Test:
    return lambda key: _equal(key, value) is True


def _not_equals(value: Any) -> Test:
    return lambda key: _equal(key, value) is False


def _equal(key: Any, value: Any) -> bool | None:
    """Is the key equal to the value? None where they cannot be compared: then neither Equals nor NotEquals holds."""
    if key is None:
        return None
    if isinstance(key, str):
        return _equal_text(key, value)
    if isinstance(key, bool):
        return key is value
    if isinstance(key, int | float):
        if isinstance(value, str):
            return float(key) == parse_float(value)
        return isinstance(value, int | float) and not isinstance(value, bool) and key == value
    return type(key) is type(value) and same(key, value)


def _equal_text(key: str, value: Any) -> bool | None:
    durations = _durations(key, value)
    if durations is not None:
        return durations[0] == durations[1]
    if not isinstance(value, str):
        return False
    if key == value or not value:
        return key == value
    amount = parse_amount(key)
    if amount is None:
        return matches(value, key)
    other = parse_amount(value)
    return None if other is None else amount == other


# Order


def _ordered(holds: _Order) -> Callable[[Any], Test]:
    def prepare(value: Any) -> Test:
        return lambda key: _compared(key, value, holds)

    return prepare


def _compared(key: Any, value: Any, holds: _Order) -> bool:
    if isinstance(key, bool) or isinstance(value, bool):
        return False
    if isinstance(key, int | float):
        return _compared_number(key, value, holds)
    if not isinstance(key, str):
        return False
    durations = _durations(key, value)
    if durations is not None:
        return holds(*durations)
    if isinstance(value, str):
        amount, other = parse_amount(key), parse_amount(value)
        if amount is not None and other is not None:
            return holds(amount, other)
    number = parse_float(key)
    if number is not None:
        return _compared_number(number, value, holds)
    if isinstance(value, str):
        version, bound = parse_version(key), parse_version(value)
        return version is not None and bound is not None and holds(version, bound)
    return False


def _compared_number(key: float, value: Any, holds: _Order) -> bool:
    if isinstance(value, int | float):
        return holds(float(key), float(value))
    if not isinstance(value, str):
        return False
    duration = parse_duration(value) if value != "0" else None
    if duration is not None:
        return holds(_seconds(key), duration)
    number = parse_float(value)
    return number is not None and holds(float(key), number)


def _durations(key: str, value: Any) -> tuple[int, int] | None:
    """Both as nanoseconds, where both are durations or the value counts seconds; the text `0` is a number, not a duration."""
    first = parse_duration(key) if key != "0" else None
    if first is None:
        return None
    if isinstance(value, str):
        second = parse_duration(value) if value != "0" else None
        return None if second is None else (first, second)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return first, _seconds(value)
    return None


def _seconds(count: float) -> int:
    # What does not fit becomes the smallest duration, as on the machines that Kyverno runs on (oracle: 1e10 < "3600s").
    nanoseconds = count * SECOND
    return int(nanoseconds) if MIN <= nanoseconds <= MAX else MIN


# The deprecated operators on durations: whole seconds


def _duration_ordered(holds: _Order) -> Callable[[Any], Test]:
    def prepare(value: Any) -> Test:
        bound = _whole_duration(value)

        def test(key: Any) -> bool:
            duration = _whole_duration(key)
            return duration is not None and bound is not None and holds(duration, bound)

        return test

    return prepare


def _whole_duration(value: Any) -> int | None:
    if isinstance(value, str):
        return parse_duration(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _seconds(int(value)) if abs(value) <= MAX else MIN
    return None


OPERATORS: dict[str, Callable[[Any], Test]] = {
    "Equal": _equals,
    "Equals": _equals,
    "NotEqual": _not_equals,
    "NotEquals": _not_equals,
    "GreaterThan": _ordered(operator.gt),
    "GreaterThanOrEquals": _ordered(operator.ge),
    "LessThan": _ordered(operator.lt),
    "LessThanOrEquals": _ordered(operator.le),
    "DurationGreaterThan": _duration_ordered(operator.gt),
    "DurationGreaterThanOrEquals": _duration_ordered(operator.ge),
    "DurationLessThan": _duration_ordered(operator.lt),
    "DurationLessThanOrEquals": _duration_ordered(operator.le),
    **MEMBERSHIP,
}
"""Name, as spelt in policies (case matters) -> operator. An operator's test may raise `OperatorError`."""
