"""Wildcards, quantities, durations, semantic versions."""

from __future__ import annotations

import pytest

from engine.lang.duration import format_duration, parse_duration
from engine.lang.quantity import parse_quantity
from engine.lang.semver import compile_range, parse_version
from engine.lang.wildcard import compile_wildcard, matches


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("*", "", True),
        ("a*b", "ab", True),
        ("a*b", "a", False),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("*a*b*", "xxaxbx", True),
        ("?*", "", False),
        ("ab*ba", "aba", False),
        ("*.?", "a.b", True),
        ("a.c", "abc", False),
        ("*x?z*", "..xyz..", True),
        ("?", "\n", True),
    ],
)
def test_wildcards(pattern: str, text: str, expected: bool) -> None:
    assert compile_wildcard(pattern)(text) is expected
    assert matches(pattern, text) is expected


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("1000", "1k"),
        ("1024Mi", "1Gi"),
        ("0.5Gi", "512Mi"),
        ("1.5Gi", "1536Mi"),
        ("0.5", "500m"),
        ("1e3", "1e3"),
        ("1E", "1E"),
        ("1500", "1500"),
        ("-1.5k", "-1500"),
        ("0.0000000001", "1n"),
        ("100Ei", "9223372036854775807"),
        (".", "0"),
        ("-", "0"),
    ],
)
def test_quantities_have_one_canonical_text(text: str, canonical: str) -> None:
    assert str(parse_quantity(text)) == canonical


@pytest.mark.parametrize("text", ["", "x", "1x", "1Kii", "1 Gi", "1e", "--1", "1.2.3", "1e1e1", "1e99999999999", "١"])
def test_what_is_no_quantity(text: str) -> None:
    assert parse_quantity(text) is None


def test_quantities_compare_and_add_exactly() -> None:
    third, tenth, fifth = (parse_quantity(text) for text in ("300m", "0.1", "200m"))
    assert third is not None
    assert tenth is not None
    assert fifth is not None
    assert tenth + fifth == third
    assert tenth < fifth
    assert str(third - tenth) == "200m"


@pytest.mark.parametrize(
    ("text", "nanoseconds", "back"),
    [
        ("1h", 3_600_000_000_000, "1h0m0s"),
        ("1h30m", 5_400_000_000_000, "1h30m0s"),
        ("1.5s", 1_500_000_000, "1.5s"),
        (".5s", 500_000_000, "500ms"),
        ("-1m", -60_000_000_000, "-1m0s"),
        ("0", 0, "0s"),
        ("1µs", 1000, "1µs"),
        ("1us2ns", 1002, "1.002µs"),
        ("000000000000000000000000001s", 1_000_000_000, "1s"),
        ("9223372036854775807ns", (1 << 63) - 1, "2562047h47m16.854775807s"),
    ],
)
def test_durations(text: str, nanoseconds: int, back: str) -> None:
    assert parse_duration(text) == nanoseconds
    assert format_duration(nanoseconds) == back


@pytest.mark.parametrize("text", ["", "1", "1d", "h", ".s", "1h ", "1H", "9223372036854775808ns", "9" * 5000 + "h", "٣h"])
def test_what_is_no_duration(text: str) -> None:
    assert parse_duration(text) is None


def test_versions_order_prereleases_before_the_release() -> None:
    texts = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1"]
    versions = [parse_version(text) for text in texts]
    assert None not in versions
    assert sorted(versions, key=lambda version: version) == versions  # type: ignore[type-var]  # all are versions


@pytest.mark.parametrize(
    "text", ["v1.2.3", "1.2", "01.2.3", "1.2.3-", "1.2.3-01", "1.2.3+", " 1.2.3", "99999999999999999999.0.0"]
)
def test_what_is_no_version(text: str) -> None:
    assert parse_version(text) is None


@pytest.mark.parametrize(
    ("span", "version", "expected"),
    [
        (">1.0.0 <2.0.0", "1.5.0", True),
        (">1.0.0 <2.0.0 || 3.x", "3.4.0", True),
        ("!1.2.3", "1.2.3", False),
        (">=1.2.x", "1.2.0", True),
        (">1.2.x", "1.2.9", False),
    ],
)
def test_version_ranges(span: str, version: str, expected: bool) -> None:
    holds, parsed = compile_range(span), parse_version(version)
    assert holds is not None
    assert parsed is not None
    assert holds(parsed) is expected


@pytest.mark.parametrize("span", ["~1.2.3", "^1.2.3", "", "a", ">", "1.2.3 ||"])
def test_what_is_no_range(span: str) -> None:
    assert compile_range(span) is None
