"""Desired state (decision 13): what policies want is brought about after every change, and looked after for ever.

The ledger says how a policy was when its last change was worked off. What differs from it is worked off now, so that it makes
no difference whether somebody was there when the policy changed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

from controllers.background.carried import FAILING
from controllers.background.changes import Changes
from controllers.background.ledger import Ledger, Seen, seen
from controllers.background.question import NotYet, Pointless, Refused
from controllers.background.update_request import Carrier
from controllers.cluster.client import FAILURES, ApiError
from controllers.cluster.generating import synchronizes
from controllers.cluster.policies import Change, Entry, Policies
from controllers.cluster.update_request_writer import Writer
from controllers.cluster.update_requests import UpdateRequest
from controllers.cluster.watch import backoff
from engine import Effect, LookupFailed, Policy

LONG_AGO = 60.0
"""Seconds for which what nobody has written down counts as known: whatever was to be stored is stored by then."""
READY = 60.0
SETTLING = 1.5
"""Seconds after which a policy that is ready has its webhook in use: the API server reads its configuration from a watch."""
logger = logging.getLogger("pyvern.upkeep")


class Upkeep:
    """Works off the changes of policies, as long as this process leads, and compares every `every` seconds."""

    def __init__(
        self,
        *,
        policies: Policies,
        changes: Changes,
        ledger: Ledger,
        carrier: Carrier,
        updates: Writer,
        attended: Callable[[str], bool],
        every: float,
    ) -> None:
        """`attended`: is somebody already busy with the trigger of that uid?"""
        self._policies = policies
        self._changes = changes
        self._ledger = ledger
        self._carrier = carrier
        self._updates = updates
        self._attended = attended
        self._every = every
        self._now: dict[str, Seen] = {}
        self._waiting: asyncio.Queue[tuple[str, Policy | None, Seen | None]] | None = None

    def changed(self, entry: Entry, change: Change) -> None:
        """A policy came, changed or went. A replica that does not lead only takes down since when it is as it is."""
        key = _key(entry)
        if change != "delete" and entry.policy is None:
            return  # INVARIANT (nothing is lost): what cannot be read is not gone, and keeps what it has made
        policy = entry.policy if change != "delete" else None
        now = seen(policy, now=datetime.now(UTC)) if policy is not None else None
        if now is None:
            self._now.pop(key, None)
        elif not now.same(self._now.get(key)):
            self._now[key] = now
        if self._waiting is not None:
            self._waiting.put_nowait((key, policy, self._now.get(key)))

    async def run(self) -> None:
        """Works until cancelled."""
        self._waiting = asyncio.Queue()
        try:
            await self._load()
            there = {policy.identity.key: policy for policy in self._policies.snapshot}
            unreadable = {_key(entry) for entry in self._policies.entries.values() if entry.policy is None}
            for key in dict.fromkeys((*self._ledger, *there)):
                if key not in unreadable:
                    self._waiting.put_nowait((key, there.get(key), self._now.get(key)))
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow(self._waiting, group))
                group.create_task(self._look_for_ever(self._waiting))
        finally:
            self._waiting = None

    async def _load(self) -> None:
        attempt = 0
        while True:
            try:
                await self._ledger.load()
            except FAILURES as error:
                if isinstance(error, ApiError) and error.status == 403:
                    logger.error("the ledger of policies may not be read, all policies count as new: %s", error)
                    return
                attempt += 1
                logger.warning("the ledger of policies cannot be read yet (try %d): %s", attempt, error)
                await asyncio.sleep(backoff(attempt))
            else:
                return

    async def _follow(self, waiting: asyncio.Queue[tuple[str, Policy | None, Seen | None]], group: asyncio.TaskGroup) -> None:
        while True:
            key, policy, now = await waiting.get()
            before = self._ledger.get(key)
            if now is not None and now.same(before):
                now = before
            elif now is not None or before is not None:
                await self._work(key, before, policy, now)
                self._ledger.put(key, now)
                if policy is not None and any(_synchronized(policy)):
                    group.create_task(self._look_again(key, policy))
            if waiting.empty():
                await self._write()
            waiting.task_done()

    async def _work(self, key: str, before: Seen | None, policy: Policy | None, now: Seen | None) -> None:
        """Makes the UpdateRequests of a change and sees them stored; a try that fails is repeated as a whole."""
        attempt = 0
        while True:
            lost, reason = self._updates.lost, "its UpdateRequests could not be stored"
            try:
                async for update in self._changes.work(key, before, policy, now):
                    self._updates.put(update)
                await self._updates.settle()
            except FAILURES as error:
                reason = str(error)
            except Exception:  # INVARIANT (isolation): a bug that one policy meets must not end the work for all, again and again
                logger.exception("policy %s: internal error, what its change leaves to do is left undone", key)
                return
            else:
                if lost == self._updates.lost:
                    return
            attempt += 1
            logger.warning("policy %s: its change cannot be worked off yet (try %d): %s", key, attempt, reason)
            await asyncio.sleep(backoff(attempt))

    async def _write(self) -> None:
        try:
            await self._ledger.write()
        except FAILURES as error:
            logger.warning("the ledger of policies cannot be written, and is written with the next change: %s", error)

    async def _look_again(self, key: str, policy: Policy) -> None:
        """Once the policy's webhook is in use: what was created before that went unheard."""
        namespace, _, name = key.rpartition("/")
        entry = ("Policy" if namespace else "ClusterPolicy", namespace, name)
        clock = asyncio.get_running_loop().time
        deadline = clock() + READY
        while (held := self._policies.entries.get(entry)) is not None and not _ready(held):
            if clock() > deadline:
                return
            await asyncio.sleep(0.2)
        await asyncio.sleep(SETTLING)
        if held is not None and held.policy is policy:
            await self._compare(policy)

    async def _look_for_ever(self, waiting: asyncio.Queue[tuple[str, Policy | None, Seen | None]]) -> None:
        """What was missed while nobody worked, now and every hour: wanted and existing downstreams are compared."""
        await waiting.join()
        while True:
            for policy in tuple(self._policies.snapshot):
                await self._compare(policy)
            await asyncio.sleep(self._every)

    async def _compare(self, policy: Policy) -> None:
        try:
            async for update in self._changes.missed(policy):
                await self._repair(update)
        except FAILURES as error:
            logger.warning("policy %s: what it has made cannot be compared with what it wants: %s", policy.identity.key, error)
        except Exception:  # INVARIANT (isolation), as above
            logger.exception(
                "policy %s: internal error, what it has made is not compared with what it wants", policy.identity.key
            )

    async def _repair(self, update: UpdateRequest) -> None:
        """Carries out without an UpdateRequest; what fails gets one, so that it is tried again."""
        items = tuple(item for item in update.items if item.trigger is None or not self._attended(item.trigger.uid))
        if not items:
            return
        update = replace(update, items=items)
        try:
            carried = await self._carrier.carry_out(update, age=LONG_AGO)
        except (NotYet, Pointless, Refused):
            return
        except (*FAILING, LookupFailed) as error:
            logger.info("policy %s: %s", update.policy, error)
            self._updates.put(update)
            return
        if any(one.failures for one in carried):
            self._updates.put(update)


def _key(entry: Entry) -> str:
    metadata = entry.document["metadata"]
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])


def _synchronized(policy: Policy) -> Iterator[bool]:
    return (rule.effect is Effect.GENERATE and synchronizes(rule) for rule in policy.rules)


def _ready(entry: Entry) -> bool:
    conditions = (entry.document.get("status") or {}).get("conditions") or ()
    return any(condition.get("type") == "Ready" and condition.get("status") == "True" for condition in conditions)
