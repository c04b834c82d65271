"""Schedules: which moments they name, and what is no schedule (spec 2.13)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.lang.cron import InvalidSchedule, parse_schedule

SECOND = 1_000_000_000


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND


def following(schedule: str, after: str) -> str:
    return datetime.fromtimestamp(parse_schedule(schedule).next(at(after)) // SECOND, UTC).strftime("%Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("schedule", "after", "expected"),
    [
        ("* * * * *", "2026-01-01 00:00:00", "2026-01-01 00:01"),
        ("* * * * *", "2026-01-01 00:00:59", "2026-01-01 00:01"),
        ("*/5 * * * *", "2026-01-01 00:05:00", "2026-01-01 00:10"),
        ("5/20 * * * *", "2026-01-01 00:26:00", "2026-01-01 00:45"),
        ("0 9-17/4 * * *", "2026-01-01 13:30:00", "2026-01-01 17:00"),
        ("30 4 1,15 * *", "2026-01-02 00:00:00", "2026-01-15 04:30"),
        ("0 0 * * SUN", "2026-01-01 00:00:00", "2026-01-04 00:00"),
        ("0 0 * * 7", "2026-01-01 00:00:00", "2026-01-04 00:00"),
        ("0 0 * * mon-fri", "2026-01-02 00:00:00", "2026-01-05 00:00"),
        ("0 0 13 * 5", "2026-01-01 00:00:00", "2026-01-02 00:00"),
        ("0 0 13 * *", "2026-01-01 00:00:00", "2026-01-13 00:00"),
        ("0 0 */2 * 1", "2026-01-01 12:00:00", "2026-01-03 00:00"),
        ("0 0 ? * 1", "2026-01-01 00:00:00", "2026-01-05 00:00"),
        ("0 0 31 * *", "2026-01-31 00:00:00", "2026-03-31 00:00"),
        ("0 0 29 2 *", "2096-02-29 00:00:00", "2104-02-29 00:00"),
        ("0 12 25 dec *", "2026-12-25 12:00:00", "2027-12-25 12:00"),
        ("@hourly", "2026-01-01 00:00:00", "2026-01-01 01:00"),
        ("@daily", "2026-12-31 00:00:00", "2027-01-01 00:00"),
        ("@weekly", "2026-01-01 00:00:00", "2026-01-04 00:00"),
        ("@monthly", "2026-01-01 00:00:00", "2026-02-01 00:00"),
        ("@yearly", "2026-01-01 00:00:00", "2027-01-01 00:00"),
    ],
)
def test_the_next_moment(schedule: str, after: str, expected: str) -> None:
    assert following(schedule, after) == expected


WRONG = """
|* * * *|* * * * * *|60 * * * *|* 24 * * *|* * 0 * *|* * * 13 *|* * * * 8|a * * * *|*/0 * * * *|5-1 * * * *|1, * * * *|
-1 * * * *|1- * * * *|* * * foo *|@never|@every 1h|0 0 30 2 *|² * * * *
"""


@pytest.mark.parametrize("text", [text.strip() for text in WRONG.split("|")])
def test_what_is_no_schedule(text: str) -> None:
    with pytest.raises(InvalidSchedule):
        parse_schedule(text)


FIELD = st.sampled_from(["*", "*/7", "1-5", "3", "2,4", "1-6/2"])


@given(FIELD, FIELD, FIELD, FIELD, FIELD, st.integers(0, 4_000_000_000))
def test_the_next_moment_is_later_and_there_is_none_between(a: str, b: str, c: str, d: str, e: str, seconds: int) -> None:
    schedule = parse_schedule(f"{a} {b} {c} {d} {e}")
    after = seconds * SECOND
    found = schedule.next(after)
    assert found > after
    assert found % (60 * SECOND) == 0
    assert schedule.next(found - 1) == found
    between = after + (found - after) // 2
    assert schedule.next(between) == found
