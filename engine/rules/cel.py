"""validate.cel: expressions as a ValidatingAdmissionPolicy has them (spec 2.6).

Where an expression fails, its messageExpression speaks, then its message, then the rule's, then the expression itself. An
expression that cannot be evaluated fails the rule too, as failurePolicy Fail does in the API server (oracle autogen.json).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.clauses.expressions import ENVIRONMENT, WITH_PARAMS, Bindings, Conditions, Variables, compile_cel, failure
from engine.clauses.template import Template, compile_template
from engine.errors import EvaluationError, InvalidPolicy
from engine.facts import resource, resources
from engine.lang.cel import Environment, Program
from engine.lang.errors import ExpressionError
from engine.lang.selector import InvalidSelector, Selector, compile_selector
from engine.policy import Check
from engine.result import Outcome, Status
from engine.scope import Scope

NOT_MET = Outcome(Status.SKIP, "cel preconditions not met")
_LONGEST_MESSAGE = 5 * 1024


@dataclass(frozen=True, slots=True)
class _Validation:
    """One entry of `expressions`. `speak` is the messageExpression, `message` the text where that says nothing."""

    program: Program
    speak: Program | None
    message: Template | None


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
    load = _compile_params(spec, path=path, policy_namespace=policy_namespace)
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
            return Outcome(Status.FAIL, _message(validation, bindings))
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
) -> list[_Validation]:
    found = []
    for index, entry in enumerate(entries):
        where = f"{path}.expressions[{index}]"
        program = compile_cel(entry.get("expression"), environment, path=f"{where}.expression", kinds=("bool",))
        speak = entry.get("messageExpression")
        own = entry.get("message")
        at = f"/validate/cel/expressions/{index}/message"
        found.append(
            _Validation(
                program,
                compile_cel(speak, environment, path=f"{where}.messageExpression", kinds=("string",)) if speak else None,
                compile_template(own, path=f"{where}.message", at=at) if own else message,
            )
        )
    return found


def _check_annotations(entries: Sequence[Mapping[str, Any]], environment: Environment, *, path: str) -> None:
    """Audit annotations are the API server's to publish; here they only have to compile."""
    for index, entry in enumerate(entries):
        where = f"{path}.auditAnnotations[{index}]"
        compile_cel(entry.get("valueExpression"), environment, path=f"{where}.valueExpression", kinds=("string", "null_type"))


def _message(validation: _Validation, bindings: Bindings) -> str:
    if validation.speak is not None:
        try:
            said = validation.speak(bindings)
        except ExpressionError:
            said = ""
        # as the API server: a text that is empty, long or of several lines is as good as none
        if isinstance(said, str) and (said := said.strip()) and "\n" not in said and len(said.encode()) <= _LONGEST_MESSAGE:
            return said
    if validation.message is not None:
        text = validation.message.value if validation.message.constant else validation.message.lenient(bindings.scope)
        if isinstance(text, str):
            return text.strip()
    return f"failed expression: {validation.program.text.strip()}"


def _compile_params(spec: Mapping[str, Any], *, path: str, policy_namespace: str) -> Callable[[Scope], list[Any]] | None:
    """The parameter objects of a request, or None for a rule without paramKind."""
    kind = spec.get("paramKind")
    if not kind:
        return None
    api_version, name_of_kind = str(kind.get("apiVersion") or ""), str(kind.get("kind") or "")
    reference = spec.get("paramRef") or {}
    name = str(reference.get("name") or "")
    document = reference.get("selector")
    selector: Selector | None = None
    if bool(name) == (document is not None):
        raise InvalidPolicy(f"{path}.paramRef", "exactly one of name and selector must be specified")
    if document is not None:
        try:
            selector = compile_selector(document)
        except InvalidSelector as error:
            raise InvalidPolicy(f"{path}.paramRef.selector", str(error)) from error
    deny = reference.get("parameterNotFoundAction", "Deny") != "Allow"

    def load(scope: Scope) -> list[Any]:
        namespace = str(reference.get("namespace") or scope.request.namespace or "")
        if selector is None:
            one = scope.fact(
                resource(api_version, name_of_kind, namespace=namespace, name=name, policy_namespace=policy_namespace)
            )
            found = [] if one is None else [one]
        else:
            listed = resources(
                api_version, name_of_kind, namespace=namespace, selector=document, policy_namespace=policy_namespace
            )
            found = [one for one in scope.fact(listed) if selector((one.get("metadata") or {}).get("labels") or {})]
        if not found and deny:
            raise EvaluationError("error in parameterized resource: no params found")
        return found

    return load
