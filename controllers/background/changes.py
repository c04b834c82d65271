"""What a change of policies leaves to do for objects that are there already (spec 4.2). Decided here, kept as UpdateRequests."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator

from controllers.background.generation import Downstreams
from controllers.background.objects import Objects, reference
from controllers.cluster import requests
from controllers.cluster.client import ApiError
from controllers.cluster.discovery import Resource
from controllers.cluster.events import Reference
from controllers.cluster.generating import (
    TRIGGER_UID,
    clones_one,
    concerns_existing,
    downstreams,
    knows_asker,
    orphans,
    synchronizes,
)
from controllers.cluster.namespaces import NO_LABELS, Namespaces
from controllers.cluster.update_requests import Item, UpdateRequest
from engine import Effect, Policy, Request, Rule

BATCH = 100
"""Triggers of one UpdateRequest (spec 4.2)."""
IN_BACKGROUND = frozenset({Effect.GENERATE, Effect.MUTATE_EXISTING})
logger = logging.getLogger("pyvern.changes")


class Changes:
    """Finds the work that a policy's change makes. `excluded`: requests that the ConfigMap takes out."""

    def __init__(self, objects: Objects, namespaces: Namespaces, excluded: Callable[[Request], bool]) -> None:
        self._objects = objects
        self._namespaces = namespaces
        self._excluded = excluded
        self._downstreams = Downstreams(objects)

    async def work(self, before: Policy | None, after: Policy | None) -> AsyncIterator[UpdateRequest]:
        """The UpdateRequests for a policy that was `before` and is `after`; None where there is none.

        `before` equal to `after`: whatever could have been missed (a restart); rules that mutate are not run again then.
        """
        for gone in _removed(before, after):
            for update in self._end(gone):
                yield update
        if after is None:
            return
        earlier = {rule.name: rule for rule in before.rules} if before is not None else {}
        for rule in after.rules:
            if rule.effect not in IN_BACKGROUND or rule.error:
                continue
            old = earlier.get(rule.name)
            if concerns_existing(after, rule) and (rule.effect is Effect.GENERATE or before is not after):
                triggers = self._triggers(after, rule)
            elif rule.effect is Effect.GENERATE and old is not None and self._renders_again(old, rule, repair=before is after):
                triggers = self._known_triggers(after, rule)
            else:
                continue
            async for update in self._batches(after, rule, triggers):
                yield update
            if old is not None and rule.effect is Effect.GENERATE and synchronizes(old):
                for update in self._end_kinds(old, rule):
                    yield update

    @staticmethod
    def _renders_again(old: Rule, rule: Rule, *, repair: bool) -> bool:
        return synchronizes(rule) and not knows_asker(rule) and (repair or old.document != rule.document)

    async def _batches(self, policy: Policy, rule: Rule, triggers: AsyncIterator[Reference]) -> AsyncIterator[UpdateRequest]:
        batch: list[Reference] = []
        number = 0
        async for trigger in triggers:
            batch.append(trigger)
            if len(batch) == BATCH:
                yield _existing(policy, rule, batch, number)
                batch, number = [], number + 1
        if batch:
            yield _existing(policy, rule, batch, number)

    async def _triggers(self, policy: Policy, rule: Rule) -> AsyncIterator[Reference]:
        """Every stored object that the rule matches."""
        operation = next((one for one in ("CREATE", "UPDATE") if one in rule.match.operations), "")
        if not operation:
            return
        within = policy.identity.namespace
        for resource in self._kinds(rule):
            if within and not resource.namespaced:
                continue
            try:
                async for document in self._objects.list(resource, within, metadata=True):
                    namespace = document["metadata"].get("namespace") or ""
                    labels = self._namespaces.labels(namespace) or NO_LABELS if namespace else None
                    request = requests.of_stored(
                        resource, document, operation=operation, namespace_labels=labels, now=time.time_ns()
                    )
                    if not self._excluded(request) and rule.match(request):
                        yield reference(document)
            except ApiError as error:
                logger.error("policy %s: existing %s cannot be listed: %s", policy.identity.key, resource.plural, error)

    async def _known_triggers(self, policy: Policy, rule: Rule) -> AsyncIterator[Reference]:
        """The triggers for which something was made."""
        try:
            uids = {one["metadata"]["labels"].get(TRIGGER_UID) for one in await self._downstreams.existing(rule)}
            if not uids:
                return
            for resource in self._kinds(rule):
                async for document in self._objects.list(resource, policy.identity.namespace, metadata=True):
                    if document["metadata"].get("uid") in uids:
                        yield reference(document)
        except ApiError as error:
            logger.error("policy %s: downstreams of rule %s cannot be found: %s", policy.identity.key, rule.name, error)

    def _kinds(self, rule: Rule) -> tuple[Resource, ...]:
        selectors = [reach.kind for reach in rule.match.reach if not reach.kind.subresource and reach.kind.kind != "*"]
        found = dict.fromkeys(resource for kind in selectors for resource in self._objects.discovery.find(kind))
        return tuple(resource for resource in found if not resource.subresource and "list" in resource.verbs)

    def _end(self, rule: Rule) -> Iterator[UpdateRequest]:
        """A rule is gone: its downstreams go, or are let go (spec 9.6)."""
        if rule.effect is not Effect.GENERATE or not synchronizes(rule) or clones_one(rule):
            return
        for resource in downstreams(rule, self._objects.discovery):
            yield _gone(rule, resource, delete=not orphans(rule))

    def _end_kinds(self, old: Rule, rule: Rule) -> Iterator[UpdateRequest]:
        """Downstreams of kinds that a rule does not make any more are let go."""
        discovery = self._objects.discovery
        for resource in set(downstreams(old, discovery)) - set(downstreams(rule, discovery)):
            yield _gone(old, resource, delete=False)


def _removed(before: Policy | None, after: Policy | None) -> Iterator[Rule]:
    if before is None or before is after:
        return
    left = {rule.name for rule in after.rules} if after is not None else set()
    yield from (rule for rule in before.rules if rule.name not in left)


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


def _gone(rule: Rule, resource: Resource, *, delete: bool) -> UpdateRequest:
    api_version = f"{resource.group}/{resource.version}" if resource.group else resource.version
    return UpdateRequest(
        type="generate",
        cause="removed" if delete else "orphaned",
        policy=rule.policy.key,
        items=(Item(rule.name, delete=delete, synchronize=True),),
        about=Reference(api_version, resource.kind, ""),
        key=f"{rule.name}/{rule.policy.uid}",
    )
