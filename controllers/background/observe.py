"""What carried-out rules show to the outside: events (spec 3.8), metrics, results on their way to reports."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from controllers.background.update_request import Carried
from controllers.cluster.events import Event, Events, Reference
from controllers.cluster.metrics import Metrics
from controllers.cluster.policy_labels import RULE_TYPES, policy_labels
from controllers.cluster.settings import Settings
from controllers.cluster.update_requests import UpdateRequest
from engine import Effect, Rule, Status

SOURCES = {Effect.GENERATE: "kyverno-generate", Effect.MUTATE_EXISTING: "kyverno-mutate"}
VERBS = {"create": "Created", "update": "Updated", "delete": "Deleted"}


class Observer:
    """Writes events and counts."""

    def __init__(self, metrics: Metrics, events: Events, settings: Callable[[], Settings]) -> None:
        self._metrics = metrics
        self._events = events
        self._settings = settings

    def carried(self, update: UpdateRequest, carried: Iterable[Carried]) -> None:
        """What one try has brought about."""
        for one in carried:
            if not one.failures:
                self._count(one, Status.PASS)
            if self._settings().generate_success_events:
                for event in _successes(one):
                    self._events.put(event)

    def given_up(self, update: UpdateRequest, carried: Iterable[Carried], reason: str) -> None:
        """One event on each policy whose rule could not be carried out, after the last try."""
        told = False
        for one in carried:
            if one.failures:
                self._count(one, Status.ERROR)
                self._events.put(_failure(one.rule, one.trigger or update.about, "; ".join(map(str, one.failures[:3]))))
                told = True
        if not told and update.policy:
            namespace, _, name = update.policy.rpartition("/")
            policy = Reference("kyverno.io/v1", "Policy" if namespace else "ClusterPolicy", name, namespace)
            note = f"{update.about.text}: {reason}"
            source = "kyverno-mutate" if update.type == "mutate" else "kyverno-generate"
            self._events.put(Event("Warning", "PolicyError", "None", policy, note, update.about, source))

    def _count(self, one: Carried, status: Status) -> None:
        rule, request = one.rule, one.request
        if request is None or not self._metrics.exposure.counts(request.namespace):
            return
        labels = (
            *policy_labels(rule, one.policy.background),
            request.kind.kind,
            request.namespace,
            request.operation.lower(),
            rule.name,
            status.value,
            RULE_TYPES[rule.effect],
            "background_scan",
            "false",
        )
        self._metrics.count("kyverno_policy_results", labels)


def _failure(rule: Rule, about: Reference, reason: str) -> Event:
    note = f"policy {rule.policy.key}/{rule.name} error: {about.text}: {reason}"
    return Event("Warning", "PolicyError", "None", Reference.of_policy(rule.policy), note, about, SOURCES[rule.effect])


def _successes(one: Carried) -> Iterable[Event]:
    rule = one.rule
    policy, source = Reference.of_policy(rule.policy), SOURCES[rule.effect]
    for made in one.made:
        if made.action in VERBS:
            cause = f"as a result of applying policy {rule.policy.key}/{rule.name}"
            note = f"{VERBS[made.action]} {made.object.kind} {made.object.name} {cause}"
            yield Event("Normal", "PolicyApplied", "Resource Generated", policy, "resource generated", made.object, source)
            yield Event("Normal", "PolicyApplied", "Resource Generated", one.trigger or made.object, note, policy, source)
    for target in one.targets:
        if target.failure is None and target.outcome.patched is not None:
            note = f"{target.object.text} is successfully mutated"
            yield Event("Normal", "PolicyApplied", "Resource Mutated", policy, note, target.object, source)
