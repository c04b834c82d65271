"""webhookConfiguration.matchConditions, judged by ourselves where no webhook judges them (the CLI, background scans)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from engine.clauses.expressions import ENVIRONMENT, Bindings, Conditions
from engine.errors import EvaluationError
from engine.lang.errors import ExpressionError
from engine.scope import Scope


def compile_match_conditions(conditions: Sequence[Mapping[str, Any]], *, path: str) -> Callable[[Scope], bool]:
    """Do all CEL conditions hold for the request of a scope? Raises InvalidPolicy now, EvaluationError when asked."""
    return partial(_hold, Conditions(tuple(conditions), ENVIRONMENT, path=path))


def _hold(conditions: Conditions, scope: Scope) -> bool:
    try:
        return conditions(Bindings(scope))
    except ExpressionError as error:
        raise EvaluationError(str(error)) from error
