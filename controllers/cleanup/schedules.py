"""Runs cleanup policies when they are due (spec 4.4). Time is the clock on the wall, in UTC."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from controllers.cleanup.plan import API, Plan, Planned
from controllers.cleanup.sweep import Swept
from controllers.cluster import moments
from controllers.cluster.client import FAILURES, ApiError, Client, Unreachable
from controllers.cluster.watch import Event, Target, backoff, follow
from engine import Policy

PLURALS = ("clustercleanuppolicies", "cleanuppolicies")
NAP = 30.0
"""Longest sleep: after a jump of the clock nothing is later than this."""
ATTEMPTS = 6
"""Tries of a run in which something failed; then it has to wait for its next time. A silent API server does not count."""
PATIENCE = 60.0
logger = logging.getLogger("pyvern.cleanup")


class Schedules:
    """Follows the cleanup policies and runs `sweep` when one is due; `workers` at the same time."""

    def __init__(self, client: Client, sweep: Callable[[Policy], Awaitable[Swept]], *, workers: int = 3) -> None:
        self._client = client
        self._sweep = sweep
        self._slots = asyncio.Semaphore(workers)
        self._changed = asyncio.Event()
        self.plan = Plan()

    async def run(self) -> None:
        """Works until cancelled; runs that have begun are cancelled with it."""
        self.plan.clear()
        async with asyncio.TaskGroup() as group:
            for plural in PLURALS:
                group.create_task(follow(self._client, Target(f"{API}/{plural}"), self._handler(plural)))
            while True:
                for planned in self.plan.due(time.time_ns()):
                    planned.running = True
                    group.create_task(self._once(planned))
                self._changed.clear()
                due = self.plan.next()
                rest = NAP if due is None else min(NAP, max(0.0, (due - time.time_ns()) / moments.SECOND))
                try:
                    async with asyncio.timeout(rest):
                        await self._changed.wait()
                except TimeoutError:
                    pass

    def _handler(self, plural: str) -> Callable[[Event], None]:
        def handle(event: Event) -> None:
            self.plan.take(plural, event, time.time_ns())
            self._changed.set()

        return handle

    async def _once(self, planned: Planned) -> None:
        async with self._slots:
            started = time.time_ns()
            if not self.plan.current(planned):
                return
            try:
                swept = await self._sweep(planned.policy)
            except Unreachable as error:
                logger.warning("%s: %s", planned.policy.identity.key, error)
                again = True
                planned.attempt = min(planned.attempt, ATTEMPTS - 2)
            else:
                again = swept.again
                logger.info("%s: %d objects deleted, %d failures", planned.policy.identity.key, swept.deleted, swept.failed)
        planned.running = False
        planned.attempt += 1
        self._changed.set()
        if again and planned.attempt < ATTEMPTS:
            wait = backoff(planned.attempt + 3, ceiling=PATIENCE)
            self.plan.put_off(planned, time.time_ns() + int(wait * moments.SECOND))
            return
        planned.attempt = 0
        planned.last = started
        self.plan.count(planned, time.time_ns())
        await self._record(planned)

    async def _record(self, planned: Planned) -> None:
        """status.lastExecutionTime: what a next leader counts from."""
        try:
            await self._client.merge(f"{planned.path}/status", {"status": {"lastExecutionTime": moments.show(planned.last)}})
        except FAILURES as error:
            if not (isinstance(error, ApiError) and error.not_found):
                logger.warning("%s: status not written: %s", planned.policy.identity.key, error)
