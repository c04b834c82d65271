"""Validations in CEL: an expression that must be true, and what is said where it is not (Kubernetes Validation)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.clauses.expressions import Bindings, compile_cel
from engine.lang.cel import Environment, Program
from engine.lang.errors import ExpressionError
from engine.scope import Scope

LONGEST_MESSAGE = 5 * 1024
Text = Callable[[Scope], Any]
"""A written message; what is no string says nothing."""


@dataclass(frozen=True, slots=True)
class Validation:
    """One validation. `speak` is the messageExpression, `text` the message where that says nothing."""

    program: Program
    speak: Program | None
    text: Text | None

    def message(self, bindings: Bindings) -> str:
        """What to tell of a failure: the messageExpression, else the message, else the expression itself."""
        if self.speak is not None:
            try:
                said = self.speak(bindings)
            except ExpressionError:
                said = ""
            # as the API server: a text that is empty, long or of several lines is as good as none
            if isinstance(said, str) and (said := said.strip()) and "\n" not in said and len(said.encode()) <= LONGEST_MESSAGE:
                return said
        if self.text is not None:
            written = self.text(bindings.scope)
            if isinstance(written, str):
                return written.strip()
        return f"failed expression: {self.program.text.strip()}"


def compile_validation(entry: Mapping[str, Any], environment: Environment, *, path: str, text: Text | None) -> Validation:
    """The validation at `path`; `text` is its message. Raises `InvalidPolicy`."""
    speak = entry.get("messageExpression")
    return Validation(
        compile_cel(entry.get("expression"), environment, path=f"{path}.expression", kinds=("bool",)),
        compile_cel(speak, environment, path=f"{path}.messageExpression", kinds=("string",)) if speak else None,
        text,
    )
