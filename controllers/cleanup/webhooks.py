"""The two webhooks of the cleanup controller (spec 3.1), kept as they should be by its leader."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from controllers.cluster.client import FAILURES, Client
from controllers.cluster.settings import WebhookDefaults, default_settings
from controllers.cluster.watch import backoff
from controllers.cluster.webhook_configurations import Address, Configurations, Fixed, fixed
from controllers.cluster.webhook_wishes import Wishes

KIND = "ValidatingWebhookConfiguration"
POLICY_PATH = "/validate"
TTL_PATH = "/verifyttl"
LABELLED = {"matchExpressions": [{"key": "cleanup.kyverno.io/ttl", "operator": "Exists"}]}
FIXED = (
    Fixed(
        KIND,
        "kyverno-cleanup-validating-webhook-cfg",
        "kyverno-cleanup-controller.kyverno.svc",
        POLICY_PATH,
        "Fail",
        "kyverno.io",
        ("v2beta1", "v2"),
        ("cleanuppolicies", "clustercleanuppolicies"),
        ("CREATE", "UPDATE"),
    ),
    Fixed(
        KIND,
        "kyverno-ttl-validating-webhook-cfg",
        "kyverno-cleanup-controller.kyverno.svc",
        TTL_PATH,
        "Ignore",
        "*",
        ("*",),
        ("*",),
        ("CREATE", "UPDATE"),
        LABELLED,
    ),
)
logger = logging.getLogger("pyvern.webhooks")


class Webhooks:
    """Writes the configurations when they differ. `wanted` says how they should be now."""

    def __init__(self, client: Client, wanted: Callable[[], tuple[WebhookDefaults, Address]], *, resync: float) -> None:
        self._wanted = wanted
        self._resync = resync
        self._due = asyncio.Event()
        self._configurations = Configurations(client, self.nudge, kinds=(KIND,))
        self._wishes = Wishes(self._configurations, carrying=[entry.configuration for entry in FIXED])

    def nudge(self) -> None:
        """Something that they depend on has changed."""
        self._due.set()

    async def run(self) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as group:
            for watch in self._configurations.watches():
                group.create_task(watch)
            await self._configurations.wait()
            await self._keep()

    async def remove(self) -> None:
        """Takes them away. Raises ApiError and Unreachable."""
        await self._configurations.remove((entry.kind, entry.configuration) for entry in FIXED)

    async def _keep(self) -> None:
        attempt = 0
        self._due.set()
        while True:
            try:
                async with asyncio.timeout(self._resync):
                    await self._due.wait()
            except TimeoutError:
                pass
            self._due.clear()
            try:
                defaults, address = self._wanted()
                await self._wishes.apply(
                    defaults,
                    partial(fixed, FIXED, address=address),
                    default=default_settings(address.namespace).webhooks,
                )
                attempt = 0
            except FAILURES as error:
                attempt += 1
                logger.warning("webhooks could not be written (try %d): %s", attempt, error)
                await asyncio.sleep(backoff(attempt))
                self._due.set()
