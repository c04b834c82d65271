"""What the engine can say went wrong. Decide on type and field, never on the text.

`Unknown` is deliberately no `EngineError`: it is a question to the shell, and whatever forgives errors must let it pass.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.facts import Lookup


class EngineError(Exception):
    """Base of every error the engine raises on purpose."""


class InvalidPolicy(EngineError):
    """A policy document that does not compile.

    `path` is the place in the document (`spec.rules[0].match.any[1].kinds[0]`, may be empty), `reason` one lower-case line.
    `place` is the path, or where the fault stands when the text that users of Kyverno know names no path.
    """

    def __init__(self, path: str, reason: str, *, place: str = "") -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.path = path
        self.reason = reason
        self.place = place or path


class UnknownField(InvalidPolicy):
    """A field that the kind does not have; `known` are those it has at that place."""

    def __init__(self, path: str, known: Iterable[str]) -> None:
        super().__init__(path, "unknown field")
        self.known = tuple(known)


class EvaluationError(EngineError):
    """A rule that cannot be answered for this request; becomes a Result with status `error`."""


class NoContext(EvaluationError):
    """A context entry whose data cannot be had. What a rule asks about is not known then: never an empty answer."""


class VariableError(EvaluationError):
    """A variable that cannot be resolved: `expression` is the text between the braces, `path` its place in the rule."""

    def __init__(self, expression: str, reason: str, path: str = "") -> None:
        super().__init__(f"failed to resolve {expression} at path {path}: {reason}")
        self.expression = expression
        self.reason = reason
        self.path = path


class LookupFailed(EngineError):
    """Data outside the object that could not be had: API server down, ConfigMap missing, too many rounds."""

    def __init__(self, lookup: Lookup | None, reason: str) -> None:
        super().__init__(reason)
        self.lookup = lookup
        self.reason = reason


class Unknown(Exception):
    """Raised while evaluating: these lookups must be answered before the question can be."""

    def __init__(self, lookups: Iterable[Lookup]) -> None:
        self.lookups = frozenset(lookups)
        super().__init__(", ".join(sorted(str(lookup) for lookup in self.lookups)))
