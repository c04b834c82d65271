"""Wildcards of names and values: `*` stands for any text, `?` for exactly one character.

Matching is case-sensitive, sees the whole string and gives `.`, `/` and newlines no special role.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

Matcher = Callable[[str], bool]


def has_wildcard(text: str) -> bool:
    """Does `text` hold a wildcard character?"""
    return "*" in text or "?" in text


def compile_wildcard(pattern: str) -> Matcher:
    """A predicate on strings; literals, `*`, prefixes, suffixes and `*part*` need no regular expression."""
    if "?" not in pattern:
        stars = pattern.count("*")
        if not stars:
            return pattern.__eq__
        if pattern.strip("*") == "":
            return _anything
        if stars == 1:
            prefix, _, suffix = pattern.partition("*")
            return _affixes(prefix, suffix)
        inner = pattern[1:-1]
        if stars == 2 and pattern[0] == pattern[-1] == "*":
            return lambda text: inner in text
    elif pattern == "?*" or pattern == "*?":
        return lambda text: text != ""
    return _general(pattern)


def matches(pattern: str, text: str) -> bool:
    """One-off match; where the pattern is known beforehand, compile it."""
    if pattern == "*" or pattern == text:
        return True
    if "*" not in pattern and "?" not in pattern:
        return False
    return compile_wildcard(pattern)(text)


def compile_any(patterns: Iterable[str]) -> Matcher:
    """A predicate that holds when any of `patterns` matches; literals are looked up in a set."""
    patterns = list(patterns)
    if len(patterns) == 1:
        return compile_wildcard(patterns[0])
    literals = frozenset(pattern for pattern in patterns if not has_wildcard(pattern))
    matchers = [compile_wildcard(pattern) for pattern in patterns if has_wildcard(pattern)]
    if not matchers:
        return literals.__contains__
    return lambda text: text in literals or any(matcher(text) for matcher in matchers)


def _anything(text: str) -> bool:
    return True


def _affixes(prefix: str, suffix: str) -> Matcher:
    if not suffix:
        return lambda text: text.startswith(prefix)
    if not prefix:
        return lambda text: text.endswith(suffix)
    shortest = len(prefix) + len(suffix)
    return lambda text: len(text) >= shortest and text.startswith(prefix) and text.endswith(suffix)


def _general(pattern: str) -> Matcher:
    # Greedy pieces between stars: each is found at its earliest place, so the work is linear in pieces times text and
    # no pattern can make it explode as a backtracking `.*` would.
    pieces = [_piece(piece) for piece in pattern.split("*")]
    if len(pieces) == 1:
        whole, length = pieces[0]
        return lambda text: len(text) == length and whole.match(text) is not None
    (head, head_length), *middle, (tail, tail_length) = pieces
    inner = [(piece, length) for piece, length in middle if length]
    shortest = head_length + tail_length + sum(length for _, length in inner)

    def general(text: str) -> bool:
        end = len(text) - tail_length
        if len(text) < shortest or head.match(text) is None or tail.match(text, end) is None:
            return False
        position = head_length
        for piece, _ in inner:
            found = piece.search(text, position, end)
            if found is None:
                return False
            position = found.end()
        return True

    return general


def _piece(text: str) -> tuple[re.Pattern[str], int]:
    return re.compile("".join("." if char == "?" else re.escape(char) for char in text), re.DOTALL), len(text)
