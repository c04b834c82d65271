"""The root of an evaluation, seen by compiled expressions without knowing what a scope is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any


class Root(ABC):
    """A value whose fields are made when they are asked for.

    Compiled expressions call `field` where they would index an object; `as_object` makes the whole plain JSON object and is
    only used where an expression needs the root itself (`@`, `keys(@)`).
    """

    __slots__ = ()

    @abstractmethod
    def field(self, name: str) -> Any:
        """The value of `name`; raises `UnknownKey` when there is none."""

    @abstractmethod
    def as_object(self) -> dict[str, Any]:
        """All names and values."""
