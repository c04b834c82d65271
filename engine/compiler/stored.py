"""Policies that are stored and do not compile (design.md 3): what can still be enforced of them is.

A rule at fault stays in the set under its name, matches what it says and answers `error`, so that failurePolicy decides and
nothing passes that Fail would block. Such policies come past the policy webhook: from an older version, or while it was away.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from engine.compiler.cluster_policy import NOT_ON_DELETE, effect_of, rule_count
from engine.errors import EvaluationError, InvalidPolicy
from engine.policy import Check, Effect, Policy, Rule
from engine.request import Object
from engine.result import Outcome
from engine.scope import Scope

_RULE = re.compile(r"spec\.rules\[(\d+)\]")
_KEPT = ("name", "match", "exclude", "skipBackgroundRequests")
_ACTIONS = ("failureAction", "failureActionOverrides", "allowExistingViolations")


def compile_with_faults(document: Mapping[str, Any], compile_policy: Callable[[Mapping[str, Any]], Policy]) -> Policy:
    """The policy with its faulty rules as rules that always err (`Rule.error` says why).

    Raises `InvalidPolicy`, the first fault, where it lies outside the rules or where name, match or action of a rule are at
    fault: nobody could say then what the rule is about.
    """
    faults: dict[int, InvalidPolicy] = {}
    while True:
        try:
            policy = compile_policy(_with_stubs(document, faults) if faults else document)
        except InvalidPolicy as error:
            place = _RULE.match(error.path)
            index = int(place[1]) if place else -1
            if index < 0 or index in faults or not isinstance(document["spec"]["rules"][index], Mapping):
                raise next(iter(faults.values()), error) from None
            faults[index] = error
        else:
            return _erring(policy, document, faults) if faults else policy


def _with_stubs(document: Mapping[str, Any], faults: Mapping[int, InvalidPolicy]) -> Object:
    spec = document["spec"]
    rules = [_stub(rule) if index in faults else rule for index, rule in enumerate(spec["rules"])]
    return {**document, "spec": {**spec, "rules": rules}}


def _stub(rule: Object) -> Object:
    """The rule with a body that is always right, so that its match and its generated rules compile as they would."""
    validate = rule.get("validate")
    given = validate if isinstance(validate, Mapping) else {}
    body: Object = {"pattern": {"metadata": {}}} if NOT_ON_DELETE & given.keys() else {"deny": {}}
    actions = {key: given[key] for key in _ACTIONS if key in given}
    return {**{key: rule[key] for key in _KEPT if key in rule}, "validate": {**actions, **body}}


def _erring(policy: Policy, document: Mapping[str, Any], faults: Mapping[int, InvalidPolicy]) -> Policy:
    written = document["spec"]["rules"]
    broken = {str(written[index]["name"]): (written[index], str(error)) for index, error in faults.items()}
    rules = tuple(
        _broken(rule, *broken[rule.origin or rule.name]) if (rule.origin or rule.name) in broken else rule
        for rule in policy.rules
    )
    return replace(
        policy,
        rules=rules,
        autogen=tuple(rule.document for rule in rules if rule.origin and not rule.error),
        rule_count=rule_count(written),
        document=dict(document),
    )


def _broken(rule: Rule, written: Object, reason: str) -> Rule:
    """`rule`, made of the stub, as the erring rule in the place of `written`. Exceptions that apply skip it as a whole."""
    document = rule.document if rule.origin else written
    return replace(rule, effect=_effect(written), evaluate=_errs(reason), document=document, excepted=None, error=reason)


def _effect(written: Object) -> Effect:
    try:
        return effect_of(written)[1]
    except (StopIteration, AttributeError):  # it does nothing, or what it does has no shape
        return Effect.VALIDATE


def _errs(reason: str) -> Check:
    def check(_scope: Scope) -> Outcome | None:
        raise EvaluationError(reason)

    return check
