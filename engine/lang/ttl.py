"""The values of the label `cleanup.kyverno.io/ttl` (spec 2.13): a duration since creation, or a moment in UTC."""

from __future__ import annotations

import re
from decimal import Decimal

from engine.lang.calendar import days_from_civil, days_in
from engine.lang.duration import HOUR, MAX, MICROSECOND, MILLISECOND, MINUTE, SECOND

LABEL = "cleanup.kyverno.io/ttl"

DAY = 24 * HOUR
_UNITS = {
    "ns": 1,
    "us": MICROSECOND,
    "µs": MICROSECOND,
    "ms": MILLISECOND,
    "s": SECOND,
    "m": MINUTE,
    "h": HOUR,
    "d": DAY,
    "w": 7 * DAY,
}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h|d|w)", re.ASCII)
_WHOLE = re.compile(rf"([+-]?)((?:{_PART.pattern})+)", re.ASCII)
_MOMENT = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?:T([0-9]{2})([0-9]{2})([0-9]{2})Z)?", re.ASCII)


def due(value: str, created: int) -> int | None:
    """When an object with this label is to be deleted, in Unix nanoseconds; None for a value that is neither form.

    `created` is its creationTimestamp in the same unit. Durations have Go's units and `d` and `w`: `30m`, `1d12h`, `2w`.
    """
    duration = _duration(value)
    return created + duration if duration is not None else _moment(value)


def _duration(value: str) -> int | None:
    whole = _WHOLE.fullmatch(value)
    if whole is None:
        return None
    total = sum(int(Decimal(number) * _UNITS[unit]) for number, unit in _PART.findall(whole[2]))
    if total > MAX:
        return None
    return -total if whole[1] == "-" else total


def _moment(value: str) -> int | None:
    match = _MOMENT.fullmatch(value)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(group or 0) for group in match.groups())
    if not (1 <= month <= 12 and 1 <= day <= days_in(month, year) and hour < 24 and minute < 60 and second < 60):
        return None
    return days_from_civil(year, month, day) * DAY + hour * HOUR + minute * MINUTE + second * SECOND
