"""Which objects there are: a paged list and a watch for each resource that background policies match (spec 4.3).

Of an object only its uid and a hash of its content stay in memory. Bodies are inspected while they pass by: on the page of a
list, in the event of a watch; nobody waits for all of them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping, Sequence

from controllers.cluster.client import FAILURES, ApiError, Client, segment
from controllers.cluster.discovery import Resource
from controllers.cluster.ephemeral_reports import content_hash
from controllers.cluster.watch import Changed, Page, PagedEvent, Target, backoff, follow_pages, pages
from controllers.reports.reach import Key
from engine import Object

SETTLE = 0.2
"""Seconds to wait for more of the same: `kubectl apply -f folder` changes many policies at once."""
PAGE = 250
logger = logging.getLogger("pyvern.inventory")
Inspect = Callable[[Resource, Object, bool], Awaitable[None]]
"""Looks at an object that is new or has changed; the last argument: it is looked at again although it did not change."""


class Collection:
    """What is known of one resource. `error` says why it cannot be read at the moment; `scanned` when all was last looked at, on
    the monotonic clock, 0 before that.
    """

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self.hashes: dict[str, bytes] = {}
        self.listed = asyncio.Event()
        self.error = ""
        self.scanned = 0.0
        self.due = asyncio.Event()
        self.namespaces: set[str] | None = set()
        """Namespaces to sweep; None: all."""
        self.touched: set[str] | None = None
        """Uids that were inspected or went during a sweep, whose pages may be older."""

    @property
    def path(self) -> str:
        resource = self.resource
        return f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"

    def target(self, namespace: str = "") -> Target:
        within = f"/namespaces/{namespace}" if namespace else ""
        return Target(f"{self.path}{within}/{self.resource.plural}")

    def object_path(self, name: str, namespace: str) -> str:
        return f"{self.target(namespace).path}/{segment(name)}"

    def sweep(self, namespace: str = "") -> None:
        """All objects, or those of one namespace, shall be looked at again."""
        if not namespace:
            self.namespaces = None
        elif self.namespaces is not None:
            self.namespaces.add(namespace)
        self.due.set()


class Inventory:
    """Follows the wanted resources. A resource that cannot be read is tried again for ever and stops no other.

    `workers` objects are inspected at a time, of all resources together. `changed` hears the uid of an object that says something
    else than before; `failed` hears of faults of this program.
    """

    def __init__(
        self,
        client: Client,
        inspect: Inspect,
        *,
        workers: int = 1,
        mine: Callable[[str], bool] = lambda uid: True,
        changed: Callable[[str], None] = lambda uid: None,
        failed: Callable[[BaseException], None] = lambda error: None,
    ) -> None:
        self._client = client
        self._inspect = inspect
        self._slots = asyncio.Semaphore(workers)
        self._looking: dict[str, tuple[asyncio.Event, str]] = {}
        """Objects that are being inspected, in which version."""
        self._workers = workers
        self._mine = mine
        self._object_changed = changed
        self._failed = failed
        self._running: dict[Key, tuple[Collection, asyncio.Task[None]]] = {}

    @property
    def collections(self) -> Mapping[Key, Collection]:
        return {key: collection for key, (collection, _) in self._running.items()}

    def want(self, resources: Mapping[Key, Resource]) -> None:
        """These resources from now on; a version that changed starts over."""
        for key, (collection, task) in list(self._running.items()):
            if resources.get(key) != collection.resource:
                task.cancel()
                del self._running[key]
        for key, resource in resources.items():
            if key not in self._running:
                collection = Collection(resource)
                task = asyncio.create_task(self._run(collection), name=f"inventory {resource.plural}")
                task.add_done_callback(self._ended)
                self._running[key] = (collection, task)

    def find(self, group: str, kind: str) -> Collection | None:
        """The collection that holds objects of a kind."""
        for collection, _ in self._running.values():
            if collection.resource.group == group and collection.resource.kind == kind:
                return collection
        return None

    def holds(self, uid: str) -> bool:
        """Is there an object of that uid among those that are followed?"""
        return any(uid in collection.hashes for collection, _ in self._running.values())

    def sweep(self, keys: Iterable[Key] | None = None, *, namespace: str = "") -> None:
        """Look again at all objects of these resources (None: of all)."""
        for key, (collection, _) in self._running.items():
            if (keys is None or key in keys) and not (namespace and not collection.resource.namespaced):
                collection.sweep(namespace)

    async def revisit(self, group: str, kind: str, name: str, namespace: str) -> None:
        """Look again at one object; one that is gone, or of another resource, needs no look."""
        collection = self.find(group, kind)
        if collection is None:
            return
        try:
            document = await self._client.get(collection.object_path(name, namespace))
        except FAILURES as error:
            logger.debug("%s %s/%s: %s", kind, namespace, name, error)
            return
        await self._look(collection, document, again=True)

    async def stop(self) -> None:
        """Ends all watches."""
        tasks = [task for _, task in self._running.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("%s failed", task.get_name(), exc_info=error)
            self._failed(error)

    async def _run(self, collection: Collection) -> None:
        seen: set[str] = set()

        async def handle(event: PagedEvent) -> None:
            if isinstance(event, Changed):
                await self._changed(collection, event)
            else:
                await self._page(collection, event, seen)

        def failing(error: Exception) -> None:
            collection.error = error.reason or str(error.status) if isinstance(error, ApiError) else "Unreachable"

        def healed() -> None:
            collection.error = ""

        async with asyncio.TaskGroup() as group:
            group.create_task(follow_pages(self._client, collection.target(), handle, failing=failing, healed=healed))
            group.create_task(self._sweep_for_ever(collection))

    async def _page(self, collection: Collection, page: Page, seen: set[str]) -> None:
        if page.first:
            seen.clear()
        first_list = not collection.listed.is_set()
        seen.update(document["metadata"]["uid"] for document in page.objects)
        await self._look_at_all(collection, page.objects, again=first_list)
        collection.error = ""
        if page.last:
            for uid in [uid for uid in collection.hashes if uid not in seen]:
                del collection.hashes[uid]
            seen.clear()
            if first_list:
                collection.scanned = time.monotonic()
            collection.listed.set()

    async def _changed(self, collection: Collection, event: Changed) -> None:
        collection.error = ""
        if event.type == "DELETED":
            uid = event.object["metadata"]["uid"]
            collection.hashes.pop(uid, None)
            _note(collection, uid)
        else:
            await self._look(collection, event.object, again=False)

    async def _look_at_all(
        self, collection: Collection, documents: Sequence[Object], *, again: bool, newer: Container[str] = ()
    ) -> None:
        """As many at a time as there are workers: some policies ask the network about each object."""
        rest = iter(documents)

        async def work() -> None:
            for document in rest:
                await self._look(collection, document, again=again, newer=newer)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._workers, len(documents))):
                group.create_task(work())

    async def _look(self, collection: Collection, document: Object, *, again: bool, newer: Container[str] = ()) -> None:
        """`newer`: uids of which a newer body has been seen; it was judged by the policies of now as well."""
        uid = document["metadata"]["uid"]
        version = document["metadata"].get("resourceVersion") or ""
        while (busy := self._looking.get(uid)) is not None:  # two bodies of one object are judged one after the other
            done, judged = busy
            await done.wait()
            if version.isdigit() and judged.isdigit() and int(version) < int(judged):
                return
        if uid in newer:
            return
        if not self._mine(uid):
            collection.hashes.pop(uid, None)
            return
        digest = bytes.fromhex(content_hash(document))
        before = collection.hashes.get(uid)
        if again or before != digest:
            collection.hashes[uid] = digest
            if not again:
                _note(collection, uid)
            if before is not None and before != digest:
                self._object_changed(uid)
            done = asyncio.Event()
            self._looking[uid] = done, version
            try:
                async with self._slots:
                    await self._inspect(collection.resource, document, again)
            finally:
                del self._looking[uid]
                done.set()
            await asyncio.sleep(0)

    async def _sweep_for_ever(self, collection: Collection) -> None:
        await collection.listed.wait()
        attempt = 0
        while True:
            await collection.due.wait()
            await asyncio.sleep(SETTLE)
            collection.due.clear()
            namespaces, collection.namespaces = collection.namespaces, set()
            collection.touched = set()
            try:
                for namespace in sorted(namespaces) if namespaces is not None else [""]:
                    await self._sweep(collection, collection.target(namespace), collection.touched)
                attempt = 0
                if namespaces is None:
                    collection.scanned = time.monotonic()
            except FAILURES as error:
                attempt += 1
                logger.warning("scan of %s: %s (try %d)", collection.resource.plural, error, attempt)
                for namespace in namespaces if namespaces is not None else [""]:
                    collection.sweep(namespace)
                await asyncio.sleep(backoff(attempt))
            finally:
                collection.touched = None

    async def _sweep(self, collection: Collection, target: Target, touched: set[str]) -> None:
        async for page, _ in pages(self._client, target, size=PAGE):
            # INVARIANT (newest wins): the watch may have shown a newer body than this page has; it was judged by the
            # policies of now, because they changed before the list began. What it showed without new content was not judged.
            await self._look_at_all(collection, page.objects, again=True, newer=touched)


def _note(collection: Collection, uid: str) -> None:
    if collection.touched is not None:
        collection.touched.add(uid)
