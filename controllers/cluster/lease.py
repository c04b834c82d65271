"""Leases: who leads (spec 4.1), and which replicas live (spec 3.1, watchdog)."""

from __future__ import annotations

import asyncio
import datetime
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from controllers.cluster.client import FAILURES, ApiError, Client

Utc = datetime.datetime
logger = logging.getLogger("pyvern.lease")
HEARTBEAT = "kyverno.io/last-request-time"
REPLICA = "replica.pyvern.io/"
"""Prefix of the annotations on the heartbeat Lease by which replicas know of each other."""
FORGOTTEN = 600.0
"""Seconds after which the mark of a replica that crashed is taken away."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds: how long a Lease holds, how old it may grow before the leader steps down by itself, between two tries."""

    duration: float = 12.0
    deadline: float = 10.0
    retry: float = 2.0


def micro_time(moment: Utc) -> str:
    """A MicroTime of the API."""
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def now_utc() -> Utc:
    return datetime.datetime.now(datetime.UTC)


class Leadership:
    """Competes for one Lease; `lead` runs as a task while it is held and is cancelled when it is lost.

    Expiry is judged by this process's own observation of changes, never by comparing clocks of two machines.
    """

    def __init__(self, client: Client, *, namespace: str, name: str, identity: str, timing: Timing = Timing()) -> None:
        self._client = client
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._name = name
        self._namespace = namespace
        self._identity = identity
        self._timing = timing
        self._seen: tuple[str, float] = ("", 0.0)
        self.leading = False

    async def run(self, lead: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Competes until cancelled, then gives the Lease back."""
        task: asyncio.Task[None] | None = None
        renewed = 0.0
        clock = asyncio.get_running_loop().time
        try:
            while True:
                try:
                    held = await self._try(clock())
                except FAILURES as error:
                    held = self.leading and clock() - renewed < self._timing.deadline
                    logger.log(logging.DEBUG if held else logging.INFO, "lease %s: %s", self._name, error)
                else:
                    renewed = clock() if held else renewed
                if held and (task is None or task.done()):
                    if task is not None and not task.cancelled() and task.exception() is not None:
                        logger.error("leader's work failed; starting it again", exc_info=task.exception())
                    else:
                        logger.info("lease %s: leading as %s", self._name, self._identity)
                    self.leading = True
                    task = asyncio.create_task(lead(), name="leader")
                elif not held and task is not None:
                    logger.warning("lease %s: no longer leading", self._name)
                    self.leading = False
                    await _stop(task)
                    task = None
                await asyncio.sleep(self._timing.retry)
        finally:
            self.leading = False
            if task is not None:
                await _stop(task)

    async def release(self) -> None:
        """Lets another replica take over at once."""
        try:
            lease = await self._client.get(f"{self._collection}/{self._name}")
            if lease["spec"].get("holderIdentity") == self._identity:
                lease["spec"].update(holderIdentity="", leaseDurationSeconds=1)
                await self._client.replace(f"{self._collection}/{self._name}", lease)
        except FAILURES as error:
            logger.info("lease %s could not be given back: %s", self._name, error)

    async def _try(self, at: float) -> bool:
        now = micro_time(now_utc())
        try:
            lease = await self._client.call("GET", f"{self._collection}/{self._name}", timeout=self._timing.retry * 2)
        except ApiError as error:
            if not error.not_found:
                raise
            return await self._create(now)
        spec: dict[str, Any] = lease.setdefault("spec", {})
        holder = spec.get("holderIdentity") or ""
        version = lease["metadata"]["resourceVersion"]
        if self._seen[0] != version:
            self._seen = (version, at)
        life = float(spec.get("leaseDurationSeconds") or self._timing.duration)
        if holder not in ("", self._identity) and at - self._seen[1] < life:
            return False
        if holder != self._identity:
            spec["acquireTime"] = now
            spec["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + 1
        spec.update(holderIdentity=self._identity, renewTime=now, leaseDurationSeconds=int(self._timing.duration))
        try:
            lease = await self._client.call("PUT", f"{self._collection}/{self._name}", body=lease, timeout=self._timing.retry * 2)
        except ApiError as error:
            if error.conflict:
                return False
            raise
        self._seen = (lease["metadata"]["resourceVersion"], at)
        return True

    async def _create(self, now: str) -> bool:
        spec = {
            "holderIdentity": self._identity,
            "acquireTime": now,
            "renewTime": now,
            "leaseDurationSeconds": int(self._timing.duration),
            "leaseTransitions": 0,
        }
        metadata = {"name": self._name, "namespace": self._namespace}
        try:
            await self._client.create(
                self._collection,
                {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec},
            )
        except ApiError as error:
            if error.conflict:
                return False
            raise
        return True


class Heartbeat:
    """The Lease `kyverno-health`: every replica says every `interval` seconds that it lives.

    The patch itself goes through the webhook /verifymutate, so that it also proves that webhooks can be called.
    """

    def __init__(self, client: Client, *, namespace: str, identity: str, interval: float = 10.0) -> None:
        self._client = client
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._namespace = namespace
        self._mark = REPLICA + identity[-63:].strip("-_.")
        self._interval = interval

    async def run(self) -> None:
        """Beats until cancelled."""
        while True:
            try:
                await self._beat()
            except FAILURES as error:
                logger.info("heartbeat: %s", error)
            await asyncio.sleep(self._interval)

    async def leave(self) -> bool:
        """Takes this replica's mark away; True when no other replica has shown life for three intervals."""
        try:
            lease = await self._patch({self._mark: None})
        except ApiError as error:
            if error.not_found:
                return True
            raise
        return not self._marks(lease, younger=3 * self._interval)

    async def delete(self) -> None:
        await self._client.delete(f"{self._collection}/kyverno-health")

    async def _beat(self) -> None:
        now = micro_time(now_utc())
        beat = {HEARTBEAT: now, self._mark: now}
        try:
            lease = await self._patch(beat)
            old = set(self._marks(lease)) - set(self._marks(lease, younger=FORGOTTEN))
            if old:
                await self._patch(dict.fromkeys(old))
        except ApiError as error:
            if not error.not_found:
                raise
            metadata = {
                "name": "kyverno-health",
                "namespace": self._namespace,
                "labels": {"app.kubernetes.io/name": "kyverno"},
                "annotations": beat,
            }
            lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": {}}
            await self._client.create(self._collection, lease)

    @staticmethod
    def _marks(lease: Mapping[str, Any], *, younger: float = float("inf")) -> tuple[str, ...]:
        """The marks of replicas on the Lease, those of the last `younger` seconds."""
        annotations = (lease.get("metadata") or {}).get("annotations") or {}
        now = now_utc()
        return tuple(
            key
            for key, value in annotations.items()
            if key.startswith(REPLICA) and (now - _time(value)).total_seconds() < younger
        )

    async def _patch(self, annotations: Mapping[str, str | None]) -> dict[str, Any]:
        patch = {"metadata": {"annotations": annotations}}
        lease: dict[str, Any] = await self._client.merge(f"{self._collection}/kyverno-health", patch)
        return lease


def _time(text: str) -> Utc:
    try:
        return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=datetime.UTC)
    except ValueError:
        return datetime.datetime.min.replace(tzinfo=datetime.UTC)


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("leader's work ended with an error", exc_info=error)
