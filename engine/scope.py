"""Variables of one evaluation: lazy and parent-linked, so that foreach binds a child instead of copying."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from engine.facts import NO_FACTS, Facts, Lookup
from engine.lang.jmes import Root, UnknownKey

if TYPE_CHECKING:
    from engine.request import Request

Loader = Callable[["Scope"], Any]


class Scope(Root):
    """The root value of every JMESPath expression: names such as `request`, `element`, context entries.

    A name is bound to a value or to a loader that runs at the first look and whose value is kept. `request` and `facts` are
    the same objects along the whole chain, and so is `missed`: names that were read although nobody here can answer them.
    INVARIANT (purity): a loader never writes to a value it was given.
    """

    __slots__ = ("draws", "facts", "loaders", "missed", "parent", "request", "values")

    def __init__(self, request: Request, *, facts: Facts = NO_FACTS, parent: Scope | None = None) -> None:
        self.request = request
        self.facts = facts
        self.parent = parent
        self.values: dict[str, Any] = {}
        self.loaders: dict[str, Loader] = {}
        self.draws: dict[str, int] = {} if parent is None else parent.draws
        self.missed: list[str] = [] if parent is None else parent.missed

    def child(self) -> Scope:
        """A scope that sees everything of this one and hides what it binds itself."""
        return Scope(self.request, facts=self.facts, parent=self)

    def bind(self, name: str, value: Any) -> None:
        self.values[name] = value

    def bind_lazily(self, name: str, loader: Loader) -> None:
        """`name` gets its value from `loader(scope)` when it is first read; an earlier value of the name is hidden."""
        self.values.pop(name, None)
        self.loaders[name] = loader

    def fact(self, lookup: Lookup) -> Any:
        """The answer to `lookup`; raises `Unknown` while it is not known."""
        return self.facts.answer(lookup)

    def held(self, lookup: Lookup) -> Any:
        """As `fact`; what is kept between questions comes as `Held`."""
        return self.facts.held(lookup)

    def field(self, name: str) -> Any:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            loader = scope.loaders.get(name)
            if loader is not None:
                value = loader(scope)
                scope.values[name] = value
                return value
            scope = scope.parent
        raise UnknownKey(name)

    def names(self) -> Iterator[str]:
        """Every bound name, nearest first, each once."""
        seen: set[str] = set()
        scope: Scope | None = self
        while scope is not None:
            for name in (*scope.values, *scope.loaders):
                if name not in seen:
                    seen.add(name)
                    yield name
            scope = scope.parent

    def as_object(self) -> dict[str, Any]:
        return {name: self.field(name) for name in self.names()}

    def moment(self) -> int:
        return self.request.now

    def seed(self, purpose: str) -> int:
        # INVARIANT (re-runs): depends on the request and on how often this pattern was drawn, never on other patterns.
        count = self.draws[purpose] = self.draws.get(purpose, 0) + 1
        digest = hashlib.sha256(f"{self.request.seed} {count} {purpose}".encode("utf-8", "surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big")


class SubjectScope(Scope):
    """A child scope whose checks look at `subject` (any JSON value) instead of the request's object.

    `whole`: the object of which the subject is the subresource named by `part`; the subject itself where it is no part.
    """

    __slots__ = ("part", "subject", "whole")

    def __init__(self, parent: Scope, subject: Any, *, whole: Any = None, part: str = "") -> None:
        super().__init__(parent.request, facts=parent.facts, parent=parent)
        self.subject = subject
        self.whole = subject if whole is None else whole
        self.part = part
