"""Native admission policies as the API server evaluates them: match conditions, validations, mutations, audit annotations.

The texts that are not the API server's are those of Kyverno's reports (conformance/peer-apply.json).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from engine.clauses.expressions import ENVIRONMENT, Bindings, Conditions, Variables, compile_cel, failure
from engine.clauses.params import Load
from engine.clauses.validations import Validation, compile_validation
from engine.document import STRICT, PatchError, apply_patch
from engine.document.apply import ApplyError, apply_configuration
from engine.errors import EvaluationError, InvalidPolicy
from engine.lang.cel import DYN, Environment, Program
from engine.lang.cel.plain import plain
from engine.lang.errors import ExpressionError
from engine.policy import Check
from engine.request import Object
from engine.result import Outcome, Status
from engine.rules.object_types import misplaced_type
from engine.scope import Scope

NOT_MET = Outcome(Status.SKIP, "match conditions aren't met")
PASSED = Outcome(Status.PASS, "")
MUTATED = "mutation is successfully applied"
NO_PARAMS = "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
ORDER = (Status.FAIL, Status.ERROR, Status.PASS, Status.SKIP)
"""Of several parameter objects the worst answer counts."""


def _object(_name: str, fields: dict[str, Any]) -> Object:
    return fields


def _operation(_name: str, fields: dict[str, Any]) -> Object:
    return fields


MUTATING = Environment(
    ENVIRONMENT.variables,
    libraries=ENVIRONMENT.libraries,
    constructors={"Object": _object, "Object.*": _object, "JSONPatch": _operation},
)
"""What mutations may use besides: `Object{...}`, `Object.spec{...}` and `JSONPatch{...}`."""

Judge = Callable[[Bindings], Outcome]


@dataclass(frozen=True, slots=True)
class _Common:
    """What both kinds of policies have: conditions, variables, and what an error means."""

    conditions: Conditions
    variables: Variables
    environment: Environment
    ignoring: bool


def _common(spec: Mapping[str, Any], environment: Environment, *, path: str) -> _Common:
    if spec.get("paramKind"):
        environment = environment.extended({"params": DYN})
    variables = Variables(spec.get("variables") or (), environment, path=f"{path}.variables")
    return _Common(
        conditions=Conditions(spec.get("matchConditions") or (), environment, path=f"{path}.matchConditions"),
        variables=variables,
        environment=variables.environment,
        ignoring=spec.get("failurePolicy") == "Ignore",
    )


def _answering(common: _Common, judge: Judge) -> Callable[[Scope, Any], Outcome]:
    """Match conditions, then `judge`, for a scope and one parameter object."""

    def answer(scope: Scope, params: Any) -> Outcome:
        bindings = Bindings(scope, variables=common.variables, params=params)
        try:
            if not common.conditions(bindings):
                return NOT_MET
        except ExpressionError as error:
            return NOT_MET if common.ignoring else Outcome(Status.ERROR, str(error))
        return judge(bindings)

    return answer


def _worst(outcomes: list[Outcome]) -> Outcome | None:
    return min(outcomes, key=lambda outcome: ORDER.index(outcome.status), default=None)


def compile_validating(spec: Mapping[str, Any], *, path: str, load: Load | None) -> Check:
    """The check of a ValidatingAdmissionPolicy's `spec`; `load` gives its parameter objects. Raises `InvalidPolicy`.

    The first validation that is false fails it. One that cannot be evaluated is an error: at once, or with failurePolicy Ignore
    only where no other is false. Audit annotations become report properties.
    """
    common = _common(spec, ENVIRONMENT, path=path)
    validations = []
    for index, entry in enumerate(spec.get("validations") or ()):
        text = _constant(entry.get("message"))
        where = f"{path}.validations[{index}]"
        validations.append(compile_validation(entry, common.environment, path=where, text=text))
    annotations = _annotations(spec.get("auditAnnotations") or (), common.environment, path=f"{path}.auditAnnotations")

    def judge(bindings: Bindings) -> Outcome:
        outcome = _first_failure(validations, bindings, common.ignoring) or PASSED
        return _annotated(outcome, annotations, bindings, common.ignoring) if annotations else outcome

    answer = _answering(common, judge)
    if load is None:
        return lambda scope: answer(scope, None)
    return lambda scope: _worst([answer(scope, params) for params in load(scope)])


def _constant(message: Any) -> Callable[[Scope], Any] | None:
    return (lambda _: message) if message else None


def _first_failure(validations: list[Validation], bindings: Bindings, ignoring: bool) -> Outcome | None:
    error: Outcome | None = None
    for validation in validations:
        try:
            if validation.program(bindings) is True:
                continue
        except ExpressionError as raised:
            error = error or Outcome(Status.ERROR, failure(validation.program, raised))
            if not ignoring:
                return error
            continue
        return Outcome(Status.FAIL, validation.message(bindings))
    return error


def _annotations(entries: Any, environment: Environment, *, path: str) -> list[tuple[str, Program]]:
    found = []
    for index, entry in enumerate(entries):
        where = f"{path}[{index}]"
        if not entry.get("key"):
            raise InvalidPolicy(f"{where}.key", "Required value")
        program = compile_cel(
            entry.get("valueExpression"), environment, path=f"{where}.valueExpression", kinds=("string", "null_type")
        )
        found.append((str(entry["key"]), program))
    return found


def _annotated(outcome: Outcome, annotations: list[tuple[str, Program]], bindings: Bindings, ignoring: bool) -> Outcome:
    properties: dict[str, str] = {}
    for key, program in annotations:
        try:
            value = program(bindings)
        except ExpressionError as error:
            if outcome.status is Status.PASS and not ignoring:
                return Outcome(Status.ERROR, failure(program, error), properties)
            continue
        if isinstance(value, str):
            properties[key] = value
    return outcome._replace(properties=properties)


def compile_mutating(spec: Mapping[str, Any], *, path: str, load: Load | None) -> Check:
    """The check of a MutatingAdmissionPolicy's `spec`: passes with `patched`, which is None where nothing changed.

    Each mutation sees the object as the one before left it, for every parameter object in turn. Raises `InvalidPolicy`.
    """
    common = _common(spec, MUTATING, path=path)
    mutations = [
        _compile_mutation(entry, common.environment, path=f"{path}.mutations[{index}]")
        for index, entry in enumerate(spec.get("mutations") or ())
    ]

    def judge(bindings: Bindings) -> Outcome:
        first = current = bindings.scope.request.object
        for mutate in mutations:
            if current is None:
                break
            if current is not first:
                bindings = Bindings(_seeing(bindings.scope, current), variables=common.variables, params=bindings.params)
            current = mutate(bindings, current)
        return Outcome(Status.PASS, MUTATED, patched=None if current is first else current)

    answer = _answering(common, judge)
    if load is None:
        return lambda scope: answer(scope, None)

    def each(scope: Scope) -> Outcome | None:
        found = load(scope)
        outcomes: list[Outcome] = []
        patched: Object | None = None
        for params in found:
            # the API server hands over one object after the other, Kyverno all that a selector finds as a list: both are there
            outcome = answer(scope, {**params, "items": found})
            outcomes.append(outcome)
            if outcome.patched is not None:
                patched = outcome.patched
                scope = _seeing(scope, patched)
        worst = _worst(outcomes)
        return worst if worst is None or worst.status is not Status.PASS else worst._replace(patched=patched)

    return each


def _seeing(scope: Scope, document: Object) -> Scope:
    return Scope(replace(scope.request, object=document), facts=scope.facts)


Mutate = Callable[[Bindings, Object], Object]


def _compile_mutation(entry: Mapping[str, Any], environment: Environment, *, path: str) -> Mutate:
    kind = entry.get("patchType")
    if kind not in PATCHES:
        supported = ", ".join(f'"{name}"' for name in PATCHES)
        raise InvalidPolicy(f"{path}.patchType", f'Unsupported value: "{kind}": supported values: {supported}')
    field, kinds, apply = PATCHES[kind]
    where = f"{path}.{field}.expression"
    program = compile_cel((entry.get(field) or {}).get("expression"), environment, path=where, kinds=kinds)
    fault = misplaced_type(program)
    if fault:
        raise InvalidPolicy(where, f"Invalid value: compilation failed: {fault}")

    def mutate(bindings: Bindings, current: Object) -> Object:
        try:
            return apply(current, plain(program(bindings)))
        except (ExpressionError, ApplyError) as error:
            raise EvaluationError(failure(program, error)) from error

    return mutate


def _apply_configuration(current: Object, configuration: Any) -> Object:
    if not isinstance(configuration, dict):
        raise ApplyError("an apply configuration must be an object")
    return apply_configuration(current, configuration)


def _apply_json_patch(current: Object, patch: Any) -> Object:
    if not isinstance(patch, list) or not all(isinstance(operation, dict) for operation in patch):
        raise ApplyError("a JSON Patch must be a list of operations")
    try:
        patched = apply_patch(current, patch, STRICT)
    except PatchError as error:
        if patch[error.index].get("op") == "test":
            return current  # a test that fails is the author's way to say no
        raise ApplyError(str(error)) from error
    if not isinstance(patched, dict):
        raise ApplyError("a JSON Patch must leave an object")
    return patched


PATCHES: dict[str, tuple[str, tuple[str, ...], Callable[[Object, Any], Object]]] = {
    "ApplyConfiguration": ("applyConfiguration", ("map", "Object"), _apply_configuration),
    "JSONPatch": ("jsonPatch", ("list",), _apply_json_patch),
}
"""patchType -> its field, the types its expression may have, how its value changes an object."""
