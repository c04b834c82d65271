"""Points in time as Go's `time` package reads and writes them: layouts (`2006-01-02 15:04`), RFC 3339, truncation.

Python's datetime has no year 0 and no nanoseconds, and its format codes are others, hence own arithmetic on integers.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.lang.calendar import civil_from_days
from engine.lang.go_layout import InvalidTime, read_time

__all__ = ["RFC3339", "InvalidTime", "Time", "parse_rfc3339", "parse_time"]

RFC3339 = "2006-01-02T15:04:05Z07:00"
_SECOND = 1_000_000_000
_DAYS_BEFORE_1970 = 719_162
"""Days from 0001-01-01, where Go's zero time lies, to 1970-01-01."""


@dataclass(frozen=True, slots=True)
class Time:
    """`nanoseconds` since 1970 UTC and the zone's `offset` in seconds east."""

    nanoseconds: int
    offset: int = 0

    def civil(self) -> tuple[int, int, int, int, int, int, int]:
        """Year, month, day, hour, minute, second, weekday (0 = Sunday) in the time's own zone."""
        days, seconds = divmod(self.nanoseconds // _SECOND + self.offset, 86_400)
        year, month, day = civil_from_days(days)
        return year, month, day, seconds // 3600, seconds // 60 % 60, seconds % 60, (days + 4) % 7

    def plus(self, nanoseconds: int) -> Time:
        return Time(self.nanoseconds + nanoseconds, self.offset)

    def utc(self) -> Time:
        return Time(self.nanoseconds)

    def truncated(self, unit: int) -> Time:
        """Down to a multiple of `unit` nanoseconds since the year 1 UTC; unchanged for units that are not positive."""
        if unit <= 0:
            return self
        since_zero = self.nanoseconds + _DAYS_BEFORE_1970 * 86_400 * _SECOND
        return self.plus(-(since_zero % unit))

    def rfc3339(self) -> str:
        """`2006-01-02T15:04:05Z`, without fractions of a second."""
        year, month, day, hour, minute, second, _ = self.civil()
        sign = "-" if self.offset < 0 else "+"
        hours, minutes = divmod(abs(self.offset) // 60, 60)
        zone = f"{sign}{hours:02d}:{minutes:02d}" if self.offset else "Z"
        return f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}{zone}"


def parse_rfc3339(text: str) -> Time:
    """Raises `InvalidTime`."""
    return parse_time(RFC3339, text)


def parse_time(layout: str, text: str) -> Time:
    """Reads `text` by Go's reference-time `layout`. Parts the layout does not name are those of 0000-01-01T00:00:00Z.

    Raises `InvalidTime`.
    """
    return Time(*read_time(layout, text))
