"""The math extension."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from engine.lang.cel.errors import CelError
from engine.lang.cel.functions import Library, Overload
from engine.lang.cel.kinds import BOOL, DOUBLE, DYN, INT, LIST, UINT
from engine.lang.cel.values import INT_MIN, NUMBERS, UINT_MAX, UInt, less, no_overload

_WORD = 64


def _extreme(name: str, better: Callable[[Any, Any], bool]) -> tuple[Overload, ...]:
    def choose(items: list[Any]) -> Any:
        if not items:
            raise CelError(f"math.{name}(list) argument must not be empty")
        best = items[0]
        for item in items:
            if item.__class__ not in NUMBERS:
                raise no_overload(f"math.{name}", item)
            if better(item, best):
                best = item
        return best

    return (
        Overload((LIST,), DYN, choose, len),
        *(Overload((kind,), kind, lambda value: value) for kind in (INT, UINT, DOUBLE)),
    )


def _rounded(value: float) -> float:
    if not math.isfinite(value):
        return value
    return math.copysign(math.floor(abs(value) + 0.5), value)


def _on_finite(convert: Callable[[float], float]) -> Callable[[float], float]:
    return lambda value: math.copysign(convert(value), value) if math.isfinite(value) else value


def _absolute(value: int) -> int:
    if value == INT_MIN:
        raise CelError("integer overflow")
    return abs(value)


def _sign(value: float) -> float:
    return value if value != value else float((value > 0) - (value < 0))


def _signed(value: int) -> int:
    """The 64 bits of `value` as an int."""
    value &= UINT_MAX
    return value - (1 << _WORD) if value >> (_WORD - 1) else value


def _shift(value: int, by: int, *, left: bool) -> int:
    if by < 0:
        raise CelError("math.bitShift() negative offset")
    if by >= _WORD:
        return 0
    bits = value & UINT_MAX
    return (bits << by) & UINT_MAX if left else bits >> by


def _bits(operate: Callable[[int, int], int]) -> tuple[Overload, ...]:
    return (
        Overload((INT, INT), INT, lambda left, right: _signed(operate(int(left), int(right)))),
        Overload((UINT, UINT), UINT, lambda left, right: UInt(operate(int(left), int(right)))),
    )


def _shifts(*, left: bool) -> tuple[Overload, ...]:
    return (
        Overload((INT, INT), INT, lambda value, by: _signed(_shift(value, by, left=left))),
        Overload((UINT, INT), UINT, lambda value, by: UInt(_shift(int(value), by, left=left))),
    )


def _doubles(convert: Callable[[float], Any], result: str = DOUBLE) -> tuple[Overload, ...]:
    return (Overload((DOUBLE,), result, convert),)


LIBRARY = Library(
    "math",
    functions={
        "math.@greatest": _extreme("greatest", lambda item, best: less(best, item)),
        "math.@least": _extreme("least", lambda item, best: less(item, best)),
        "math.ceil": _doubles(_on_finite(math.ceil)),
        "math.floor": _doubles(_on_finite(math.floor)),
        "math.trunc": _doubles(_on_finite(math.trunc)),
        "math.round": _doubles(_rounded),
        "math.isNaN": _doubles(math.isnan, BOOL),
        "math.isInf": _doubles(math.isinf, BOOL),
        "math.isFinite": _doubles(math.isfinite, BOOL),
        "math.sqrt": (
            *_doubles(lambda value: math.sqrt(value) if not value < 0 else math.nan),
            *(Overload((kind,), DOUBLE, lambda value: math.sqrt(value) if value >= 0 else math.nan) for kind in (INT, UINT)),
        ),
        "math.abs": (
            Overload((INT,), INT, _absolute),
            Overload((UINT,), UINT, lambda value: value),
            Overload((DOUBLE,), DOUBLE, abs),
        ),
        "math.sign": (
            Overload((INT,), INT, lambda value: (value > 0) - (value < 0)),
            Overload((UINT,), UINT, lambda value: UInt(value > 0)),
            Overload((DOUBLE,), DOUBLE, _sign),
        ),
        "math.bitAnd": _bits(lambda left, right: left & right),
        "math.bitOr": _bits(lambda left, right: left | right),
        "math.bitXor": _bits(lambda left, right: left ^ right),
        "math.bitNot": (
            Overload((INT,), INT, lambda value: ~value),
            Overload((UINT,), UINT, lambda value: UInt(UINT_MAX - value)),
        ),
        "math.bitShiftLeft": _shifts(left=True),
        "math.bitShiftRight": _shifts(left=False),
    },
    members={},
)
