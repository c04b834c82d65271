"""Mutate-existing rules carried out: the targets found, changed by the engine, written (spec 2.7)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from controllers.background.objects import Objects, Unserved, identity, reference
from controllers.cluster.client import ApiError, Unreachable
from controllers.cluster.discovery import Resource
from controllers.cluster.events import Reference
from controllers.cluster.facts import Learns, settle
from engine import EngineError, Object, Outcome, PolicySet, Request, Rule, Status, is_target, mutate_target, targets_of

ROUNDS = 6
SIDE_BY_SIDE = 8
"""Targets of one rule that are written at the same time."""


@dataclass(frozen=True, slots=True)
class Target:
    """What became of one target. `outcome` is the rule's, without the object; `failure` says why it could not be written.

    `patched`: the rule had something to say of the object, even if it was so already.
    """

    object: Reference
    outcome: Outcome
    failure: Exception | None = None
    patched: bool = False


class Targets:
    """Changes the targets of rules."""

    def __init__(self, objects: Objects, world: Learns) -> None:
        self._objects = objects
        self._world = world

    async def change(self, policies: PolicySet, rule: Rule, request: Request, *, done: Collection[str] = ()) -> list[Target]:
        """Changes every target that the rule wants to change because of `request`; those whose uid is in `done` are left out.

        Raises `EngineError` where the targets cannot be said, the API's errors where they cannot be found, `Unserved`.
        """
        selectors = await settle(partial(targets_of, rule, request), self._world)
        seen = set(done)
        results: list[Target] = []
        room = asyncio.Semaphore(SIDE_BY_SIDE)

        async def one(resource: Resource, whole: Object, document: Object) -> None:
            try:
                result = await self._change(policies, rule, request, resource, whole, document)
            finally:
                room.release()
            if result is not None:
                results.append(result)

        failed: Exception | None = None
        async with asyncio.TaskGroup() as group:
            try:
                for selector in selectors:
                    resource = self._objects.resource(selector["apiVersion"], selector["kind"])
                    async for whole, document in self._selected(rule, resource, selector):
                        if (uid := whole["metadata"]["uid"]) not in seen:
                            seen.add(uid)
                            await room.acquire()
                            group.create_task(one(resource, whole, document))
            except (ApiError, Unreachable, Unserved) as error:
                failed = error
        if failed is not None:
            raise failed
        return results

    async def _selected(self, rule: Rule, resource: Resource, selector: dict[str, Any]) -> AsyncIterator[tuple[Object, Object]]:
        """The targets, and what is to be changed: the objects themselves, or a subresource of them."""
        namespace, name = selector.get("namespace") or "", selector.get("name") or ""
        if rule.policy.namespace:
            if namespace not in ("", rule.policy.namespace):
                raise Unserved(f"policy {rule.policy.key} may not change objects in namespace `{namespace}`")
            namespace = rule.policy.namespace
        exact = not _wild(namespace)
        whole = self._objects.resource(selector["apiVersion"], selector["kind"].partition("/")[0])
        if name and not _wild(name) and exact and (namespace or not resource.namespaced):
            if resource.subresource and not selector.get("selector"):  # no right to read the object as a whole is needed
                part = await self._objects.get(resource, namespace, name)
                if part is not None:
                    yield {**identity(whole), "metadata": part["metadata"]}, part
                return
            found = await self._objects.get(whole, namespace, name)
            documents = _each(() if found is None else (found,))
        else:
            documents = self._objects.list(whole, namespace if exact else "")
        async for document in documents:
            if is_target(selector, document):
                metadata = document["metadata"]
                part = document
                if resource.subresource:
                    part = await self._objects.get(resource, metadata.get("namespace") or "", metadata["name"])
                if part is not None:
                    yield document, part

    async def _change(
        self, policies: PolicySet, rule: Rule, request: Request, resource: Resource, whole: Object, document: Object
    ) -> Target | None:
        about = reference(whole)
        part = resource.subresource
        exceptions = policies.exceptions_of(rule)
        outcome = Outcome(Status.ERROR, "somebody else is always faster")
        try:
            for _ in range(ROUNDS):
                whole = whole if part else document
                ask = partial(mutate_target, rule, request, document, exceptions=exceptions, whole=whole, part=part)
                found = await settle(ask, self._world)
                if found is None:
                    return None
                patched, outcome = found.patched, found._replace(patched=None)
                if outcome.status is not Status.PASS or patched is None or patched == document:
                    return Target(about, outcome, patched=patched is not None)
                try:
                    await self._objects.replace(resource, patched)
                except ApiError as error:
                    if error.not_found:
                        return None
                    if not error.conflict:
                        return Target(about, outcome, error)
                else:
                    return Target(about, outcome, patched=True)
                again = await self._objects.get(resource, about.namespace, about.name)
                if again is None or again["metadata"]["uid"] != about.uid:
                    return None
                document = again
        except (EngineError, ApiError, Unreachable) as error:
            return Target(about, Outcome(Status.ERROR, str(error)), error)
        return Target(about, outcome, ApiError(409, "Conflict", "somebody else is always faster"))


async def _each(documents: Iterable[Object]) -> AsyncIterator[Object]:
    for document in documents:
        yield document


def _wild(text: str) -> bool:
    return "*" in text or "?" in text
