"""What is left to do after the reply: metrics and events of a verdict, in bounded batches off the request path."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from controllers.cluster import events
from controllers.cluster.events import Events
from controllers.cluster.exceptions import count_hits
from controllers.cluster.metrics import HistogramCell, Metrics
from controllers.cluster.policy_labels import RULE_TYPES, policy_labels
from controllers.cluster.settings import Settings
from engine import Policy, Request, Result, Rule, Verdict

logger = logging.getLogger("pyvern.recorder")
BATCH = 50
MAX_WAYS = 1000
"""Ways through the policies that are remembered; then they are forgotten and found anew."""


@dataclass(frozen=True, slots=True)
class Record:
    """One answered request. `evaluation` and `total` are seconds."""

    request: Request
    verdict: Verdict
    webhook: str
    evaluation: float
    total: float


class _Cells(NamedTuple):
    """What one way through the policies adds to: counters by 1, histograms by the request's time and by the time per rule."""

    counters: list[list[float]]
    requests: list[HistogramCell]
    rules: list[HistogramCell]
    kept: tuple[Rule, ...]


class Recorder:
    """Takes records without waiting; when more than `capacity` wait, the oldest are left out of events and metrics."""

    def __init__(
        self,
        metrics: Metrics,
        writer: Events,
        settings: Callable[[], Settings],
        *,
        report: Callable[[Request, Verdict], None] | None = None,
        capacity: int = 5000,
    ) -> None:
        self._metrics = metrics
        self._events = writer
        self._settings = settings
        self._report = report
        self._waiting: deque[Record] = deque(maxlen=capacity)
        self._filled = asyncio.Event()
        self._policies: dict[int, tuple[Rule, tuple[str, ...]]] = {}
        self._background: dict[str, bool] = {}
        self._cells: dict[tuple[object, ...], _Cells] = {}
        self._epoch = 0

    def put(self, record: Record) -> None:
        self._waiting.append(record)
        self._filled.set()

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._waiting:
                for _ in range(min(BATCH, len(self._waiting))):
                    self._try(self._waiting.popleft())
                await asyncio.sleep(0.01)

    def flush(self) -> None:
        """Everything that waits, now."""
        while self._waiting:
            self._try(self._waiting.popleft())

    def rules_changed(self, policies: Iterable[Policy]) -> None:
        """New policies are in force: the gauge of rules, and what is remembered of them."""
        self._policies.clear()
        self._cells.clear()
        rows = []
        self._background = {}
        for policy in policies:
            self._background[policy.identity.key] = policy.background
            for rule in policy.rules:
                rows.append((*policy_labels(rule, policy.background), rule.name, RULE_TYPES.get(rule.effect, ""), "true"))
        self._metrics.state("kyverno_policy_rule_info_total", rows)

    def _try(self, record: Record) -> None:
        # INVARIANT (isolation): the reply is out; a bug that its record meets must not end the process that answers all others
        try:
            self._record(record)
        except Exception:
            logger.exception("the record of request %s is lost", record.request.uid)

    def _record(self, record: Record) -> None:
        request, verdict = record.request, record.verdict
        if self._metrics.exposure.counts(request.namespace):
            counters, requests, rules, _ = self._cells_of(record)
            for counter in counters:
                counter[0] += 1
            for histogram in requests:
                histogram.observe(record.total)
            share = record.evaluation / (len(verdict.results) or 1)
            for histogram in rules:
                histogram.observe(share)
            count_hits(self._metrics, verdict.results, "admission_request")
        if not request.dry_run and verdict.results:
            self._write_events(record)
            if self._report is not None:
                self._report(request, verdict)

    def _cells_of(self, record: Record) -> _Cells:
        """The metric cells that a record adds to: the same for every request that went the same way."""
        if self._epoch != self._metrics.epoch or len(self._cells) > MAX_WAYS:
            self._cells.clear()
            self._epoch = self._metrics.epoch
        request, verdict = record.request, record.verdict
        way = (
            request.kind.kind,
            request.namespace,
            request.operation,
            request.dry_run,
            verdict.allowed,
            record.webhook,
            *[(id(result.rule), result.status, result.enforced) for result in verdict.results],
        )
        cells = self._cells.get(way)
        if cells is None:
            cells = self._cells[way] = self._new_cells(record)
        return cells

    def _new_cells(self, record: Record) -> _Cells:
        request, verdict, metrics = record.request, record.verdict, self._metrics
        operation = request.operation.lower()
        labels = (request.kind.kind, request.namespace, operation, "true" if verdict.allowed else "false", record.webhook)
        counters = [metrics.counter("kyverno_admission_requests", labels)]
        requests = [metrics.histogram("kyverno_admission_review_duration_seconds", labels)]
        rules = []
        for result in verdict.results:
            row = (
                "enforce" if result.enforced else "audit",
                *self._labels(result),
                request.kind.kind,
                request.namespace,
                operation,
                result.rule.name,
                result.status.value,
                RULE_TYPES.get(result.rule.effect, ""),
                "admission_request",
                "true" if request.dry_run else "false",
            )
            counters.append(metrics.counter("kyverno_policy_results", row))
            rules.append(metrics.histogram("kyverno_policy_execution_duration_seconds", row))
        # INVARIANT (identity): `way` holds ids of rules, so the cells keep the rules alive with them
        kept = tuple(result.rule for result in verdict.results)
        return _Cells(
            [cell for cell in counters if cell is not None],
            [cell for cell in requests if cell is not None],
            [cell for cell in rules if cell is not None],
            kept,
        )

    def _write_events(self, record: Record) -> None:
        if self._events.full:
            self._events.drop()
            return
        for event in events.of_results(
            record.request, record.verdict.results, blocked=not record.verdict.allowed, settings=self._settings()
        ):
            self._events.put(event)

    def _labels(self, result: Result) -> tuple[str, ...]:
        rule = result.rule
        held = self._policies.get(id(rule))
        if held is None or held[0] is not rule:
            held = (rule, policy_labels(rule, self._background.get(rule.policy.key, True))[1:])
            self._policies[id(rule)] = held
        return held[1]


def change_labels(policy: Policy, change: str) -> tuple[str, ...]:
    """Label values of kyverno_policy_changes."""
    mode = policy_labels(policy.rules[0], policy.background) if policy.rules else ("audit", "cluster", "true", "-", "")
    return (*mode, change)
