"""What a process keeps in memory for policies, up to date by itself: lists of API calls and GlobalContextEntries."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping

from controllers.cluster.global_context import GlobalContext
from controllers.cluster.list_paths import ListPaths
from engine import Held, Lookup, Policy


class Memory:
    """Both stores as one: who asks does not care which of them knows."""

    def __init__(self, lists: ListPaths, entries: GlobalContext) -> None:
        self.lists = lists
        self.entries = entries

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.lists.run())
            group.create_task(self.entries.run())

    def want(self, policies: Iterable[Policy]) -> None:
        """These are the policies in force from now on."""
        self.lists.want(policies)

    def ready(self, lookup: Lookup) -> Held | None:
        """The answer, if it is in memory now."""
        ready = READY.get(lookup.source)
        return ready(self, lookup) if ready is not None else None

    async def answer(self, lookup: Lookup) -> Held | None:
        """The answer, None where it has to be fetched. Raises `LookupFailed`."""
        answer = ANSWERS.get(lookup.source)
        return await answer(self, lookup) if answer is not None else None

    def _list_now(self, lookup: Lookup) -> Held | None:
        return self.lists.ready(lookup.key) if lookup.method == "GET" else None

    async def _list(self, lookup: Lookup) -> Held | None:
        return await self.lists.answer(lookup.key) if lookup.method == "GET" else None

    def _entry_now(self, lookup: Lookup) -> Held | None:
        return self.entries.ready(lookup.key)

    async def _entry(self, lookup: Lookup) -> Held | None:
        return await self.entries.answer(lookup.key)


READY: Mapping[str, Callable[[Memory, Lookup], Held | None]] = {
    "apiCall": Memory._list_now,
    "globalReference": Memory._entry_now,
}
ANSWERS: Mapping[str, Callable[[Memory, Lookup], Awaitable[Held | None]]] = {
    "apiCall": Memory._list,
    "globalReference": Memory._entry,
}
