"""What evaluating a CEL expression can do wrong."""

from __future__ import annotations

from engine.lang.errors import ExpressionError, ExpressionSyntaxError


class CelError(ExpressionError):
    """An evaluation error in CEL's sense: `&&`, `||`, `all` and `exists` may absorb it."""


class CostExceeded(ExpressionError):
    """The evaluation took more steps than its budget. No `CelError`: nothing absorbs it."""


def position(expression: str, offset: int | None) -> tuple[int, int]:
    """Line and column, both from 1, of an offset in the text; (1, 1) where the offset is not known."""
    before = expression[: offset or 0]
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def located(error: ExpressionSyntaxError) -> str:
    """The error in one line, `line:column: reason`."""
    line, column = position(error.expression, error.offset)
    return f"{line}:{column}: {error.reason}"
