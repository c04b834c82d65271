"""The background operator: puts the parts together and orders its life; the leader alone works."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import signal
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from controllers.background.carried import FAILING
from controllers.background.changes import Changes
from controllers.background.conditions import Conditions
from controllers.background.objects import Objects
from controllers.background.observe import Observer
from controllers.background.question import NotYet, Pointless, Refused
from controllers.background.update_request import Carrier
from controllers.background.worker import Worker
from controllers.cluster import settings as settings_module
from controllers.cluster.client import Client
from controllers.cluster.credentials import Credentials
from controllers.cluster.discovery import Discovery
from controllers.cluster.ephemeral_reports import EphemeralReports
from controllers.cluster.events import Events, Pace
from controllers.cluster.exceptions import Exceptions
from controllers.cluster.facts import World
from controllers.cluster.flags import Environment
from controllers.cluster.framework import connection, kopf, operator_settings
from controllers.cluster.kinds import Kinds
from controllers.cluster.lease import Leadership, Timing
from controllers.cluster.metrics import InvalidExposure, Metrics, breaker, read_exposure
from controllers.cluster.metrics_server import MetricsServer
from controllers.cluster.namespaces import Namespaces
from controllers.cluster.policies import Change, Entry, Policies
from controllers.cluster.settings import Settings
from controllers.cluster.tasks import Tasks
from controllers.cluster.update_request_writer import Writer
from controllers.cluster.update_requests import UpdateRequest
from controllers.cluster.watch import Event, Target, follow
from engine import LookupFailed, Policy, PolicyException, Request, compile_filters

LEASE = "kyverno-background-controller"
REMEMBERED = 60.0
"""Seconds for which a replica that does not lead remembers changes: the leader may have died before it acted on them."""
logger = logging.getLogger("pyvern.operator")
Pair = tuple[Policy | None, Policy | None]


class Background:
    """One replica of the background controller."""

    def __init__(
        self, flags: argparse.Namespace, environment: Environment, credentials: Credentials, *, repair_every: float
    ) -> None:
        self._repair_every = repair_every
        self.flags = flags
        self.environment = environment
        self.credentials = credentials
        self._client = Client(credentials, user_agent="pyvern-background")
        self._lease_client = Client(credentials, connections=4, user_agent="pyvern-background-lease")
        self._tasks = Tasks(self._fail)
        self._stop = asyncio.Event()
        self._failed: BaseException | None = None
        self._started = False
        self._ending = False
        self._settings: Settings = settings_module.default_settings(environment.namespace)
        self._filters: Callable[[Request], bool] = _nothing
        self._known: dict[tuple[str, str, str], Policy] = {}
        self._recent: deque[tuple[float, Pair]] = deque()
        self._changed: asyncio.Queue[Pair] = asyncio.Queue()
        self.metrics = Metrics()
        self.namespaces = Namespaces()
        self.policies = Policies(self._policy_changed)
        self.exceptions = Exceptions(flags.exceptionNamespace if flags.enablePolicyException else "", self._exceptions_changed)
        self.kinds = Kinds(self._client, self._kinds_changed)
        self.events = Events(
            self._client,
            instance=environment.pod,
            omit=frozenset(part.strip() for part in flags.omitEvents.split(",") if part.strip()),
            capacity=flags.maxQueuedEvents,
            pace=Pace(rate=max(1, flags.eventsRateLimitQPS), burst=max(1, flags.eventsRateLimitBurst)),
            dropped=lambda: self.metrics.count("kyverno_events_dropped"),
        )
        objects = Objects(self._client, lambda: self.kinds.discovery)
        self._changes = Changes(objects, self.namespaces, lambda request: self._filters(request))
        world = World(
            self._client,
            discovery=lambda: self.kinds.discovery,
            max_response=flags.maxAPICallResponseLength,
            timeout=flags.apiCallTimeout,
        )
        self.carrier = Carrier(policies=lambda: self.policies.snapshot, objects=objects, world=world, namespaces=self.namespaces)
        self.reports = EphemeralReports(
            self._client, limit=flags.maxBackgroundReports, counted=breaker(self.metrics, "background scan reports")
        )
        self._observer = Observer(
            self.metrics,
            self.events,
            lambda: self._settings,
            self.reports,
            reporting=flags.enableReporting,
            allowed=flags.allowedResults,
        )
        self.worker = Worker(
            self._client,
            namespace=environment.namespace,
            carrier=self.carrier,
            metrics=self.metrics,
            carried=self._observer.carried,
            given_up=self._observer.given_up,
            conditions=Conditions(self._client, self.policies.entries),
        )
        self.updates = Writer(
            self._client,
            namespace=environment.namespace,
            threshold=lambda: self._settings.update_request_threshold,
            counted=breaker(self.metrics, "update requests"),
        )
        timing = Timing(retry=flags.leaderElectionRetryPeriod)
        self._leadership = Leadership(
            self._lease_client, namespace=environment.namespace, name=LEASE, identity=environment.pod, timing=timing
        )
        self._server = MetricsServer(self.metrics, host=flags.metricsHost, port=flags.metricsPort, ready=lambda: self._started)

    async def run(self) -> None:
        """Lives until SIGTERM or SIGINT. Raises what ended it otherwise."""
        async with self._client, self._lease_client:
            registry = kopf.OperatorRegistry()
            kopf.on.startup(registry=registry, id="start")(self._start)
            kopf.on.login(registry=registry, id="login")(self._login)
            started = asyncio.Event()
            operator = asyncio.create_task(
                kopf.operator(
                    registry=registry,
                    settings=operator_settings(),
                    clusterwide=True,
                    ready_flag=started,
                    stop_flag=self._stop,
                ),
                name="kopf",
            )
            waiting = asyncio.create_task(started.wait())
            await asyncio.wait([operator, waiting], return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._signalled)
            await operator
        if self._failed is not None:
            raise self._failed

    # Start

    async def _start(self, **_: Any) -> None:
        """kopf's startup activity: policies are known before the first UpdateRequest is looked at."""
        await self.kinds.discover()
        maps = f"/api/v1/namespaces/{self.environment.namespace}/configmaps"
        config, exposure = (
            Target(maps, field_selector=f"metadata.name={name}")
            for name in (self.environment.config, self.environment.metrics_config)
        )
        await self._server.start()
        self._tasks.spawn("config", follow(self._client, config, self._config_changed))
        self._tasks.spawn("metrics config", follow(self._client, exposure, self._exposure_changed))
        self._tasks.spawn("policies", self.policies.run(self._client))
        self._tasks.spawn("exceptions", self.exceptions.run(self._client))
        self._tasks.spawn("namespaces", self.namespaces.run(self._client))
        self._tasks.spawn("kinds", self.kinds.run())
        self._tasks.spawn("events", self.events.run())
        self._tasks.spawn("reports", self.reports.run())
        await self.policies.wait()
        await self.exceptions.synced.wait()
        await self.namespaces.synced.wait()
        self._recent.clear()
        self._started = True
        self._tasks.spawn("update requests", self.updates.run())
        self._tasks.spawn("leadership", self._leadership.run(self._lead))
        gc.collect()
        gc.freeze()
        logger.info("%d policies in force", len(self.policies.entries))

    async def _login(self, **_: Any) -> kopf.ConnectionInfo:
        return connection(self.credentials)

    async def _lead(self) -> None:
        """Everything that only one replica does."""
        since = time.monotonic() - REMEMBERED
        for at, pair in self._recent:
            if at >= since:
                self._changed.put_nowait(pair)
        self._recent.clear()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.worker.run(self.flags.genWorkers))
            group.create_task(self._follow_changes())
            group.create_task(self._repair_for_ever())

    # Changes

    def _policy_changed(self, entry: Entry, change: Change) -> None:
        metadata = entry.document["metadata"]
        key = (entry.document.get("kind") or "", metadata.get("namespace") or "", metadata["name"])
        before = self._known.pop(key, None)
        after = entry.policy if change != "delete" else None
        if after is not None:
            self._known[key] = after
        if before is after:
            return
        if self._leadership.leading:
            self._changed.put_nowait((before, after))
        else:
            self._recent.append((time.monotonic(), (before, after)))
            while self._recent and self._recent[0][0] < time.monotonic() - REMEMBERED:
                self._recent.popleft()

    async def _follow_changes(self) -> None:
        while True:
            before, after = await self._changed.get()
            async for update in self._changes.work(before, after):
                self.updates.put(update)

    async def _repair_for_ever(self) -> None:
        """What was missed while nobody worked, now and every hour: wanted and existing downstreams are compared."""
        while True:
            for policy in tuple(self.policies.snapshot):
                async for update in self._changes.work(policy, policy):
                    await self._repair(update)
            await asyncio.sleep(self._repair_every)

    async def _repair(self, update: UpdateRequest) -> None:
        """Carries out without an UpdateRequest; what fails gets one, so that it is tried again."""
        try:
            carried = await self.carrier.carry_out(update, age=REMEMBERED)
        except (NotYet, Pointless, Refused):
            return
        except (*FAILING, LookupFailed) as error:
            logger.info("policy %s: %s", update.policy, error)
            self.updates.put(update)
            return
        if any(one.failures for one in carried):
            self.updates.put(update)

    def _exceptions_changed(self, exceptions: tuple[PolicyException, ...]) -> None:
        self.policies.except_(exceptions)

    def _kinds_changed(self, _: Discovery) -> None:
        if self._started:
            self.worker.queue.hurry()

    def _config_changed(self, event: Event) -> None:
        data = settings_module.data_of(event)
        defaults = settings_module.default_settings(self.environment.namespace)
        last = self._settings
        settings, faults = settings_module.read(data or {}, last=last, defaults=defaults)
        for fault in faults:
            logger.error("ConfigMap %s: %s; the last good value stays", self.environment.config, fault)
        if settings == last:
            return
        self._settings = settings
        if settings.resource_filters != last.resource_filters:
            filters = compile_filters(settings.resource_filters)
            self._filters = lambda request: filters(request)

    def _exposure_changed(self, event: Event) -> None:
        try:
            exposure = read_exposure(settings_module.data_of(event) or {})
        except InvalidExposure as error:
            logger.error("ConfigMap %s: %s; the last good values stay", self.environment.metrics_config, error)
            return
        if exposure != self.metrics.exposure:
            self.metrics.expose(exposure)

    # End

    def _signalled(self) -> None:
        if self._ending or not self._started:
            self._stop.set()
            return
        self._ending = True
        self._started = False
        self._tasks.spawn("shutdown", self._shut_down())

    async def _shut_down(self) -> None:
        """What is queued is written, then another replica takes over."""
        await self._tasks.end("leadership")
        await self.updates.flush(3.0)
        await self._leadership.release()
        await self.events.flush(1.0)
        await self.reports.flush(1.0)
        await self._server.stop()
        await self._tasks.end()
        logger.info("ended")
        self._stop.set()

    def _fail(self, error: BaseException) -> None:
        """Ends the process; the kubelet starts it again."""
        self._failed = error
        self._stop.set()


def _nothing(_: Request) -> bool:
    return False
