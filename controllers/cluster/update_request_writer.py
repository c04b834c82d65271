"""UpdateRequests on their way into the cluster: one of a name, so many of a policy, and no waiting for whoever wants them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping

from controllers.cluster.client import FAILURES, METADATA_ONLY, ApiError, Client, Unreachable
from controllers.cluster.update_requests import RENEWED, UpdateRequest, collection, merged, read
from engine import Object

COUNT_EVERY = 5.0
LOOK_AGAIN = 1.0
IN_ORDER = 0.01
PATIENCE = 30.0
LONGEST_HELD = 600.0
"""Seconds for which a request waits for a policy that has its share of UpdateRequests."""
logger = logging.getLogger("pyvern.updates")


class Writer:
    """Stores UpdateRequests. `put` never blocks; requests with one name that wait are one.

    `threshold`: how many of one policy may be stored (the ConfigMap's updateRequestThreshold); what comes then waits here, up to
    LONGEST_HELD. No more than `capacity` wait; what is too much is dropped. `counted` is called with True for what was dropped.
    """

    def __init__(
        self,
        client: Client,
        *,
        namespace: str,
        threshold: Callable[[], int],
        capacity: int = 10_000,
        counted: Callable[[bool], None] = lambda dropped: None,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._path = collection(namespace)
        self._threshold = threshold
        self._capacity = capacity
        self._counted = counted
        self._waiting: OrderedDict[str, tuple[UpdateRequest, float]] = OrderedDict()
        self._held: dict[str, OrderedDict[str, tuple[UpdateRequest, float]]] = {}
        self._writing: set[str] = set()
        self._filled = asyncio.Event()
        self._total = (0, float("-inf"))
        self._of_policy: dict[str, tuple[int, float]] = {}
        self._dropped: Counter[str] = Counter()
        self._lost = 0

    def put(self, request: UpdateRequest) -> None:
        name = request.name
        place = self._held.get(request.policy, self._waiting)
        earlier = place.get(name) or self._waiting.get(name)
        if earlier is not None:
            request = merged(earlier[0], request)
        elif self.waiting >= self._capacity:
            self._drop(request)
            return
        place[name] = request, time.monotonic()
        self._filled.set()

    @property
    def waiting(self) -> int:
        """Requests that are not stored yet."""
        return len(self._waiting) + sum(map(len, self._held.values())) + len(self._writing)

    async def run(self, writers: int = 8) -> None:
        """Writes until cancelled."""
        await asyncio.gather(self._let_go_for_ever(), *(self._write_all() for _ in range(writers)))

    async def flush(self, patience: float) -> None:
        """Gives what waits a last chance."""
        deadline = time.monotonic() + patience
        while self.waiting and time.monotonic() < deadline:
            await asyncio.sleep(0.02)

    @property
    def lost(self) -> int:
        """Requests up to now that were dropped because nobody answered for too long."""
        return self._lost

    async def settle(self) -> None:
        """Returns when nothing waits any more: everything that was put is stored, or dropped."""
        while self.waiting:
            await asyncio.sleep(0.05)

    async def _write_all(self) -> None:
        while True:
            while not self._waiting:
                self._filled.clear()
                await self._filled.wait()
            name = next((name for name in self._waiting if name not in self._writing), "")
            if not name:  # only what is being written just now waits again: its order counts
                await asyncio.sleep(IN_ORDER)
                continue
            request, since = self._waiting.pop(name)
            self._writing.add(name)
            try:
                await self._write(request, since)
            finally:
                self._writing.discard(name)

    async def _write(self, request: UpdateRequest, since: float) -> None:
        attempt = 0
        begun = time.monotonic()
        while time.monotonic() - begun < PATIENCE:
            try:
                if await self._full(request):
                    self._hold(request, since)
                    return
                await self._store(request)
            except ApiError as error:
                if error.status < 500 and error.status not in (404, 409, 429):
                    logger.error("UpdateRequest of policy %s about %s: %s", request.policy, request.about.text, error)
                    break
            except Unreachable as error:
                logger.debug("UpdateRequest of policy %s about %s: %s", request.policy, request.about.text, error)
            else:
                self._counted(False)
                return
            attempt += 1
            await asyncio.sleep(min(3.0, 0.2 * 2**attempt))
        else:
            logger.error("UpdateRequest of policy %s about %s could not be stored", request.policy, request.about.text)
            self._lost += 1
        self._counted(True)

    # Policies that have their share

    def _hold(self, request: UpdateRequest, since: float) -> None:
        held = self._held.get(request.policy)
        if held is None:
            held = self._held[request.policy] = OrderedDict()
            text = "policy %s has %d UpdateRequests or more (updateRequestThreshold): further ones wait until they are fewer"
            logger.warning(text, request.policy, self._threshold())
        earlier = held.get(request.name)
        held[request.name] = (merged(request, earlier[0]) if earlier else request), since

    async def _let_go_for_ever(self) -> None:
        while True:
            await asyncio.sleep(LOOK_AGAIN)
            for policy, held in tuple(self._held.items()):
                self._give_up(held)
                try:
                    room = self._threshold() - await self._count(next(iter(held.values()))[0]) if held else 0
                except FAILURES as error:
                    logger.debug("UpdateRequests of policy %s cannot be counted: %s", policy, error)
                    continue
                while held and room > 0:
                    name, entry = held.popitem(last=False)
                    self._waiting[name] = entry
                    room -= 1
                if not held:
                    del self._held[policy]
                    logger.info("policy %s has less than %d UpdateRequests again", policy, self._threshold())
                self._filled.set()
            for policy, count in self._dropped.items():
                logger.error("policy %s: %d UpdateRequests are dropped, too many wait", policy, count)
            self._dropped.clear()

    def _give_up(self, held: OrderedDict[str, tuple[UpdateRequest, float]]) -> None:
        before = time.monotonic() - LONGEST_HELD
        while held and next(iter(held.values()))[1] < before:
            self._drop(held.popitem(last=False)[1][0])

    def _drop(self, request: UpdateRequest) -> None:
        self._counted(True)
        self._dropped[request.policy] += 1

    async def _store(self, request: UpdateRequest) -> None:
        try:
            await self._client.create(self._path, request.document(self._namespace))
        except ApiError as error:
            if not error.conflict:
                raise
            path = f"{self._path}/{request.name}"
            found = await self._client.get(path)
            document = merged(read(found), request).document(self._namespace)
            document["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"]
            document["metadata"]["annotations"][RENEWED] = str(time.time_ns())
            await self._client.replace(path, document)

    async def _full(self, request: UpdateRequest) -> bool:
        """Has the policy its share? It is counted only when all policies together have as much."""
        threshold = self._threshold()
        count, at = self._total
        now = time.monotonic()
        if now - at > COUNT_EVERY:
            listed = await self._list({"limit": "1"})
            count, at = len(listed.get("items") or ()) + int(listed["metadata"].get("remainingItemCount") or 0), now
        self._total = count + 1, at
        if count < threshold:
            return False
        held, at = self._of_policy.get(request.policy, (0, float("-inf")))
        if now - at > COUNT_EVERY:
            held, at = await self._count(request), now
        self._of_policy[request.policy] = held + 1, at
        return held >= threshold

    async def _count(self, request: UpdateRequest) -> int:
        """How many UpdateRequests of its policy are stored, no more than the threshold."""
        label, value = next((key, value) for key, value in request.labels().items() if key.endswith("policy-name"))
        listed = await self._list({"limit": str(max(1, self._threshold())), "labelSelector": f"{label}={value}"})
        count = len(listed.get("items") or ())
        self._of_policy[request.policy] = count, time.monotonic()
        return count

    async def _list(self, params: Mapping[str, str]) -> Object:
        listed: Object = await self._client.call("GET", self._path, params=params, accept=METADATA_ONLY, timeout=10)
        return listed
