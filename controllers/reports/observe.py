"""What a scan shows to the outside besides reports: metrics (spec 6.2) and events for failures (spec 3.8)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from controllers.cluster.events import Event, Events, Reference
from controllers.cluster.exceptions import count_hits
from controllers.cluster.metrics import HistogramCell, Metrics
from controllers.cluster.policy_labels import RULE_TYPES, policy_labels
from controllers.reports.inventory import Collection
from controllers.reports.reach import Key
from controllers.reports.scan import Scanned
from engine import Response, Result, Rule, Status

SOURCE = "kyverno-scan"
MAX_CELLS = 5000
POLICY_EVENT_EVERY = 30.0
"""Seconds between two events on one policy: its objects have their own."""
Cells = tuple[Rule, list[float] | None, HistogramCell | None]


class Observer:
    """Counts results and writes an event for each policy that an object fails, when its report says something new."""

    def __init__(self, metrics: Metrics, events: Events) -> None:
        self._metrics = metrics
        self._events = events
        self._cells: dict[tuple[int, str, bool, str, str], Cells] = {}
        self._epoch = -1
        self._told: dict[str, float] = {}

    def looked(self, scanned: Scanned) -> None:
        """Takes one look at one object."""
        if self._metrics.exposure.counts(scanned.request.namespace):
            self._count(scanned)
        if scanned.changed:
            for event in self._events_of(scanned):
                if self._events.full:
                    self._events.drop()
                else:
                    self._events.put(event)

    def state(
        self, collections: Iterable[Collection], failing: Mapping[Key, str], *, waiting: int, reports: int, replicas: int
    ) -> None:
        """The gauges of this moment. `failing`: the resources that cannot be read, and why."""
        objects: dict[tuple[str, ...], float] = {}
        age: dict[tuple[str, ...], float] = {}
        kinds: dict[tuple[str, ...], float] = {("followed",): 0, ("listing",): 0, ("failing",): 0}
        for collection in collections:
            name = (collection.resource.group, collection.resource.plural)
            objects[name] = len(collection.hashes)
            if collection.scanned:
                age[name] = time.monotonic() - collection.scanned
            state = "failing" if name in failing else "followed" if collection.listed.is_set() else "listing"
            kinds[state,] += 1
        self._metrics.gauge("pyvern_scan_objects", objects)
        self._metrics.gauge("pyvern_scan_age_seconds", age)
        self._metrics.gauge("pyvern_scan_kinds", kinds)
        self._metrics.gauge("pyvern_scan_failing", {(*name, reason): 1 for name, reason in failing.items()})
        self._metrics.gauge("pyvern_reports_waiting", {(): waiting})
        self._metrics.gauge("pyvern_reports_stored", {(): reports})
        self._metrics.gauge("pyvern_replicas", {(): replicas})

    def _events_of(self, scanned: Scanned) -> Iterable[Event]:
        """One event on the object for each policy that it fails, all its rules in one note; one on the policy now and then."""
        resource = Reference.of_request(scanned.request)
        now = time.monotonic()
        for response, failed in _failures(scanned):
            identity = response.policy.identity
            policy = Reference.of_policy(identity)
            reason = "PolicyViolation" if any(result.status is Status.FAIL for result in failed) else "PolicyError"
            note = "; ".join(f"policy {identity.key}/{result.rule.name} {result.status}: {result.message}" for result in failed)
            yield Event("Warning", reason, "Resource Passed", resource, note, policy, SOURCE)
            told = f"{identity.kind} {identity.key}"
            if now - self._told.get(told, float("-inf")) > POLICY_EVENT_EVERY:
                if len(self._told) >= MAX_CELLS:
                    self._told = {name: at for name, at in self._told.items() if now - at <= POLICY_EVENT_EVERY}
                self._told[told] = now
                note = "; ".join(f"[{result.rule.name}] {result.status}; {result.message}" for result in failed)
                yield Event("Warning", reason, "Resource Passed", policy, f"{resource.text}: {note}", resource, SOURCE)

    def _count(self, scanned: Scanned) -> None:
        if self._epoch != self._metrics.epoch or len(self._cells) > MAX_CELLS:
            self._cells.clear()
            self._epoch = self._metrics.epoch
        share = scanned.seconds / (sum(len(response.results) for response in scanned.responses) or 1)
        for response in scanned.responses:
            for result in response.results:
                _, counter, histogram = self._cells_of(response, result, scanned)
                if counter is not None:
                    counter[0] += 1
                if histogram is not None:
                    histogram.observe(share)
            count_hits(self._metrics, response.results, "background_scan")

    def _cells_of(self, response: Response, result: Result, scanned: Scanned) -> Cells:
        kind, namespace = scanned.request.kind.kind, scanned.request.namespace
        way = (id(result.rule), result.status.value, result.enforced, kind, namespace)
        cells = self._cells.get(way)
        if cells is None or cells[0] is not result.rule:
            mode = "enforce" if result.enforced else "audit"
            labels = (
                mode,
                *policy_labels(result.rule, response.policy.background)[1:],
                kind,
                namespace,
                "create",
                result.rule.name,
                result.status.value,
                RULE_TYPES.get(result.rule.effect, ""),
                "background_scan",
                "false",
            )
            counter = self._metrics.counter("kyverno_policy_results", labels)
            cells = (result.rule, counter, self._metrics.histogram("kyverno_policy_execution_duration_seconds", labels))
            self._cells[way] = cells
        return cells


def _failures(scanned: Scanned) -> Iterable[tuple[Response, list[Result]]]:
    for response in scanned.responses:
        failed = [result for result in response.results if result.status in (Status.FAIL, Status.ERROR)]
        if failed:
            yield response, failed


def counter(metrics: Metrics, name: str) -> Callable[[str], None]:
    """Counts words under one metric."""
    return lambda word: metrics.count(name, (word,))
