"""Go's JSON text and times."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.lang import go_json
from engine.lang.go_time import InvalidTime, Time, parse_rfc3339, parse_time

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 53), 1 << 53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [True, None]}, '{"a":[true,null],"b":1}'),
        ("<a & b>", '"\\u003ca \\u0026 b\\u003e"'),
        ("é\u2028\x7f\x01\b\f", '"é\\u2028\x7f\\u0001\\b\\f"'),
        ("\udcff", '"\\ufffd"'),
        (1.0, "1"),
        (-0.0, "-0"),
        (2.5, "2.5"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
        (0.000001, "0.000001"),
        (1e-7, "1e-7"),
        (1.25e-10, "1.25e-10"),
        (12345678901234567, "12345678901234568"),
        ([], "[]"),
        ({}, "{}"),
    ],
)
def test_json_text_is_gos(value: Any, text: str) -> None:
    assert go_json.dumps(value) == text


def test_html_may_stay_readable() -> None:
    assert go_json.dumps({"<": "&"}, escape_html=False) == '{"<":"&"}'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400])
def test_numbers_without_json_are_errors(value: float) -> None:
    with pytest.raises(go_json.UnsupportedNumber):
        go_json.dumps([value])


@given(JSON)
def test_json_text_reads_back_as_the_value(value: Any) -> None:
    assert json.loads(go_json.dumps(value), parse_int=float) == value


@given(
    st.datetimes(min_value=datetime.datetime(1, 1, 1), max_value=datetime.datetime(9999, 12, 31)), st.integers(-14 * 60, 14 * 60)
)
def test_times_agree_with_the_standard_library(moment: datetime.datetime, minutes: int) -> None:
    offset = datetime.timedelta(minutes=minutes)
    written = f"{moment.replace(microsecond=0, tzinfo=datetime.timezone(offset)).isoformat()}"
    found = parse_rfc3339(written)
    since = moment.replace(microsecond=0) - offset - datetime.datetime(1970, 1, 1)
    assert found.nanoseconds == (since.days * 86_400 + since.seconds) * 1_000_000_000
    assert found.rfc3339() == (written.removesuffix("+00:00") + "Z" if not minutes else written)
    assert found.civil()[6] == moment.isoweekday() % 7


@pytest.mark.parametrize(
    ("layout", "text", "wanted"),
    [
        ("Jan _2 2006", "feb  3 2024", "2024-02-03T00:00:00Z"),
        ("January 2, 2006", "DECEMBER 31, 1999", "1999-12-31T00:00:00Z"),
        ("06-1-2 3:4:5 pm", "69-1-2 12:4:5 am", "1969-01-02T00:04:05Z"),
        ("06-1-2", "68-1-2", "2068-01-02T00:00:00Z"),
        ("2006-01-02T15:04:05.999Z07:00", "2024-01-02T03:04:05Z", "2024-01-02T03:04:05Z"),
        ("2006-01-02T15:04:05Z0700", "2024-01-02T03:04:05-0330", "2024-01-02T03:04:05-03:30"),
        ("15:04 MST", "12:30 GMT+3", "0000-01-01T12:30:00+03:00"),
        ("15:04 MST", "12:30 CEST", "0000-01-01T12:30:00Z"),
        ("2006 __2", "2024  60", "2024-02-29T00:00:00Z"),
        ("2006 002", "2023 365", "2023-12-31T00:00:00Z"),
    ],
)
def test_layouts_are_read_by_example(layout: str, text: str, wanted: str) -> None:
    assert parse_time(layout, text).rfc3339() == wanted


@pytest.mark.parametrize(
    ("layout", "text"),
    [
        ("2006-01-02", "2024-13-01"),
        ("2006-01-02", "2024-02-30"),
        ("2006-01-02", "24-02-03"),
        ("15:04:05.000", "10:11:12.34"),
        ("PM", "XM"),
        ("-07:00", "+25:00"),
        ("2006 002", "2023 366"),
        ("2006-01-02", "2024-01-02 more"),
        ("Jan", "Foo"),
    ],
)
def test_texts_that_do_not_fit_their_layout_are_errors(layout: str, text: str) -> None:
    with pytest.raises(InvalidTime):
        parse_time(layout, text)


def test_fractions_are_kept_to_the_nanosecond() -> None:
    assert parse_rfc3339("1970-01-01T00:00:00.1234567899Z") == Time(123_456_789)
    assert parse_rfc3339("1970-01-01T00:00:00,5Z") == Time(500_000_000)
