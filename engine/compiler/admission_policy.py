"""ValidatingAdmissionPolicy and MutatingAdmissionPolicy (admissionregistration.k8s.io) with their bindings to `Policy`.

Without bindings a policy counts for everything it matches, as in Kyverno's command line; with bindings it becomes one rule for
each of those that name it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from engine.clauses.constraints import ConstrainedMatch, Constraints
from engine.clauses.params import Load, compile_params
from engine.compiler.bindings import binds
from engine.compiler.fields import cel_conditions, failure_policy, selector, texts
from engine.compiler.identity import identity_of
from engine.compiler.shape import Check as Shape
from engine.compiler.shape import check_document, list_of, one_of, record, text
from engine.errors import InvalidPolicy
from engine.policy import Action, Check, Effect, Policy, Rule, WebhookSettings
from engine.request import Object, Request
from engine.result import Outcome
from engine.rules.admission import NO_PARAMS, compile_mutating, compile_validating
from engine.rules.excepted import never_excepted
from engine.scope import Scope

ACTIONS = ("Deny", "Warn", "Audit")

_resource_rules = list_of(
    record(
        apiGroups=texts,
        apiVersions=texts,
        operations=texts,
        resources=texts,
        resourceNames=texts,
        scope=one_of("*", "Cluster", "Namespaced"),
    )
)
_match_resources = record(
    resourceRules=_resource_rules,
    excludeResourceRules=_resource_rules,
    namespaceSelector=selector,
    objectSelector=selector,
    matchPolicy=one_of("Exact", "Equivalent"),
)
_shared: dict[str, Shape] = {
    "failurePolicy": failure_policy,
    "matchConstraints": _match_resources,
    "matchConditions": cel_conditions,
    "variables": list_of(record(("name", "expression"), name=text, expression=text)),
    "paramKind": record(("apiVersion", "kind"), apiVersion=text, kind=text),
}
_validating = record(
    ("matchConstraints",),
    validations=list_of(record(("expression",), expression=text, message=text, messageExpression=text, reason=text)),
    auditAnnotations=list_of(record(("key", "valueExpression"), key=text, valueExpression=text)),
    **_shared,
)
_expression = record(("expression",), expression=text)
_mutating = record(
    ("matchConstraints", "mutations"),
    mutations=list_of(record(("patchType",), patchType=text, applyConfiguration=_expression, jsonPatch=_expression)),
    reinvocationPolicy=one_of("Never", "IfNeeded"),
    **_shared,
)
_binding_fields: dict[str, Shape] = {
    "policyName": text,
    "matchResources": _match_resources,
    "paramRef": record(name=text, namespace=text, selector=selector, parameterNotFoundAction=one_of("Allow", "Deny")),
}


class _Kind(NamedTuple):
    """What distinguishes the two kinds: `content` are fields of which at least one must be there."""

    effect: Effect
    spec: Shape
    binding: Shape
    compile: Callable[..., Check]
    content: tuple[str, ...]


KINDS: dict[str, _Kind] = {
    "ValidatingAdmissionPolicy": _Kind(
        Effect.VALIDATE,
        _validating,
        record(("policyName",), validationActions=list_of(one_of(*ACTIONS)), **_binding_fields),
        compile_validating,
        ("validations", "auditAnnotations"),
    ),
    "MutatingAdmissionPolicy": _Kind(
        Effect.MUTATE, _mutating, record(("policyName",), **_binding_fields), compile_mutating, ("mutations",)
    ),
}


def compile_admission_policy(document: Mapping[str, Any], bindings: Sequence[Mapping[str, Any]] = ()) -> Policy:
    """Compiles a policy with those of `bindings` that are of its kind and name it; raises `InvalidPolicy`.

    The rules go by the policy's name. A rule that belongs to a binding names it in the property `binding`, is enforced where the
    binding's actions hold Deny, and gives no result where the binding does not match.
    """
    kind = KINDS[str(document["kind"])]
    check_document(document, kind.spec)
    identity = identity_of(document)
    spec: Object = document["spec"]
    if not any(spec.get(field) for field in kind.content):
        raise InvalidPolicy("spec", f"Required value: at least one of {' and '.join(kind.content)} is required")
    if not spec["matchConstraints"].get("resourceRules"):
        raise InvalidPolicy("spec.matchConstraints.resourceRules", "Required value")
    constraints = Constraints(spec["matchConstraints"], path="spec.matchConstraints")
    own = [binding for binding in bindings if binds(binding, identity.kind, identity.name)]

    def rule(check: Check, match: ConstrainedMatch, action: Action) -> Rule:
        return Rule(
            policy=identity,
            name=identity.name,
            effect=kind.effect,
            match=match,
            evaluate=check,
            action=_always(action),
            document=spec,
            excepted=never_excepted(check),
        )

    unbound = kind.compile(spec, path="spec", load=None)
    rules = [rule(unbound, ConstrainedMatch(constraints), "Audit")] if not own else []
    for binding in own:
        check_document(binding, kind.binding)
        within = Constraints(binding["spec"].get("matchResources") or {}, path="spec.matchResources")
        load = _params(spec, binding["spec"])
        check = unbound if load is None else kind.compile(spec, path="spec", load=load)
        rules.append(rule(_named(check, binding), ConstrainedMatch(constraints, within), _action(binding["spec"])))
    return Policy(
        identity=identity,
        rules=tuple(rules),
        webhook=WebhookSettings(failure_policy=spec.get("failurePolicy") or "Fail"),
        document=dict(document),
    )


def _params(spec: Object, binding: Object) -> Load | None:
    reference = binding.get("paramRef")
    if not spec.get("paramKind") or reference is None:
        return None
    return compile_params(spec["paramKind"], reference, path="spec.paramRef", missing=NO_PARAMS)


def _action(binding: Object) -> Action:
    """Bindings of mutations have no actions, and Kyverno's tests have bindings without them: those deny."""
    return "Enforce" if "Deny" in (binding.get("validationActions") or ("Deny",)) else "Audit"


def _always(action: Action) -> Callable[[Request], Action]:
    return lambda _: action


def _named(check: Check, binding: Mapping[str, Any]) -> Check:
    properties = {"binding": str((binding.get("metadata") or {}).get("name") or "")}

    def named(scope: Scope) -> Outcome | None:
        outcome = check(scope)
        return None if outcome is None else outcome._replace(properties={**outcome.properties, **properties})

    return named
