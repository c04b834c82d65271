"""The cleanup operator: puts the parts together and orders its life from start to drained end."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import signal
from collections.abc import AsyncIterator
from typing import Any

from controllers.cleanup.observe import Observer
from controllers.cleanup.reviewer import Reviewer
from controllers.cleanup.schedules import Schedules
from controllers.cleanup.sweep import Sweeper
from controllers.cleanup.ttl import TimeToLive
from controllers.cleanup.webhooks import Webhooks
from controllers.cluster import installation
from controllers.cluster import settings as settings_module
from controllers.cluster.certificate_store import Store
from controllers.cluster.client import FAILURES, Client
from controllers.cluster.credentials import Credentials
from controllers.cluster.discovery import Discovery
from controllers.cluster.events import Events, Pace
from controllers.cluster.facts import World
from controllers.cluster.flags import Environment
from controllers.cluster.framework import connection, kopf, operator_settings
from controllers.cluster.kinds import Kinds
from controllers.cluster.lease import Leadership, Timing, now_utc
from controllers.cluster.metrics import InvalidExposure, Metrics, read_exposure
from controllers.cluster.metrics_server import MetricsServer
from controllers.cluster.namespaces import Namespaces
from controllers.cluster.pair import Names
from controllers.cluster.server import WebhookServer
from controllers.cluster.serving import ServingCertificate
from controllers.cluster.settings import WebhookDefaults
from controllers.cluster.tasks import Tasks
from controllers.cluster.watch import Event, Target, follow
from controllers.cluster.webhook_configurations import Address
from engine import compile_filters

LEASE = "kyverno-cleanup-controller"
PATIENCE = 10.0
logger = logging.getLogger("pyvern.operator")


class Cleanup:
    """One replica of the cleanup controller: all answer webhooks, the leader deletes."""

    def __init__(self, flags: argparse.Namespace, environment: Environment, credentials: Credentials) -> None:
        self.flags = flags
        self.environment = environment
        self.credentials = credentials
        self._client = Client(credentials, user_agent="pyvern-cleanup")
        self._lease_client = Client(credentials, connections=4, user_agent="pyvern-cleanup-lease")
        self._tasks = Tasks(self._fail)
        self._stop = asyncio.Event()
        self._failed: BaseException | None = None
        self._ready = False
        self._ending = False
        self._owner: dict[str, Any] | None = None
        self._settings = settings_module.default_settings(environment.namespace)
        self._filters = compile_filters(self._settings.resource_filters)
        self.metrics = Metrics()
        self.namespaces = Namespaces()
        self.kinds = Kinds(self._client, self._kinds_changed)
        self.events = Events(
            self._client,
            instance=environment.pod,
            omit=frozenset(part.strip() for part in flags.omitEvents.split(",") if part.strip()),
            capacity=flags.maxQueuedEvents,
            pace=Pace(rate=max(1, flags.eventsRateLimitQPS), burst=max(1, flags.eventsRateLimitBurst)),
            dropped=lambda: self.metrics.count("kyverno_events_dropped"),
        )
        self._sweeper = Sweeper(
            self._client,
            discovery=lambda: self.kinds.discovery,
            namespaces=self.namespaces,
            world=World(
                self._client,
                discovery=lambda: self.kinds.discovery,
                max_response=flags.maxAPICallResponseLength,
                timeout=flags.apiCallTimeout,
            ),
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
        reviewer = Reviewer(self._client, discovery=lambda: self.kinds.discovery, ready=lambda: self._ready)
        self.server = WebhookServer(reviewer.respond, host=flags.cleanupServerHost, port=flags.cleanupServerPort)
        store = Store(self._client, self._names(), now_utc)
        self._certificate = ServingCertificate(store, trust=self.webhooks.nudge, serve=self.server.renew)
        timing = Timing(retry=flags.leaderElectionRetryPeriod)
        self._leadership = Leadership(
            self._lease_client, namespace=environment.namespace, name=LEASE, identity=environment.pod, timing=timing
        )
        self._metrics_server = MetricsServer(self.metrics, host=flags.metricsHost, port=flags.metricsPort)

    async def run(self) -> None:
        """Lives until SIGTERM or SIGINT. Raises what ended it otherwise, `PortTaken` among others."""
        self.server.try_port()
        async with self._client, self._lease_client:
            registry = kopf.OperatorRegistry()
            kopf.on.startup(registry=registry, id="start")(self._start)
            kopf.on.login(registry=registry, id="login")(self._login)
            settings = operator_settings()
            settings.admission.server = self._serve
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
            await operator
        if self._failed is not None:
            raise self._failed

    # Start

    async def _start(self, **_: Any) -> None:
        """kopf's startup activity: everything that must be known before the first review and the first deletion."""
        await self._certificate.load()
        self._owner = await installation.owner(self._client, self.environment.role)
        await self.kinds.discover()
        namespace = self.environment.namespace
        configured = asyncio.Event()

        def config_changed(event: Event) -> None:
            self._config_changed(event)
            configured.set()

        for collection, name, handle in (
            ("configmaps", self.environment.config, config_changed),
            ("configmaps", self.environment.metrics_config, self._exposure_changed),
            ("secrets", self.flags.caSecretName, self._secret_changed),
            ("secrets", self.flags.tlsSecretName, self._secret_changed),
        ):
            target = Target(f"/api/v1/namespaces/{namespace}/{collection}", field_selector=f"metadata.name={name}")
            self._tasks.spawn(name, follow(self._client, target, handle))
        self._tasks.spawn("namespaces", self.namespaces.run(self._client))
        self._tasks.spawn("kinds", self.kinds.run())
        self._tasks.spawn("events", self.events.run())
        self._tasks.spawn("certificates", self._certificate.keep(self._renews))
        if not self.flags.disableMetrics:
            await self._metrics_server.start()
        await self.namespaces.synced.wait()
        await configured.wait()  # INVARIANT (filters first): nothing is deleted before it is known what must not be

    async def _login(self, **_: Any) -> kopf.ConnectionInfo:
        return connection(self.credentials)

    async def _serve(self, _: Any) -> AsyncIterator[kopf.WebhookClientConfig]:
        """kopf's admission server: ours, which answers on paths of its own."""
        await self.server.start(self._certificate.material.leaf)
        self._ready = True
        self._tasks.spawn("leadership", self._leadership.run(self._lead))
        gc.collect()
        gc.freeze()
        logger.info("serving on port %d", self.flags.cleanupServerPort)
        yield kopf.WebhookClientConfig(url=f"https://127.0.0.1:{self.flags.cleanupServerPort}")
        try:
            await self.server.wait()
            if not self._ending:
                self._fail(RuntimeError("the webhook server ended by itself"))
            await asyncio.Event().wait()  # until kopf cancels us
        finally:
            self._ready = False
            await self.server.stop(patience=0)

    async def _lead(self) -> None:
        """What only one replica does."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.webhooks.run())
            group.create_task(self.schedules.run())
            group.create_task(self.ttl.run())

    # Changes

    def _config_changed(self, event: Event) -> None:
        data = settings_module.data_of(event)
        defaults = settings_module.default_settings(self.environment.namespace)
        last = self._settings
        settings, faults = settings_module.read(data or {}, last=last, defaults=defaults)
        for fault in faults:
            logger.error("ConfigMap %s: %s; the last good value stays", self.environment.config, fault)
        if settings == last:
            return
        filters = compile_filters(settings.resource_filters)
        for problem in filters.problems:
            logger.error("ConfigMap %s: data.%s; this entry is left out", self.environment.config, problem)
        self._settings, self._filters = settings, filters
        self.webhooks.nudge()

    def _exposure_changed(self, event: Event) -> None:
        try:
            exposure = read_exposure(settings_module.data_of(event) or {})
        except InvalidExposure as error:
            logger.error("ConfigMap %s: %s; the last good values stay", self.environment.metrics_config, error)
            return
        if exposure != self.metrics.exposure:
            self.metrics.expose(exposure)

    def _secret_changed(self, _: Event) -> None:
        self._tasks.spawn("certificate", self._certificate.refresh())

    def _kinds_changed(self, _: Discovery) -> None:
        self.ttl.nudge()

    # Upkeep

    def _renews(self) -> bool:
        return self._leadership.leading and not self.flags.disableCertManagerController

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
        return self._settings.webhooks, address

    def _names(self) -> Names:
        flags, environment = self.flags, self.environment
        return Names(
            service=environment.service,
            namespace=environment.namespace,
            ca_secret=flags.caSecretName,
            tls_secret=flags.tlsSecretName,
            algorithm=flags.tlsKeyAlgorithm,
            server_ip=flags.serverIP,
        )

    # End

    def _fail(self, error: BaseException) -> None:
        """Ends the process; the kubelet starts it again."""
        self._failed = error
        self._ready = False
        self._stop.set()

    def _signalled(self) -> None:
        if self._ending or not self._ready:
            self._stop.set()
            return
        self._ready = False
        self._ending = True
        self._tasks.spawn("shutdown", self._shut_down())

    async def _shut_down(self) -> None:
        """Another replica takes over at once; reviews are answered for the drain time."""
        led = self._leadership.leading
        await self._tasks.end("leadership")
        drained = asyncio.create_task(asyncio.sleep(self.flags.shutdownDrain))
        await self._leadership.release()
        await drained
        try:
            async with asyncio.timeout(PATIENCE):
                if led and await installation.going_down(self._client, self.environment):
                    logger.info("the installation goes down: removing webhook configurations")
                    await self.webhooks.remove()
        except (*FAILURES, TimeoutError) as error:
            logger.warning("webhooks were left as they are: %s", error)
        await self.server.stop(patience=PATIENCE)
        await self.events.flush(1.0)
        await self._metrics_server.stop()
        await self._tasks.end()
        logger.info("ended")
        self._stop.set()
