"""validate.deny: the rule fails where its conditions are met (spec 2.4)."""

from __future__ import annotations

from typing import Any

from engine.clauses.conditions import compile_conditions
from engine.clauses.template import Template
from engine.clauses.variable import substitute
from engine.errors import EvaluationError
from engine.policy import Check
from engine.result import Outcome, Status
from engine.scope import Scope

NOT_TEXT = "the produced message didn't resolve to a string, check your policy definition."


def compile_check(spec: Any, *, rule: str, message: Template | None, path: str) -> Check:
    """Compiles the value of `deny`; `{}` always denies. Errors of the conditions become `failed to check deny conditions: …`."""
    passed = Outcome(Status.PASS, f"validation rule '{rule}' passed.")
    bare = f"validation error: rule {rule} failed"
    document = (spec or {}).get("conditions")
    conditions = compile_conditions(document, path=f"{path}.conditions") if document is not None else None
    constant = None if message is None or not message.constant else message.value

    def failure(scope: Scope, detail: str) -> str:
        if not detail:
            if message is None:
                return bare
            return _text(constant if constant is not None else message.lenient(scope))
        text = f"{message.value}; {detail}" if message is not None else detail
        try:
            return _text(substitute(text, scope))
        except EvaluationError:
            # oracle conditions.json: where any variable fails, the conditions' messages stay as they were written
            return detail

    def deny(scope: Scope) -> Outcome:
        if conditions is None:
            return Outcome(Status.FAIL, failure(scope, ""))
        try:
            met, detail = conditions(scope)
        except EvaluationError as error:
            raise EvaluationError(f"failed to check deny conditions: {error}") from error
        return Outcome(Status.FAIL, failure(scope, detail)) if met else passed

    return deny


def _text(message: Any) -> str:
    return message if isinstance(message, str) else NOT_TEXT
