"""Time: RFC 3339 texts in and out, durations as Go writes them. Fractions of a second are read, never written."""

from __future__ import annotations

from engine.lang import duration
from engine.lang.errors import ExpressionError
from engine.lang.go_time import RFC3339, InvalidTime, Time, parse_time
from engine.lang.jmes.functions.signature import function
from engine.lang.jmes.root import Root


def _time(text: str, layout: str = RFC3339) -> Time:
    try:
        return parse_time(layout, text)
    except InvalidTime as error:
        raise ExpressionError(str(error)) from None


def _duration(text: str) -> int:
    nanoseconds = duration.parse_duration(text)
    if nanoseconds is None:
        raise ExpressionError(f'time: invalid duration "{text}"')
    return nanoseconds


def _between(start: Time, end: Time) -> str:
    elapsed = end.nanoseconds - start.nanoseconds
    return duration.format_duration(max(duration.MIN, min(duration.MAX, elapsed)))


def time_now(root: Root) -> str:
    return Time(root.moment()).rfc3339()


def time_since(root: Root, layout: str, start: str, end: str) -> str:
    """From `start` to `end`; an empty layout is RFC 3339, an empty end is now."""
    first = _time(start, layout or RFC3339)
    return _between(first, _time(end, layout or RFC3339) if end else Time(root.moment()))


def time_add(start: str, length: str) -> str:
    return _time(start).plus(_duration(length)).rfc3339()


def time_diff(start: str, end: str) -> str:
    return _between(_time(start), _time(end))


def time_before(left: str, right: str) -> bool:
    return _time(left).nanoseconds < _time(right).nanoseconds


def time_after(left: str, right: str) -> bool:
    return _time(left).nanoseconds > _time(right).nanoseconds


def time_between(moment: str, start: str, end: str) -> bool:
    found, first, last = _time(moment), _time(start), _time(end)
    return first.nanoseconds < found.nanoseconds < last.nanoseconds


def time_truncate(moment: str, unit: str) -> str:
    return _time(moment).truncated(_duration(unit)).rfc3339()


def time_utc(moment: str) -> str:
    return _time(moment).utc().rfc3339()


def time_parse(layout: str, text: str) -> str:
    return _time(text, layout).rfc3339()


def time_to_cron(moment: str) -> str:
    _, month, day, hour, minute, _, weekday = _time(moment).civil()
    return f"{minute} {hour} {day} {month} {weekday}"


TIMES = {
    "time_add": function("string, string -> string", time_add, "a time plus a duration"),
    "time_after": function("string, string -> boolean", time_after, "is the first time after the second"),
    "time_before": function("string, string -> boolean", time_before, "is the first time before the second"),
    "time_between": function("string, string, string -> boolean", time_between, "is the first time between the other two"),
    "time_diff": function("string, string -> string", time_diff, "the duration from the first time to the second"),
    "time_now": function("-> string", time_now, "the current time", needs_root=True),
    "time_now_utc": function("-> string", time_now, "the current time in UTC", needs_root=True),
    "time_parse": function("string, string -> string", time_parse, "a time of a given Go layout as RFC 3339"),
    "time_since": function(
        "string, string, string -> string", time_since, "the duration between two times, or until now", needs_root=True
    ),
    "time_to_cron": function("string -> string", time_to_cron, "a time as a cron expression"),
    "time_truncate": function("string, string -> string", time_truncate, "a time rounded down to a multiple of a duration"),
    "time_utc": function("string -> string", time_utc, "a time in UTC"),
}
