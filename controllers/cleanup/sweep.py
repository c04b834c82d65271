"""One run of one cleanup policy: list what it selects, judge each object, delete (spec 4.4). Nothing is kept between runs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from typing import Any, Literal, NamedTuple

from controllers.cleanup import deletion
from controllers.cluster.client import ApiError, Client
from controllers.cluster.discovery import Discovery, Resource
from controllers.cluster.facts import Learns, settle
from controllers.cluster.namespaces import NO_LABELS, Namespaces
from controllers.cluster.requests import of_stored
from controllers.cluster.watch import Target, pages
from engine import Facts, Lookup, LookupFailed, Policy, PolicySet, Request, Status, deletable

Object = dict[str, Any]
DRY_RUN = "cleanup.pyvern.io/dry-run"
"""Annotation of a policy: "true" only reports what it would delete."""
NEEDED = frozenset({"list", "delete"})
AT_ONCE = 16
"""Deletions on their way at the same time."""
ROUNDS = 3
"""Tries for an object that changes between judgement and deletion, and for a list whose pages expire."""
MAX_KNOWN = 500
TOLD = 10
"""Failures of one run that are logged and have events."""
MANAGED_BY = "app.kubernetes.io/managed-by"
logger = logging.getLogger("pyvern.cleanup")


class Cleaned(NamedTuple):
    """What became of one object: deleted, reported only (dry run), or not deleted because of `error`.

    `telling`: worth an event; of many failures only the first ones are.
    """

    policy: Policy
    resource: Resource
    metadata: Object
    outcome: Literal["deleted", "reported", "failed"]
    error: str = ""
    telling: bool = True


class Swept(NamedTuple):
    """A finished run. `again`: something failed that may go well when it is tried soon."""

    deleted: int = 0
    failed: int = 0
    again: bool = False


class Sweeper:
    """Runs policies. `cleaned` hears of every object that was deleted or should have been."""

    def __init__(
        self,
        client: Client,
        *,
        discovery: Callable[[], Discovery],
        namespaces: Namespaces,
        world: Learns,
        excluded: Callable[[Request], bool],
        protect_managed: bool,
        cleaned: Callable[[Cleaned], None],
    ) -> None:
        self._client = client
        self._discovery = discovery
        self._namespaces = namespaces
        self._world = world
        self._excluded = excluded
        self._protect_managed = protect_managed
        self._cleaned = cleaned

    async def sweep(self, policy: Policy) -> Swept:
        """Deletes everything the policy wants gone. Raises Unreachable when there is no API server to ask."""
        run = _Run(self, policy)
        for resource in selected(policy, self._discovery()):
            await run.resource(resource)
        return Swept(run.deleted, run.failed, run.again)


class _Run:
    """The state of one run."""

    def __init__(self, sweeper: Sweeper, policy: Policy) -> None:
        self._its = sweeper
        self._policy = policy
        self._policies = PolicySet([policy])
        self._world = _Known(sweeper._world)
        self._propagation = policy.cleanup.propagation if policy.cleanup is not None else ""
        self._dry = policy.identity.annotations.get(DRY_RUN) == "true"
        self._slots = asyncio.Semaphore(AT_ONCE)
        self.deleted = self.failed = 0
        self.again = False

    async def resource(self, resource: Resource) -> None:
        """All objects of one resource, a page at a time."""
        path = deletion.collection(resource, self._policy.identity.namespace)
        for attempt in range(1, ROUNDS + 1):
            try:
                async for objects in self._pages(path):
                    await self._page(resource, objects)
            except ApiError as error:
                if error.gone and attempt < ROUNDS:
                    continue  # deleting took longer than the list was kept: what is left is listed again
                self.failed += 1
                self.again |= _passing(error)
                logger.warning("%s: %s cannot be listed: %s", self._policy.identity.key, resource.plural, error)
            return

    async def _pages(self, path: str) -> AsyncIterator[tuple[Object, ...]]:
        async for page, _ in pages(self._its._client, Target(path)):
            yield page.objects

    async def _page(self, resource: Resource, objects: Iterable[Object]) -> None:
        """INVARIANT (nothing goes on): when one raises, the others are ended before anybody hears of it."""
        try:
            async with asyncio.TaskGroup() as group:
                for document in objects:
                    group.create_task(self._object(resource, document))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed

    async def _object(self, resource: Resource, document: Object) -> None:
        async with self._slots:
            for _ in range(ROUNDS):
                if not await self._doomed(resource, document):
                    return
                if self._dry:
                    self._its._cleaned(Cleaned(self._policy, resource, document["metadata"], "reported"))
                    return
                try:
                    changed = await self._delete(resource, document)
                except ApiError as error:
                    self._failed(resource, document, str(error.message or error), passing=_passing(error))
                    return
                if changed is None:
                    return
                document = changed
            self._failed(resource, document, "it changes all the time", passing=True)

    async def _delete(self, resource: Resource, document: Object) -> Object | None:
        """Deletes it. Where it has changed since it was judged: what it is now. Raises ApiError and Unreachable."""
        metadata = document["metadata"]
        try:
            deleted = await deletion.delete(self._its._client, resource, metadata, propagation=self._propagation)
        except ApiError as error:
            if not error.conflict:
                raise
            # INVARIANT (judged as it is): it changed after it was listed; what it is now decides.
            found = await self._again(resource, metadata)
            return found if found is not None and found["metadata"]["uid"] == metadata["uid"] else None
        if deleted:
            self.deleted += 1
            self._its._cleaned(Cleaned(self._policy, resource, metadata, "deleted"))
        return None

    async def _again(self, resource: Resource, metadata: Object) -> Object | None:
        """The object as it is now, by the right to list: the right to get is not asked of anybody."""
        place = deletion.collection(resource, metadata.get("namespace") or "")
        async for objects, _ in pages(self._its._client, Target(place, field_selector=f"metadata.name={metadata['name']}")):
            for found in objects.objects:
                return found
        return None

    async def _doomed(self, resource: Resource, document: Object) -> bool:
        """Does the policy want the object gone?"""
        metadata = document["metadata"]
        if metadata.get("deletionTimestamp") is not None:
            return False
        if self._its._protect_managed and (metadata.get("labels") or {}).get(MANAGED_BY) == "kyverno":
            return False
        namespace = metadata.get("namespace") or ""
        labels = (self._its._namespaces.labels(namespace) or NO_LABELS) if namespace else None
        request = of_stored(resource, document, namespace_labels=labels, now=time.time_ns())
        if self._its._excluded(request):
            return False
        try:
            responses = await settle(partial(deletable, self._policies, request), self._world)
        except LookupFailed as failure:
            self._failed(resource, document, str(failure))
            return False
        results = [result for response in responses for result in response.results]
        for result in results:
            if result.status is Status.ERROR:
                self._failed(resource, document, result.message)
        return any(result.status is Status.PASS for result in results)

    def _failed(self, resource: Resource, document: Object, why: str, *, passing: bool = False) -> None:
        self.failed += 1
        self.again |= passing
        telling = self.failed <= TOLD
        if telling:
            logger.warning("%s: %s %s: %s", self._policy.identity.key, resource.kind, document["metadata"]["name"], why)
        self._its._cleaned(Cleaned(self._policy, resource, document["metadata"], "failed", why, telling))


class _Known:
    """The world during one run: what was asked for one object is not asked again for the next. POSTs are sent each time."""

    def __init__(self, world: Learns) -> None:
        self._world = world
        self._known: dict[Lookup, object] = {}

    def facts(self) -> Facts:
        return self._world.facts()

    async def learn(self, facts: Facts, lookups: Iterable[Lookup]) -> Facts:
        wanted = list(lookups)
        fresh = [lookup for lookup in wanted if lookup not in self._known]
        if fresh:
            learnt = await self._world.learn(Facts(), fresh)
            if len(self._known) > MAX_KNOWN:
                self._known.clear()
            self._known.update({lookup: learnt.answers[lookup] for lookup in fresh if lookup.method != "POST"})
            facts = facts.plus(learnt.answers)
        return facts.plus({lookup: self._known[lookup] for lookup in wanted if lookup in self._known})


def selected(policy: Policy, discovery: Discovery, *, named: bool = False) -> tuple[Resource, ...]:
    """The resources whose objects a cleanup policy may delete, each in one version; subresources are no objects.

    `named`: only those whose kinds the policy calls by name, not by a wildcard.
    """
    found: dict[tuple[str, str], Resource] = {}
    for rule in policy.rules:
        for selector in rule.match.kinds:
            if selector.subresource or (named and ("*" in selector.kind or "?" in selector.kind)):
                continue
            for resource in discovery.find(selector):
                if resource.verbs >= NEEDED and (resource.namespaced or not policy.identity.namespace):
                    found.setdefault((resource.group, resource.plural), resource)
    return tuple(found.values())


def _passing(error: ApiError) -> bool:
    """Is it likely to go well later?"""
    return error.status >= 500 or error.status == 429
