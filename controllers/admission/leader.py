"""What only one replica does: webhook configurations and the status of policies. Gather, decide (pure), apply."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any

from controllers.admission import status, webhooks
from controllers.admission.webhooks import Wanted
from controllers.cluster.client import FAILURES, ApiError, Client
from controllers.cluster.discovery import Discovery
from controllers.cluster.lease import now_utc
from controllers.cluster.metrics import Metrics
from controllers.cluster.policies import Policies
from controllers.cluster.settings import Settings
from controllers.cluster.watch import Event, Listed, Target, backoff, follow

Object = dict[str, Any]
API = "/apis/admissionregistration.k8s.io/v1"
COLLECTIONS = {
    "ValidatingWebhookConfiguration": f"{API}/validatingwebhookconfigurations",
    "MutatingWebhookConfiguration": f"{API}/mutatingwebhookconfigurations",
}
SETTLE = 0.05
"""Seconds to wait for more of the same: `kubectl apply -f folder` changes many policies at once."""
logger = logging.getLogger("pyvern.leader")


class Reconciler:
    """Keeps webhook configurations as `webhooks.desired` says, then marks the policies ready."""

    def __init__(
        self,
        client: Client,
        *,
        policies: Policies,
        inputs: Callable[[], tuple[Settings, Discovery, Wanted]],
        metrics: Metrics,
        resync: float,
    ) -> None:
        self._client = client
        self._policies = policies
        self._inputs = inputs
        self._metrics = metrics
        self._resync = resync
        self._due = asyncio.Event()
        self._live: dict[tuple[str, str], Object] = {}

    def nudge(self) -> None:
        """Something that webhooks or statuses depend on has changed."""
        self._due.set()

    async def run(self) -> None:
        """Works until cancelled; the work of the leader."""
        listed = {kind: asyncio.Event() for kind in COLLECTIONS}
        async with asyncio.TaskGroup() as group:
            for kind, path in COLLECTIONS.items():
                handler = self._handler(kind, listed[kind])
                group.create_task(follow(self._client, Target(path, label_selector=webhooks.SELECTOR), handler))
            for event in listed.values():
                await event.wait()
            await self._policies.wait()
            await self._reconcile_for_ever()

    async def _reconcile_for_ever(self) -> None:
        attempt = 0
        self._due.set()
        while True:
            try:
                async with asyncio.timeout(self._resync):
                    await self._due.wait()
                await asyncio.sleep(SETTLE)
            except TimeoutError:
                pass
            self._due.clear()
            try:
                await self.reconcile()
                attempt = 0
            except FAILURES as error:
                attempt += 1
                logger.warning("webhooks or statuses could not be written (try %d): %s", attempt, error)
                self._metrics.count("kyverno_controller_requeue", ("webhook-controller", str(attempt)))
                await asyncio.sleep(backoff(attempt))
                self._due.set()

    async def reconcile(self) -> None:
        """Writes what differs. Raises ApiError and Unreachable."""
        self._metrics.count("kyverno_controller_reconcile", ("webhook-controller",))
        settings, discovery, wanted = self._inputs()
        entries = list(self._policies.entries.values())
        compiled = [entry.policy for entry in entries if entry.policy is not None]
        for configuration in webhooks.desired(compiled, settings, discovery, wanted):
            await self._apply(configuration)
        for entry in entries:
            wanted_status = status.desired(entry, now_utc().strftime("%Y-%m-%dT%H:%M:%SZ"))
            if status.differs(entry, wanted_status):
                await self._write_status(entry.path, {**entry.document, "status": wanted_status})

    async def remove_all(self) -> None:
        """Takes our configurations away; the cluster then works as if we had never been there."""
        for kind, name in webhooks.OURS:
            await self._client.delete(f"{COLLECTIONS[kind]}/{name}")

    async def _apply(self, wanted: Object) -> None:
        kind, name = wanted["kind"], wanted["metadata"]["name"]
        live = self._live.get((kind, name))
        if not webhooks.differs(live, wanted):
            return
        path = COLLECTIONS[kind]
        try:
            if live is None:
                written = await self._client.create(path, wanted)
            else:
                written = await self._client.replace(f"{path}/{name}", _merged(live, wanted))
        except ApiError as error:
            if not (error.conflict or error.not_found):
                raise
            self._live.pop((kind, name), None)
            written = await self._retry(path, name, wanted, missing=error.not_found)
        self._live[kind, name] = written
        logger.info("%s %s: %d webhooks", kind, name, len(wanted["webhooks"]))

    async def _retry(self, path: str, name: str, wanted: Object, *, missing: bool) -> Object:
        written: Object
        if missing:
            written = await self._client.create(path, wanted)
        else:
            live = await self._client.get(f"{path}/{name}")
            written = await self._client.replace(f"{path}/{name}", _merged(live, wanted))
        return written

    async def _write_status(self, path: str, document: Object) -> None:
        try:
            await self._client.replace(f"{path}/status", document)
        except ApiError as error:
            if not (error.conflict or error.not_found):
                raise

    def _handler(self, kind: str, listed: asyncio.Event) -> Callable[[Event], None]:
        def handle(event: Event) -> None:
            if isinstance(event, Listed):
                self._forget(kind)
                self._remember(kind, event.objects)
                listed.set()
            elif event.type == "DELETED":
                self._live.pop((kind, event.object["metadata"]["name"]), None)
            else:
                self._remember(kind, (event.object,))
            self._due.set()

        return handle

    def _forget(self, kind: str) -> None:
        for key in [key for key in self._live if key[0] == kind]:
            del self._live[key]

    def _remember(self, kind: str, objects: Iterable[Object]) -> None:
        for item in objects:
            self._live[kind, item["metadata"]["name"]] = item


def _merged(live: Object, wanted: Object) -> Object:
    """`wanted` on top of what others wrote into the metadata."""
    metadata = live["metadata"]
    fresh = {**metadata, **wanted["metadata"]}
    for key in ("labels", "annotations"):
        fresh[key] = {**(metadata.get(key) or {}), **(wanted["metadata"].get(key) or {})}
    fresh.pop("managedFields", None)
    return {**wanted, "metadata": fresh}
