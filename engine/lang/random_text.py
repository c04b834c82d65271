"""Random text that a regular expression (RE2 syntax) matches.

Which characters a class holds is asked of RE2 itself; the reader here only splits a pattern into atoms, repeats, groups and
alternatives. Anchors and word boundaries give nothing. `.` and negated classes give printable ASCII where they can.
Unbounded repeats end after `UNBOUNDED` further rounds.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from functools import lru_cache

import re2

from engine.lang.errors import LanguageError

UNBOUNDED = 16
MAX_LENGTH = 100_000
MAX_REPEAT = 1000 + UNBOUNDED
"""RE2 repeats at most 1,000 times; an open end adds its further rounds."""
_PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
_CONTROL = "\t\n\r\f\v" + "".join(map(chr, range(0x20)))
_REPEAT = re.compile(r"\{([0-9]+)(,([0-9]*))?\}", re.ASCII)
_GROUP = re.compile(r"\?(?:P?<\w+>|([a-zA-Z]*)(?:-[a-zA-Z]+)?(:|(?=\))))", re.ASCII)
_ESCAPE = re.compile(r"\\(?:[pP]\{[^}]*\}|[pP].|x\{[0-9A-Fa-f]+\}|x[0-9A-Fa-f]{2}|[0-7]{1,3}|.)", re.DOTALL)
_EMPTY = frozenset(("\\A", "\\z", "\\b", "\\B"))

Make = Callable[[random.Random], str]


class UnsupportedPattern(LanguageError):
    """A pattern nothing can be made of: malformed, or matching no text."""


def random_text(pattern: str, *, seed: int) -> str:
    """Text that `pattern` matches; the same text for the same seed. Raises `UnsupportedPattern`."""
    reader = _Reader(pattern)
    make = reader.alternatives("")
    if reader.rest:
        raise UnsupportedPattern(f"error parsing regexp: unexpected ): `{pattern}`")
    text = make(random.Random(seed))
    if len(text) > MAX_LENGTH:
        raise UnsupportedPattern(f"the pattern `{pattern}` asks for more than {MAX_LENGTH} characters")
    return text


class _Reader:
    def __init__(self, pattern: str) -> None:
        self.rest = pattern

    def alternatives(self, flags: str) -> Make:
        choices = [self.sequence(flags)]
        while self.rest.startswith("|"):
            self.rest = self.rest[1:]
            choices.append(self.sequence(flags))
        return choices[0] if len(choices) == 1 else lambda chance: chance.choice(choices)(chance)

    def sequence(self, flags: str) -> Make:
        parts: list[Make] = []
        while self.rest and self.rest[0] not in "|)":
            flag_group = _GROUP.match(self.rest, 1) if self.rest.startswith("(?") else None
            if flag_group is not None and flag_group[2] == "":
                flags += flag_group[1] or ""
                self.rest = self.rest[flag_group.end() + 1 :]
                continue
            parts.append(self.repeated(self.atom(flags)))
        return lambda chance: "".join([part(chance) for part in parts])

    def repeated(self, atom: Make) -> Make:
        while self.rest:
            counted = _REPEAT.match(self.rest)
            if counted is not None:
                least = int(counted[1])
                most = least if counted[2] is None else int(counted[3]) if counted[3] else least + UNBOUNDED
                if max(least, most) > MAX_REPEAT:
                    raise UnsupportedPattern(f"error parsing regexp: invalid repeat count: `{counted[0]}`")
                self.rest = self.rest[counted.end() :]
            elif self.rest[0] in "*+?":
                least, most = {"*": (0, UNBOUNDED), "+": (1, 1 + UNBOUNDED), "?": (0, 1)}[self.rest[0]]
                self.rest = self.rest[1:]
            else:
                break
            self.rest = self.rest.removeprefix("?")  # lazy or greedy is all the same here
            atom = _times(atom, least, most)
        return atom

    def atom(self, flags: str) -> Make:
        first = self.rest[0]
        if first == "(":
            return self.group(flags)
        if first == "[":
            return _one_of(self.bracket(), flags)
        if first == "\\":
            if self.rest.startswith("\\Q"):
                quoted, _, self.rest = self.rest[2:].partition("\\E")
                return lambda _chance: quoted
            found = _ESCAPE.match(self.rest)
            if found is None:
                raise UnsupportedPattern("error parsing regexp: trailing backslash at end of expression: ``")
            self.rest = self.rest[found.end() :]
            return _nothing if found[0] in _EMPTY else _one_of(found[0], flags)
        self.rest = self.rest[1:]
        if first in "^$":
            return _nothing
        return _one_of(first, flags) if first == "." else lambda _chance: first

    def group(self, flags: str) -> Make:
        found = _GROUP.match(self.rest, 1) if self.rest.startswith("(?") else None
        if self.rest.startswith("(?") and found is None:
            raise UnsupportedPattern(f"error parsing regexp: invalid or unsupported Perl syntax: `{self.rest[:3]}`")
        self.rest = self.rest[found.end() if found else 1 :]
        inner = self.alternatives(flags + ((found[1] or "") if found else ""))
        if not self.rest.startswith(")"):
            raise UnsupportedPattern("error parsing regexp: missing closing )")
        self.rest = self.rest[1:]
        return inner

    def bracket(self) -> str:
        """The text of a character class; `]` counts as a character where it comes first."""
        position = 2 if self.rest.startswith("[^") else 1
        position += self.rest.startswith("]", position)
        while position < len(self.rest) and self.rest[position] != "]":
            if self.rest[position] == "\\":
                position += 2
            elif self.rest.startswith("[:", position) and ":]" in self.rest[position:]:
                position = self.rest.index(":]", position) + 2
            else:
                position += 1
        text, self.rest = self.rest[: position + 1], self.rest[position + 1 :]
        return text


def _nothing(_chance: random.Random) -> str:
    return ""


def _times(atom: Make, least: int, most: int) -> Make:
    def make(chance: random.Random) -> str:
        parts = []
        size = 0
        for _ in range(chance.randint(least, most)):
            part = atom(chance)
            size += len(part)
            if size > MAX_LENGTH:
                raise UnsupportedPattern(f"the pattern asks for more than {MAX_LENGTH} characters")
            parts.append(part)
        return "".join(parts)

    return make


def _one_of(text: str, flags: str) -> Make:
    members = _members(text, "s" in flags)
    return lambda chance: chance.choice(members)


@lru_cache(maxsize=256)
def _members(text: str, dot_all: bool) -> str:
    """The characters that a class or escape matches: printable ASCII if any, else controls, else the rest of Unicode."""
    options = re2.Options()
    options.log_errors = False
    try:
        matches = re2.compile(f"(?s){text}" if dot_all else text, options).fullmatch
    except re2.error:
        raise UnsupportedPattern(f"error parsing regexp: `{text}`") from None
    for candidates in (_PRINTABLE, _CONTROL):
        members = "".join(filter(matches, candidates))
        if members:
            return members
    members = "".join(filter(matches, map(chr, range(0x80, 0x3000))))
    if not members:
        members = "".join(filter(matches, map(chr, (*range(0x3000, 0xD800), *range(0xE000, 0x110000)))))
    if not members:
        raise UnsupportedPattern(f"the class `{text}` matches no character")
    return members
