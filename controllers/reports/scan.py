"""The background scan of one object: request -> engine -> rows (spec 4.3)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

from controllers.cluster.discovery import Resource
from controllers.cluster.facts import Learns, settle
from controllers.cluster.namespaces import NO_LABELS, Namespaces
from controllers.reports.aggregate import Aggregator
from controllers.reports.reach import takes_part
from engine import (
    Facts,
    GroupVersionKind,
    GroupVersionResource,
    Lookup,
    LookupFailed,
    Object,
    PolicySet,
    Request,
    Response,
    report,
    scan,
)
from engine.report import Row, Subject

REMEMBER = 5.0
"""Seconds for which data outside the objects is believed: all objects of a page ask for the same ConfigMap."""
REMEMBERED = 500
logger = logging.getLogger("pyvern.scan")


class Scanned(NamedTuple):
    """One look at one object. `seconds` is how long the engine took; `changed`: the report says something else now."""

    request: Request
    responses: tuple[Response, ...]
    seconds: float
    changed: bool


class Remembering:
    """Answers of another world, kept for some seconds. POSTs are sent each time."""

    def __init__(self, world: Learns) -> None:
        self._world = world
        self._known: dict[Lookup, object] = {}
        self._since = 0.0

    def facts(self) -> Facts:
        return self._world.facts()

    async def learn(self, facts: Facts, lookups: Iterable[Lookup]) -> Facts:
        now = time.monotonic()
        if now - self._since > REMEMBER or len(self._known) > REMEMBERED:
            self._known.clear()
            self._since = now
            asyncio.get_running_loop().call_later(REMEMBER, self._forget, now)
        wanted = list(lookups)
        fresh = [lookup for lookup in wanted if lookup not in self._known]
        if fresh:
            learnt = await self._world.learn(Facts(), fresh)
            self._known.update({lookup: learnt.answers[lookup] for lookup in fresh if lookup.method != "POST"})
            facts = facts.plus(learnt.answers)
        return facts.plus({lookup: self._known[lookup] for lookup in wanted if lookup in self._known})

    def _forget(self, since: float) -> None:
        """Nobody may ask again, and answers may be big."""
        if self._since == since:
            self._known.clear()


class Scanner:
    """Asks the policies in force about objects and hands the rows on."""

    def __init__(
        self,
        *,
        policies: Callable[[], PolicySet],
        namespaces: Namespaces,
        world: Learns,
        aggregator: Aggregator,
        excluded: Callable[[Request], bool],
        allowed: frozenset[str],
        looked: Callable[[Scanned], None],
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        self._policies = policies
        self._namespaces = namespaces
        self._world = Remembering(world)
        self._aggregator = aggregator
        self._excluded = excluded
        self._allowed = allowed
        self._looked = looked
        self._failed = failed

    async def inspect(self, resource: Resource, document: Object, again: bool) -> None:
        """Scans one stored object. Data that cannot be had leaves its report as it is."""
        request = self.request(resource, document)
        responses: tuple[Response, ...] = ()
        started = time.perf_counter()
        if not self._excluded(request):
            try:
                ask = partial(_ask, self._policies(), request)
                responses = await settle(ask, self._world)
            except LookupFailed as failure:
                logger.warning("scan of %s %s/%s: %s", resource.kind, request.namespace, request.name, failure)
                return
            except Exception:  # a bug of ours: one object must not stop its kind, and its report stays as it is
                logger.exception("scan of %s %s/%s failed", resource.kind, request.namespace, request.name)
                self._failed()
                return
        seconds = time.perf_counter() - started
        changed = await self._aggregator.scanned(Subject.of(document), self.rows(responses, request.now))
        self._looked(Scanned(request, responses, seconds, changed))

    def rows(self, responses: Iterable[Response], now: int) -> list[Row]:
        """What the report shows of the responses."""
        made = [
            report.row(result, background=response.policy.background, seconds=now // 10**9)
            for response in responses
            for result in response.results
        ]
        return [one for one in made if one["result"] in self._allowed]

    def request(self, resource: Resource, document: Object) -> Request:
        """The question about a stored object: as if it were created now, by nobody."""
        metadata = document["metadata"]
        namespace = metadata.get("namespace") or ""
        labels = self._namespaces.labels(namespace) or NO_LABELS if namespace else None
        if resource.kind == "Namespace" and not resource.group:
            labels = metadata.get("labels") or NO_LABELS
        now = time.time_ns()
        return Request(
            operation="CREATE",
            kind=GroupVersionKind(resource.group, resource.version, resource.kind),
            resource=GroupVersionResource(resource.group, resource.version, resource.plural),
            object=document,
            namespace=namespace,
            name=metadata["name"],
            namespace_labels=labels,
            uid=metadata["uid"],
            now=now,
            seed=now,
        )


def _ask(policies: PolicySet, request: Request, facts: Facts) -> tuple[Response, ...]:
    return scan(policies, request, facts, among=takes_part)
