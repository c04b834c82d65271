"""Big values that many questions share: a list of ten thousand objects is queried once per change, not once per request."""

from __future__ import annotations

from typing import Any

from engine.lang.errors import ExpressionError
from engine.lang.jmes import Document, Expression

REMEMBERED = 64
"""Results kept of one value: expressions may hold a variable, and whoever asks must not fill the memory with them."""


class Held:
    """An answer that is kept between questions, with the results of expressions on it, each worked out once.

    A changed value is a new `Held`. INVARIANT (purity): nobody writes to `value` or to a result.
    """

    __slots__ = ("_results", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self._results: dict[str, tuple[Any, ExpressionError | None]] = {}

    def searched(self, expression: Expression, *, now: int | None = None) -> Any:
        """The result of an expression on the value; `now` (Unix nanoseconds) is for those that are not `steady`.

        Raises `ExpressionError`, every time anew.
        """
        known = self._results.get(expression.text)
        if known is None:
            if len(self._results) >= REMEMBERED:
                del self._results[next(iter(self._results))]
            known = self._results[expression.text] = self._search(expression, now)
        result, error = known
        if error is not None:
            raise _again(error)
        return result

    def _search(self, expression: Expression, now: int | None) -> tuple[Any, ExpressionError | None]:
        try:
            return expression(Document(self.value, now=now, seed=now)), None
        except ExpressionError as error:
            return None, error
        except RecursionError:
            return None, ExpressionError("the data is nested too deeply")


def _again(error: ExpressionError) -> ExpressionError:
    """The error without the frames it came through: raised a thousand times, it would grow by them each time."""
    return error.with_traceback(None)
