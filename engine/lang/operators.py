"""Scalar leaves of validate.pattern: literals, wildcards, `|` and `&`, comparison operators, ranges (spec 2.4, 9.1, 9.8).

A string leaf reads both sides as Go durations, else as Kubernetes quantities, else as text with wildcards. Numbers of the
object are float64 there: 10 is `1E+01` as text, so that `?` does not agree with 5 (oracle patterns.json).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from math import isinf
from typing import Any, cast

from engine.lang.duration import parse_duration
from engine.lang.go_format import scientific
from engine.lang.quantity import parse_amount
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
_FLOAT = re.compile(r"[+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d+)?", re.ASCII)


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


def parse_float(text: str) -> float | None:
    """The number that `text` writes in decimal, or None."""
    if _FLOAT.fullmatch(text) is None:
        return None
    number = float(text)
    return None if isinf(number) else number


def range_of(text: str) -> tuple[bool, str, str] | None:
    """(inside, low, high) of a range `a-b` or `a!-b`; None for any other pattern."""
    inside = _INSIDE.fullmatch(text)
    if inside:
        return True, inside[1], inside[2]
    outside = _OUTSIDE.fullmatch(text)
    return (False, outside[1], outside[2]) if outside else None


def _is_zero(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, int | float) and value == 0)


def _number_pattern(pattern: float) -> Test:
    # JSON numbers of a policy are float64 in Kyverno, integers of a resource int64.
    wanted = float(pattern)
    integer = int(wanted) if wanted.is_integer() else None

    def number(value: Any) -> bool:
        kind = value.__class__
        if kind is int:
            return cast(int, value) == integer
        if kind is float:
            return cast(float, value) == wanted
        return kind is str and parse_float(value) == wanted

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
        span = range_of(text)
        if span is not None:
            inside, start, end = span
            if inside:
                low, high = _condition(f">= {start}"), _condition(f"<= {end}")
                return lambda value: low(value) and high(value)
            below, above = _condition(f"< {start}"), _condition(f"> {end}")
            return lambda value: below(value) or above(value)
    return _comparison("", text)


def _comparison(prefix: str, operand: str) -> Test:
    compare = _COMPARE[prefix]
    duration, amount = parse_duration(operand), parse_amount(operand)
    worded = _worded(prefix, operand)
    if duration is None and amount is None:
        return worded

    def comparison(value: Any) -> bool:
        if value.__class__ is int and (duration is None or value != 0):
            # No other whole number reads as a duration.
            return worded(value) if amount is None else compare(value, amount)
        text = _measurable(value)
        if text is not None:
            if duration is not None and (found := parse_duration(text)) is not None:
                return compare(found, duration)
            if amount is not None and (found_amount := parse_amount(text)) is not None:
                return compare(found_amount, amount)
        return worded(value)

    return comparison


def _measurable(value: Any) -> str | None:
    """What a value is read from as a duration or a quantity; a missing one counts as zero."""
    kind = value.__class__
    if kind is str:
        return cast(str, value)
    if kind is int:
        return str(value)
    if kind is float:
        return f"{value:f}"
    return "0" if value is None else None


def _worded(prefix: str, operand: str) -> Test:
    """The comparison as text. The operators that order are satisfied by no text; numbers read as float64 in `%E`."""
    if prefix not in ("", "!"):
        return _never
    agrees = compile_wildcard(operand)
    wanted = not prefix

    def worded(value: Any) -> bool:
        kind = value.__class__
        if kind is str:
            return agrees(value) is wanted
        if kind is bool:
            return agrees("true" if value else "false") is wanted
        if kind is int or kind is float:
            return agrees(scientific(float(value))) is wanted
        return False

    return worded


def _never(value: Any) -> bool:
    return False
