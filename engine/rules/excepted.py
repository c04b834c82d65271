"""What exceptions make of rules that they do not simply skip in the common words (spec 2.12)."""

from __future__ import annotations

from collections.abc import Callable

from engine.policy import Check, Effect, PolicyException, skipped_by
from engine.result import Outcome, Status
from engine.rules.pod_security import PodSecurityCheck
from engine.scope import Scope

SINGULAR = "rule is skipped due to policy exception "
PLURAL = "rule is skipped due to policy exceptions "
Evaluate = Callable[[Check, Scope], Outcome | None]
"""A rule's steps around a check."""
Excepted = Callable[[Scope, tuple[PolicyException, ...]], Outcome | None]


def excepted_generation(_scope: Scope, exceptions: tuple[PolicyException, ...]) -> Outcome:
    """A generate rule is skipped, in words of its own."""
    return skipped_by(exceptions, SINGULAR)


def never_excepted(check: Check) -> Excepted:
    """The `Rule.excepted` of kinds that PolicyExceptions are not about."""
    return lambda scope, _: check(scope)


EXCEPTED: dict[Effect, Excepted] = {Effect.GENERATE: excepted_generation}


def excepted_pod_security(evaluate: Evaluate, check: PodSecurityCheck) -> Excepted:
    """The `Rule.excepted` of a podSecurity rule: its check is `check`, its steps are `evaluate`.

    An exception without podSecurity skips the rule. Otherwise the exclusions of all of them are put together, and a rule that
    passes only with them is skipped; one that fails all the same tells what remains.
    """

    def excepted(scope: Scope, exceptions: tuple[PolicyException, ...]) -> Outcome | None:
        for exception in exceptions:
            if not exception.exclusions:
                return skipped_by((exception,), SINGULAR)
        extra = tuple(exclusion for exception in exceptions for exclusion in exception.exclusions)

        def forgiving(inner: Scope) -> Outcome:
            outcome = check(inner)
            if outcome.status is not Status.FAIL:
                return outcome
            remaining = check(inner, extra)
            return skipped_by(exceptions, PLURAL) if remaining.status is Status.PASS else remaining

        return evaluate(forgiving, scope)

    return excepted
