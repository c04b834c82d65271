"""Kubernetes quantities."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

from engine.lang.cel.errors import CelError
from engine.lang.cel.functions import Library, Overload
from engine.lang.cel.kinds import BOOL, DOUBLE, INT, STRING
from engine.lang.cel.values import INT_MAX, INT_MIN, Opaque
from engine.lang.quantity import Quantity, parse_quantity

KIND = "kubernetes.Quantity"


class QuantityValue(Opaque):
    """A quantity; equality looks at the number only."""

    __slots__ = ("quantity",)
    kind: ClassVar[str] = KIND

    def __init__(self, quantity: Quantity) -> None:
        self.quantity = quantity

    def __eq__(self, other: object) -> bool:
        return isinstance(other, QuantityValue) and self.quantity == other.quantity

    def __hash__(self) -> int:
        return hash(self.quantity)


def _parsed(text: str) -> QuantityValue:
    found = parse_quantity(text)
    if found is None:
        raise CelError(f"invalid quantity `{text}`")
    return QuantityValue(found)


def _is_integer(value: QuantityValue) -> bool:
    number = value.quantity.value
    return number == number.to_integral_value() and INT_MIN <= number <= INT_MAX


def _as_integer(value: QuantityValue) -> int:
    if not _is_integer(value):
        raise CelError("cannot convert value to integer")
    return int(value.quantity.value)


def _compare(left: QuantityValue, right: QuantityValue) -> int:
    return (left.quantity > right.quantity) - (left.quantity < right.quantity)


def _whole(number: int) -> QuantityValue:
    return QuantityValue(Quantity(Decimal(number)))


def _sum(left: QuantityValue, right: QuantityValue) -> QuantityValue:
    return QuantityValue(left.quantity + right.quantity)


def _difference(left: QuantityValue, right: QuantityValue) -> QuantityValue:
    return QuantityValue(left.quantity - right.quantity)


LIBRARY = Library(
    "kubernetes.quantity",
    functions={
        "quantity": (Overload((STRING,), KIND, _parsed),),
        "isQuantity": (Overload((STRING,), BOOL, lambda text: parse_quantity(text) is not None),),
        "string": (Overload((KIND,), STRING, lambda value: str(value.quantity)),),
    },
    members={
        "sign": (Overload((KIND,), INT, lambda value: (value.quantity.value > 0) - (value.quantity.value < 0)),),
        "isInteger": (Overload((KIND,), BOOL, _is_integer),),
        "asInteger": (Overload((KIND,), INT, _as_integer),),
        "asApproximateFloat": (Overload((KIND,), DOUBLE, lambda value: float(value.quantity.value)),),
        "add": (
            Overload((KIND, KIND), KIND, _sum),
            Overload((KIND, INT), KIND, lambda left, right: _sum(left, _whole(right))),
        ),
        "sub": (
            Overload((KIND, KIND), KIND, _difference),
            Overload((KIND, INT), KIND, lambda left, right: _difference(left, _whole(right))),
        ),
        "isLessThan": (Overload((KIND, KIND), BOOL, lambda left, right: left.quantity < right.quantity),),
        "isGreaterThan": (Overload((KIND, KIND), BOOL, lambda left, right: left.quantity > right.quantity),),
        "compareTo": (Overload((KIND, KIND), INT, _compare),),
    },
    types=(KIND,),
)
