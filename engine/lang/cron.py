"""Schedules in cron's notation: five fields or a macro, always in UTC (spec 2.13).

Semantics of the parser that Kyverno validates with: names of months and days, `?` as `*`, lists, ranges, steps; where both
the day of the month and the day of the week are restricted, a day needs to satisfy one of them only. A step makes a restriction
of a `*`. `7` is Sunday too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from engine.lang.calendar import civil_from_days, days_in
from engine.lang.duration import MINUTE

DAY_MINUTES = 24 * 60
HORIZON_DAYS = 366 * 9
"""A 29 February can be eight years away; what does not come within nine never does."""

_NAMES_OF_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_MONTHS = {name: number for number, name in enumerate(_NAMES_OF_MONTHS, start=1)}
_DAYS = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))}


class _Field(NamedTuple):
    name: str
    low: int
    high: int
    words: dict[str, int]


_FIELDS = (
    _Field("minute", 0, 59, {}),
    _Field("hour", 0, 23, {}),
    _Field("day of the month", 1, 31, {}),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of the week", 0, 7, _DAYS),
)
_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


class InvalidSchedule(ValueError):
    """A text that is no schedule; the message is one lower-case line."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A compiled schedule. `either`: a day needs to satisfy `days` or `weekdays`, not both."""

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool

    def next(self, after: int) -> int:
        """The first moment later than `after`, both Unix nanoseconds. Raises `InvalidSchedule` where there is none."""
        day, minute = divmod(after // MINUTE + 1, DAY_MINUTES)
        for number in range(day, day + HORIZON_DAYS):
            if self._on(number):
                for hour in self.hours:
                    for past in self.minutes:
                        if number > day or hour * 60 + past >= minute:
                            return (number * DAY_MINUTES + hour * 60 + past) * MINUTE
        raise InvalidSchedule(f"schedule `{self.text}` names no day that ever comes")

    def _on(self, number: int) -> bool:
        _, month, day = civil_from_days(number)
        if month not in self.months:
            return False
        of_month, of_week = day in self.days, (number + 4) % 7 in self.weekdays  # 1 January 1970 was a Thursday
        return of_month or of_week if self.either else of_month and of_week


def parse_schedule(text: str) -> Schedule:
    """Compiles `text`; raises `InvalidSchedule`, also for a day that never comes such as 30 February."""
    parts = _MACROS.get(text.strip(), text).split()
    if len(parts) != len(_FIELDS):
        if text.startswith("@"):
            raise InvalidSchedule(f"schedule `{text}`: unknown macro, known are {', '.join(_MACROS)}")
        raise InvalidSchedule(f"schedule `{text}`: expected {len(_FIELDS)} fields, found {len(parts)}")
    minutes, hours, days, months, weekdays = (_parse_field(part, field, text) for part, field in zip(parts, _FIELDS, strict=True))
    schedule = Schedule(
        text=text,
        minutes=tuple(sorted(minutes)),
        hours=tuple(sorted(hours)),
        days=days,
        months=months,
        weekdays=frozenset(day % 7 for day in weekdays),
        either=not _free(parts[2]) and not _free(parts[4]),
    )
    if not schedule.either and weekdays >= frozenset(range(7)) and not _ever(days, months):
        raise InvalidSchedule(f"schedule `{text}` names no day that ever comes")
    return schedule


def _free(part: str) -> bool:
    return any(entry in ("*", "?", "*/1", "?/1") for entry in part.split(","))


def _ever(days: frozenset[int], months: frozenset[int]) -> bool:
    return any(min(days) <= days_in(month, 2000) for month in months)


def _parse_field(part: str, field: _Field, text: str) -> frozenset[int]:
    values: set[int] = set()
    for entry in part.split(","):
        values.update(_parse_entry(entry, field, text))
    return frozenset(values)


def _parse_entry(entry: str, field: _Field, text: str) -> range:
    span, slash, step = entry.partition("/")
    low_text, dash, high_text = span.partition("-")
    if span in ("*", "?"):
        low, high = field.low, min(field.high, 6) if field.words is _DAYS else field.high
    else:
        low = _number(low_text, field, text)
        high = _number(high_text, field, text) if dash else (field.high if slash else low)
    width = _number(step, _Field(f"step of the {field.name}", 1, 1_000, {}), text) if slash else 1
    if low > high:
        raise InvalidSchedule(f"schedule `{text}`: {field.name} `{entry}`: the range ends before it starts")
    return range(low, high + 1, width)


def _number(text: str, field: _Field, whole: str) -> int:
    word = field.words.get(text.upper())
    if word is not None:
        return word
    if not (text.isascii() and text.isdigit()) or len(text) > 4:
        raise InvalidSchedule(f"schedule `{whole}`: {field.name} `{text}` is no number")
    number = int(text)
    if not field.low <= number <= field.high:
        raise InvalidSchedule(f"schedule `{whole}`: {field.name} `{text}` is not within {field.low} to {field.high}")
    return number
