"""What a closure gets: one list per evaluation, and the budget kept in it.

`frame[READ]` answers root variables by name, `frame[BUDGET]` counts steps down; the other places hold root variables that
were read and the variables of comprehensions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from engine.lang.cel.errors import CostExceeded
from engine.lang.cel.functions import NOT_CONSTANT
from engine.lang.cel.kinds import DYN, Type

Frame = list[Any]
Run = Callable[[Frame], Any]

READ: Final = 0
BUDGET: Final = 1
RESERVED_PLACES: Final = 2
BUDGET_STEPS: Final = 1_000_000
"""Steps of one evaluation: elements looped over, and one for every ten characters or elements that are made or searched."""

UNSET: Any = object()
"""A root variable that nobody read yet."""


class Code(NamedTuple):
    """A compiled node: the closure, its static type, its value where it is known, and its place where it is a variable."""

    run: Run
    kind: Type = DYN
    constant: Any = NOT_CONSTANT
    slot: int = 0

    @property
    def is_constant(self) -> bool:
        return self.constant is not NOT_CONSTANT


def charge(frame: Frame, steps: int) -> None:
    """Takes steps from the budget; raises `CostExceeded` at its end."""
    frame[BUDGET] -= steps
    if frame[BUDGET] < 0:
        raise CostExceeded("operation cancelled: actual cost limit exceeded")


def constant(value: Any, kind: Type) -> Code:
    """Code of a known value."""
    return Code(lambda _: value, kind, value)
