"""Durations as Go writes them (`1h30m`, `250ms`, `-1.5s`): signed 64-bit counts of nanoseconds."""

from __future__ import annotations

import re

NANOSECOND = 1
MICROSECOND = 1_000
MILLISECOND = 1_000_000
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE

MAX = (1 << 63) - 1
MIN = -(1 << 63)

_UNITS = {
    "ns": 1,
    "us": MICROSECOND,
    "µs": MICROSECOND,
    "μs": MICROSECOND,
    "ms": MILLISECOND,
    "s": SECOND,
    "m": MINUTE,
    "h": HOUR,
}
_LAST = frozenset("smh")
_SIMPLE = re.compile(r"([0-9]{1,6})(ms|s|m|h)", re.ASCII)
# possessive repeats: a value of an object may be a megabyte of digits, and must be refused in one pass
_WHOLE = re.compile(r"[+-]?(?:(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:ns|us|µs|μs|ms|s|m|h))++")
_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)")


def parse_duration(text: str) -> int | None:
    """Nanoseconds, or None when `text` is no Go duration or does not fit 64 bits. A bare number is none, except `0`."""
    simple = _SIMPLE.fullmatch(text)
    if simple is not None:
        return int(simple[1]) * _UNITS[simple[2]]
    if text[-1:] not in _LAST or _WHOLE.fullmatch(text) is None:
        return 0 if text in ("0", "+0", "-0") else None
    total = 0
    for digits, fraction, name in _PART.findall(text):
        whole = digits.lstrip("0")
        if len(whole) > 19:
            return None
        unit = _UNITS[name]
        total += int(whole or "0") * unit
        if fraction:
            total += _fraction(fraction, unit)
    if text[0] == "-":
        total = -total
    return total if MIN <= total <= MAX else None


def _fraction(digits: str, unit: int) -> int:
    # Go keeps as many digits as fit 63 bits and multiplies in floating point; the last nanosecond depends on it.
    value, scale = 0, 1.0
    for digit in digits:
        longer = value * 10 + int(digit)
        if longer > MAX:
            break
        value, scale = longer, scale * 10
    return int(float(value) * (float(unit) / scale))


def format_duration(nanoseconds: int) -> str:
    """Go's text of a duration: `1h0m0s`, `1.5s`, `20ms`, `0s`."""
    if nanoseconds == 0:
        return "0s"
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if rest < SECOND:
        for name, unit in (("ms", MILLISECOND), ("µs", MICROSECOND), ("ns", NANOSECOND)):
            if rest >= unit:
                return f"{sign}{_decimal(rest, unit)}{name}"
    hours, rest = divmod(rest, HOUR)
    minutes, rest = divmod(rest, MINUTE)
    seconds = f"{_decimal(rest, SECOND)}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{seconds}"
    return f"{sign}{minutes}m{seconds}" if minutes else sign + seconds


def _decimal(amount: int, unit: int) -> str:
    whole, rest = divmod(amount, unit)
    if not rest:
        return str(whole)
    return f"{whole}.{rest:0{len(str(unit)) - 1}d}".rstrip("0")
