"""The root of an evaluation, seen by compiled expressions without knowing what a scope is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from engine.lang.errors import ExpressionError, UnknownKey


class Root(ABC):
    """A value whose fields are made when they are asked for.

    Compiled expressions call `field` where they would index an object; `as_object` makes the whole plain JSON value and is
    only used where an expression needs the root itself (`@`, `keys(@)`). The other methods answer what an expression cannot
    know by itself: the time, randomness, the addresses of a host.
    """

    __slots__ = ()

    @abstractmethod
    def field(self, name: str) -> Any:
        """The value of `name`; raises `UnknownKey` when there is none."""

    @abstractmethod
    def as_object(self) -> Any:
        """All names and values."""

    def moment(self) -> int:
        """The time of the question in Unix nanoseconds; a repeated evaluation gets the same."""
        raise ExpressionError("the time is not known here")

    def seed(self, purpose: str) -> int:
        """A number for the next draw of `purpose` (a pattern): another one each time, the same ones in a repeated evaluation."""
        raise ExpressionError("there is no source of randomness here")

    def addresses(self, host: str) -> tuple[str, ...]:
        """The IP addresses of a host name."""
        raise ExpressionError(f"lookup {host}: host names are not resolved here")


class Document(Root):
    """A root that is one plain JSON value, which need not be an object."""

    __slots__ = ("_draws", "_now", "_seed", "value")

    def __init__(self, value: Any, *, now: int | None = None, seed: int | None = None) -> None:
        self.value = value
        self._now = now
        self._seed = seed
        self._draws = 0

    def field(self, name: str) -> Any:
        if self.value.__class__ is not dict:
            return None
        try:
            return self.value[name]
        except KeyError:
            raise UnknownKey(name) from None

    def as_object(self) -> Any:
        return self.value

    def moment(self) -> int:
        return super().moment() if self._now is None else self._now

    def seed(self, purpose: str) -> int:
        if self._seed is None:
            return super().seed(purpose)
        self._draws += 1
        return self._seed + self._draws
