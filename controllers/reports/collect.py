"""EphemeralReports into reports: adopted when their object is there, merged, deleted (spec 4.3).

Rows that the background scan finds itself are not taken over: the scan is the source of truth, and it looks at the object within
a second of its change.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
import time
from collections.abc import Callable
from dataclasses import replace

from controllers.cluster import ephemeral_reports
from controllers.cluster.client import FAILURES, ApiError, Client, segment
from controllers.cluster.discovery import Discovery
from controllers.cluster.ephemeral_reports import Stored
from controllers.cluster.lease import now_utc
from controllers.cluster.watch import Changed, PagedEvent, Target, backoff, follow_pages, pages
from controllers.reports.aggregate import Aggregator
from controllers.reports.forms import OURS
from controllers.reports.in_force import Origin, Rules
from controllers.reports.inventory import Inventory
from engine import report
from engine.report import Row, Subject

SELECTOR = f"{OURS},{ephemeral_reports.SOURCE}!=background-scan"
TARGETS = tuple(
    Target(f"{ephemeral_reports.API}/{plural}", label_selector=SELECTOR)
    for plural in ("ephemeralreports", "clusterephemeralreports")
)
HOLD = 2.0
"""Seconds for which an adopted report stays: several of one object are merged at once, and people can see them."""
PATIENCE = 120.0
"""Seconds after which a report whose object never appeared is dropped."""
GLANCE = 5.0
"""Seconds for which an object is looked for however old its report seems (our clock may be ahead of the API server's), and
however many others wait for their turn.
"""
OUTSTANDING = 200
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
logger = logging.getLogger("pyvern.collect")


class Collector:
    """Follows the EphemeralReports that others write. `hold` and `patience` are seconds, as HOLD and PATIENCE say."""

    def __init__(
        self,
        client: Client,
        *,
        aggregator: Aggregator,
        inventory: Inventory,
        discovery: Callable[[], Discovery],
        rules: Callable[[], Rules],
        allowed: frozenset[str],
        mine: Callable[[str], bool],
        hold: float = HOLD,
        patience: float = PATIENCE,
    ) -> None:
        self._client = client
        self._aggregator = aggregator
        self._inventory = inventory
        self._discovery = discovery
        self._rules = rules
        self._allowed = allowed
        self._mine = mine
        self._hold = hold
        self._patience = patience
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._room = asyncio.Event()

    async def run(self) -> None:
        """Works until cancelled. However many reports are left from before, few are in memory at a time."""
        try:
            await asyncio.gather(*(follow_pages(self._client, target, self._handle) for target in TARGETS))
        finally:
            for task in self._tasks.values():
                task.cancel()

    async def again(self) -> None:
        """Who owns what has changed: what nobody took so far may be ours now."""
        try:
            for target in TARGETS:
                async for page, _ in pages(self._client, target):
                    await self._handle(page)
        except FAILURES as error:
            logger.warning("ephemeral reports: %s", error)

    async def _handle(self, event: PagedEvent) -> None:
        if isinstance(event, Changed):
            if event.type == "ADDED":
                await self._take(ephemeral_reports.read(event.object))
            return
        for document in event.objects:
            await self._take(ephemeral_reports.read(document))

    async def _take(self, stored: Stored) -> None:
        if not self._mine(stored.subject.uid or stored.path) or stored.path in self._tasks:
            return
        while len(self._tasks) >= OUTSTANDING:
            self._room.clear()
            await self._room.wait()
        task = asyncio.create_task(self._process(stored), name="ephemeral report")
        self._tasks[stored.path] = task
        task.add_done_callback(lambda done: self._ended(stored, done))

    def _ended(self, stored: Stored, task: asyncio.Task[None]) -> None:
        self._tasks.pop(stored.path, None)
        self._room.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("%s stays: %s", stored.path, error, exc_info=error)

    async def _process(self, stored: Stored) -> None:
        attempt = 0
        began = time.monotonic()
        while True:
            try:
                if await self._merge(stored, waited=time.monotonic() - began):
                    return
            except ApiError as error:
                if error.not_found:
                    return
                if error.status in (403, 422):
                    logger.warning("%s stays: %s", stored.path, error)
                    return
                logger.debug("%s: %s", stored.path, error)
            except FAILURES as error:
                logger.debug("%s: %s", stored.path, error)
            attempt += 1
            await asyncio.sleep(backoff(attempt, ceiling=5.0))

    async def _merge(self, stored: Stored, *, waited: float) -> bool:
        """True when nothing is left to do. `waited`: seconds for which it has been tried."""
        subject = await self._existing(stored)
        if subject is None:
            if not self._given_up(stored, waited):
                return False
            logger.debug("%s is dropped: there is no %s", stored.path, _named(stored))
            await self._client.delete(stored.path)
            return True
        if age(stored.created) < self._hold:
            if not stored.owned:
                await self._client.merge(stored.path, {"metadata": {"ownerReferences": [subject.owner()]}})
            await asyncio.sleep(self._hold)
        rows = self._rows(stored, subject)
        if rows:
            await self._aggregator.admitted(subject, rows)
        await self._client.delete(stored.path)
        return True

    def _given_up(self, stored: Stored, waited: float) -> bool:
        """Has its object been looked for long enough? Objects that were refused elsewhere never come, and others wait."""
        if waited >= self._patience:
            return True
        return waited >= GLANCE and (age(stored.created) >= self._patience or len(self._tasks) >= OUTSTANDING)

    def _rows(self, stored: Stored, subject: Subject) -> list[Row]:
        """What the scan does not find itself."""
        collection = self._inventory.find(stored.resource.group, subject.kind)
        scanned = collection is not None and not collection.error
        rules = self._rules()
        return [
            one
            for one in stored.rows
            if one.get("result") in self._allowed and not (scanned and rules.get(report.key(one)[:3]) is Origin.SCAN)
        ]

    async def _existing(self, stored: Stored) -> Subject | None:
        """The object as it is stored, None when it is not (yet) there. Without the right to look it counts as there."""
        resource = stored.resource
        kind = self._discovery().kind_of(resource)
        if kind is None or not stored.subject.name:
            return None
        subject = replace(stored.subject, kind=kind.kind)
        mark = self._aggregator.marks.get(subject.uid)
        if mark is not None and mark.subject == subject:
            return subject
        if self._inventory.holds(subject.uid) and not self._rows(stored, subject):
            return subject  # nothing of it will be written
        base = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
        within = f"/namespaces/{subject.namespace}" if subject.namespace else ""
        try:
            path = f"{base}{within}/{resource.resource}/{segment(subject.name)}"
            found = await self._client.call("GET", path, accept=METADATA)
        except ApiError as error:
            if error.status == 403 and subject.uid and mark is None and not self._inventory.holds(subject.uid):
                return subject
            if error.status in (403, 404, 405, 422):  # 422: what cannot be a name is nobody's
                return None
            raise
        uid = found["metadata"]["uid"]
        if subject.uid and uid != subject.uid:
            return None
        return replace(subject, uid=uid)


def _named(stored: Stored) -> str:
    subject = stored.subject
    name = f"{subject.namespace}/{subject.name}" if subject.namespace else subject.name
    return f"{subject.kind or 'object'} {name}" + (f" of uid {subject.uid}" if subject.uid else "")


def age(created: str) -> float:
    """Seconds since a timestamp of the API; never negative."""
    moment = datetime.datetime.strptime(created, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=datetime.UTC)
    return max(0.0, (now_utc() - moment).total_seconds())
