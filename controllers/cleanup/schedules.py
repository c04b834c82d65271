"""When each cleanup policy runs next: a heap in memory, no CronJobs (spec 4.4). Time is the clock on the wall, in UTC."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

from controllers.cleanup.sweep import Swept
from controllers.cluster import moments
from controllers.cluster.client import FAILURES, ApiError, Client, Unreachable
from controllers.cluster.watch import Event, Listed, Target, backoff, follow
from engine import InvalidPolicy, Policy, compile_policy

Object = dict[str, Any]
Key = tuple[str, str, str]
"""(plural, namespace, name)."""
API = "/apis/kyverno.io/v2"
PLURALS = ("clustercleanuppolicies", "cleanuppolicies")
NAP = 30.0
"""Longest sleep: after a jump of the clock nothing is later than this."""
ATTEMPTS = 6
"""Tries of a run in which something failed; then it has to wait for its next time. A silent API server does not count."""
PATIENCE = 60.0
logger = logging.getLogger("pyvern.cleanup")


@dataclass(slots=True)
class Planned:
    """A policy in force. `last` and `due` are Unix nanoseconds: when it ran last (or was made), when it runs next."""

    key: Key
    document: Object
    policy: Policy
    last: int
    due: int
    attempt: int = 0
    running: bool = False

    @property
    def path(self) -> str:
        plural, namespace, name = self.key
        return f"{API}/namespaces/{namespace}/{plural}/{name}" if namespace else f"{API}/{plural}/{name}"


class Schedules:
    """Follows the cleanup policies and runs `sweep` when one is due; `workers` at the same time.

    What was missed while nobody led runs once, at once: the next run is counted from status.lastExecutionTime.
    """

    def __init__(
        self,
        client: Client,
        sweep: Callable[[Policy], Awaitable[Swept]],
        *,
        workers: int = 3,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._client = client
        self._sweep = sweep
        self._clock = clock
        self._slots = asyncio.Semaphore(workers)
        self._changed = asyncio.Event()
        self._heap: list[tuple[int, int, Planned]] = []
        self._serial = itertools.count()
        self._seen = clock()
        self.planned: dict[Key, Planned] = {}

    async def run(self) -> None:
        """Works until cancelled; runs that have begun are cancelled with it."""
        self.planned.clear()
        self._heap.clear()
        async with asyncio.TaskGroup() as group:
            for plural in PLURALS:
                group.create_task(follow(self._client, Target(f"{API}/{plural}"), self.handler(plural)))
            while True:
                for planned in self.due():
                    planned.running = True
                    group.create_task(self._once(planned))
                self._changed.clear()
                try:
                    async with asyncio.timeout(self._rest()):
                        await self._changed.wait()
                except TimeoutError:
                    pass

    def due(self) -> list[Planned]:
        """Takes out what is to run now."""
        now = self._clock()
        if now < self._seen - NAP * moments.SECOND:
            logger.warning("the clock has gone back: all schedules are counted anew")
            for planned in self.planned.values():
                self._plan(planned)
        self._seen = now
        found = []
        while self._heap and self._heap[0][0] <= now:
            due, _, planned = heapq.heappop(self._heap)
            if self._current(planned) and planned.due == due and not planned.running:
                found.append(planned)
        return found

    def handler(self, plural: str) -> Callable[[Event], None]:
        """Takes the events of one of the two kinds."""

        def handle(event: Event) -> None:
            if isinstance(event, Listed):
                found = {_key(plural, item) for item in event.objects}
                for key in [key for key in self.planned if key[0] == plural and key not in found]:
                    del self.planned[key]
                self._put(plural, event.objects)
            elif event.type == "DELETED":
                self.planned.pop(_key(plural, event.object), None)
            else:
                self._put(plural, (event.object,))
            self._changed.set()

        return handle

    def _put(self, plural: str, documents: Iterable[Object]) -> None:
        for document in documents:
            key = _key(plural, document)
            before = self.planned.get(key)
            if before is not None and _same(before.document, document):
                before.document = document
                continue
            try:
                policy = compile_policy(document)
            except InvalidPolicy as error:
                # INVARIANT (fail safe): what cannot be understood deletes nothing, not even what its last version would have.
                logger.warning("%s %s does not compile and does not run: %s", plural, "/".join(key[1:]).strip("/"), error)
                self.planned.pop(key, None)
                continue
            planned = Planned(key, document, policy, _last(document) or self._clock(), 0)
            if before is not None and before.document["metadata"]["uid"] == document["metadata"]["uid"]:
                planned.last = max(planned.last, before.last)
            self.planned[key] = planned
            self._plan(planned)

    def _plan(self, planned: Planned) -> None:
        """Its next run, counted from the last; a last run in the future (the clock went back) counts as now."""
        cleanup = planned.policy.cleanup
        assert cleanup is not None, "a policy of these kinds has a schedule"
        self._push(planned, cleanup.schedule.next(min(planned.last, self._clock())))

    def _push(self, planned: Planned, due: int) -> None:
        planned.due = due
        heapq.heappush(self._heap, (due, next(self._serial), planned))
        self._changed.set()

    def _rest(self) -> float:
        if not self._heap:
            return NAP
        return min(NAP, max(0.0, (self._heap[0][0] - self._clock()) / moments.SECOND))

    def _current(self, planned: Planned) -> bool:
        return self.planned.get(planned.key) is planned

    async def _once(self, planned: Planned) -> None:
        async with self._slots:
            started = self._clock()
            if not self._current(planned):
                return
            try:
                swept = await self._sweep(planned.policy)
            except Unreachable as error:
                logger.warning("%s: %s", planned.policy.identity.key, error)
                again = True
                planned.attempt = min(planned.attempt, ATTEMPTS - 2)
            else:
                again = swept.again
                logger.info("%s: %d objects deleted, %d failures", planned.policy.identity.key, swept.deleted, swept.failed)
        planned.running = False
        planned.attempt += 1
        if again and planned.attempt < ATTEMPTS:
            self._push(planned, self._clock() + int(backoff(planned.attempt + 3, ceiling=PATIENCE) * moments.SECOND))
            return
        planned.attempt = 0
        planned.last = started
        self._plan(planned)
        await self._record(planned)

    async def _record(self, planned: Planned) -> None:
        """status.lastExecutionTime: what a next leader counts from."""
        try:
            await self._client.merge(f"{planned.path}/status", {"status": {"lastExecutionTime": moments.show(planned.last)}})
        except FAILURES as error:
            if not (isinstance(error, ApiError) and error.not_found):
                logger.warning("%s: status not written: %s", planned.policy.identity.key, error)


def _key(plural: str, document: Object) -> Key:
    metadata = document["metadata"]
    return plural, metadata.get("namespace") or "", metadata["name"]


def _same(before: Object, after: Object) -> bool:
    """Would both compile to the same policy? Status writes, our own among them, change nothing."""
    one, two = before["metadata"], after["metadata"]
    return (one["uid"], before["spec"], one.get("annotations")) == (two["uid"], after["spec"], two.get("annotations"))


def _last(document: Object) -> int | None:
    """When it ran last, or was made."""
    ran = (document.get("status") or {}).get("lastExecutionTime") or document["metadata"].get("creationTimestamp") or ""
    return moments.parse(ran)
