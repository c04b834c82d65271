"""Answers that several UpdateRequests share: a burst of triggers copies one source, and it is read once, not a thousand times."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from controllers.cluster.facts import Learns
from engine import NO_FACTS, Facts, Lookup, LookupFailed

LONGEST = 2.0
"""Seconds for which an answer is kept at most."""
KEPT = 64
SHARED = frozenset({"resource", "configMap"})
"""Sources that are read without side effects. API calls are not shared: they may count what earlier requests made."""


@dataclass(slots=True)
class _Asked:
    """A lookup under way or done. `at`: when it was sent."""

    at: float
    answer: asyncio.Future[Any]


class Answers:
    """What the world said lately.

    INVARIANT (as if read now): an answer is given only to a request that was known before the answer was asked for. What it sees
    is then how things were at some moment between its arrival and its end, as if it had asked itself.
    """

    def __init__(self, world: Learns) -> None:
        self._world = world
        self._asked: OrderedDict[Lookup, _Asked] = OrderedDict()

    def since(self, known: float) -> Learns:
        """The world for a request that is known since then (monotonic seconds)."""
        return _Since(self, known)

    def forget(self) -> None:
        """Something that may have been read has changed."""
        self._asked.clear()

    async def ask(self, lookup: Lookup, known: float) -> Any:
        """The answer; a failure is an answer too, which nobody else gets."""
        oldest = max(known, time.monotonic() - LONGEST)
        held = self._asked.get(lookup)
        if held is None or held.at < oldest:
            held = _Asked(time.monotonic(), asyncio.ensure_future(self._one(lookup)))
            self._asked[lookup] = held
            self._asked.move_to_end(lookup)
            if len(self._asked) > KEPT:
                self._asked.popitem(last=False)
        answer = await asyncio.shield(held.answer)
        if isinstance(answer, LookupFailed) and self._asked.get(lookup) is held:
            del self._asked[lookup]
        return answer

    def facts(self) -> Facts:
        """What is known before anything was asked."""
        return self._world.facts()

    async def rest(self, facts: Facts, lookups: Iterable[Lookup]) -> Facts:
        """What is not shared."""
        return await self._world.learn(facts, lookups)

    async def _one(self, lookup: Lookup) -> Any:
        return (await self._world.learn(NO_FACTS, (lookup,))).answers[lookup]


class _Since:
    """The world as one request may see it."""

    def __init__(self, answers: Answers, known: float) -> None:
        self._answers = answers
        self._known = known

    def facts(self) -> Facts:
        return self._answers.facts()

    async def learn(self, facts: Facts, lookups: Iterable[Lookup]) -> Facts:
        asked = tuple(lookup for lookup in lookups if lookup not in facts.answers)
        shared = [lookup for lookup in asked if lookup.source in SHARED and lookup.method == "GET"]
        answers = await asyncio.gather(*(self._answers.ask(lookup, self._known) for lookup in shared))
        facts = facts.plus(dict(zip(shared, answers, strict=True)))
        others = [lookup for lookup in asked if lookup not in facts.answers]
        return await self._answers.rest(facts, others) if others else facts
