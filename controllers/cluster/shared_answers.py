"""Equal questions asked at the same time are one question to the world, and some answers hold for a moment longer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from yarl import URL

from controllers.cluster.outbound import shown
from engine import Lookup, LookupFailed

Ask = Callable[[Lookup], Awaitable[Any]]
Counted = Callable[[Lookup, str, float], None]
"""Told of every question: the lookup, what became of it (found, failed, joined, kept), seconds."""
MOMENT = 1.0
MAX_KEPT = 256
"""Answers that are kept at a time: a policy may ask for another URL with each request."""


class _Flight:
    """A question under way and how many wait for its answer."""

    __slots__ = ("task", "waiting")

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self.task = task
        self.waiting = 0


class SharedAnswers:
    """Answers of `ask`. GETs and LISTs under way are shared; those of the sources in `keep` hold for that many seconds.

    What the API server says is shared but never kept: a policy that lists what there is must see what the request before it
    made. Failures are never kept.
    """

    def __init__(self, ask: Ask, *, keep: Mapping[str, float], counted: Counted = lambda lookup, how, seconds: None) -> None:
        self._ask = ask
        self._keep = keep
        self._counted = counted
        self._flights: dict[Lookup, _Flight] = {}
        self._kept: dict[Lookup, Any] = {}

    async def answer(self, lookup: Lookup, *, until: float | None) -> Any:
        """The answer, or the `LookupFailed` that stands for it; `until` is the loop's time at which waiting ends.

        A question that nobody waits for any more is given up.
        """
        begun = time.monotonic()
        if lookup.method == "POST":
            flight, how = _Flight(asyncio.ensure_future(self._answered(lookup))), ""
        else:
            if lookup in self._kept:
                self._counted(lookup, "kept", 0.0)
                return self._kept[lookup]
            under_way = self._flights.get(lookup)
            flight, how = (under_way, "joined") if under_way is not None else (self._start(lookup), "")
        flight.waiting += 1
        try:
            remaining = None if until is None else max(0.0, until - asyncio.get_running_loop().time())
            done, _ = await asyncio.wait([flight.task], timeout=remaining)
            if done:
                answer = flight.task.result()
            else:
                waited = time.monotonic() - begun
                answer = LookupFailed(lookup, f"{_named(lookup)}: no answer within {waited:.2g} s, the time that was left")
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                self._flights.pop(lookup, None)
                flight.task.cancel()
        self._counted(lookup, how or ("failed" if isinstance(answer, LookupFailed) else "found"), time.monotonic() - begun)
        return answer

    def _start(self, lookup: Lookup) -> _Flight:
        flight = self._flights[lookup] = _Flight(asyncio.ensure_future(self._answered(lookup)))
        flight.task.add_done_callback(lambda task: self._landed(lookup, flight))
        return flight

    def _landed(self, lookup: Lookup, flight: _Flight) -> None:
        if self._flights.get(lookup) is flight:
            del self._flights[lookup]
        moment = self._keep.get(lookup.source, 0.0)
        if moment <= 0 or flight.task.cancelled() or flight.task.exception() is not None:
            return
        answer = flight.task.result()
        if isinstance(answer, LookupFailed):
            return
        if len(self._kept) < MAX_KEPT:
            self._kept[lookup] = answer
            asyncio.get_running_loop().call_later(moment, self._kept.pop, lookup, None)

    async def _answered(self, lookup: Lookup) -> Any:
        return await self._ask(lookup)


def _named(lookup: Lookup) -> str:
    """What was asked, for messages: URLs without what may be secret in them."""
    return f"{lookup.method} {shown(URL(lookup.key))}" if lookup.source == "service" else str(lookup)
