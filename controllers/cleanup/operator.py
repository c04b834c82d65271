"""The cleanup operator: all replicas answer webhooks, the leader deletes."""

from __future__ import annotations

import argparse
import asyncio
import logging

from controllers.cleanup.observe import Observer
from controllers.cleanup.reviewer import Reviewer
from controllers.cleanup.schedules import Schedules
from controllers.cleanup.sweep import Sweeper
from controllers.cleanup.ttl import TimeToLive
from controllers.cleanup.webhooks import Webhooks
from controllers.cluster import installation
from controllers.cluster.credentials import Credentials
from controllers.cluster.discovery import Discovery
from controllers.cluster.flags import Environment
from controllers.cluster.settings import Settings, WebhookDefaults
from controllers.cluster.webhook_configurations import Address
from controllers.cluster.webhook_operator import WebhookOperator
from engine import compile_filters

logger = logging.getLogger("pyvern.operator")


class Cleanup(WebhookOperator):
    """One replica of the cleanup controller."""

    NAME = "cleanup"
    LEASE = "kyverno-cleanup-controller"

    def __init__(self, flags: argparse.Namespace, environment: Environment, credentials: Credentials) -> None:
        super().__init__(flags, environment, credentials, host=flags.cleanupServerHost, port=flags.cleanupServerPort)
        self._filters = compile_filters(self.settings.resource_filters)
        self._sweeper = Sweeper(
            self._client,
            discovery=lambda: self.kinds.discovery,
            namespaces=self.namespaces,
            world=self.world,
            excluded=lambda request: self._filters(request),
            protect_managed=flags.protectManagedResources,
            cleaned=Observer(self.metrics, self.events).cleaned,
        )
        self.schedules = Schedules(self._client, self._sweeper.sweep)
        self.ttl = TimeToLive(
            self._client,
            discovery=lambda: self.kinds.discovery,
            metrics=self.metrics,
            interval=flags.ttlReconciliationInterval,
        )
        self.webhooks = Webhooks(self._client, self._wanted, resync=flags.resyncPeriod)
        self._reviewer = Reviewer(
            self._client, discovery=lambda: self.kinds.discovery, ready=lambda: self.ready, dump=flags.dumpPayload
        )

    async def _respond(self, method: str, path: str, query: str, body: bytes) -> tuple[int, bytes]:
        return await self._reviewer.respond(method, path, query, body)

    async def _start(self) -> None:
        """Filters and namespaces are known before the first review and the first deletion."""
        await self._follow_cluster()
        self._tasks.spawn("namespaces", self.namespaces.run(self._client))
        await self.namespaces.synced.wait()

    def _serving(self) -> None:
        self._tasks.spawn("leadership", self._leadership.run(self._lead))

    async def _lead(self) -> None:
        """What only one replica does."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.webhooks.run())
            group.create_task(self.schedules.run())
            group.create_task(self.ttl.run())

    # Changes

    def _settings_changed(self, _: Settings) -> None:
        self._filters = compile_filters(self.settings.resource_filters)
        for problem in self._filters.problems:
            logger.error("ConfigMap %s: data.%s; this entry is left out", self.environment.config, problem)
        self.webhooks.nudge()

    def _kinds_changed(self, _: Discovery) -> None:
        self.ttl.nudge()

    def _trust_changed(self) -> None:
        self.webhooks.nudge()

    def _wanted(self) -> tuple[WebhookDefaults, Address]:
        flags, environment = self.flags, self.environment
        address = Address(
            ca_bundle=self._certificate.material.ca_bundle,
            namespace=environment.namespace,
            service=environment.service,
            service_port=flags.servicePort,
            url=f"https://{flags.serverIP}" if flags.serverIP else "",
            timeout=flags.webhookTimeout,
            owner=self._owner,
        )
        return self.settings.webhooks, address

    async def _leave(self, *, led: bool) -> None:
        if led and await installation.going_down(self._client, self.environment):
            logger.info("the installation goes down: removing webhook configurations")
            await self.webhooks.remove()
