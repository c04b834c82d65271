"""`&&`, `||`, `!` and `?:` with CEL's rule for errors: a term that decides the answer absorbs the others' errors.

INVARIANT (unknowns): only `CelError` is absorbed. `Unknown` and everything else that an activation raises passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.lang.cel.errors import CelError
from engine.lang.cel.frame import Frame, Run
from engine.lang.cel.values import no_overload


def decide(operator: str, terms: Sequence[Run]) -> Run:
    """`&&` (the first false decides) or `||` (the first true decides)."""
    deciding = operator == "||"
    name = f"_{operator}_"

    if len(terms) == 2:
        left, right = terms

        def both(frame: Frame) -> Any:
            try:
                first = left(frame)
            except CelError:
                if right(frame) is deciding:
                    return deciding
                raise
            if first is deciding:
                return deciding
            second = right(frame)
            if first.__class__ is bool and second.__class__ is bool:
                return second
            if second is deciding:
                return deciding
            raise no_overload(name, first, second)

        return both

    def several(frame: Frame) -> Any:
        error: CelError | None = None
        for term in terms:
            try:
                value = term(frame)
            except CelError as raised:
                error = error or raised
                continue
            if value is deciding:
                return deciding
            if value.__class__ is not bool:
                error = error or no_overload(name, value)
        if error is not None:
            raise error
        return not deciding

    return several


def negate(operand: Run) -> Run:
    """`!operand`."""

    def negated(frame: Frame) -> Any:
        value = operand(frame)
        if value is True:
            return False
        if value is False:
            return True
        raise no_overload("!_", value)

    return negated


def choose(condition: Run, then: Run, otherwise: Run) -> Run:
    """`condition ? then : otherwise`; only one side is evaluated."""

    def chosen(frame: Frame) -> Any:
        value = condition(frame)
        if value is True:
            return then(frame)
        if value is False:
            return otherwise(frame)
        raise no_overload("_?_:_", value)

    return chosen
