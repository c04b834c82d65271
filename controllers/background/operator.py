"""The background operator: puts the parts together and orders its life; the leader alone works."""

from __future__ import annotations

import argparse
import asyncio
import logging
from collections.abc import Callable

from controllers.background.changes import Changes
from controllers.background.conditions import Conditions
from controllers.background.ledger import Ledger
from controllers.background.objects import Objects
from controllers.background.observe import Observer
from controllers.background.triggers import Triggers
from controllers.background.update_request import Carrier
from controllers.background.upkeep import Upkeep
from controllers.background.worker import Worker
from controllers.cluster.credentials import Credentials
from controllers.cluster.discovery import Discovery
from controllers.cluster.ephemeral_reports import EphemeralReports
from controllers.cluster.exceptions import Exceptions
from controllers.cluster.flags import Environment
from controllers.cluster.metrics import breaker
from controllers.cluster.operator import Operator
from controllers.cluster.policies import Change, Entry, Policies
from controllers.cluster.settings import Settings
from controllers.cluster.update_request_writer import Writer
from engine import PolicyException, Request, compile_filters

REPORT_DELAY = 1.0
"""Seconds in which results about one object become one report: the policies of a trigger are carried out one by one."""
logger = logging.getLogger("pyvern.operator")


class Background(Operator):
    """One replica of the background controller."""

    NAME = "background"
    LEASE = "kyverno-background-controller"
    RECENT_NAMESPACES = 1500  # most triggers are new Namespaces, which need not be read then

    def __init__(self, flags: argparse.Namespace, environment: Environment, credentials: Credentials) -> None:
        super().__init__(flags, environment, credentials)
        self._filters: Callable[[Request], bool] = _nothing
        self.policies = Policies(self._policy_changed)
        self.exceptions = Exceptions(flags.exceptionNamespace if flags.enablePolicyException else "", self._exceptions_changed)
        objects = Objects(self._client, lambda: self.kinds.discovery)
        ledger = Ledger(self._client, namespace=environment.namespace)
        triggers = Triggers(
            objects,
            self.namespaces,
            excluded=lambda request: self._filters(request),
            hooks=lambda: self.settings.webhooks,
            seen=ledger.get,
        )
        carrier = Carrier(
            policies=lambda: self.policies.snapshot,
            objects=objects,
            world=self.world,
            namespaces=self.namespaces,
            triggers=triggers,
        )
        self.reports = EphemeralReports(
            self._client,
            limit=flags.maxBackgroundReports,
            delay=REPORT_DELAY,
            counted=breaker(self.metrics, "background scan reports"),
        )
        self._observer = Observer(
            self.metrics,
            self.events,
            lambda: self.settings,
            self.reports,
            reporting=flags.enableReporting,
            allowed=flags.allowedResults,
        )
        self.worker = Worker(
            self._client,
            namespace=environment.namespace,
            carrier=carrier,
            metrics=self.metrics,
            carried=self._observer.carried,
            given_up=self._observer.given_up,
            conditions=Conditions(self._client, self.policies.entries),
        )
        self.updates = Writer(
            self._client,
            namespace=environment.namespace,
            threshold=lambda: self.settings.update_request_threshold,
            counted=breaker(self.metrics, "update requests"),
        )
        self._upkeep = Upkeep(
            policies=self.policies,
            changes=Changes(objects, triggers),
            ledger=ledger,
            carrier=carrier,
            updates=self.updates,
            attended=self.worker.attends,
            every=environment.scan_interval,
        )

    async def _start(self) -> None:
        """Policies are known before the first UpdateRequest is looked at."""
        await self._follow_cluster()
        self._tasks.spawn("policies", self.policies.run(self._client))
        self._tasks.spawn("exceptions", self.exceptions.run(self._client))
        self._tasks.spawn("namespaces", self.namespaces.run(self._client))
        self._tasks.spawn("reports", self.reports.run())
        await self.policies.wait()
        await self.exceptions.synced.wait()
        await self.namespaces.synced.wait()
        self.ready = True
        self._tasks.spawn("update requests", self.updates.run())
        self._tasks.spawn("leadership", self._leadership.run(self._lead))
        self._settle_memory()
        logger.info("%d policies in force", len(self.policies.entries))

    async def _lead(self) -> None:
        """Everything that only one replica does."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.worker.run(self.flags.genWorkers))
            group.create_task(self._upkeep.run())

    # Changes

    def _policy_changed(self, entry: Entry, change: Change) -> None:
        self._upkeep.changed(entry, change)

    def _exceptions_changed(self, exceptions: tuple[PolicyException, ...]) -> None:
        self.policies.except_(exceptions)

    def _kinds_changed(self, _: Discovery) -> None:
        if self.ready:
            self.worker.queue.hurry()

    def _settings_changed(self, last: Settings) -> None:
        if self.settings.resource_filters != last.resource_filters:
            filters = compile_filters(self.settings.resource_filters)
            self._filters = lambda request: filters(request)

    # End

    async def _shut_down(self) -> None:
        """What is queued is written, then another replica takes over."""
        await self._tasks.end("leadership")
        await self.updates.flush(3.0)
        await self._leadership.release()
        await self.reports.flush(1.0)


def _nothing(_: Request) -> bool:
    return False
