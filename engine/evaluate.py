"""The verbs: what the policies of a snapshot say of one request.

A verb never stops at the first `Unknown`: it asks all independent rules, collects what they need to know and raises one
`Unknown` for all of it, so that the shell can fetch everything at once and ask again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from engine.errors import EngineError, Unknown
from engine.facts import NO_FACTS, Facts, Lookup
from engine.lang import go_yaml
from engine.policy import Effect, Policy, PolicyException, Rule, skipped_by
from engine.request import Request, User
from engine.result import Outcome, Result, Status, Verdict
from engine.scope import Scope

if TYPE_CHECKING:
    from engine.policyset import PolicySet

Among = Callable[[Policy], bool]
VALIDATING = frozenset({Effect.VALIDATE})
GENERATING = frozenset({Effect.GENERATE})
DELETING = frozenset({Effect.DELETE})
DECISIVE = frozenset({Status.PASS, Status.FAIL})


class Response(NamedTuple):
    """All results of one policy for one request, in rule order. Empty `results`: no rule applied."""

    policy: Policy
    results: tuple[Result, ...]


def validate(policies: PolicySet, request: Request, facts: Facts = NO_FACTS, *, among: Among | None = None) -> Verdict:
    """Answers a validating review: results of every rule that applies, and whether the request is blocked (spec 3.5, 3.7).

    `among` narrows the policies (one webhook serves one failure policy, or one fine-grained policy). Policies that do not
    take part in admission are left out. Raises `Unknown` while data is missing.
    """
    responses = evaluate(policies, request, facts, effects=VALIDATING, among=_in_admission(among))
    results = tuple(result for response in responses for result in response.results)
    blocking = [response for response in responses if blocks(response)]
    if blocking:
        enforcing = [response for response in responses if any(result.enforced for result in response.results)]
        return Verdict(allowed=False, message=denial(request, enforcing), warnings=warnings(responses), results=results)
    return Verdict(allowed=True, warnings=warnings(responses), results=results)


def scan(policies: PolicySet, request: Request, facts: Facts = NO_FACTS, *, among: Among | None = None) -> tuple[Response, ...]:
    """What background policies say of a stored object; rules that need to know who asked are passed by (spec 4.3).

    So are policies whose match conditions do not hold for it, or cannot be answered without a user.
    """

    def in_background(policy: Policy) -> bool:
        if not policy.background or (among is not None and not among(policy)):
            return False
        return policy.webhook.holds is None or _holds(policy.webhook.holds, Scope(request, facts=facts))

    return evaluate(
        policies, request, facts, effects=VALIDATING, among=in_background, skip=lambda rule: rule.needs_user, background=True
    )


def generate(
    policies: PolicySet, request: Request, facts: Facts = NO_FACTS, *, among: Among | None = None
) -> tuple[Response, ...]:
    """What a trigger makes policies generate: each passing result holds the wanted documents in `generated` (spec 2.8)."""
    return evaluate(policies, request, facts, effects=GENERATING, among=among)


def deletable(
    policies: PolicySet, request: Request, facts: Facts = NO_FACTS, *, among: Among | None = None
) -> tuple[Response, ...]:
    """What cleanup policies say of a stored object: a passing result wants it deleted (spec 2.13). Schedules are not asked."""
    return evaluate(policies, request, facts, effects=DELETING, among=among, background=True)


def evaluate(
    policies: PolicySet,
    request: Request,
    facts: Facts = NO_FACTS,
    *,
    effects: frozenset[Effect],
    among: Among | None = None,
    skip: Callable[[Rule], bool] | None = None,
    background: bool = False,
    forgiving: bool = True,
) -> tuple[Response, ...]:
    """The responses of all selected policies, in the set's order. Raises one `Unknown` for all missing data.

    `background`: nobody asked, so that exceptions which are not for background scans do not count. `forgiving`: an UPDATE may
    go on violating what the old object violated (spec 2.4, allowExistingViolations); tests of policies want to know.
    """
    root = Scope(request, facts=facts)
    missing: set[Lookup] = set()
    responses: list[Response] = []
    for policy, rules in policies.select(request, effects):
        if among is not None and not among(policy):
            continue
        results: list[Result] = []
        for rule in rules:
            if skip is not None and skip(rule):
                continue
            try:
                exceptions = exceptions_for(policies, rule, background=background)
                result = result_of(rule, root, exceptions, forgiving=forgiving)
            except Unknown as unknown:
                missing |= unknown.lookups
                continue
            if result is not None:
                results.append(result)
                if policy.apply_one and result.status in DECISIVE:
                    break
        responses.append(Response(policy, tuple(results)))
    if missing:
        raise Unknown(missing)
    return tuple(responses)


def exceptions_for(policies: PolicySet, rule: Rule, *, background: bool = False) -> tuple[PolicyException, ...]:
    """The exceptions of a snapshot that name the rule; in the background only those that count there."""
    exceptions = policies.exceptions_of(rule)
    return tuple(exception for exception in exceptions if exception.background) if background and exceptions else exceptions


def result_of(rule: Rule, root: Scope, exceptions: tuple[PolicyException, ...] = (), *, forgiving: bool = True) -> Result | None:
    """The rule's result for the request in `root`; None where it does not apply. Raises `Unknown`.

    `exceptions` name the rule; those that apply to the request decide before context and preconditions (spec 2.2).
    `forgiving`: a violation that was there before is passed over.
    """
    request = root.request
    if not rule.match(request) or (request.operation == "DELETE" and not rule.on_delete):
        return None
    outcome = outcome_of(rule, root, exceptions)
    if outcome is None:
        return None
    status, message, properties, patched, generated, skipping = outcome
    enforced = rule.action(request) == "Enforce"
    if forgiving and status is Status.FAIL and enforced and _failed_before(rule, root):
        status, message, properties = Status.SKIP, "skipping the rule evaluation as pre-existing violations are allowed", {}
    return Result(rule, status, message, properties, enforced, patched, generated, skipping)


def outcome_of(rule: Rule, root: Scope, exceptions: tuple[PolicyException, ...] = ()) -> Outcome | None:
    """The rule's outcome on `root`; an engine error becomes status `error` with the error's text."""
    outcome = _tried(rule, root, exceptions)
    return _answered(outcome, root) if root.missed else outcome


def _answered(outcome: Outcome | None, root: Scope) -> Outcome | None:
    """INVARIANT (no silent skip): a rule that went on without context that nobody could give neither passes nor is passed by."""
    names = ", ".join(f'"{name}"' for name in dict.fromkeys(root.missed))
    root.missed.clear()
    if outcome is not None and outcome.status in (Status.FAIL, Status.ERROR):
        return outcome
    return Outcome(Status.ERROR, f"context that is not known here was asked for: {names}")


def _tried(rule: Rule, root: Scope, exceptions: tuple[PolicyException, ...]) -> Outcome | None:
    try:
        applying = tuple(exception for exception in exceptions if _applies(exception, root)) if exceptions else ()
        if not applying:
            return rule.evaluate(root)
        return skipped_by(applying) if rule.excepted is None else rule.excepted(root, applying)
    except EngineError as error:
        return Outcome(Status.ERROR, str(error))
    except RecursionError:
        return Outcome(Status.ERROR, "the rule, or what it reads, is nested too deeply")


def _applies(exception: PolicyException, root: Scope) -> bool:
    """Only the new object is asked: one that leaves the reach of the exception must obey the rule again."""
    request = root.request
    if exception.expired(request.now):
        return False
    if request.object is not None and request.old_object is not None:
        request = replace(request, old_object=None)
    return exception.match(request) and exception.holds(root)


def _failed_before(rule: Rule, root: Scope) -> bool:
    """Did the object violate the rule before this UPDATE? Then it is no worse than it was (spec 2.4, allowExistingViolations).

    The old object is judged as if it were created now, by nobody: rules about updates, subresources or users forgive nothing
    (validate/.../validate-existing-with-precondition, .../subresource, .../debug/with-subresource).
    """
    request = root.request
    if not rule.allow_existing_violations or request.operation != "UPDATE" or request.old_object is None:
        return False
    document = {**request.document, "operation": "CREATE", "object": request.old_object, "oldObject": None}
    before = replace(request, operation="CREATE", object=request.old_object, old_object=None, subresource="", document=document)
    if not rule.match(replace(before, user=User()) if before.user is not None else before):
        return False
    outcome = outcome_of(rule, Scope(before, facts=root.facts))
    return outcome is not None and outcome.status is Status.FAIL


def blocks(response: Response) -> bool:
    """Does this policy's answer deny the request? An enforced failure does, and with failurePolicy Fail an error (spec 3.7)."""
    for result in response.results:
        if result.enforced:
            if result.status is Status.FAIL:
                return True
            if result.status is Status.ERROR and response.policy.webhook.failure_policy == "Fail":
                return True
    return False


def denial(request: Request, responses: list[Response]) -> str:
    """The message of a denied request: every failing rule of the enforcing policies, as YAML (spec 3.5)."""
    failures: dict[str, dict[str, str]] = {}
    for response in responses:
        failing = {r.rule.name: r.message for r in response.results if r.status in (Status.FAIL, Status.ERROR)}
        if failing:
            failures.setdefault(response.policy.identity.name, {}).update(failing)
    subject = f"{request.kind.kind}/{request.namespace}/{request.name or _name(request)}"
    return f"\n\nresource {subject} was blocked due to the following policies \n\n{go_yaml.dump(failures)}"


def warnings(responses: tuple[Response, ...]) -> tuple[str, ...]:
    """Admission warnings of policies with emitWarning: their failures and errors (spec 3.5)."""
    return tuple(
        f"policy {response.policy.identity.name}.{result.rule.name}: {result.message}"
        for response in responses
        if response.policy.emit_warning
        for result in response.results
        if result.status in (Status.FAIL, Status.ERROR)
    )


def _holds(conditions: Callable[[Scope], bool], scope: Scope) -> bool:
    try:
        return conditions(scope)
    except EngineError:
        return False


def _in_admission(among: Among | None) -> Among:
    return lambda policy: policy.admission and (among is None or among(policy))


def _name(request: Request) -> str:
    metadata = request.subject.get("metadata") or {}
    return str(metadata.get("name") or "")
