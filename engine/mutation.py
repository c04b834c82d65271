"""The verbs that change objects: what the policies of a snapshot make of a request's object, or of others.

Rules and policies cascade: each sees what the ones before it made, and matches on that. The patch of the verdict is the
difference between the first object and the last, so that what is undone on the way is not in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from engine.document import diff
from engine.errors import EvaluationError, Unknown
from engine.evaluate import Among, Response, exceptions_for, outcome_of, result_of, warnings
from engine.facts import NO_FACTS, Facts, Lookup
from engine.policy import Effect, Policy, PolicyException, Rule
from engine.request import Object, Request
from engine.result import Outcome, Result, Status, Verdict
from engine.scope import Scope, SubjectScope

if TYPE_CHECKING:
    from engine.policyset import PolicySet

MUTATING = frozenset({Effect.MUTATE})
FAILED = frozenset({Status.FAIL, Status.ERROR})


def mutate(policies: PolicySet, request: Request, facts: Facts = NO_FACTS, *, among: Among | None = None) -> Verdict:
    """Answers a mutating review: the JSON Patch of all policies together, in the set's order (spec 2.7).

    A rule that fails denies the request, or with failurePolicy Ignore undoes what its policy did. `among` narrows the
    policies, those that do not take part in admission are left out. On DELETE there is nothing to change. Raises one
    `Unknown` for what is missing; a rule that cannot be answered yet leaves the object to the next one as it was, so that most
    of what they need is known after one round.
    """
    if request.object is None:
        return Verdict(allowed=True)
    current = request
    missing: set[Lookup] = set()
    responses: list[Response] = []
    denial = ""
    for policy, rules in policies.select(request, MUTATING):
        if not policy.admission or (among is not None and not among(policy)):
            continue
        step = _Step(current, facts, missing)
        for rule in rules:
            result = step.answer(rule, exceptions_for(policies, rule))
            if result is not None and policy.apply_one and result.status is Status.PASS:
                break
        responses.append(Response(policy, tuple(step.results)))
        if not any(result.status in FAILED for result in step.results):
            current = step.request
        elif policy.webhook.failure_policy == "Fail":
            denial = _denial(policy, step.results)
            break
    if missing:
        raise Unknown(missing)
    return Verdict(
        allowed=not denial,
        message=denial,
        warnings=(*warnings(tuple(responses)), *_changes(responses)),
        patch=() if denial else tuple(diff(request.object, current.object)),
        results=tuple(result for response in responses for result in response.results),
    )


def _changes(responses: list[Response]) -> Iterator[str]:
    """With emitWarning who asks is told of the changes too (test mutate/e2e/emit-warning)."""
    for response in responses:
        kept = not any(result.status in FAILED for result in response.results)
        if response.policy.emit_warning and kept:
            for result in response.results:
                if result.status is Status.PASS:
                    yield f"policy {response.policy.identity.name}.{result.rule.name}: {result.message}"


class _Step:
    """One policy's turn: `request` holds the object as its rules have made it so far."""

    __slots__ = ("_facts", "_missing", "_root", "request", "results")

    def __init__(self, request: Request, facts: Facts, missing: set[Lookup]) -> None:
        self.request = request
        self.results: list[Result] = []
        self._facts = facts
        self._missing = missing
        self._root = Scope(request, facts=facts)

    def answer(self, rule: Rule, exceptions: tuple[PolicyException, ...]) -> Result | None:
        try:
            result = result_of(rule, self._root, exceptions)
        except Unknown as unknown:
            # Later questions may come of an object that will look different: only those that change nothing are asked.
            guesses = unknown.lookups if not self._missing else {one for one in unknown.lookups if one.method == "GET"}
            self._missing |= guesses
            return None
        if result is None:
            return None
        self.results.append(result)
        if result.patched is not None:
            self.request = with_object(self.request, result.patched)
            self._root = Scope(self.request, facts=self._facts)
        return result


def with_object(request: Request, document: Object) -> Request:
    """The request as if it had come with `document`, for rules that run after a mutation."""
    seen = {**request.document, "object": document} if request.document else request.document
    return replace(request, object=document, document=seen)


def _denial(policy: Policy, results: list[Result]) -> str:
    name = policy.identity.name
    failed = " ".join(f"{result.rule.name}: {result.message}" for result in results if result.status in FAILED)
    return f"mutation policy {name} error: failed to apply policy {name} rules [{failed}]"


def targets_of(rule: Rule, request: Request, facts: Facts = NO_FACTS) -> tuple[Object, ...]:
    """Which objects a rule with targets wants to change because of `request`, as selector documents.

    A document has apiVersion, kind and, where they are given, namespace, name (wildcards), selector and uid, with all
    variables resolved (`engine.is_target` says which objects it means). Empty when the rule does not match or its
    preconditions do not hold. Raises `EvaluationError` where a variable has no value, `Unknown` while data is missing.
    """
    if not rule.match(request):
        return ()
    outcome = outcome_of(rule, Scope(request, facts=facts))
    if outcome is None or outcome.status is Status.SKIP:
        return ()
    if outcome.status in FAILED:
        raise EvaluationError(outcome.message)
    return outcome.generated


def mutate_target(
    rule: Rule,
    request: Request,
    target: Object,
    facts: Facts = NO_FACTS,
    *,
    exceptions: tuple[PolicyException, ...] = (),
    whole: Object | None = None,
    part: str = "",
) -> Outcome | None:
    """What a rule with targets makes of one object that the trigger in `request` concerns; None: it is no target of the rule.

    A `target` that is the subresource `part` (`scale`) of an object comes with that object as `whole`, by which it is selected.
    The outcome is pass with `patched`, skip when nothing changes or the target's preconditions do not hold, or error. What would
    give the object another name or namespace is an error: no API server writes that, and it would be lost in silence.
    """
    root = SubjectScope(Scope(request, facts=facts), target, whole=whole, part=part)
    outcome = outcome_of(rule, root, exceptions)
    if outcome is None or outcome.patched is None or outcome.status is not Status.PASS:
        return outcome
    before, after = target.get("metadata") or {}, outcome.patched.get("metadata")
    for field in ("name", "namespace"):
        now = after.get(field) if isinstance(after, dict) else None
        if (before.get(field) or None) != (now or None):
            return Outcome(
                Status.ERROR, f"the patch changes metadata.{field} of the target from `{before.get(field)}` to `{now}`"
            )
    return outcome
