"""Semantic versions, strict as semver.org writes them (no leading `v`), and ranges of them (`>=1.2.0 <2.0.0 || 3.x`)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import total_ordering

_NUMBER = r"(?:0|[1-9][0-9]*)"
_IDENTIFIER = r"(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_VERSION = re.compile(
    rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-({_IDENTIFIER}(?:\.{_IDENTIFIER})*))?(?:\+([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
)
_LARGEST = (1 << 64) - 1
_COMPARATOR = re.compile(r"(>=|<=|==|!=|>|<|=|!|)\s*([^\s<>=!]+)")
_PARTIAL = re.compile(rf"({_NUMBER})(?:\.({_NUMBER}|[xX*]))?(?:\.([xX*]|{_NUMBER}))?")

_Order = tuple[int, int, int, bool, tuple[tuple[bool, int, str], ...]]


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """A version; order and equality ignore the build part."""

    major: int
    minor: int
    patch: int
    prerelease: tuple[str, ...] = ()
    build: tuple[str, ...] = ()
    _order: _Order = field(init=False, repr=False)

    def __post_init__(self) -> None:
        parts = tuple((False, int(part), "") if part.isdigit() else (True, 0, part) for part in self.prerelease)
        object.__setattr__(self, "_order", (self.major, self.minor, self.patch, not parts, parts))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self._order == other._order

    def __lt__(self, other: Version) -> bool:
        return self._order < other._order

    def __hash__(self) -> int:
        return hash(self._order)

    def __str__(self) -> str:
        pre = f"-{'.'.join(self.prerelease)}" if self.prerelease else ""
        build = f"+{'.'.join(self.build)}" if self.build else ""
        return f"{self.major}.{self.minor}.{self.patch}{pre}{build}"


Range = Callable[[Version], bool]

_COMPARE: dict[str, Callable[[Version, Version], bool]] = {
    "": lambda version, bound: version == bound,
    "=": lambda version, bound: version == bound,
    "==": lambda version, bound: version == bound,
    "!": lambda version, bound: version != bound,
    "!=": lambda version, bound: version != bound,
    ">": lambda version, bound: version > bound,
    ">=": lambda version, bound: version >= bound,
    "<": lambda version, bound: version < bound,
    "<=": lambda version, bound: version <= bound,
}


def parse_version(text: str) -> Version | None:
    """The version that `text` writes, or None."""
    found = _VERSION.fullmatch(text)
    if found is None:
        return None
    major, minor, patch = (int(part) if len(part) <= 20 else _LARGEST + 1 for part in found.group(1, 2, 3))
    if max(major, minor, patch) > _LARGEST:
        return None
    pre, build = found.group(4, 5)
    if pre and any(part.isdigit() and (len(part) > 20 or int(part) > _LARGEST) for part in pre.split(".")):
        return None
    return Version(major, minor, patch, tuple(pre.split(".")) if pre else (), tuple(build.split(".")) if build else ())


def compile_range(text: str) -> Range | None:
    """A predicate on versions, or None when `text` is no range.

    Blanks mean and, `||` means or; comparators are `= == != ! > >= < <=`; `1.x` and `1.2.x` stand for their span, also behind
    a comparator. `~` and `^` are not known (spec 9.8).
    """
    alternatives: list[list[Range]] = []
    for alternative in text.split("||"):
        checks: list[Range] = []
        position, body = 0, alternative.strip()
        while position < len(body):
            found = _COMPARATOR.match(body, position)
            check = _comparator(found[1], found[2]) if found else None
            if found is None or check is None:
                return None
            checks.append(check)
            position = found.end()
            while position < len(body) and body[position] == " ":
                position += 1
        if not checks:
            return None
        alternatives.append(checks)
    return lambda version: any(all(check(version) for check in checks) for checks in alternatives)


def _comparator(operator: str, text: str) -> Range | None:
    exact = parse_version(text)
    if exact is not None:
        compare = _COMPARE[operator]
        return lambda version: compare(version, exact)
    span = _span(text)
    if span is None:
        return None
    low, high = span
    return {
        "": lambda version: low <= version < high,
        "=": lambda version: low <= version < high,
        "==": lambda version: low <= version < high,
        "!": lambda version: version < low or version >= high,
        "!=": lambda version: version < low or version >= high,
        ">": lambda version: version >= high,
        ">=": lambda version: version >= low,
        "<": lambda version: version < low,
        "<=": lambda version: version < high,
    }[operator]


def _span(text: str) -> tuple[Version, Version] | None:
    found = _PARTIAL.fullmatch(text)
    if found is None or not any(char in "xX*" for char in text):
        return None
    major, minor, patch = found.groups()
    if max(len(major), len(minor or "")) > 19:
        return None
    if minor in ("x", "X", "*"):
        return (Version(int(major), 0, 0), Version(int(major) + 1, 0, 0)) if patch is None or patch in "xX*" else None
    if patch is not None and patch in "xX*":
        return Version(int(major), int(minor), 0), Version(int(major), int(minor) + 1, 0)
    return None
