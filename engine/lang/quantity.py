"""Kubernetes quantities (`100m`, `1Gi`, `1e3`): exact numbers that remember how they were written.

Compares and arithmetic are exact; parsing keeps nine decimal places and rounds the rest away from zero, as the API server does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, ROUND_UP, Context, Decimal
from enum import Enum
from functools import total_ordering

EXACT = Context(prec=MAX_PREC // 2, Emax=MAX_EMAX, Emin=MIN_EMIN, rounding=ROUND_UP, traps=[])
"""Arithmetic without rounding; INVARIANT: only for numbers whose exponents `parse_quantity` bounded."""

_SYNTAX = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[+-]?[0-9]*)", re.ASCII)
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_FACTOR = {suffix: Decimal(1024**power) for suffix, power in _BINARY.items()}
_DECIMAL_SUFFIX = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY_SUFFIX = {power: suffix for suffix, power in _BINARY.items()} | {0: ""}
_EXPONENT = re.compile(r"[eE]([+-]?[0-9]+)", re.ASCII)
_NANO = Decimal(1).scaleb(-9)
_LARGEST_BINARY = Decimal((1 << 63) - 1)
_LARGEST_EXPONENT = 100_000
_LONGEST = 1000
"""Characters; arithmetic on more digits costs seconds, and objects may hold a megabyte of them."""
_ZERO = Decimal(0)


class Format(Enum):
    """How a quantity is written back."""

    DECIMAL_SI = "DecimalSI"
    DECIMAL_EXPONENT = "DecimalExponent"
    BINARY_SI = "BinarySI"


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Quantity:
    """A number and its notation. Equality and order look at the number only: `1000m` equals `1`."""

    value: Decimal
    format: Format = Format.DECIMAL_SI

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Quantity) and self.value == other.value

    def __lt__(self, other: Quantity) -> bool:
        return self.value < other.value

    def __hash__(self) -> int:
        return hash(self.value)

    def __add__(self, other: Quantity) -> Quantity:
        return Quantity(EXACT.add(self.value, other.value), self.format if self.value else other.format)

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity(EXACT.subtract(self.value, other.value), self.format if self.value else other.format)

    def __mul__(self, factor: Quantity) -> Quantity:
        return Quantity(EXACT.multiply(self.value, factor.value), self.format)

    def __neg__(self) -> Quantity:
        return Quantity(-self.value, self.format)

    def __str__(self) -> str:
        """Canonical text: the largest suffix that leaves an integer."""
        if not self.value:
            return "0"
        if self.format is Format.BINARY_SI and abs(self.value) >= 1024 and self.value == self.value.to_integral_value():
            return _binary_text(int(self.value))
        return _decimal_text(self.value, self.format)


def parse_quantity(text: str) -> Quantity | None:
    """The quantity that `text` writes, or None. As in the API server, digits may be missing: `-`, `.` and `k` are zero."""
    parsed = _parse(text)
    return None if parsed is None else Quantity(*parsed)


def parse_amount(text: str) -> Decimal | None:
    """The number alone, for comparisons."""
    parsed = _parse(text)
    return None if parsed is None else parsed[0]


def _parse(text: str) -> tuple[Decimal, Format] | None:
    found = _SYNTAX.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None or not text:
        return None
    sign, whole, fraction, suffix = found.groups()
    number = Decimal(f"{sign}{whole or '0'}.{fraction}") if fraction else Decimal(sign + (whole or "0"))
    notation = Format.DECIMAL_SI
    exponent = _DECIMAL.get(suffix)
    if exponent is not None:
        if exponent:
            number = number.scaleb(exponent, EXACT)
    elif suffix in _FACTOR:
        exponent = 0
        number = min(EXACT.multiply(number, _FACTOR[suffix]), _LARGEST_BINARY)
        if number >= 1 or number <= 0:
            notation = Format.BINARY_SI
    else:
        power = _EXPONENT.fullmatch(suffix)
        if power is None or len(power[1]) > 10 or abs(int(power[1])) > _LARGEST_EXPONENT:
            return None
        exponent = int(power[1])
        number = number.scaleb(exponent, EXACT)
        notation = Format.DECIMAL_EXPONENT
    if (len(fraction) if fraction else 0) - exponent > 9:
        number = number.quantize(_NANO, context=EXACT)
    return number, notation


def _decimal_text(value: Decimal, notation: Format) -> str:
    sign, digits, exponent = value.as_tuple()
    text = "".join(map(str, digits))
    significant = text.rstrip("0")
    power = int(exponent) + len(text) - len(significant)
    significant += "0" * (power % 3)
    power -= power % 3
    written_out = f"e{power}" if power else ""
    suffix = written_out if notation is Format.DECIMAL_EXPONENT else _DECIMAL_SUFFIX.get(power, "")
    return f"{'-' if sign else ''}{significant}{suffix}"


def _binary_text(value: int) -> str:
    power = 0
    while value % 1024 == 0 and power < 6:
        value //= 1024
        power += 1
    return f"{value}{_BINARY_SUFFIX[power]}"
