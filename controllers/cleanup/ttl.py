"""Deletes objects that say themselves how long they live: label `cleanup.kyverno.io/ttl` (spec 2.13, 4.4).

Each kind that our account may list, watch and delete is watched for the label; only metadata of labelled objects come here.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from controllers.cleanup import deletion
from controllers.cleanup.lives import LABEL, Kind, Labelled, Lives
from controllers.cluster import moments, permissions
from controllers.cluster.client import FAILURES, ApiError, Client
from controllers.cluster.discovery import Discovery, Resource
from controllers.cluster.metrics import Metrics
from controllers.cluster.watch import Event, Target, backoff, follow

NEEDED = ("delete", "list", "watch")
"""Verbs, the rarest right first: most questions then end after one."""
NAP = 30.0
"""Longest sleep: after a jump of the clock nothing is later than this."""
ASKING = 8
AT_ONCE = 16
logger = logging.getLogger("pyvern.ttl")


class TimeToLive:
    """Follows labelled objects and deletes them when their time has come."""

    def __init__(self, client: Client, *, discovery: Callable[[], Discovery], metrics: Metrics, interval: float) -> None:
        self._client = client
        self._discovery = discovery
        self._metrics = metrics
        self._interval = interval
        self._kinds_changed = asyncio.Event()
        self._planned = asyncio.Event()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._watches: dict[Kind, tuple[str, asyncio.Task[None]]] = {}
        self._lives = Lives()

    @property
    def followed(self) -> frozenset[Kind]:
        """The kinds that are watched for the label."""
        return frozenset(self._watches)

    def nudge(self) -> None:
        """Other kinds are served now."""
        self._kinds_changed.set()

    async def run(self) -> None:
        """Works until cancelled."""
        self._lives.clear()
        self._watches.clear()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_kinds(group))
            while True:
                for kind, labelled in self._lives.due(time.time_ns()):
                    group.create_task(self._delete(kind, labelled))
                self._planned.clear()
                due = self._lives.next()
                rest = NAP if due is None else min(NAP, max(0.0, (due - time.time_ns()) / moments.SECOND))
                try:
                    async with asyncio.timeout(rest):
                        await self._planned.wait()
                except TimeoutError:
                    pass

    def _handler(self, kind: Kind, resource: Resource) -> Callable[[Event], None]:
        def handle(event: Event) -> None:
            self._lives.take(kind, resource, event)
            self._planned.set()

        return handle

    async def _delete(self, kind: Kind, labelled: Labelled) -> None:
        resource = labelled.resource
        labels = (resource.group, resource.version, resource.plural, labelled.metadata.get("namespace") or "")
        async with self._slots:
            if not self._lives.current(kind, labelled):
                return
            try:
                deleted = await deletion.delete(self._client, resource, labelled.metadata, propagation=labelled.propagation)
            except FAILURES as error:
                # Of a conflict the watch brings the newer version, which replaces this one.
                if not (isinstance(error, ApiError) and error.conflict):
                    logger.warning("%s %s: %s", resource.kind, labelled.metadata["name"], error)
                    self._metrics.count("kyverno_ttl_controller_errors", labels)
                labelled.attempt += 1
                wait = backoff(labelled.attempt + 1, ceiling=NAP)
                self._lives.put_off(labelled, time.time_ns() + int(wait * moments.SECOND))
                self._planned.set()
                return
        self._lives.forget(kind, labelled)
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
        for kind, (version, watch) in tuple(self._watches.items()):
            # trap: a kind whose version is no longer served is still there, but neither watched nor deleted in the old one
            if kind not in wanted or wanted[kind].version != version:
                watch.cancel()
                del self._watches[kind]
                self._lives.forget(kind)
                logger.info("no longer looking for the label on %s %s", version, kind[1])
        for kind, resource in wanted.items():
            if kind not in self._watches:
                target = Target(deletion.collection(resource), label_selector=LABEL, metadata=True)
                watch = group.create_task(follow(self._client, target, self._handler(kind, resource)))
                self._watches[kind] = resource.version, watch
                logger.info("looking for the label on %s", resource.plural)
        rows: dict[tuple[str, ...], float] = {
            (kind[0], resource.version, resource.plural, ""): 1.0 for kind, resource in wanted.items()
        }
        self._metrics.gauge("kyverno_ttl_controller_info", rows)
