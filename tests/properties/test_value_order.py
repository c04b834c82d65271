"""Quantities and durations: order and text on generated values."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import example, given
from hypothesis import strategies as st

from engine.lang.duration import MAX, MIN, format_duration, parse_duration
from engine.lang.quantity import Quantity, parse_quantity

FACTORS = {"": 1, "m": Fraction(1, 1000), "k": 1000, "M": 10**6, "G": 10**9, "Ki": 1024, "Mi": 1024**2, "Gi": 1024**3}
numbers = st.tuples(st.integers(-(10**6), 10**6), st.integers(0, 3), st.sampled_from(sorted(FACTORS)))


def written(number: tuple[int, int, str]) -> tuple[str, Fraction]:
    """The text of a quantity, and its value by other means."""
    digits, places, suffix = number
    sign = "-" if digits < 0 else ""
    text = str(abs(digits)).rjust(places + 1, "0")
    whole, fraction = (text[:-places], f".{text[-places:]}") if places else (text, "")
    return f"{sign}{whole}{fraction}{suffix}", Fraction(digits, 10**places) * FACTORS[suffix]


def parsed(text: str) -> Quantity:
    quantity = parse_quantity(text)
    assert quantity is not None
    return quantity


@given(numbers, numbers)
def test_quantities_order_as_their_numbers(a: tuple[int, int, str], b: tuple[int, int, str]) -> None:
    (first, first_value), (second, second_value) = written(a), written(b)
    assert (parsed(first) < parsed(second)) is (first_value < second_value)
    assert (parsed(first) == parsed(second)) is (first_value == second_value)


@given(numbers)
def test_canonical_text_of_a_quantity_is_the_same_quantity(number: tuple[int, int, str]) -> None:
    quantity = parsed(written(number)[0])
    assert parsed(str(quantity)) == quantity
    assert str(parsed(str(quantity))) == str(quantity)


@given(st.text("0123456789.+-eEinumkKMGTP", max_size=12))
def test_any_text_is_a_quantity_or_none(text: str) -> None:
    quantity = parse_quantity(text)
    assert quantity is None or parse_quantity(str(quantity)) is not None


@example(MIN)
@example(MAX)
@given(st.integers(MIN, MAX))
def test_text_of_a_duration_is_the_same_duration(nanoseconds: int) -> None:
    # Go multiplies fractions in floating point: the last nanosecond of a long fraction may be lost.
    back = parse_duration(format_duration(nanoseconds))
    assert back is not None
    assert abs(back - nanoseconds) <= 1


@given(st.lists(st.tuples(st.integers(0, 999), st.sampled_from(["ns", "us", "ms", "s", "m", "h"])), min_size=1, max_size=4))
def test_durations_add_up_their_parts(parts: list[tuple[int, str]]) -> None:
    total = sum(parse_duration(f"{count}{unit}") or 0 for count, unit in parts)
    assert parse_duration("".join(f"{count}{unit}" for count, unit in parts)) == total


@given(st.text("0123456789.+-nuµmsh", max_size=16))
def test_any_text_is_a_duration_or_none(text: str) -> None:
    nanoseconds = parse_duration(text)
    assert nanoseconds is None or MIN <= nanoseconds <= MAX
