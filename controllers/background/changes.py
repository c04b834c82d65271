"""What a change of policies leaves to do for objects that are there already (spec 4.2). Decided here, kept as UpdateRequests."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator

from controllers.background.ledger import IN_BACKGROUND, Seen, SeenRule, changed
from controllers.background.objects import Objects
from controllers.background.triggers import Triggers
from controllers.cluster.discovery import Resource
from controllers.cluster.events import Reference
from controllers.cluster.generating import concerns_existing, downstreams, knows_asker, selector, synchronizes
from controllers.cluster.update_requests import Item, UpdateRequest
from engine import Effect, Policy, Rule

BATCH = 100
"""Triggers of one UpdateRequest (spec 4.2)."""


class Changes:
    """Finds the work that a policy's change makes."""

    def __init__(self, objects: Objects, triggers: Triggers) -> None:
        self._objects = objects
        self._triggers = triggers

    async def work(self, key: str, before: Seen | None, after: Policy | None, now: Seen | None) -> AsyncIterator[UpdateRequest]:
        """The UpdateRequests for the policy `key` that was `before` and is `after`, seen `now`; None where there is none.

        Raises the API's errors.
        """
        earlier = before.rules if before is not None else {}
        left = now.rules if now is not None else {}
        for name, old in earlier.items():
            if name not in left:
                for update in self._end(key, before, name, old):
                    yield update
        if after is None or now is None or now.same(before):
            return
        for rule in after.rules:
            if rule.effect not in IN_BACKGROUND or rule.error:
                continue
            held = earlier.get(rule.name)
            if concerns_existing(after, rule):
                async for update in _batches(after, rule, self._triggers.matching(after, rule)):
                    yield update
            elif held is not None and _keeps(rule) and changed(held, rule):
                async for update in _batches(after, rule, self._triggers.concerned(after, rule)):
                    yield update
            for update in self._end_kinds(key, before, rule, held):
                yield update

    async def missed(self, policy: Policy) -> AsyncIterator[UpdateRequest]:
        """What generate rules want and what went unheard could have left undone; rules that mutate are not run again.

        Raises the API's errors.
        """
        for rule in policy.rules:
            if rule.effect is not Effect.GENERATE or rule.error:
                continue
            if synchronizes(rule):
                lost = [Item(rule.name, trigger, delete=True, synchronize=True) for trigger in await self._triggers.lost(rule)]
                for start in range(0, len(lost), BATCH):
                    yield _lost(policy, tuple(lost[start : start + BATCH]))
            if concerns_existing(policy, rule):
                triggers = self._triggers.matching(policy, rule)
            elif _keeps(rule):
                triggers = self._triggers.concerned(policy, rule)
            else:
                continue
            async for update in _batches(policy, rule, triggers):
                yield update

    def _end(self, key: str, before: Seen | None, name: str, rule: SeenRule) -> Iterator[UpdateRequest]:
        """A rule is gone: its downstreams go, or are let go (spec 9.6)."""
        if before is not None and rule.end != "keep":
            for resource in self._resources(rule):
                yield _gone(key, before.uid, name, resource, delete=rule.end == "delete")

    def _end_kinds(self, key: str, before: Seen | None, rule: Rule, held: SeenRule | None) -> Iterator[UpdateRequest]:
        """Downstreams of kinds that a rule does not make any more are let go."""
        if before is not None and held is not None:
            for resource in set(self._resources(held)) - set(downstreams(rule, self._objects.discovery)):
                yield _gone(key, before.uid, rule.name, resource, delete=False)

    def _resources(self, rule: SeenRule) -> tuple[Resource, ...]:
        kinds = (selector(api_version, kind) for api_version, kind in rule.kinds)
        return tuple(dict.fromkeys(resource for kind in kinds for resource in self._objects.discovery.find(kind)))


def _keeps(rule: Rule) -> bool:
    """Can what a rule keeps as it should be be made again without whoever asked for it?"""
    return rule.effect is Effect.GENERATE and synchronizes(rule) and not knows_asker(rule)


async def _batches(policy: Policy, rule: Rule, triggers: AsyncIterator[Reference]) -> AsyncIterator[UpdateRequest]:
    batch: list[Reference] = []
    number = 0
    async for trigger in triggers:
        batch.append(trigger)
        if len(batch) == BATCH:
            yield _existing(policy, rule, batch, number)
            batch, number = [], number + 1
    if batch:
        yield _existing(policy, rule, batch, number)


def _existing(policy: Policy, rule: Rule, triggers: list[Reference], number: int) -> UpdateRequest:
    identity = policy.identity
    key = f"{rule.name}/{identity.resource_version}/{number}/{_digest(triggers)}"
    return UpdateRequest(
        type="generate" if rule.effect is Effect.GENERATE else "mutate",
        cause="existing",
        policy=identity.key,
        items=tuple(Item(rule.name, trigger, synchronize=synchronizes(rule)) for trigger in triggers),
        about=triggers[0],
        key=key,
    )


def _digest(triggers: list[Reference]) -> str:
    return hashlib.sha256(" ".join(trigger.uid for trigger in triggers).encode()).hexdigest()


def _lost(policy: Policy, items: tuple[Item, ...]) -> UpdateRequest:
    triggers = [item.trigger for item in items if item.trigger is not None]
    return UpdateRequest("generate", "trigger", policy.identity.key, items, triggers[0], "DELETE", key=_digest(triggers))


def _gone(policy: str, uid: str, rule: str, resource: Resource, *, delete: bool) -> UpdateRequest:
    api_version = f"{resource.group}/{resource.version}" if resource.group else resource.version
    return UpdateRequest(
        type="generate",
        cause="removed" if delete else "orphaned",
        policy=policy,
        items=(Item(rule, delete=delete, synchronize=True),),
        about=Reference(api_version, resource.kind, ""),
        key=f"{rule}/{uid}",
    )
