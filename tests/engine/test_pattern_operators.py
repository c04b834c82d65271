"""Scalar leaves of patterns: operators, ranges, quantities, durations, wildcards (spec 2.4, 9.1)."""

from __future__ import annotations

from typing import Any

import pytest

from engine.lang.operators import compile_scalar


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        ("nginx", "nginx"),
        ("nginx:*", "nginx:1.25"),
        ("?*", "x"),
        ("!*:latest", "nginx:1.25"),
        ("a|b", "b"),
        ("a|b", "a|b"),
        ("a* & *z", "a-z"),
        ("<1Gi", "512Mi"),
        ("<=1Gi", "1024Mi"),
        (">100m", "0.2"),
        (">30m", "1h"),
        ("<5", None),
        ("10-20", 15),
        ("10!-20", 21),
        ("256Mi-1Gi", "512Mi"),
        ("-5--1", -3),
        ("!0", 1),
        ("false", False),
        ("1", "1000m"),
        (5, "5"),
        (5, 5),
        (2.5, "2.50"),
        (None, None),
        (None, ""),
        (None, 0),
        (None, False),
        (True, True),
    ],
)
def test_satisfies(pattern: Any, value: Any) -> None:
    assert compile_scalar(pattern)(value)


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        ("nginx", "nginx:1"),
        ("?*", ""),
        ("?*", None),
        ("!*:latest", "nginx:latest"),
        ("a* & *z", "a-b"),
        (">1Gi", "1024Mi"),
        (">1h", "5"),
        ("> a", "b"),
        (">0", None),
        (">0", 0),
        (">0", "0"),
        ("10-20", 21),
        ("10!-20", 15),
        ("!0", 0),
        ("!5", "5.0"),
        ("false", True),
        ("false", 0),
        ("true", "True"),
        (5, "5.5"),
        (5, True),
        (5, "5_0"),
        (1, "1 "),
        (None, "x"),
        (None, {}),
        (None, []),
        (True, "true"),
        (True, 1),
        ("*", {}),
        ("*", None),
    ],
)
def test_does_not_satisfy(pattern: Any, value: Any) -> None:
    assert not compile_scalar(pattern)(value)


def test_numbers_read_as_floats_in_text() -> None:
    """oracle patterns.json: `?` does not agree with 5, whose text is 5E+00."""
    assert not compile_scalar("?")(5)
    assert compile_scalar("5E+*")(5)


def test_a_long_star_pattern_costs_no_more_than_its_length() -> None:
    assert not compile_scalar("*a" * 60 + "b")("a" * 20_000)
