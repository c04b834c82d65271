"""What carried-out rules show to the outside: events (spec 3.8), metrics, results on their way to reports."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from controllers.background.carried import Carried
from controllers.cluster.ephemeral_reports import Draft, EphemeralReports, content_hash
from controllers.cluster.events import Event, Events, Reference
from controllers.cluster.exceptions import count_hits
from controllers.cluster.metrics import Metrics
from controllers.cluster.policy_labels import RULE_TYPES, policy_labels
from controllers.cluster.settings import Settings
from controllers.cluster.update_requests import UpdateRequest
from engine import Effect, Result, Rule, Status, report
from engine.report import Subject

SOURCES = {Effect.GENERATE: "kyverno-generate", Effect.MUTATE_EXISTING: "kyverno-mutate"}
VERBS = {"create": "Created", "update": "Updated", "delete": "Deleted"}


class Observer:
    """Writes events and counts."""

    def __init__(
        self,
        metrics: Metrics,
        events: Events,
        settings: Callable[[], Settings],
        reports: EphemeralReports,
        *,
        reporting: frozenset[Effect],
        allowed: frozenset[str],
    ) -> None:
        """`reporting`: the types of rules whose results are reported, `allowed`: the results that are."""
        self._metrics = metrics
        self._events = events
        self._settings = settings
        self._reports = reports
        self._reporting = reporting
        self._allowed = allowed

    def carried(self, update: UpdateRequest, carried: Iterable[Carried]) -> None:
        """What one try has brought about."""
        for one in carried:
            if not one.failures:
                if one.request is not None and self._metrics.exposure.counts(one.request.namespace):
                    count_hits(self._metrics, one.exempted(), "background_scan")
                self._count(one, Status.PASS if one.skipped is None else Status.SKIP)
                self._report(one, _results(one))
            if self._settings().generate_success_events:
                for event in _successes(one):
                    self._events.put(event)

    def given_up(self, update: UpdateRequest, carried: Iterable[Carried], reason: str) -> None:
        """One event on each policy whose rule could not be carried out, after the last try."""
        told = False
        for one in carried:
            if one.failures:
                self._count(one, Status.ERROR)
                message = "; ".join(str(failure) for failure in one.failures)
                self._report(one, [Result(one.rule, Status.ERROR, message)])
                self._events.put(_failure(one.rule, one.trigger or update.about, "; ".join(map(str, one.failures[:3]))))
                told = True
        if not told and update.policy:
            namespace, _, name = update.policy.rpartition("/")
            policy = Reference("kyverno.io/v1", "Policy" if namespace else "ClusterPolicy", name, namespace)
            note = f"{update.about.text}: {reason}"
            source = "kyverno-mutate" if update.type == "mutate" else "kyverno-generate"
            self._events.put(Event("Warning", "PolicyError", "None", policy, note, update.about, source))

    def _report(self, one: Carried, results: list[Result]) -> None:
        """Rows about the trigger, as long as it lives."""
        rule, request = one.rule, one.request
        if request is None or request.object is None or request.resource is None or request.subresource:
            return
        if not results or rule.effect not in self._reporting or not report.reported(rule.policy):
            return
        seconds = request.now // 10**9
        rows = [report.row(result, background=one.policy.background, seconds=seconds) for result in results]
        rows = [row for row in rows if row["result"] in self._allowed]
        subject = Subject.of(request.object)
        if rows and subject.uid:
            draft = Draft(
                name=subject.uid,
                subject=subject,
                resource=request.resource,
                rows=tuple(report.merge(rows)),
                identities=(rule.policy,),
                source="admission",
                hash=content_hash(request.object),
                stored=True,
            )
            self._reports.put(draft)

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


def _results(one: Carried) -> list[Result]:
    """What a report says of a rule that was carried out and did something."""
    made = [made.object for made in one.made if made.action in ("create", "update")]
    if made:
        properties = {"generated-resources": "; ".join(map(_named, made))}
        return [Result(one.rule, Status.PASS, "resource generated", properties)]
    changed = [target.object for target in one.targets if target.outcome.status is Status.PASS]
    if changed:
        properties = {"patched-target": "; ".join(map(_named, changed))}
        message = ", ".join(f"mutated {target.kind}/{target.name} in namespace {target.namespace}" for target in changed[:20])
        return [Result(one.rule, Status.PASS, message, properties)]
    skipped = next((target.outcome for target in one.targets if target.outcome.status is Status.SKIP), None)
    return [Result(one.rule, Status.SKIP, skipped.message, skipped.properties)] if skipped is not None else []


def _named(reference: Reference) -> str:
    """Go's text of a GroupVersionKind, then name and namespace."""
    group, _, version = reference.api_version.rpartition("/")
    return f"{group}/{version}, Kind={reference.kind} Name={reference.name} Namespace={reference.namespace}"


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
        if target.failure is None and target.patched:
            note = f"{target.object.text} is successfully mutated"
            yield Event("Normal", "PolicyApplied", "Resource Mutated", policy, note, target.object, source)
