"""Arithmetic on numbers, Kubernetes quantities and Go durations (spec 2.10).

A string operand is a quantity if it can be one (`30m` is 0.03), else a duration. What may meet what: number with number,
quantity with quantity, duration with duration; quantities and durations may be multiplied and divided by numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Context, Decimal
from typing import Any

from engine.lang import duration, go_format
from engine.lang.errors import ExpressionError
from engine.lang.jmes.functions.signature import function
from engine.lang.jmes.values import NUMBERS, to_float, whole
from engine.lang.quantity import EXACT, Quantity, parse_quantity

_INT64 = 1 << 63
_WIDE = Context(prec=2000)


class ArithmeticFault(ExpressionError):
    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"JMESPath function '{name}': {reason}")


@dataclass(frozen=True, slots=True)
class Measured:
    """A quantity together with the number of decimals it was written with: division keeps the larger of both."""

    quantity: Quantity
    decimals: int


@dataclass(frozen=True, slots=True)
class Duration:
    nanoseconds: int


Operand = float | Measured | Duration


def _operand(name: str, value: Any) -> Operand:
    if value.__class__ in NUMBERS:
        return to_float(value)
    if value.__class__ is str:
        measured = _measured(value)
        if measured is not None:
            return measured
        nanoseconds = duration.parse_duration(value)
        if nanoseconds is not None:
            return Duration(nanoseconds)
    raise ArithmeticFault(name, "invalid operand")


def _measured(text: str) -> Measured | None:
    quantity = parse_quantity(text)
    if quantity is None:
        return None
    return Measured(quantity, -int(quantity.value.as_tuple().exponent))


def _scalar(name: str, number: float) -> Measured:
    # Kyverno writes the number as text and reads it as a quantity.
    measured = _measured(go_format.shortest(number)) if math.isfinite(number) else None
    if measured is None:
        raise ArithmeticFault(name, "invalid operand")
    return measured


def _approximate(measured: Measured) -> float:
    """Kubernetes' float64 of a quantity: digits times a power of ten, two roundings."""
    sign, digits, exponent = measured.quantity.value.as_tuple()
    unscaled = float(int("".join(map(str, digits)) or "0"))
    found = unscaled * float(f"1e{exponent}") if exponent else unscaled
    return -found if sign else found


def _wrapped(nanoseconds: float) -> int:
    """A float as Go's int64: towards zero, and the smallest number where it does not fit."""
    if math.isnan(nanoseconds) or not -_INT64 <= nanoseconds < _INT64:
        return -_INT64
    return int(nanoseconds)


def _overflowing(nanoseconds: int) -> int:
    return (nanoseconds + _INT64) % (2 * _INT64) - _INT64


def _truncated_modulo(left: int, right: int) -> int:
    """The remainder with the sign of the dividend, as in Go."""
    return int(math.copysign(1, left)) * (abs(left) % abs(right)) if left else 0


Rules = dict[tuple[type, type], Callable[[str, Any, Any], Any]]


def _zero(name: str) -> ArithmeticFault:
    return ArithmeticFault(name, "Zero divisor passed")


def _divide_numbers(name: str, left: float, right: float) -> float:
    if not right:
        raise _zero(name)
    return left / right


def _divide_quantities(name: str, left: Measured, right: Measured) -> float:
    return _divide_numbers(name, _approximate(left), _approximate(right))


def _divide_quantity(name: str, left: Measured, right: float) -> str:
    if not right:
        raise _zero(name)
    divisor = _scalar(name, right)
    decimals = max(left.decimals, divisor.decimals)
    # As many decimals as the operands have, the rest is cut: '-3' / 2 is -1, '-3' / 2.5 is -1200m.
    exact = _WIDE.divide(left.quantity.value, divisor.quantity.value)
    cut = exact.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_DOWN, context=EXACT)
    return str(Quantity(cut, left.quantity.format))


def _divide_durations(name: str, left: Duration, right: Duration) -> float:
    return _divide_numbers(name, left.nanoseconds / duration.SECOND, right.nanoseconds / duration.SECOND)


def _divide_duration(name: str, left: Duration, right: float) -> str:
    if not right:
        raise _zero(name)
    return duration.format_duration(_wrapped(left.nanoseconds / right))


def _integer(name: str, number: float) -> int:
    if not math.isfinite(number) or number != int(number):
        raise ArithmeticFault(name, "Non-integer argument(s) passed for modulo")
    return int(number)


def _modulo_numbers(name: str, left: float, right: float) -> int:
    dividend, divisor = _integer(name, left), _integer(name, right)
    if not divisor:
        raise _zero(name)
    return _truncated_modulo(dividend, divisor)


def _modulo_quantities(name: str, left: Measured, right: Measured) -> str:
    for measured in (left, right):
        if measured.quantity.value != measured.quantity.value.to_integral_value() or abs(measured.quantity.value) >= _INT64:
            raise ArithmeticFault(name, "Non-integer argument(s) passed for modulo")
    if not right.quantity.value:
        raise _zero(name)
    rest = _truncated_modulo(int(left.quantity.value), int(right.quantity.value))
    return str(Quantity(Decimal(rest), left.quantity.format))


def _modulo_durations(name: str, left: Duration, right: Duration) -> str:
    if not right.nanoseconds:
        raise _zero(name)
    return duration.format_duration(_truncated_modulo(left.nanoseconds, right.nanoseconds))


def _multiply_quantity(name: str, left: Measured, right: float) -> str:
    return str(left.quantity * _scalar(name, right).quantity)


def _multiply_duration(name: str, left: Duration, right: float) -> str:
    return duration.format_duration(_wrapped(left.nanoseconds * right))


_ADD: Rules = {
    (float, float): lambda _, left, right: left + right,
    (Measured, Measured): lambda _, left, right: str(left.quantity + right.quantity),
    (Duration, Duration): lambda _, left, right: duration.format_duration(_overflowing(left.nanoseconds + right.nanoseconds)),
}
_SUBTRACT: Rules = {
    (float, float): lambda _, left, right: left - right,
    (Measured, Measured): lambda _, left, right: str(left.quantity - right.quantity),
    (Duration, Duration): lambda _, left, right: duration.format_duration(_overflowing(left.nanoseconds - right.nanoseconds)),
}
_MULTIPLY: Rules = {
    (float, float): lambda _, left, right: left * right,
    (Measured, float): _multiply_quantity,
    (float, Measured): lambda name, left, right: _multiply_quantity(name, right, left),
    (Duration, float): _multiply_duration,
    (float, Duration): lambda name, left, right: _multiply_duration(name, right, left),
}
_DIVIDE: Rules = {
    (float, float): _divide_numbers,
    (Measured, Measured): _divide_quantities,
    (Measured, float): _divide_quantity,
    (Duration, Duration): _divide_durations,
    (Duration, float): _divide_duration,
}
_MODULO: Rules = {
    (float, float): _modulo_numbers,
    (Measured, Measured): _modulo_quantities,
    (Duration, Duration): _modulo_durations,
}


def _operation(name: str, rules: Rules) -> Callable[[Any, Any], Any]:
    def calculate(left: Any, right: Any) -> Any:
        one, other = _operand(name, left), _operand(name, right)
        rule = rules.get((one.__class__, other.__class__))
        if rule is None:
            raise ArithmeticFault(name, "Types mismatch")
        result = rule(name, one, other)
        return result if result.__class__ is str else whole(result)

    return calculate


def total(values: list[Any]) -> Any:
    """The values added up; a single value is given back as it is, whatever its type (spec 9.8)."""
    if not values:
        raise ArithmeticFault("sum", "at least one element in the array is required")
    result = values[0]
    plus = _operation("sum", _ADD)
    for value in values[1:]:
        result = plus(result, value)
    return result


def round_off(number: float, length: float) -> int | float:
    """Half away from zero at `length` decimals, on the exact value of the float64 (2.345 is a little more: 2.35)."""
    if length != int(length):
        raise ArithmeticFault("round", "Non-integer argument(s) passed for round off")
    if length < 0:
        raise ArithmeticFault("round", "argument #2 is out of bounds: negative length")
    value = to_float(number)
    if length > 400:  # no float64 has more decimals worth rounding
        return whole(value)
    return whole(float(Decimal(value).quantize(Decimal(1).scaleb(-int(length)), rounding=ROUND_HALF_UP, context=_WIDE)))


ARITHMETIC = {
    "add": function("any, any -> any", _operation("add", _ADD), "sum of two numbers, quantities or durations"),
    "divide": function("any, any -> any", _operation("divide", _DIVIDE), "quotient of numbers, quantities or durations"),
    "modulo": function("any, any -> any", _operation("modulo", _MODULO), "remainder of two numbers, quantities or durations"),
    "multiply": function("any, any -> any", _operation("multiply", _MULTIPLY), "product; one operand must be a number"),
    "round": function("number, number -> number", round_off, "rounds to a number of decimals, half away from zero"),
    "subtract": function(
        "any, any -> any", _operation("subtract", _SUBTRACT), "difference of two numbers, quantities or durations"
    ),
    "sum": function("array -> any", total, "sum of a list of numbers, quantities or durations"),
}
