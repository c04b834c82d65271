"""Timestamps and durations: texts, ranges, and the parts that selectors like `getHours` read."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from engine.lang.cel.errors import CelError
from engine.lang.cel.values import Duration, Timestamp
from engine.lang.duration import SECOND, parse_duration

_EPOCH = datetime(1970, 1, 1)
_FIRST = -62_135_596_800 * SECOND
_LAST = 253_402_300_800 * SECOND - 1
_TIMESTAMP = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII)
_OFFSET = re.compile(r"([+-]?)(\d\d):(\d\d)", re.ASCII)


def in_timestamp_range(nanoseconds: int) -> Timestamp:
    """A timestamp; raises `CelError` outside the years 1 to 9999."""
    if _FIRST <= nanoseconds <= _LAST:
        return Timestamp(nanoseconds)
    raise CelError("timestamp overflow: out of range")


def parse_timestamp(text: str) -> Timestamp:
    """RFC 3339. Raises `CelError`."""
    found = _TIMESTAMP.fullmatch(text)
    if found is None:
        raise CelError(f"invalid timestamp `{text}`")
    year, month, day, hour, minute, second = map(int, found.group(1, 2, 3, 4, 5, 6))
    fraction, sign, hours, minutes = found.group(7, 8, 9, 10)
    try:
        moment = datetime(year, month, day, hour, minute, second)
    except ValueError as error:
        raise CelError(f"invalid timestamp `{text}`: {error}") from None
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    if sign:
        seconds -= (int(hours) * 60 + int(minutes)) * (-60 if sign == "-" else 60)
    return in_timestamp_range(seconds * SECOND + (int(fraction[:9].ljust(9, "0")) if fraction else 0))


def timestamp_text(moment: Timestamp) -> str:
    """RFC 3339 in UTC, nanoseconds where there are any."""
    seconds, rest = divmod(int(moment), SECOND)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{(_EPOCH + timedelta(seconds=seconds)).isoformat()}{fraction}Z"


def parse_span(text: str) -> Duration:
    """A Go duration (`1h30m`). Raises `CelError`."""
    found = parse_duration(text)
    if found is None:
        raise CelError(f"invalid duration `{text}`: out of range or no duration")
    return Duration(found)


def span_text(span: Duration) -> str:
    """Seconds: `5400s`, `1.5s`."""
    text = format(Decimal(int(span)).scaleb(-9), "f")
    return f"{text.rstrip('0').removesuffix('.') if '.' in text else text}s"


@lru_cache(maxsize=64)
def _zone(name: str) -> tzinfo:
    offset = _OFFSET.fullmatch(name)
    if offset is not None:
        minutes = int(offset[2]) * 60 + int(offset[3])
        return timezone(timedelta(minutes=-minutes if offset[1] == "-" else minutes))
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise CelError(f"unknown time zone `{name}`") from None


def local(moment: Timestamp, zone: str = "UTC") -> datetime:
    """The wall clock of a time zone (an IANA name or `+02:00`)."""
    at = (_EPOCH + timedelta(seconds=int(moment) // SECOND)).replace(tzinfo=UTC)
    try:
        return at if zone == "UTC" else at.astimezone(_zone(zone))
    except (OverflowError, ValueError):
        raise CelError("timestamp overflow: out of range") from None
