"""Selectors of timestamps and durations: `getFullYear`, `getHours`, ..., each with an optional time zone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from engine.lang.cel.calendar import local
from engine.lang.cel.functions import Library, Overload
from engine.lang.cel.kinds import DURATION, INT, STRING, TIMESTAMP
from engine.lang.duration import HOUR, MILLISECOND, MINUTE, SECOND

_PARTS: dict[str, Callable[[datetime], int]] = {
    "getFullYear": lambda at: at.year,
    "getMonth": lambda at: at.month - 1,
    "getDate": lambda at: at.day,
    "getDayOfMonth": lambda at: at.day - 1,
    "getDayOfWeek": lambda at: at.isoweekday() % 7,
    "getDayOfYear": lambda at: at.timetuple().tm_yday - 1,
    "getHours": lambda at: at.hour,
    "getMinutes": lambda at: at.minute,
    "getSeconds": lambda at: at.second,
}
_SPANS = {"getHours": HOUR, "getMinutes": MINUTE, "getSeconds": SECOND, "getMilliseconds": MILLISECOND}


def _selectors(part: Callable[[datetime], int]) -> tuple[Overload, ...]:
    return (
        Overload((TIMESTAMP,), INT, lambda moment: part(local(moment))),
        Overload((TIMESTAMP, STRING), INT, lambda moment, zone: part(local(moment, zone))),
    )


def _whole(unit: int) -> Overload:
    return Overload((DURATION,), INT, lambda span: abs(int(span)) // unit * (-1 if span < 0 else 1))


_MILLISECONDS = (
    Overload((TIMESTAMP,), INT, lambda moment: int(moment) % SECOND // MILLISECOND),
    Overload((TIMESTAMP, STRING), INT, lambda moment, _: int(moment) % SECOND // MILLISECOND),
)

LIBRARY = Library(
    "times",
    functions={},
    members={
        name: (
            *(_selectors(_PARTS[name]) if name in _PARTS else _MILLISECONDS),
            *((_whole(_SPANS[name]),) if name in _SPANS else ()),
        )
        for name in (*_PARTS, "getMilliseconds")
    },
)
