"""Errors of the expression languages and value types; they know nothing of policies."""

from __future__ import annotations


class LanguageError(Exception):
    """Anything an expression or a value literal can do wrong."""

    @property
    def discreet(self) -> str:
        """The text without the input, which may be megabytes, or what who reads the text may not see."""
        return str(self)


class ExpressionSyntaxError(LanguageError):
    """An expression that does not compile.

    `expression` is the whole text, `offset` the 0-based position of the fault or None where the parser does not know it.
    """

    def __init__(self, expression: str, reason: str, offset: int | None = None) -> None:
        super().__init__(reason)
        self.expression = expression
        self.reason = reason
        self.offset = offset


class ExpressionError(LanguageError):
    """An expression that compiled but has no value for this input."""


class UnknownKey(ExpressionError):
    """A field that the input does not have: Kyverno's dialect makes this an error (spec 2.10, 9.8)."""

    def __init__(self, key: str) -> None:
        super().__init__(f'Unknown key "{key}" in path')
        self.key = key
