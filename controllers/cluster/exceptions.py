"""The exceptions in force: PolicyExceptions of one namespace or of all, compiled, until they expire (spec 2.12, decision 15)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from controllers.cluster.client import Client
from controllers.cluster.events import Event as Told
from controllers.cluster.events import Reference
from controllers.cluster.metrics import Metrics
from controllers.cluster.watch import Event, Listed, Target, follow
from engine import InvalidPolicy, PolicyException, Result, compile_exception

Object = dict[str, Any]
Key = tuple[str, str]
EVERYWHERE = "*"
SECOND = 1_000_000_000
NAP = 30.0
"""Longest sleep: after a jump of the clock no exception ends later than this."""
NEWS = 3600 * SECOND
"""An end that lies further back is no news: the API server keeps events for an hour, so that nobody knows whether it was told."""
logger = logging.getLogger("pyvern.exceptions")


class Standing(NamedTuple):
    """Exceptions at one moment: those in force, those that are over, and when (Unix nanoseconds) the next one will be."""

    in_force: tuple[PolicyException, ...]
    over: tuple[PolicyException, ...]
    next: int | None


def standing(exceptions: Iterable[PolicyException], now: int) -> Standing:
    """What counts at `now` (Unix nanoseconds)."""
    in_force: list[PolicyException] = []
    over: list[PolicyException] = []
    for exception in exceptions:
        (over if exception.expired(now) else in_force).append(exception)
    ends = (exception.expires for exception in in_force if exception.expires is not None)
    return Standing(tuple(in_force), tuple(over), min(ends, default=None))


def expiry_event(exception: PolicyException) -> Told:
    """What tells of the end of an exception: one event for each end, whoever writes it and how often."""
    regarding = Reference.of_policy(exception.identity)
    note = (
        f"the exception has expired and no longer exempts anything from {', '.join(ref.policy for ref in exception.references)}"
    )
    return Told("Warning", "ExceptionExpired", "None", regarding, note, key=f"{regarding.uid} {exception.expires}")


def count_hits(metrics: Metrics, results: Iterable[Result], cause: str) -> None:
    """Counts each exception that skipped a rule or took something out of its checks."""
    for result in results:
        for identity in result.exceptions:
            labels = (identity.namespace, identity.name, result.rule.policy.key, result.rule.name, cause)
            metrics.count("pyvern_exception_hits", labels)


class Exceptions:
    """Follows the PolicyExceptions that count. `changed` is called with all of them after every change, and when one expires.

    `namespace` is the setting of that name: `*` for all, empty for none. One that does not compile exempts nothing. `expired`
    hears of each that ends while it is followed, or ended within the last hour.
    """

    def __init__(
        self,
        namespace: str,
        changed: Callable[[tuple[PolicyException, ...]], None],
        *,
        expired: Callable[[PolicyException], None] = lambda _: None,
    ) -> None:
        self._namespace = namespace
        self._changed = changed
        self._expired = expired
        self._compiled: dict[Key, PolicyException] = {}
        self._told: set[tuple[str, int | None]] = set()
        self._next: int | None = None
        self._wake = asyncio.Event()
        self.synced = asyncio.Event()
        if not namespace:
            self.synced.set()

    async def run(self, client: Client) -> None:
        """Watches until cancelled; without a namespace there is nothing to watch."""
        if not self._namespace:
            return
        within = "" if self._namespace == EVERYWHERE else f"/namespaces/{self._namespace}"
        target = Target(f"/apis/kyverno.io/v2{within}/policyexceptions")
        async with asyncio.TaskGroup() as group:
            group.create_task(follow(client, target, self.handle))
            group.create_task(self._end())

    def handle(self, event: Event) -> None:
        """Takes a list or a change of the collection."""
        if isinstance(event, Listed):
            self._compiled = {}
            self._put(event.objects)
            self.synced.set()
        elif event.type == "DELETED":
            self._compiled.pop(_key(event.object), None)
        else:
            self._put([event.object])
        self._publish()
        self._wake.set()

    def _publish(self) -> None:
        now = time.time_ns()
        in_force, over, self._next = standing(self._compiled.values(), now)
        news = {(one.identity.uid, one.expires): one for one in over if one.expires is not None and now - one.expires < NEWS}
        for key in news.keys() - self._told:
            logger.warning("exception %s has expired and exempts nothing", news[key].identity.key)
            self._expired(news[key])
        self._told = set(news)
        self._changed(in_force)

    async def _end(self) -> None:
        """Publishes anew whenever one is over."""
        while True:
            self._wake.clear()
            rest = NAP if self._next is None else min(NAP, max(0.0, (self._next - time.time_ns()) / SECOND))
            try:
                async with asyncio.timeout(rest):
                    await self._wake.wait()
            except TimeoutError:
                if self._next is not None and time.time_ns() >= self._next:
                    self._publish()

    def _put(self, documents: Iterable[Object]) -> None:
        for document in documents:
            key = _key(document)
            try:
                self._compiled[key] = compile_exception(document)
            except InvalidPolicy as error:
                self._compiled.pop(key, None)
                logger.warning("exception %s does not compile and exempts nothing: %s", "/".join(key), error)


def _key(document: Object) -> Key:
    metadata = document["metadata"]
    return metadata.get("namespace") or "", metadata["name"]
