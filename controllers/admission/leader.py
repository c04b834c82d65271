"""What only one replica does: webhook configurations and the status of policies. Gather, decide (pure), apply."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from controllers.admission import status, webhooks
from controllers.admission.webhooks import Wanted
from controllers.cluster.client import FAILURES, ApiError, Client
from controllers.cluster.discovery import Discovery
from controllers.cluster.lease import now_utc
from controllers.cluster.metrics import Metrics
from controllers.cluster.policies import Entry, Policies
from controllers.cluster.settings import Settings, WebhookDefaults, default_settings
from controllers.cluster.watch import backoff
from controllers.cluster.webhook_configurations import Configurations
from controllers.cluster.webhook_wishes import Wishes

Object = dict[str, Any]
IDENTITY = ("name", "namespace", "uid", "resourceVersion")
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
        self._configurations = Configurations(client, self.nudge)
        self._wishes = Wishes(self._configurations, carrying=(webhooks.VALIDATING.name, webhooks.MUTATING.name))

    def nudge(self) -> None:
        """Something that webhooks or statuses depend on has changed."""
        self._due.set()

    async def run(self) -> None:
        """Works until cancelled; the work of the leader."""
        async with asyncio.TaskGroup() as group:
            for watch in self._configurations.watches():
                group.create_task(watch)
            await self._configurations.wait()
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
                self._metrics.count("kyverno_controller_requeue", ("webhook-controller", str(min(attempt, 10))))
                await self._pause(backoff(attempt))
                self._due.set()

    async def _pause(self, seconds: float) -> None:
        """Waits that long, or a moment when something changes meanwhile: it may be what mends the fault."""
        await asyncio.sleep(min(seconds, 0.5))
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._due.wait()

    async def reconcile(self) -> None:
        """Writes what differs. Raises ApiError and Unreachable."""
        self._metrics.count("kyverno_controller_reconcile", ("webhook-controller",))
        settings, discovery, wanted = self._inputs()
        entries = list(self._policies.entries.values())
        compiled = [entry.policy for entry in entries if entry.policy is not None]

        def desired(defaults: WebhookDefaults) -> Iterable[Object]:
            return webhooks.desired(compiled, replace(settings, webhooks=defaults), discovery=discovery, wanted=wanted)

        await self._wishes.apply(settings.webhooks, desired, default=default_settings(wanted.namespace).webhooks)
        for entry in entries:
            wanted_status = status.desired(entry, now_utc().strftime("%Y-%m-%dT%H:%M:%SZ"))
            if status.differs(entry, wanted_status):
                await self._write_status(entry, wanted_status)

    async def remove_all(self) -> None:
        """Takes our configurations away; the cluster then works as if we had never been there."""
        await self._configurations.remove(webhooks.OURS)

    async def _write_status(self, entry: Entry, wanted: Object) -> None:
        written = entry.document
        metadata = {key: written["metadata"][key] for key in IDENTITY if key in written["metadata"]}
        document = {"apiVersion": written["apiVersion"], "kind": written["kind"], "metadata": metadata, "status": wanted}
        try:
            await self._client.replace(f"{entry.path}/status", document)
        except ApiError as error:
            if error.status >= 500 or error.status == 429:
                raise
            if not (error.conflict or error.not_found):  # such as a document older than its CRD: the others get theirs
                logger.warning("status of %s is refused: %s", entry.path, error)
