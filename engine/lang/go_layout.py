"""Go's time layouts: a text read by example, the example being Mon Jan 2 15:04:05 MST 2006."""

from __future__ import annotations

import re
from collections.abc import Callable

from engine.lang.calendar import civil_from_days, days_from_civil, days_in, is_leap
from engine.lang.errors import LanguageError

_MONTHS = [
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
]
_WEEKDAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]


class InvalidTime(LanguageError):
    """A text that is no time of the wanted layout; worded as Go's error."""


def read_time(layout: str, text: str) -> tuple[int, int]:
    """Nanoseconds since 1970 UTC and the zone's offset in seconds; raises `InvalidTime`."""
    return _Reader(layout, text).read()


_CHUNK = re.compile(
    r"January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|002|0[1-6]|15|1|2006|2|__2|_2(?!006)|3|4|5|PM|pm"
    r"|[Z-]07(?::00:00|0000|:00|00)?|[.,](?:0+|9+)(?![0-9])"
)


class _Reader:
    def __init__(self, layout: str, text: str) -> None:
        self.layout = layout
        self.text = text
        self.rest = text
        self.year, self.month, self.day, self.year_day = 0, 0, 0, 0
        self.hour, self.minute, self.second, self.nanosecond = 0, 0, 0, 0
        self.half = ""
        self.offset = 0

    def read(self) -> tuple[int, int]:
        position = 0
        for found in _CHUNK.finditer(self.layout):
            self.literal(self.layout[position : found.start()])
            position = found.end()
            chunk = found[0]
            if chunk[0] in ".,":
                self.fraction(chunk)
            elif chunk[0] in "Z-" and chunk != "-":
                self.zone(chunk)
            else:
                _PARTS[chunk](self, chunk)
                if chunk in ("05", "5"):
                    self.unannounced_fraction(position)
        self.literal(self.layout[position:])
        if self.rest:
            raise InvalidTime(f'parsing time "{self.text}": extra text: "{self.rest}"')
        return self.result()

    def fault(self, chunk: str, rest: str | None = None) -> InvalidTime:
        shown = self.rest if rest is None else rest
        return InvalidTime(f'parsing time "{self.text}" as "{self.layout}": cannot parse "{shown}" as "{chunk}"')

    def out_of_range(self, what: str) -> InvalidTime:
        return InvalidTime(f'parsing time "{self.text}": {what} out of range')

    def literal(self, prefix: str) -> None:
        """Text of the layout that stands for itself; runs of blanks equal each other."""
        rest = self.rest
        while prefix:
            if prefix[0] == " ":
                if rest and rest[0] != " ":
                    raise self.fault(prefix, rest)
                prefix, rest = prefix.lstrip(" "), rest.lstrip(" ")
            elif rest[:1] != prefix[0]:
                raise self.fault(prefix, rest)
            else:
                prefix, rest = prefix[1:], rest[1:]
        self.rest = rest

    def digits(self, chunk: str, least: int, most: int) -> int:
        length = 0
        while length < most and "0" <= self.rest[length : length + 1] <= "9":
            length += 1
        if length < least:
            raise self.fault(chunk)
        number, self.rest = int(self.rest[:length]), self.rest[length:]
        return number

    def named(self, chunk: str, names: list[str], short: bool) -> int:
        for index, name in enumerate(names):
            wanted = name[:3] if short else name
            if self.rest[: len(wanted)].lower() == wanted.lower():
                self.rest = self.rest[len(wanted) :]
                return index
        raise self.fault(chunk)

    def fraction(self, chunk: str) -> None:
        count = len(chunk) - 1
        if chunk[1] == "9":  # optional, any number of digits
            if self.rest[:1] not in (".", ",") or not "0" <= self.rest[1:2] <= "9":
                return
            count = len(self.rest[1:]) - len(self.rest[1:].lstrip("0123456789"))
        shown = self.rest[1 : 1 + count]
        if self.rest[:1] not in (".", ",") or len(shown) != count or not (shown.isascii() and shown.isdigit()):
            raise self.fault(chunk)
        self.nanosecond = int(shown[:9].ljust(9, "0"))
        self.rest = self.rest[1 + count :]

    def unannounced_fraction(self, position: int) -> None:
        """A fraction behind the seconds is read although the layout does not name one."""
        if _FRACTION_NEXT.match(self.layout, position) is None:
            self.fraction(".9")

    def zone(self, chunk: str) -> None:
        if chunk[0] == "Z" and self.rest[:1] == "Z":
            self.rest = self.rest[1:]
            return
        form = _ZONES[chunk[1:]]
        found = form.match(self.rest)
        if found is None:
            raise self.fault(chunk)
        hours, minutes, seconds = (int(part or 0) for part in (*found.groups()[1:], None, None)[:3])
        if hours > 24:
            raise self.out_of_range("time zone offset hour")
        if minutes > 60:
            raise self.out_of_range("time zone offset minute")
        if seconds > 60:
            raise self.out_of_range("time zone offset second")
        self.offset = (hours * 3600 + minutes * 60 + seconds) * (-1 if found[1] == "-" else 1)
        self.rest = self.rest[found.end() :]

    def abbreviation(self, chunk: str) -> None:
        """A zone's letters; unknown ones count as UTC (no zone database here), `GMT-3` and `+05` carry their hours."""
        found = _ABBREVIATION.match(self.rest)
        if found is None:
            raise self.fault(chunk)
        hours = found["hours"]
        if hours is not None and self.rest.startswith("GMT"):
            self.offset = int(hours) * 3600
        self.rest = self.rest[found.end() :]

    def half_day(self, chunk: str) -> None:
        shown = self.rest[:2]
        if shown not in (("AM", "PM") if chunk == "PM" else ("am", "pm")):
            raise self.fault(chunk)
        self.half, self.rest = shown.lower(), self.rest[2:]

    def result(self) -> tuple[int, int]:
        hour = self.hour
        if self.half == "pm" and hour < 12:
            hour += 12
        elif self.half == "am" and hour == 12:
            hour = 0
        month, day = self.month or 1, self.day or 1
        if self.year_day:
            if self.year_day > (366 if is_leap(self.year) else 365):
                raise self.out_of_range("day-of-year")
            days = days_from_civil(self.year, 1, 1) + self.year_day - 1
            _, found_month, found_day = civil_from_days(days)
            if self.month and self.month != found_month:
                raise InvalidTime(f'parsing time "{self.text}": day-of-year does not match month')
            if self.day and self.day != found_day:
                raise InvalidTime(f'parsing time "{self.text}": day-of-year does not match day')
        else:
            if day > days_in(month, self.year):
                raise self.out_of_range("day")
            days = days_from_civil(self.year, month, day)
        seconds = days * 86_400 + hour * 3600 + self.minute * 60 + self.second - self.offset
        return seconds * 1_000_000_000 + self.nanosecond, self.offset

    def bounded(self, name: str, value: int, least: int, most: int) -> int:
        if not least <= value <= most:
            raise self.out_of_range(name)
        return value


_FRACTION_NEXT = re.compile(r"[.,](?:0+|9+)(?![0-9])")
_ABBREVIATION = re.compile(
    r"UTC|(?:ChST|MeST|GMT(?P<hours>[+-][0-9]{1,2})?|[A-Z]{4}T|[A-Z]{3}T|[A-Z]{3}|[+-][0-9]{2}(?:[0-9]{2})?)(?![A-Z])"
)
_ZONES = {
    "07": re.compile(r"([+-])([0-9]{2})"),
    "0700": re.compile(r"([+-])([0-9]{2})([0-9]{2})"),
    "07:00": re.compile(r"([+-])([0-9]{2}):([0-9]{2})"),
    "070000": re.compile(r"([+-])([0-9]{2})([0-9]{2})([0-9]{2})"),
    "07:00:00": re.compile(r"([+-])([0-9]{2}):([0-9]{2}):([0-9]{2})"),
}


def _long_year(reader: _Reader, chunk: str) -> None:
    reader.year = reader.digits(chunk, 4, 4)


def _short_year(reader: _Reader, chunk: str) -> None:
    year = reader.digits(chunk, 2, 2)
    reader.year = year + (1900 if year >= 69 else 2000)


def _month(reader: _Reader, chunk: str) -> None:
    reader.month = reader.bounded("month", reader.digits(chunk, len(chunk), 2), 1, 12)


def _month_name(reader: _Reader, chunk: str) -> None:
    reader.month = reader.named(chunk, _MONTHS, chunk == "Jan") + 1


def _weekday(reader: _Reader, chunk: str) -> None:
    reader.named(chunk, _WEEKDAYS, chunk == "Mon")  # read and not checked against the date, as in Go


def _day(reader: _Reader, chunk: str) -> None:
    if chunk == "_2" and reader.rest[:1] == " ":
        reader.rest = reader.rest[1:]
    reader.day = reader.bounded("day", reader.digits(chunk, 2 if chunk == "02" else 1, 2), 1, 31)


def _year_day(reader: _Reader, chunk: str) -> None:
    if chunk == "__2":
        blanks = len(reader.rest[:2]) - len(reader.rest[:2].lstrip(" "))
        reader.rest = reader.rest[blanks:]
    reader.year_day = reader.bounded("day-of-year", reader.digits(chunk, 1 if chunk == "__2" else 3, 3), 1, 366)


def _hour(reader: _Reader, chunk: str) -> None:
    reader.hour = reader.bounded("hour", reader.digits(chunk, 1, 2), 0, 23)


def _half_hour(reader: _Reader, chunk: str) -> None:
    reader.hour = reader.bounded("hour", reader.digits(chunk, len(chunk), 2), 0, 12)


def _minute(reader: _Reader, chunk: str) -> None:
    reader.minute = reader.bounded("minute", reader.digits(chunk, len(chunk), 2), 0, 59)


def _second(reader: _Reader, chunk: str) -> None:
    reader.second = reader.bounded("second", reader.digits(chunk, len(chunk), 2), 0, 59)


_PARTS: dict[str, Callable[[_Reader, str], None]] = {
    "2006": _long_year,
    "06": _short_year,
    "January": _month_name,
    "Jan": _month_name,
    "1": _month,
    "01": _month,
    "Monday": _weekday,
    "Mon": _weekday,
    "2": _day,
    "_2": _day,
    "02": _day,
    "002": _year_day,
    "__2": _year_day,
    "15": _hour,
    "3": _half_hour,
    "03": _half_hour,
    "4": _minute,
    "04": _minute,
    "5": _second,
    "05": _second,
    "PM": _Reader.half_day,
    "pm": _Reader.half_day,
    "MST": _Reader.abbreviation,
}
