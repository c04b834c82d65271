"""The policies as they were when their last change was worked off, kept over restarts in a ConfigMap.

What differs from it is left to do, whether it changed a moment ago or while no replica was running: only so can the
downstreams of a policy that is gone be found, and a policy that changed unseen be told from one that did not.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

from controllers.cluster.client import ApiError, Client
from controllers.cluster.generating import clones_one, orphans, synchronizes, written_kinds
from engine import Effect, Object, Policy, Rule

NAME = "pyvern-background"
IN_BACKGROUND = frozenset({Effect.GENERATE, Effect.MUTATE_EXISTING})
End = Literal["delete", "unlabel", "keep"]
"""What becomes of downstreams when their rule goes: they go, are let go, or stay as they are (spec 9.6)."""
logger = logging.getLogger("pyvern.ledger")


@dataclass(frozen=True, slots=True)
class SeenRule:
    """A rule as it was. `kinds` are apiVersion and kind of the downstreams that it keeps as they should be."""

    digest: str
    kinds: tuple[tuple[str, str], ...] = ()
    end: End = "keep"


@dataclass(frozen=True, slots=True)
class Seen:
    """A policy as it was. `since` (RFC 3339) and `version` (a resourceVersion) say from when on it is so."""

    uid: str
    digest: str
    since: str
    version: str
    rules: Mapping[str, SeenRule]

    def same(self, other: Seen | None) -> bool:
        """Is it the same policy with the same content?"""
        return other is not None and (self.uid, self.digest) == (other.uid, other.digest)

    def precedes(self, document: Object) -> bool:
        """Was a stored object created when the policy was already so? Within one second resourceVersions decide."""
        metadata = document["metadata"]
        created, version = metadata.get("creationTimestamp") or "", str(metadata.get("resourceVersion") or "")
        if created != self.since:
            return bool(created > self.since)
        return version.isdigit() and self.version.isdigit() and int(version) > int(self.version)

    def document(self, policy: str) -> Object:
        rules = {name: {"digest": rule.digest, "kinds": rule.kinds, "end": rule.end} for name, rule in self.rules.items()}
        about = {"policy": policy, "uid": self.uid, "digest": self.digest, "since": self.since, "version": self.version}
        return {**about, "rules": rules}


def seen(policy: Policy, *, now: datetime) -> Seen | None:
    """The policy as it is; None when it leaves nothing to do in the background. Pure."""
    rules = {rule.name: _seen_rule(rule) for rule in policy.rules if rule.effect in IN_BACKGROUND}
    if not rules:
        return None
    metadata = policy.document["metadata"]
    first = metadata.get("generation") in (None, 1) and metadata.get("creationTimestamp")
    return Seen(
        policy.identity.uid,
        _digest(policy.document.get("spec")),
        str(first or now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")),
        policy.identity.resource_version,
        rules,
    )


def _seen_rule(rule: Rule) -> SeenRule:
    if rule.effect is not Effect.GENERATE or not synchronizes(rule):
        return SeenRule(_digest(rule.document))
    end: End = "keep" if clones_one(rule) else "unlabel" if orphans(rule) else "delete"
    return SeenRule(_digest(rule.document), written_kinds(rule), end)


def changed(before: SeenRule, rule: Rule) -> bool:
    """Is the rule another one than it was?"""
    return before.digest != _digest(rule.document)


def _digest(document: Any) -> str:
    return hashlib.sha256(orjson.dumps(document, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def read(text: str) -> tuple[str, Seen]:
    """The key of a policy, and the policy as it was. Raises `ValueError`, `KeyError` or `TypeError` for anything else."""
    document = orjson.loads(text)
    rules = {
        name: SeenRule(rule["digest"], tuple((one, other) for one, other in rule["kinds"]), rule["end"])
        for name, rule in document["rules"].items()
    }
    return document["policy"], Seen(document["uid"], document["digest"], document["since"], document["version"], rules)


class Ledger:
    """The ledger of one installation. Only the leader writes."""

    def __init__(self, client: Client, *, namespace: str) -> None:
        self._client = client
        self._collection = f"/api/v1/namespaces/{namespace}/configmaps"
        self._held: dict[str, Seen] = {}
        self._unwritten: dict[str, str | None] = {}

    async def load(self) -> None:
        """Reads what the last leader wrote. Raises the API's errors."""
        self._held.clear()
        self._unwritten.clear()
        try:
            found = await self._client.get(f"{self._collection}/{NAME}")
        except ApiError as error:
            if not error.not_found:
                raise
            return
        for key, text in (found.get("data") or {}).items():
            try:
                policy, held = read(text)
            except (ValueError, KeyError, TypeError) as error:
                logger.warning("ConfigMap %s: data.%s is not understood and is dropped: %s", NAME, key, error)
                self._unwritten[key] = None
            else:
                self._held[policy] = held

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._held))

    def get(self, policy: str) -> Seen | None:
        """The policy of that key as it was; None when it was not there."""
        return self._held.get(policy)

    def put(self, policy: str, now: Seen | None) -> None:
        """The policy is worked off as it is now; `write` keeps that."""
        if now is None:
            self._held.pop(policy, None)
        else:
            self._held[policy] = now
        self._unwritten[_key(policy)] = None if now is None else _text(policy, now)

    async def write(self) -> None:
        """Stores what was put. Raises the API's errors; what was put is then still to be written."""
        if not self._unwritten:
            return
        patch = dict(self._unwritten)
        try:
            await self._client.merge(f"{self._collection}/{NAME}", {"data": patch})
        except ApiError as error:
            if not error.not_found:
                raise
            metadata = {"name": NAME, "labels": {"app.kubernetes.io/part-of": "kyverno"}}
            data = {_key(policy): _text(policy, held) for policy, held in self._held.items()}
            body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
            await self._client.create(self._collection, body)
        for key, value in patch.items():
            if self._unwritten.get(key) == value:
                del self._unwritten[key]


def _text(policy: str, held: Seen) -> str:
    return orjson.dumps(held.document(policy)).decode()


def _key(policy: str) -> str:
    """A policy's key as a key of a ConfigMap, which may be shorter than a namespace and a name."""
    return hashlib.sha256(policy.encode()).hexdigest()[:32]
