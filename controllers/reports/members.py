"""Which replicas share the work, and which object is whose: rendezvous hashing over uids, membership by marks on a Lease.

Every replica says every few seconds that it lives, on one Lease, and reads there who else does. Whether a mark still changes is
judged by this process's own clock, never by comparing clocks of two machines.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from controllers.cluster.client import FAILURES, ApiError, Client
from controllers.cluster.lease import REPLICA, micro_time, now_utc

LEASE = "kyverno-reports-controller-members"
INTERVAL = 3.0
EXPIRY = 10.0
"""Seconds without a new mark after which a replica counts as gone; others have taken over its share within 15."""
FORGOTTEN = 30.0
"""Seconds after which the mark of a replica that crashed is taken off the Lease: who starts later must not wait for it."""
logger = logging.getLogger("pyvern.members")


class Members:
    """The living replicas, this one always among them. `changed` is called when somebody came or went."""

    def __init__(
        self,
        client: Client,
        *,
        namespace: str,
        identity: str,
        changed: Callable[[], None],
        interval: float = INTERVAL,
        expiry: float = EXPIRY,
    ) -> None:
        self._client = client
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._namespace = namespace
        self._me = identity[-63:].strip("-_.")
        self._changed = changed
        self._interval = interval
        self._expiry = expiry
        self._seen: dict[str, tuple[str, float]] = {}
        self._buried: set[str] = set()
        self._known = asyncio.Event()
        self.names: tuple[str, ...] = (self._me,)

    def mine(self, uid: str) -> bool:
        """Is the object of that uid this replica's?"""
        return len(self.names) == 1 or owner(uid, self.names) == self._me

    async def wait(self) -> None:
        """Until the others are known, or the Lease cannot be read."""
        await self._known.wait()

    async def run(self) -> None:
        """Beats until cancelled. Without an answer the members stay as they are: two may then do the same, nobody nothing."""
        while True:
            try:
                self._read(await self._beat())
            except FAILURES as error:
                logger.warning("replicas: %s", error)
            self._known.set()
            await asyncio.sleep(self._interval)

    async def leave(self) -> None:
        """Gives this replica's share to the others at once."""
        try:
            await self._patch({REPLICA + self._me: None})
        except FAILURES as error:
            logger.info("replicas: %s", error)

    async def _beat(self) -> Mapping[str, Any]:
        beat: dict[str, str | None] = dict.fromkeys(REPLICA + name for name in self._buried)
        beat[REPLICA + self._me] = micro_time(now_utc())
        try:
            return await self._patch(beat)
        except ApiError as error:
            if not error.not_found:
                raise
        annotations = {key: value for key, value in beat.items() if value is not None}
        metadata = {"name": LEASE, "namespace": self._namespace, "annotations": annotations}
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": {}}
        created: dict[str, Any] = await self._client.create(self._collection, lease)
        return created

    async def _patch(self, annotations: Mapping[str, str | None]) -> Mapping[str, Any]:
        patch = {"metadata": {"annotations": annotations}}
        lease: dict[str, Any] = await self._client.merge(f"{self._collection}/{LEASE}", patch)
        return lease

    def _read(self, lease: Mapping[str, Any]) -> None:
        annotations = (lease.get("metadata") or {}).get("annotations") or {}
        marks = {key.removeprefix(REPLICA): value for key, value in annotations.items() if key.startswith(REPLICA)}
        now = asyncio.get_running_loop().time()
        self._seen = {
            name: (value, now) if self._seen.get(name, ("", 0.0))[0] != value else self._seen[name]
            for name, value in marks.items()
        }
        self._buried = {name for name, (_, at) in self._seen.items() if now - at > FORGOTTEN}
        living = tuple(sorted({self._me, *(name for name, (_, at) in self._seen.items() if now - at < self._expiry)}))
        if living != self.names:
            logger.info("replicas: %s", ", ".join(living))
            self.names = living
            self._changed()


def owner(uid: str, names: Iterable[str]) -> str:
    """The replica whose hash with the uid is the highest: when one goes, only its objects change hands."""
    data = uid.encode()
    return max(names, key=lambda name: hashlib.blake2b(data, digest_size=8, key=name.encode()).digest())


__all__ = ["LEASE", "Members", "owner"]
