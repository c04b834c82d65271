"""Why an object does not satisfy a pattern: Kyverno's words and paths, made only when somebody reads them."""

from __future__ import annotations

from collections.abc import Callable

CONDITION, GLOBAL, NEGATION = 1, 2, 4
SKIPS = CONDITION | GLOBAL
PREFIX = {CONDITION: "conditional anchor mismatch: ", GLOBAL: "global anchor mismatch: "}
Where = tuple[str | int, ...]
Path = tuple[str | None, ...]
"""Keys from the root; None stands for the next entry of `where`."""


class Mismatch:
    """Why an object does not satisfy a pattern.

    `skips`: an anchor says the pattern does not concern the object. `path` is `/spec/a/0/`, empty where Kyverno gives none (the
    rule is then an error, not a failure). `text` is Kyverno's wording, made when read.
    """

    __slots__ = ("_at", "_say", "_where", "kind", "mentions")

    def __init__(self, say: Callable[[str], str], at: Path | None, where: Where, kind: int = 0, mentions: int = 0) -> None:
        self._say = say
        self._at = at
        self._where = where
        self.kind = kind
        """What the mismatch itself is; 0: values differ."""
        self.mentions = mentions | kind
        """What its text speaks of: several mismatches joined are whatever their parts mention."""

    @property
    def skips(self) -> bool:
        return bool(self.kind & SKIPS)

    @property
    def path(self) -> str:
        return "" if self._at is None else _path_text(self._at, self._where)

    @property
    def text(self) -> str:
        return self._say(self.path)

    def as_skip(self, kind: int) -> Mismatch:
        """This mismatch below a condition or global anchor."""
        prefix = PREFIX[kind]
        return Mismatch(lambda _path: prefix + self.text, self._at, self._where, kind, self.mentions)

    def without_path(self) -> Mismatch:
        return Mismatch(lambda _path: self.text, None, (), self.kind, self.mentions)


def _path_text(at: Path, where: Where) -> str:
    slots = iter(where)
    return "/" + "".join(f"{next(slots) if part is None else part}/" for part in at)


def joined(bad: list[Mismatch], at: Path, where: Where) -> Mismatch:
    """Several mismatches of one map as one that stands at the map itself."""
    if len(bad) == 1:
        return bad[0]
    mentions = 0
    for one in bad:
        mentions |= one.mentions
    return Mismatch(lambda _path: "; ".join(one.text for one in bad), at, where, mentions, mentions)
