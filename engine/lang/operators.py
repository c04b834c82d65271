"""Scalar leaves of validate.pattern: literals, wildcards, `|` and `&`, comparison operators, ranges (spec 2.4, 9.1, 9.8).

A string leaf reads the value three ways, and one that agrees is enough: as Go durations, as Kubernetes quantities, as text
with wildcards. So `!2.5` agrees with the number 2.5: its text in that comparison is `2.5E+00`.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any

from engine.lang.duration import parse_duration
from engine.lang.go_format import scientific
from engine.lang.quantity import parse_quantity
from engine.lang.wildcard import compile_wildcard

Test = Callable[[Any], bool]
_Compare = Callable[[Any, Any], bool]

_COMPARE: dict[str, _Compare] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "!": operator.ne,
    "": operator.eq,
}
_PREFIXES = (">=", "<=", ">", "<", "!")
_ENDPOINT = r"([-|\+]?\d+(?:\.\d+)?[A-Za-z]*)"
_INSIDE = re.compile(rf"{_ENDPOINT}-{_ENDPOINT}", re.ASCII)
_OUTSIDE = re.compile(rf"{_ENDPOINT}!-{_ENDPOINT}", re.ASCII)
_FLOAT = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)


def compile_scalar(pattern: Any) -> Test:
    """A predicate on JSON values for the scalar `pattern` (string, number, boolean, null).

    Lists and maps satisfy no scalar; whoever walks a document tests a list's members one by one.
    """
    if isinstance(pattern, str):
        return _text_pattern(pattern)
    if pattern is None:
        return _is_zero
    if isinstance(pattern, bool):
        return lambda value: value is pattern
    return _number_pattern(pattern)


def _is_zero(value: Any) -> bool:
    return value is None or (not isinstance(value, list | dict) and not value)


def _number_pattern(pattern: float) -> Test:
    # JSON numbers of a policy are float64 in Kyverno, integers of a resource int64.
    wanted = float(pattern)
    integer = int(wanted) if wanted.is_integer() else None

    def number(value: Any) -> bool:
        kind = value.__class__
        if kind is int:
            return value == integer
        if kind is float:
            return bool(value == wanted)
        return kind is str and _FLOAT.fullmatch(value) is not None and float(value) == wanted

    return number


def _text_pattern(pattern: str) -> Test:
    alternatives = [_all_of([_condition(part.strip()) for part in branch.split("&")]) for branch in pattern.split("|")]
    if len(alternatives) == 1:
        test = alternatives[0]
        return lambda value: value == pattern or test(value)
    return lambda value: value == pattern or any(test(value) for test in alternatives)


def _all_of(tests: list[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]
    return lambda value: all(test(value) for test in tests)


def _condition(text: str) -> Test:
    if len(text) >= 2:
        for prefix in _PREFIXES:
            if text.startswith(prefix):
                return _comparison(prefix, text[len(prefix) :].strip())
        inside = _INSIDE.fullmatch(text)
        if inside:
            low, high = _condition(f">= {inside[1]}"), _condition(f"<= {inside[2]}")
            return lambda value: low(value) and high(value)
        outside = _OUTSIDE.fullmatch(text)
        if outside:
            below, above = _condition(f"< {outside[1]}"), _condition(f"> {outside[2]}")
            return lambda value: below(value) or above(value)
    return _comparison("", text)


def _comparison(prefix: str, operand: str) -> Test:
    measured = _measured(_COMPARE[prefix], operand)
    worded = _worded(prefix, operand)
    if measured is None:
        return worded or _never
    if worded is None:
        return measured
    return lambda value: measured(value) or worded(value)


def _never(value: Any) -> bool:
    return False


def _measured(compare: _Compare, operand: str) -> Test | None:
    """The comparison as durations or quantities; None where the operand is neither. A missing value counts as zero."""
    duration, quantity = parse_duration(operand), parse_quantity(operand)
    if duration is None and quantity is None:
        return None

    def measured(value: Any) -> bool:
        kind = value.__class__
        if kind is str:
            text = value
        elif kind is int:
            text = str(value)
        elif value is None:
            text = "0"
        elif kind is float:
            text = str(int(value)) if _is_int64(value) else f"{value:f}"
        else:
            return False
        if duration is not None:
            found = parse_duration(text)
            if found is not None and compare(found, duration):
                return True
        if quantity is not None:
            amount = parse_quantity(text)
            return amount is not None and compare(amount.value, quantity.value)
        return False

    return measured


def _is_int64(value: float) -> bool:
    # The API server stores 5.0 as the integer 5.
    return value.is_integer() and abs(value) < 1 << 63


def _worded(prefix: str, operand: str) -> Test | None:
    """The comparison as text; None for the operators that order, which no text satisfies."""
    if prefix not in ("", "!"):
        return None
    agrees = compile_wildcard(operand)
    wanted = not prefix

    def worded(value: Any) -> bool:
        kind = value.__class__
        if kind is str:
            text = value
        elif kind is bool:
            text = "true" if value else "false"
        elif kind is int:
            text = str(value)
        elif kind is float:
            text = str(int(value)) if _is_int64(value) else scientific(value)
        else:
            return False
        return agrees(text) is wanted

    return worded
