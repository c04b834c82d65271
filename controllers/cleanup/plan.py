"""When each cleanup policy runs next, as plain data: every moment comes from the caller (Unix nanoseconds, UTC; spec 4.4)."""

from __future__ import annotations

import heapq
import itertools
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from controllers.cluster import moments
from controllers.cluster.watch import Event, Listed
from engine import InvalidPolicy, Policy, compile_policy

Object = dict[str, Any]
Key = tuple[str, str, str]
"""(plural, namespace, name)."""
API = "/apis/kyverno.io/v2"
BACK = 30 * moments.SECOND
"""A clock that goes back further than this was set."""
SLACK = 100
"""Runs in the heap that may have been put off since, before it is looked through for them."""
logger = logging.getLogger("pyvern.cleanup")


@dataclass(slots=True)
class Planned:
    """A policy in force. `last` and `due` are moments: when it ran last (or was made), when it runs next."""

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


class Plan:
    """The policies and their next runs: a heap in memory, no CronJobs.

    What was missed while nobody led runs once, at once: the next run is counted from status.lastExecutionTime.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Planned]] = []
        self._serial = itertools.count()
        self._seen = 0
        self.planned: dict[Key, Planned] = {}

    def clear(self) -> None:
        """Nothing is known any more."""
        self.planned.clear()
        self._heap.clear()

    def take(self, plural: str, event: Event, now: int) -> None:
        """Takes in what a watch of one of the two kinds says."""
        if isinstance(event, Listed):
            found = {_key(plural, item) for item in event.objects}
            for key in [key for key in self.planned if key[0] == plural and key not in found]:
                del self.planned[key]
            self._put(plural, event.objects, now)
        elif event.type == "DELETED":
            self.planned.pop(_key(plural, event.object), None)
        else:
            self._put(plural, (event.object,), now)

    def due(self, now: int) -> list[Planned]:
        """Takes out what is to run now."""
        if now < self._seen - BACK:
            logger.warning("the clock has gone back: all schedules are counted anew")
            for planned in self.planned.values():
                self.count(planned, now)
        self._seen = now
        found = []
        while self._heap and self._heap[0][0] <= now:
            due, _, planned = heapq.heappop(self._heap)
            if self.current(planned) and planned.due == due and not planned.running:
                found.append(planned)
        return found

    def next(self) -> int | None:
        """The moment of the next run; None when there is none."""
        return self._heap[0][0] if self._heap else None

    def count(self, planned: Planned, now: int) -> None:
        """Its next run, counted from the last; a last run in the future (the clock went back) counts as now."""
        cleanup = planned.policy.cleanup
        assert cleanup is not None, "a policy of these kinds has a schedule"
        self.put_off(planned, cleanup.schedule.next(min(planned.last, now)))

    def put_off(self, planned: Planned, due: int) -> None:
        """It runs at `due`, whatever its schedule says."""
        planned.due = due
        heapq.heappush(self._heap, (due, next(self._serial), planned))
        if len(self._heap) > 2 * len(self.planned) + SLACK:  # who edits a yearly policy every minute leaves nothing behind
            self._heap = [(one.due, next(self._serial), one) for one in self.planned.values() if not one.running]
            heapq.heapify(self._heap)

    def current(self, planned: Planned) -> bool:
        """Is it still in force as it is?"""
        return self.planned.get(planned.key) is planned

    def _put(self, plural: str, documents: Iterable[Object], now: int) -> None:
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
            planned = Planned(key, document, policy, last_run(document) or now, 0)
            if before is not None and before.document["metadata"]["uid"] == document["metadata"]["uid"]:
                planned.last = max(planned.last, before.last)
            self.planned[key] = planned
            self.count(planned, now)


def last_run(document: Object) -> int | None:
    """When the policy ran last, or was made."""
    ran = (document.get("status") or {}).get("lastExecutionTime") or document["metadata"].get("creationTimestamp") or ""
    return moments.parse(ran)


def _key(plural: str, document: Object) -> Key:
    metadata = document["metadata"]
    return plural, metadata.get("namespace") or "", metadata["name"]


def _same(before: Object, after: Object) -> bool:
    """Would both compile to the same policy? Status writes, our own among them, change nothing."""
    one, two = before["metadata"], after["metadata"]
    return (one["uid"], before["spec"], one.get("annotations")) == (two["uid"], after["spec"], two.get("annotations"))
