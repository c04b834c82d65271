"""GlobalContextEntries: data that is kept ready for all policies, each operator for itself (features 2.14)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

from controllers.cluster.client import FAILURES, Client
from controllers.cluster.context_entry import Call, ContextEntry, State
from controllers.cluster.events import Event, Events, Reference
from controllers.cluster.lease import now_utc
from controllers.cluster.watch import Event as WatchEvent
from controllers.cluster.watch import Listed, Target, follow
from engine import Held, LookupFailed

Object = dict[str, Any]
ENTRIES = "/apis/kyverno.io/v2/globalcontextentries"
PATIENCE = 5.0
"""Seconds a question waits for an entry that has only just been made."""
SOURCE = "globalcontext-controller"
STATUS_EVERY = 10.0
"""Seconds between two writes of a status of which only `lastRefreshTime` is another, and between looks who leads."""
logger = logging.getLogger("pyvern.globalcontext")


class _Kept(NamedTuple):
    entry: ContextEntry
    tasks: list[asyncio.Task[None]]
    """The one that keeps its data, if it is kept."""


class GlobalContext:
    """Follows the entries and what they are about.

    `call` answers their API and service calls. `limit` entries are kept at most, 0: all. With `leading` their data is kept from
    the start, and while it says so their statuses are written; without it, it is kept from the first question for it.
    """

    def __init__(
        self,
        client: Client,
        *,
        call: Call,
        events: Events,
        limit: int = 0,
        leading: Callable[[], bool] | None = None,
    ) -> None:
        self._client = client
        self._call = call
        self._events = events
        self._limit = limit
        self._leading = leading
        self._kept: dict[str, _Kept] = {}
        self._left_out: dict[str, Object] = {}
        self._written: dict[str, Object] = {}
        self._due = asyncio.Event()
        self.synced = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled; then nothing is followed any more."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(follow(self._client, Target(ENTRIES), self.handle))
                group.create_task(self._keep_statuses())
        finally:
            self._drop(tuple(self._kept))

    async def settled(self, patience: float) -> None:
        """Waits until all entries are known and their data was had or refused, at most `patience` seconds."""
        try:
            async with asyncio.timeout(patience):
                await self.synced.wait()
                for kept in [kept for kept in self._kept.values() if kept.tasks]:
                    await kept.entry.tried.wait()
        except TimeoutError:
            waiting = ", ".join(name for name, kept in self._kept.items() if kept.tasks and not kept.entry.tried.is_set())
            logger.warning("started without the data of global context entries %s", waiting or "(their list is not known)")

    def ready(self, key: str) -> Held | None:
        """The data behind `entry` or `entry.projection` if there is some."""
        found = self._find(key)
        value = found[0].value(found[1]) if found is not None else None
        return value if isinstance(value, Held) else None

    async def answer(self, key: str) -> Held:
        """As `ready`; an entry that was just made is waited for. Raises `LookupFailed`."""
        found = self._find(key)
        if found is None:
            raise LookupFailed(None, f"failed to fetch entry key={key}: there is no such GlobalContextEntry")
        entry, projection = found
        self._keep(self._kept[entry.name])
        try:
            async with asyncio.timeout(PATIENCE):
                await entry.tried.wait()
        except TimeoutError:
            logger.debug("entry %s is still not loaded", entry.name)
        value = entry.value(projection)
        if isinstance(value, LookupFailed):
            raise value
        return value

    def _find(self, key: str) -> tuple[ContextEntry, str] | None:
        """The entry and the projection: names of entries may hold dots, and so may those of projections."""
        kept = self._kept.get(key)
        if kept is not None:
            return kept.entry, ""
        for at, char in enumerate(key):
            if char == "." and (kept := self._kept.get(key[:at])) is not None:
                return kept.entry, key[at + 1 :]
        return None

    def _is_kept(self, entry: ContextEntry) -> bool:
        kept = self._kept.get(entry.name)
        return kept is not None and kept.entry is entry

    # The entries

    def handle(self, event: WatchEvent) -> None:
        """Takes a list or a change of the entries."""
        if isinstance(event, Listed):
            names = {document["metadata"]["name"] for document in event.objects}
            self._drop([name for name in (*self._kept, *self._left_out) if name not in names])
            for document in event.objects:
                self._put(document)
            self.synced.set()
        elif event.type == "DELETED":
            self._drop([event.object["metadata"]["name"]])
        else:
            self._put(event.object)
        while self._left_out and len(self._kept) < self._limit:
            self._put(self._left_out.pop(next(iter(self._left_out))))
        self._due.set()

    def _put(self, document: Object) -> None:
        name = document["metadata"]["name"]
        kept = self._kept.get(name)
        if kept is not None and kept.entry.document.get("spec") == document.get("spec"):
            kept.entry.document = document
            return
        if kept is None and self._limit and len(self._kept) >= self._limit:
            if name not in self._left_out:
                logger.error("entry %s is left out: there may be %d (maxGlobalContextEntries)", name, self._limit)
            self._left_out[name] = document
            return
        asked = kept is not None and bool(kept.tasks)
        self._drop([name])
        self._kept[name] = _Kept(ContextEntry(document, client=self._client, call=self._call, changed=self._changed), [])
        if self._leading is not None or asked:
            self._keep(self._kept[name])

    def _keep(self, kept: _Kept) -> None:
        if not kept.tasks:
            task = asyncio.create_task(kept.entry.run(), name=f"entry {kept.entry.name}")
            task.add_done_callback(partial(_ended, kept.entry))
            kept.tasks.append(task)

    def _drop(self, names: Iterable[str]) -> None:
        for name in names:
            self._left_out.pop(name, None)
            kept = self._kept.pop(name, None)
            for task in kept.tasks if kept is not None else ():
                task.cancel()
            self._written.pop(name, None)

    def _changed(self, entry: ContextEntry, before: State) -> None:
        """Where statuses are written the leader tells of failures, once for all replicas."""
        if self._leading is None and not entry.state.ready and entry.state.message != before.message:
            self._tell(entry)
        self._due.set()

    def _tell(self, entry: ContextEntry) -> None:
        why = "FailedToList" if "kubernetesResource" in (entry.document.get("spec") or {}) else "FailedToCallAPI"
        self._events.put(Event("Warning", why, "Retrying", _reference(entry.document), entry.state.message, source=SOURCE))

    # Their statuses

    async def _keep_statuses(self) -> None:
        while True:
            self._due.clear()
            if self._leading is not None and self._leading():
                for kept in tuple(self._kept.values()):
                    await self._write(kept.entry)
            else:
                self._written.clear()  # what another leader writes comes by the watch
            try:
                async with asyncio.timeout(STATUS_EVERY):
                    await self._due.wait()
            except TimeoutError:
                continue

    async def _write(self, entry: ContextEntry) -> None:
        held = self._written.get(entry.name) or entry.document.get("status") or {}
        wanted = status(entry.state, held, now_utc())
        if wanted is None or wanted == held:
            return
        try:
            await self._client.merge(f"{ENTRIES}/{entry.name}/status", {"status": wanted})
        except FAILURES as error:
            logger.debug("status of entry %s: %s", entry.name, error)
        else:
            if self._is_kept(entry):  # trap: meanwhile another may have been made under its name, without a status
                self._written[entry.name] = wanted
            if not wanted["ready"] and _message(held) != _message(wanted):
                self._tell(entry)


def status(state: State, held: Object, now: datetime) -> Object | None:
    """What the entry's status should be, where it is `held`; None while nothing is known. A new refresh alone may wait."""
    if state.ready is None:
        return None
    before: Object = next((one for one in held.get("conditions") or () if one.get("type") == "Ready"), {})
    condition = {
        "type": "Ready",
        "status": "True" if state.ready else "False",
        "reason": "Succeeded" if state.ready else "Failed",
        "message": state.message,
    }
    same = before.get("status") == condition["status"]
    condition["lastTransitionTime"] = (same and before.get("lastTransitionTime")) or _time(now)
    wanted: Object = {"ready": state.ready, "conditions": [condition]}
    last = held.get("lastRefreshTime")
    if state.refreshed:
        refreshed = datetime.fromtimestamp(state.refreshed, UTC)
        unchanged = before == condition and held.get("ready") == state.ready
        soon = last and unchanged and (refreshed - datetime.fromisoformat(last)).total_seconds() < STATUS_EVERY
        last = last if soon else _time(refreshed)
    if last:
        wanted["lastRefreshTime"] = last
    return wanted


def _message(status: Object) -> str:
    return next((str(one.get("message")) for one in status.get("conditions") or () if one.get("type") == "Ready"), "")


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _reference(document: Object) -> Reference:
    metadata = document["metadata"]
    return Reference("kyverno.io/v2", "GlobalContextEntry", metadata["name"], uid=metadata.get("uid") or "")


def _ended(entry: ContextEntry, task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("%s failed", task.get_name(), exc_info=error)
        entry.broke(error)
