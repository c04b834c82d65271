"""UpdateRequests on their way into the cluster: one of a name, so many of a policy, and no waiting for whoever wants them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping

from controllers.cluster.client import METADATA_ONLY, ApiError, Client, Unreachable
from controllers.cluster.update_requests import UpdateRequest, collection, merged, read
from engine import Object

COUNT_EVERY = 5.0
PATIENCE = 30.0
logger = logging.getLogger("pyvern.updates")


class Writer:
    """Stores UpdateRequests. `put` never blocks; requests with one name that wait are one; too many are dropped and counted.

    `threshold`: how many of one policy may be stored (the ConfigMap's updateRequestThreshold). `counted` is called with True for
    what was dropped.
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
        self._filled = asyncio.Event()
        self._total = (0, float("-inf"))
        self._of_policy: dict[str, tuple[int, float]] = {}

    def put(self, request: UpdateRequest) -> None:
        name = request.name
        held = self._waiting.get(name)
        if held is not None:
            request = merged(held[0], request)
        elif len(self._waiting) >= self._capacity:
            logger.error("too many UpdateRequests wait: one of policy %s is dropped", request.policy)
            self._counted(True)
            return
        self._waiting[name] = request, time.monotonic()
        self._filled.set()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def run(self, writers: int = 8) -> None:
        """Writes until cancelled."""
        await asyncio.gather(*(self._write_all() for _ in range(writers)))

    async def flush(self, patience: float) -> None:
        """Gives what waits a last chance."""
        deadline = time.monotonic() + patience
        while self._waiting and time.monotonic() < deadline:
            await asyncio.sleep(0.02)

    async def _write_all(self) -> None:
        while True:
            while not self._waiting:
                self._filled.clear()
                await self._filled.wait()
            _, (request, since) = self._waiting.popitem(last=False)
            await self._write(request, since)

    async def _write(self, request: UpdateRequest, since: float) -> None:
        attempt = 0
        while time.monotonic() - since < PATIENCE:
            try:
                if await self._full(request):
                    logger.warning(
                        "policy %s has %d UpdateRequests or more: one about %s is dropped",
                        request.policy,
                        self._threshold(),
                        request.about.text,
                    )
                    break
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
        self._counted(True)

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
        label, value = next((key, value) for key, value in request.labels().items() if key.endswith("policy-name"))
        held, at = self._of_policy.get(value, (0, float("-inf")))
        if now - at > COUNT_EVERY:
            listed = await self._list({"limit": str(threshold), "labelSelector": f"{label}={value}"})
            held, at = len(listed.get("items") or ()), now
        self._of_policy[value] = held + 1, at
        return held >= threshold

    async def _list(self, params: Mapping[str, str]) -> Object:
        listed: Object = await self._client.call("GET", self._path, params=params, accept=METADATA_ONLY, timeout=10)
        return listed
