"""What all four controllers have in common: connections, tasks, settings, and the order of a life."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import signal
from typing import Any, ClassVar

from controllers.cluster import settings as settings_module
from controllers.cluster.client import Client
from controllers.cluster.credentials import Credentials
from controllers.cluster.discovery import Discovery
from controllers.cluster.events import Events
from controllers.cluster.facts import World
from controllers.cluster.flags import Environment
from controllers.cluster.framework import connection, kopf, operator_settings
from controllers.cluster.global_context import GlobalContext
from controllers.cluster.kinds import Kinds
from controllers.cluster.lease import Leadership, Timing
from controllers.cluster.list_paths import ListPaths
from controllers.cluster.memory import Memory
from controllers.cluster.metrics import InvalidExposure, Metrics, read_exposure
from controllers.cluster.metrics_server import MetricsServer
from controllers.cluster.namespaces import Namespaces
from controllers.cluster.outside import Outside, lookups
from controllers.cluster.pace import Pace
from controllers.cluster.queries import Queries
from controllers.cluster.settings import Settings
from controllers.cluster.tasks import Tasks
from controllers.cluster.watch import Event, Target, follow

PATIENCE = 10.0
"""Seconds to wait at the start for the data of GlobalContextEntries."""
logger = logging.getLogger("pyvern.operator")


class Operator:
    """One replica of a controller. A controller says what it does by `_start`, `_shut_down` and the changes it follows.

    The order: `run` -> kopf -> `_start` -> `ready`; SIGTERM or SIGINT -> `_shut_down` -> the end. A second signal, or one
    before `ready`, ends at once. A task that fails ends the process with its error, and the kubelet starts it again: half a
    controller would be worse than none.
    """

    NAME: ClassVar[str]
    """`admission`, `background`, `cleanup`, `reports`."""
    LEASE: ClassVar[str]
    """The Lease by which one replica is chosen (spec 4.1)."""
    ANSWERS_REQUESTS: ClassVar[bool] = False
    """Somebody waits for each answer: lists that policies name are read before they are asked for. Its leader also writes the
    statuses of GlobalContextEntries."""
    RECENT_NAMESPACES: ClassVar[int] = 0
    """How many of the Namespaces that changed last are kept whole."""

    def __init__(self, flags: argparse.Namespace, environment: Environment, credentials: Credentials) -> None:
        self.flags = flags
        self.environment = environment
        self.credentials = credentials
        self.ready = False
        agent = f"pyvern-{self.NAME}"
        pace = Pace(rate=flags.clientRateLimitQPS, burst=flags.clientRateLimitBurst) if flags.clientRateLimitQPS > 0 else None
        self.metrics = Metrics()
        queries = Queries(self.metrics, lambda: self.kinds.discovery)
        self._client = Client(credentials, user_agent=agent, pace=pace, counted=queries)
        self._lease_client = Client(credentials, connections=4, user_agent=f"{agent}-lease")
        self._outside = Outside(
            flags, self._client, settings=lambda: self.settings, namespace=environment.namespace, user_agent=agent
        )
        self._tasks = Tasks(self._fail)
        self._stop = asyncio.Event()
        self._configured = asyncio.Event()
        self._failed: BaseException | None = None
        self._ending = False
        self.settings: Settings = settings_module.default_settings(environment.namespace)
        self.namespaces = Namespaces(recent=self.RECENT_NAMESPACES)
        self.kinds = Kinds(self._client, self._kinds_changed)
        self.events = Events(
            self._client,
            instance=environment.pod,
            omit=frozenset(part.strip() for part in flags.omitEvents.split(",") if part.strip()),
            capacity=flags.maxQueuedEvents,
            pace=Pace(rate=max(1, flags.eventsRateLimitQPS), burst=max(1, flags.eventsRateLimitBurst)),
            dropped=lambda: self.metrics.count("kyverno_events_dropped"),
        )
        self.memory = Memory(
            ListPaths(self._client, lambda: self.kinds.discovery, eager=self.ANSWERS_REQUESTS),
            GlobalContext(
                self._client,
                call=lambda lookup: self.world.fetch(lookup),
                events=self.events,
                limit=flags.maxGlobalContextEntries,
                leading=(lambda: self._leadership.leading) if self.ANSWERS_REQUESTS else None,
            ),
        )
        self.world = World(
            self._client,
            discovery=lambda: self.kinds.discovery,
            max_response=flags.maxAPICallResponseLength,
            timeout=flags.apiCallTimeout,
            sources=self._outside.sources,
            max_size=lambda: self.settings.max_context_size,
            counted=lookups(self.metrics),
            memory=self.memory,
        )
        self._leadership = Leadership(
            self._lease_client,
            namespace=environment.namespace,
            name=self.LEASE,
            identity=environment.pod,
            timing=Timing(retry=flags.leaderElectionRetryPeriod),
        )
        self._metrics_server = MetricsServer(
            self.metrics,
            host=flags.metricsHost,
            port=flags.metricsPort,
            ready=lambda: self.ready,
            rendering=not flags.disableMetrics,
        )

    async def run(self) -> None:
        """Lives until SIGTERM or SIGINT. Raises what ended it otherwise, `CannotStart` among others."""
        async with self._client, self._lease_client, self._outside:
            registry = kopf.OperatorRegistry()
            # What keeps it from starting ends the process: kopf alone would try again after a minute, half started.
            kopf.on.startup(registry=registry, id="start", errors=kopf.ErrorsMode.PERMANENT)(self._started_by_kopf)
            kopf.on.login(registry=registry, id="login")(self._login)
            settings = operator_settings()
            self._adjust(settings)
            started = asyncio.Event()
            operator = asyncio.create_task(
                kopf.operator(registry=registry, settings=settings, clusterwide=True, ready_flag=started, stop_flag=self._stop),
                name="kopf",
            )
            waiting = asyncio.create_task(started.wait())
            await asyncio.wait([operator, waiting], return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            # kopf's own handlers would cancel everything at once; ours drain first.
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._signalled)
            (ended,) = await asyncio.gather(operator, return_exceptions=True)
        if (failed := self._failed or ended) is not None:
            raise failed

    # What a controller fills in

    async def _start(self) -> None:
        """Everything that must be known before the work begins. Calls `_follow_cluster` when it is ready for its changes."""
        raise NotImplementedError

    async def _shut_down(self) -> None:
        """Orderly end of the work; clients and common tasks end after it."""
        raise NotImplementedError

    def _adjust(self, settings: kopf.OperatorSettings) -> None:
        """kopf's settings beyond those of all controllers."""

    def _settings_changed(self, last: Settings) -> None:
        """`self.settings` is another one than `last`."""

    def _kinds_changed(self, discovery: Discovery) -> None:
        """The API server serves other kinds than before."""

    # Start

    async def _started_by_kopf(self, **_: Any) -> None:
        try:
            await self._start()
        except Exception as error:  # goes on to `run`: kopf's own says only that an activity failed
            self._failed = error
            raise

    async def _login(self, **_: Any) -> kopf.ConnectionInfo:
        return connection(self.credentials)

    async def _follow_cluster(self) -> None:
        """Learns kinds and settings, serves metrics and probes, and follows changes from now on."""
        await self.kinds.discover()
        await self._metrics_server.start()
        self._follow_map("config", self.environment.config, self._config_changed)
        self._follow_map("metrics config", self.environment.metrics_config, self._exposure_changed)
        self._tasks.spawn("kinds", self.kinds.run())
        self._tasks.spawn("events", self.events.run())
        self._tasks.spawn("memory", self.memory.run())
        await self.memory.entries.settled(PATIENCE)
        await self._configured.wait()  # INVARIANT (filters first): no work before it is known what must be left alone

    def _follow_map(self, task: str, name: str, handle: Any) -> None:
        path = f"/api/v1/namespaces/{self.environment.namespace}/configmaps"
        self._tasks.spawn(task, follow(self._client, Target(path, field_selector=f"metadata.name={name}"), handle))

    @staticmethod
    def _settle_memory() -> None:
        """What has been built so far stays for good: the collector need not look at it again."""
        gc.collect()
        gc.freeze()

    # Changes

    def _config_changed(self, event: Event) -> None:
        defaults = settings_module.default_settings(self.environment.namespace)
        last = self.settings
        self.settings, faults = settings_module.read(settings_module.data_of(event) or {}, last=last, defaults=defaults)
        for fault in faults:
            logger.error("ConfigMap %s: %s; the last good value stays", self.environment.config, fault)
        if self.settings != last:
            self._settings_changed(last)
        self._configured.set()

    def _exposure_changed(self, event: Event) -> None:
        try:
            exposure = read_exposure(settings_module.data_of(event) or {})
        except InvalidExposure as error:
            logger.error("ConfigMap %s: %s; the last good values stay", self.environment.metrics_config, error)
            return
        if exposure != self.metrics.exposure:
            self.metrics.expose(exposure)

    # End

    def _fail(self, error: BaseException) -> None:
        self._failed = error
        self.ready = False
        self._stop.set()

    def _signalled(self) -> None:
        if self._ending or not self.ready:
            self._stop.set()
            return
        self.ready = False
        self._ending = True
        self._tasks.spawn("shutdown", self._end())

    async def _end(self) -> None:
        await self._shut_down()
        await self.events.flush(1.0)
        await self._metrics_server.stop()
        await self._tasks.end()
        logger.info("ended")
        self._stop.set()
