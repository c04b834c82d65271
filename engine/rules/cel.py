"""validate.cel: expressions as a ValidatingAdmissionPolicy has them (spec 2.6).

Where an expression fails, its messageExpression speaks, then its message, then the rule's, then the expression itself. An
expression that cannot be evaluated fails the rule too, as failurePolicy Fail does in the API server (oracle autogen.json).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.clauses.expressions import ENVIRONMENT, WITH_PARAMS, Bindings, Conditions, Variables, compile_cel, failure
from engine.clauses.params import compile_params
from engine.clauses.template import Template, compile_template
from engine.clauses.validations import Text, Validation, compile_validation
from engine.lang.cel import Environment
from engine.lang.errors import ExpressionError
from engine.policy import Check
from engine.result import Outcome, Status
from engine.scope import Scope

NOT_MET = Outcome(Status.SKIP, "cel preconditions not met")


def compile_check(
    spec: Any,
    *,
    rule: str,
    message: Template | None,
    path: str,
    policy_namespace: str = "",
    preconditions: Sequence[Mapping[str, Any]] = (),
    preconditions_path: str = "celPreconditions",
) -> Check:
    """Compiles the value of `cel` and the rule's celPreconditions.

    Where a precondition is false the rule is skipped; where one cannot be evaluated and none is false it fails. Raises
    `InvalidPolicy` for expressions that do not compile or cannot be of their type.
    """
    spec = spec or {}
    load = (
        compile_params(
            spec["paramKind"],
            spec.get("paramRef") or {},
            path=f"{path}.paramRef",
            missing="error in parameterized resource: no params found",
            policy_namespace=policy_namespace,
        )
        if spec.get("paramKind")
        else None
    )
    environment = ENVIRONMENT if load is None else WITH_PARAMS
    conditions = Conditions(preconditions, environment, path=preconditions_path)
    variables = Variables(spec.get("variables") or (), environment, path=f"{path}.variables")
    validations = _compile_validations(spec.get("expressions") or (), variables.environment, message, path=path)
    _check_annotations(spec.get("auditAnnotations") or (), variables.environment, path=path)
    passed = Outcome(Status.PASS, f"Validation rule '{rule}' passed.")

    def judge(bindings: Bindings) -> Outcome:
        try:
            if not conditions(bindings):
                return NOT_MET
        except ExpressionError as error:
            return Outcome(Status.FAIL, str(error))
        for validation in validations:
            try:
                if validation.program(bindings) is True:
                    continue
            except ExpressionError as error:
                return Outcome(Status.FAIL, failure(validation.program, error))
            return Outcome(Status.FAIL, validation.message(bindings))
        return passed

    if load is None:
        return lambda scope: judge(Bindings(scope, variables=variables))

    def judge_each(scope: Scope) -> Outcome:
        found = [judge(Bindings(scope, variables=variables, params=params)) for params in load(scope)]
        failed = next((outcome for outcome in found if outcome.status is Status.FAIL), None)
        return failed or (NOT_MET if found and passed not in found else passed)

    return judge_each


def _compile_validations(
    entries: Sequence[Mapping[str, Any]], environment: Environment, message: Template | None, *, path: str
) -> list[Validation]:
    found = []
    for index, entry in enumerate(entries):
        where = f"{path}.expressions[{index}]"
        own = entry.get("message")
        at = f"/validate/cel/expressions/{index}/message"
        template = compile_template(own, path=f"{where}.message", at=at) if own else message
        found.append(compile_validation(entry, environment, path=where, text=_text(template)))
    return found


def _text(template: Template | None) -> Text | None:
    if template is None:
        return None
    return (lambda _: template.value) if template.constant else template.lenient


def _check_annotations(entries: Sequence[Mapping[str, Any]], environment: Environment, *, path: str) -> None:
    """Audit annotations are the API server's to publish; here they only have to compile."""
    for index, entry in enumerate(entries):
        where = f"{path}.auditAnnotations[{index}]"
        compile_cel(entry.get("valueExpression"), environment, path=f"{where}.valueExpression", kinds=("string", "null_type"))
