"""The policies in force: one immutable PolicySet, replaced at every change. Requests read it and never wait."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from controllers.cluster.client import Client
from controllers.cluster.watch import Event, Listed, Target, follow
from engine import InvalidPolicy, Policy, PolicyException, PolicySet, Rule, compile_policy, compile_stored

Object = dict[str, Any]
Change = Literal["create", "update", "delete"]
TARGETS = {
    "ClusterPolicy": Target("/apis/kyverno.io/v1/clusterpolicies"),
    "Policy": Target("/apis/kyverno.io/v1/policies"),
}
ROLES = re.compile(rb"request\.(roles|clusterRoles)|request\[|\{\{ *request *[|}]")
logger = logging.getLogger("pyvern.policies")


def reads_roles(rule: Rule) -> bool:
    """Could an expression of the rule read `request.roles` or `request.clusterRoles`?"""
    return ROLES.search(orjson.dumps(rule.document)) is not None


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored policy and what is enforced of it: None where nothing is. `error` says why the document does not compile."""

    document: Object
    policy: Policy | None
    error: InvalidPolicy | None = None

    @property
    def path(self) -> str:
        metadata = self.document["metadata"]
        name, namespace = metadata["name"], metadata.get("namespace")
        return (
            f"/apis/kyverno.io/v1/namespaces/{namespace}/policies/{name}"
            if namespace
            else (f"/apis/kyverno.io/v1/clusterpolicies/{name}")
        )


class Policies:
    """Follows the policy kinds. `changed` is called after every swap with what changed."""

    def __init__(self, changed: Callable[[Entry, Change], None]) -> None:
        self._changed = changed
        self._synced = {kind: asyncio.Event() for kind in TARGETS}
        self.entries: dict[tuple[str, str, str], Entry] = {}
        self.snapshot = PolicySet()
        self.needs_roles = False

    @property
    def ready(self) -> bool:
        """Have all kinds been listed once?"""
        return all(synced.is_set() for synced in self._synced.values())

    async def wait(self) -> None:
        for synced in self._synced.values():
            await synced.wait()

    def find(self, name: str, namespace: str = "") -> Policy | None:
        """A policy in force by its name."""
        entry = self.entries.get(("Policy" if namespace else "ClusterPolicy", namespace, name))
        return entry.policy if entry else None

    def except_(self, exceptions: tuple[PolicyException, ...]) -> None:
        """These are the exceptions from now on."""
        self.snapshot = self.snapshot.with_exceptions(exceptions)
        self._reads()

    async def run(self, client: Client) -> None:
        """Watches until cancelled."""
        await asyncio.gather(*(follow(client, target, self.handler(kind)) for kind, target in TARGETS.items()))

    def handler(self, kind: str) -> Callable[[Event], None]:
        """Takes lists and changes of the policies of one kind."""

        def handle(event: Event) -> None:
            if isinstance(event, Listed):
                self._listed(kind, event.objects)
                self._synced[kind].set()
            elif event.type == "DELETED":
                self._remove([_key(kind, event.object)])
            else:
                self._put(kind, [event.object])

        return handle

    def _listed(self, kind: str, objects: Iterable[Object]) -> None:
        found = {_key(kind, item): item for item in objects}
        self._remove([key for key in self.entries if key[0] == kind and key not in found])
        self._put(kind, found.values())

    def _put(self, kind: str, documents: Iterable[Object]) -> None:
        swapped = self.snapshot
        changes: list[tuple[Entry, Change]] = []
        for document in documents:
            key = _key(kind, document)
            before = self.entries.get(key)
            if before is not None and _same(before.document, document):
                if before.document["metadata"] != document["metadata"] or before.document.get("status") != document.get("status"):
                    self.entries[key] = Entry(document, before.policy, before.error)
                continue
            entry = _compile(document, before)
            self.entries[key] = entry
            if entry.policy is not None and (before is None or entry.policy is not before.policy):
                swapped = swapped.plus(entry.policy)
            changes.append((entry, "create" if before is None else "update"))
        self._swap(swapped, changes)

    def _remove(self, keys: Iterable[tuple[str, str, str]]) -> None:
        swapped = self.snapshot
        changes: list[tuple[Entry, Change]] = []
        for key in keys:
            entry = self.entries.pop(key, None)
            if entry is None:
                continue
            if entry.policy is not None:
                swapped = swapped.minus(key)
            changes.append((entry, "delete"))
        self._swap(swapped, changes)

    def _swap(self, swapped: PolicySet, changes: list[tuple[Entry, Change]]) -> None:
        if not changes:
            return
        self.snapshot = swapped
        self._reads()
        for entry, change in changes:
            self._changed(entry, change)

    def _reads(self) -> None:
        self.needs_roles = any(exception.match.needs_roles for exception in self.snapshot.exceptions) or any(
            rule.match.needs_roles or reads_roles(rule)
            for entry in self.entries.values()
            if entry.policy is not None
            for rule in entry.policy.rules
        )


def _key(kind: str, document: Object) -> tuple[str, str, str]:
    metadata = document["metadata"]
    return kind, metadata.get("namespace") or "", metadata["name"]


def _same(before: Object, after: Object) -> bool:
    """Would both compile to the same policy? Status writes, our own among them, change nothing."""
    one, two = before["metadata"], after["metadata"]
    return (
        one.get("uid") == two.get("uid")
        and before.get("spec") == after.get("spec")
        and (one.get("annotations") or {}) == (two.get("annotations") or {})
        and (one.get("labels") or {}) == (two.get("labels") or {})
    )


def _compile(document: Object, before: Entry | None) -> Entry:
    """What is enforced of a stored document. INVARIANT (fail closed): a fault never takes rules out of force in silence."""
    name = document["metadata"]["name"]
    kept = before.policy if before is not None else None
    try:
        return _compiled(document, kept)
    except (
        Exception
    ) as error:  # INVARIANT (isolation): a bug that one policy meets must not end, again and again, what enforces all
        logger.exception(
            "policy %s: internal error, it %s", name, "is not in force" if kept is None else "stays as it was before"
        )
        return Entry(document, kept, InvalidPolicy("", f"internal error: {type(error).__name__}: {error}"))


def _compiled(document: Object, kept: Policy | None) -> Entry:
    name = document["metadata"]["name"]
    try:
        return Entry(document, compile_policy(document))
    except InvalidPolicy as invalid:
        error = invalid
    try:
        policy = compile_stored(document)
    except InvalidPolicy:
        fate = "is not in force" if kept is None else "stays in force as it was before"
        logger.warning("policy %s does not compile and %s: %s", name, fate, error)
        return Entry(document, kept, error)
    broken = ", ".join(rule.name for rule in policy.rules if rule.error)
    logger.warning("policy %s does not compile, its rules %s answer `error` until it does: %s", name, broken, error)
    return Entry(document, policy, error)
