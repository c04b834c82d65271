"""What rules with targets would make of existing objects, as they are carried out in the background."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from cli.impact.difference import difference
from cli.impact.findings import AT_ONCE, BY_TRIGGER, Finding, Impact, Subject
from cli.impact.sides import Side, operation_of
from cli.impact.world import World
from cli.offline_facts import OfflineFacts
from controllers.cluster.generating import concerns_existing
from engine import (
    Effect,
    EngineError,
    GroupVersionKind,
    Object,
    Policy,
    Rule,
    Status,
    is_target,
    kind_of,
    mutate_target,
    targets_of,
)


class Changed(NamedTuple):
    """A target as it is and as it would be."""

    before: Object
    after: Object
    rules: tuple[str, ...]
    when: str


class Targets:
    """The targets of one policy's rules. `before` is the policy in force: what it has done or would do too is no news."""

    def __init__(self, world: World, impact: Impact, before: Policy | None) -> None:
        self._world = world
        self._impact = impact
        self._rules = [rule for rule in impact.policy.rules if rule.effect is Effect.MUTATE_EXISTING]
        self._old = (
            {rule.name: rule for rule in before.rules if rule.effect is Effect.MUTATE_EXISTING} if before is not None else {}
        )
        self._changed: dict[Subject, Changed] = {}

    def of_trigger(self, object_: Object, new: Side, old: Side, facts: OfflineFacts) -> None:
        """What the object makes the rules change. Raises `LookupFailed` where targets cannot be read."""
        for rule in self._rules:
            before = self._old.get(rule.name)
            if not new.judged(rule) or (before is not None and before.document == rule.document):
                continue
            try:
                wanted = self._outcomes(rule, object_, new, facts)
                had = {} if before is None else self._outcomes(before, object_, old, facts)
            except EngineError as error:
                self._impact.add(Finding("error", Subject.of(object_), (rule.name,), (str(error),)))
                continue
            when = AT_ONCE if concerns_existing(self._impact.policy, rule) else BY_TRIGGER
            for subject, (target, after) in wanted.items():
                if subject in had and had[subject][1] == after:
                    continue
                known = self._changed.get(subject)
                original, rules = (target, ()) if known is None else (known.before, known.rules)
                self._changed[subject] = Changed(original, after, tuple(dict.fromkeys((*rules, rule.name))), when)

    def finish(self) -> None:
        """All triggers were asked: what becomes of the targets."""
        for subject, (before, after, rules, when) in self._changed.items():
            diff = difference(before, after)
            if diff:
                self._impact.add(Finding("change", subject, rules, when=when, diff=diff))

    def _outcomes(self, rule: Rule, object_: Object, side: Side, facts: OfflineFacts) -> dict[Subject, tuple[Object, Object]]:
        request = side.request(object_, operation_of(rule) or "CREATE")
        if not rule.match(request):
            return {}
        exceptions = tuple(exception for exception in side.exceptions if exception.names(rule))
        found: dict[Subject, tuple[Object, Object]] = {}
        for selector in facts.settle(partial(targets_of, rule, request)):
            for target in self._candidates(selector, rule):
                if not is_target(selector, target):
                    continue
                subject = Subject.of(target)
                known = self._changed.get(subject)
                current = target if known is None else known.after
                outcome = facts.settle(partial(mutate_target, rule, request, current, exceptions=exceptions))
                if outcome is None:
                    continue
                if outcome.status in (Status.ERROR, Status.FAIL):
                    self._impact.add(Finding("error", subject, (rule.name,), (outcome.message,)))
                elif outcome.exceptions:
                    self._impact.excepted += 1
                elif outcome.patched is not None and outcome.patched != current:
                    found[subject] = target, outcome.patched
        return found

    def _candidates(self, selector: Object, rule: Rule) -> list[Object]:
        namespace, name = str(selector.get("namespace") or ""), str(selector.get("name") or "")
        namespace = namespace or rule.policy.namespace
        kind = str(selector["kind"]).partition("/")[0]
        cluster = self._world.cluster
        if "*" in str(selector["apiVersion"]):
            kinds = [one.kind for one in self._world.served if one.kind.kind == kind]
        else:
            kinds = [kind_of({"apiVersion": selector["apiVersion"], "kind": kind})]
        inside = "" if _wild(namespace) else namespace
        if name and not _wild(name) and not _wild(namespace) and (namespace or not self._namespaced(kinds)):
            return [found for gvk in kinds if (found := cluster.named(gvk, inside, name)) is not None]
        return [found for gvk in kinds for found in cluster.of_kind(gvk, inside)]

    def _namespaced(self, kinds: list[GroupVersionKind]) -> bool:
        return any(one.namespaced for one in self._world.served if one.kind in kinds)


def _wild(text: str) -> bool:
    return "*" in text or "?" in text
