"""Objects that say themselves how long they live: label `cleanup.kyverno.io/ttl` (spec 2.13, 4.4).

Each kind that our account may list, watch and delete is watched for the label; only metadata of labelled objects come here.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from controllers.cleanup import deletion
from controllers.cluster import moments, permissions
from controllers.cluster.client import FAILURES, ApiError, Client
from controllers.cluster.discovery import Discovery, Resource
from controllers.cluster.metrics import Metrics
from controllers.cluster.watch import Event, Listed, Target, backoff, follow
from engine import ttl_due

Object = dict[str, Any]
Kind = tuple[str, str]
"""(group, plural)."""
LABEL = "cleanup.kyverno.io/ttl"
PROPAGATION = "cleanup.kyverno.io/propagation-policy"
NEEDED = ("delete", "list", "watch")
"""Verbs, the rarest right first: most questions then end after one."""
NAP = 30.0
"""Longest sleep: after a jump of the clock nothing is later than this."""
ASKING = 8
AT_ONCE = 16
logger = logging.getLogger("pyvern.ttl")


@dataclass(slots=True)
class Labelled:
    """An object that will be deleted at `due` (Unix nanoseconds)."""

    resource: Resource
    metadata: Object
    due: int
    propagation: str
    attempt: int = 0


class TimeToLive:
    """Follows labelled objects and deletes them when their time has come."""

    def __init__(
        self,
        client: Client,
        *,
        discovery: Callable[[], Discovery],
        metrics: Metrics,
        interval: float,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._client = client
        self._discovery = discovery
        self._metrics = metrics
        self._interval = interval
        self._clock = clock
        self._kinds_changed = asyncio.Event()
        self._planned = asyncio.Event()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._heap: list[tuple[int, int, str]] = []
        self._serial = itertools.count()
        self._watches: dict[Kind, asyncio.Task[None]] = {}
        self.objects: dict[Kind, dict[str, Labelled]] = {}
        """kind -> uid -> object."""

    def nudge(self) -> None:
        """Other kinds are served now."""
        self._kinds_changed.set()

    async def run(self) -> None:
        """Works until cancelled."""
        self.objects.clear()
        self._heap.clear()
        self._watches.clear()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_kinds(group))
            while True:
                for kind, labelled in self.due():
                    group.create_task(self._delete(kind, labelled))
                self._planned.clear()
                try:
                    async with asyncio.timeout(self._rest()):
                        await self._planned.wait()
                except TimeoutError:
                    pass

    def due(self) -> list[tuple[Kind, Labelled]]:
        """Takes out what is to be deleted now."""
        now = self._clock()
        found = []
        while self._heap and self._heap[0][0] <= now:
            due, _, uid = heapq.heappop(self._heap)
            for kind, objects in self.objects.items():
                labelled = objects.get(uid)
                if labelled is not None and labelled.due == due:
                    found.append((kind, labelled))
        return found

    def handler(self, kind: Kind, resource: Resource) -> Callable[[Event], None]:
        """Takes the events of one kind."""

        def handle(event: Event) -> None:
            objects = self.objects.setdefault(kind, {})
            if isinstance(event, Listed):
                found = {item["metadata"]["uid"] for item in event.objects}
                for uid in [uid for uid in objects if uid not in found]:
                    del objects[uid]
                for item in event.objects:
                    self._put(objects, resource, item["metadata"])
            elif event.type == "DELETED":
                objects.pop(event.object["metadata"]["uid"], None)
            else:
                self._put(objects, resource, event.object["metadata"])

        return handle

    def _put(self, objects: dict[str, Labelled], resource: Resource, metadata: Object) -> None:
        value = (metadata.get("labels") or {}).get(LABEL) or ""
        due = ttl_due(value, moments.parse(metadata["creationTimestamp"]) or 0)
        if due is None or metadata.get("deletionTimestamp") is not None:
            objects.pop(metadata["uid"], None)
            if due is None:
                name = f"{resource.kind} {metadata.get('namespace') or ''}/{metadata['name']}"
                logger.info("%s: label %s: `%s` is no time to live; ignored", name, LABEL, value)
            return
        wish = (metadata.get("annotations") or {}).get(PROPAGATION) or ""
        kept: Object = {name: metadata[name] for name in ("name", "namespace", "uid", "resourceVersion") if name in metadata}
        propagation = wish if wish in deletion.PROPAGATIONS else ""
        before = objects.get(metadata["uid"])
        if before is not None and before.due == due:  # it stays in the heap once, however often it changes
            before.metadata, before.propagation = kept, propagation
            return
        labelled = objects[metadata["uid"]] = Labelled(resource, kept, due, propagation)
        self._push(labelled)

    def _push(self, labelled: Labelled) -> None:
        heapq.heappush(self._heap, (labelled.due, next(self._serial), labelled.metadata["uid"]))
        self._planned.set()

    def _rest(self) -> float:
        if not self._heap:
            return NAP
        return min(NAP, max(0.0, (self._heap[0][0] - self._clock()) / moments.SECOND))

    async def _delete(self, kind: Kind, labelled: Labelled) -> None:
        resource = labelled.resource
        labels = (resource.group, resource.version, resource.plural, labelled.metadata.get("namespace") or "")
        async with self._slots:
            if self.objects.get(kind, {}).get(labelled.metadata["uid"]) is not labelled:
                return
            try:
                deleted = await deletion.delete(self._client, resource, labelled.metadata, propagation=labelled.propagation)
            except FAILURES as error:
                # Of a conflict the watch brings the newer version, which replaces this one.
                if not (isinstance(error, ApiError) and error.conflict):
                    logger.warning("%s %s: %s", resource.kind, labelled.metadata["name"], error)
                    self._metrics.count("kyverno_ttl_controller_errors", labels)
                labelled.attempt += 1
                labelled.due = self._clock() + int(backoff(labelled.attempt + 1, ceiling=NAP) * moments.SECOND)
                self._push(labelled)
                return
        self.objects.get(kind, {}).pop(labelled.metadata["uid"], None)
        if deleted:
            logger.info("deleted %s %s/%s: its time was up", resource.kind, labels[3], labelled.metadata["name"])
            self._metrics.count("kyverno_ttl_controller_deletedobjects", labels)

    # Kinds

    async def _follow_kinds(self, group: asyncio.TaskGroup) -> None:
        """Rights come and go: they are asked for again and again."""
        while True:
            self._kinds_changed.clear()
            try:
                self._want(await self._allowed(), group)
            except FAILURES as error:
                logger.warning("rights could not be asked for: %s", error)
            try:
                async with asyncio.timeout(self._interval):
                    await self._kinds_changed.wait()
            except TimeoutError:
                pass

    async def _allowed(self) -> dict[Kind, Resource]:
        candidates: dict[Kind, Resource] = {}
        for resource in self._discovery().resources:
            if not resource.subresource and resource.verbs.issuperset(NEEDED):
                known = candidates.setdefault((resource.group, resource.plural), resource)
                if resource.preferred and not known.preferred:
                    candidates[resource.group, resource.plural] = resource
        asking = asyncio.Semaphore(ASKING)

        async def lacks(resource: Resource) -> bool:
            async with asking:
                for verb in NEEDED:
                    if not await permissions.may(self._client, verb, resource):
                        return True
            return False

        lacking = await asyncio.gather(*(lacks(resource) for resource in candidates.values()))
        return {kind: resource for (kind, resource), lack in zip(candidates.items(), lacking, strict=True) if not lack}

    def _want(self, wanted: dict[Kind, Resource], group: asyncio.TaskGroup) -> None:
        for kind in [kind for kind in self._watches if kind not in wanted]:
            self._watches.pop(kind).cancel()
            self.objects.pop(kind, None)
            logger.info("no longer looking for the label on %s", kind[1])
        for kind, resource in wanted.items():
            if kind not in self._watches:
                target = Target(deletion.collection(resource), label_selector=LABEL, metadata=True)
                self._watches[kind] = group.create_task(follow(self._client, target, self.handler(kind, resource)))
                logger.info("looking for the label on %s", resource.plural)
        rows: dict[tuple[str, ...], float] = {
            (kind[0], resource.version, resource.plural, ""): 1.0 for kind, resource in wanted.items()
        }
        self._metrics.gauge("kyverno_ttl_controller_info", rows)
