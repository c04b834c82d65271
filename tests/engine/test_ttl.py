"""The TTL label (spec 2.13)."""

from __future__ import annotations

import pytest

from engine import ttl_due

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
CREATED = 1_000 * SECOND


@pytest.mark.parametrize(
    ("value", "lifetime"),
    [
        ("10s", 10 * SECOND),
        ("1h30m", 90 * 60 * SECOND),
        ("2d", 48 * HOUR),
        ("1w1d", 8 * 24 * HOUR),
        ("1.5h", 90 * 60 * SECOND),
        ("250ms", 250_000_000),
        ("0s", 0),
        ("-5s", -5 * SECOND),
    ],
)
def test_durations_count_from_creation(value: str, lifetime: int) -> None:
    assert ttl_due(value, CREATED) == CREATED + lifetime


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2024-01-02", 1_704_153_600),
        ("2024-01-02T030405Z", 1_704_164_645),
        ("2024-02-29", 1_709_164_800),
    ],
)
def test_moments_are_utc(value: str, moment: int) -> None:
    assert ttl_due(value, CREATED) == moment * SECOND


@pytest.mark.parametrize(
    "value",
    ["", "10ay", "10", "s", "1h 2m", "2024-13-01", "2023-02-29", "2024-01-02T03:04:05Z", "2024-01-02T250000Z", "99999999w"],
)
def test_other_values_mean_nothing(value: str) -> None:
    assert ttl_due(value, CREATED) is None
