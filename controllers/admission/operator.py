"""The admission operator: puts the parts together and orders its life from start to drained end."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import signal
from collections.abc import AsyncIterator
from typing import Any

from controllers.admission.admission_reports import AdmissionReports
from controllers.admission.exclusions import Exclusions
from controllers.admission.follow_up import FollowUp
from controllers.admission.leader import Reconciler
from controllers.admission.recorder import Recorder, change_labels
from controllers.admission.reviewer import Options, Reviewer, Snapshot
from controllers.admission.webhooks import Wanted
from controllers.cluster import installation
from controllers.cluster import settings as settings_module
from controllers.cluster.bindings import Bindings
from controllers.cluster.certificate_store import Store
from controllers.cluster.client import FAILURES, Client
from controllers.cluster.credentials import Credentials
from controllers.cluster.discovery import Discovery
from controllers.cluster.ephemeral_reports import EphemeralReports
from controllers.cluster.events import Events, Pace
from controllers.cluster.exceptions import Exceptions
from controllers.cluster.facts import World
from controllers.cluster.flags import Environment
from controllers.cluster.framework import connection, kopf, operator_settings
from controllers.cluster.kinds import Kinds
from controllers.cluster.lease import Heartbeat, Leadership, Timing, now_utc
from controllers.cluster.metrics import InvalidExposure, Metrics, breaker, read_exposure
from controllers.cluster.metrics_server import MetricsServer
from controllers.cluster.namespaces import Namespaces
from controllers.cluster.pair import Names
from controllers.cluster.policies import Change, Entry, Policies
from controllers.cluster.server import WebhookServer
from controllers.cluster.serving import ServingCertificate
from controllers.cluster.settings import Settings
from controllers.cluster.tasks import Tasks
from controllers.cluster.update_request_writer import Writer
from controllers.cluster.watch import Event, Target, follow
from engine import PolicyException

LEASE = "kyverno"
PATIENCE = 10.0
logger = logging.getLogger("pyvern.operator")


class Admission:
    """One replica of the admission controller."""

    def __init__(self, flags: argparse.Namespace, environment: Environment, credentials: Credentials) -> None:
        self.flags = flags
        self.environment = environment
        self.credentials = credentials
        self._client = Client(credentials, user_agent="pyvern-admission")
        self._lease_client = Client(credentials, connections=4, user_agent="pyvern-admission-lease")
        self._tasks = Tasks(self._fail)
        self._stop = asyncio.Event()
        self._failed: BaseException | None = None
        self._ready = False
        self._ending = False
        self._follow_up = False
        self._owner: dict[str, Any] | None = None
        self._defaults = settings_module.default_settings(environment.namespace)
        self.metrics = Metrics()
        self.namespaces = Namespaces()
        self._kinds = Kinds(self._client, self._kinds_changed)
        self.bindings = Bindings()
        self.policies = Policies(self._policy_changed)
        self.exceptions = Exceptions(flags.exceptionNamespace if flags.enablePolicyException else "", self._exceptions_changed)
        self.events = Events(
            self._client,
            instance=environment.pod,
            omit=frozenset(part.strip() for part in flags.omitEvents.split(",") if part.strip()),
            capacity=flags.maxQueuedEvents,
            pace=Pace(rate=max(1, flags.eventsRateLimitQPS), burst=max(1, flags.eventsRateLimitBurst)),
            dropped=lambda: self.metrics.count("kyverno_events_dropped"),
        )
        self.ephemeral_reports = EphemeralReports(
            self._client,
            limit=flags.maxAdmissionReports,
            capacity=flags.maxAuditCapacity,
            counted=breaker(self.metrics, "admission reports"),
        )
        reports = AdmissionReports(
            self.ephemeral_reports, self.policies, reporting=flags.enableReporting, allowed=flags.allowedResults
        )
        self.recorder = Recorder(
            self.metrics,
            self.events,
            lambda: self.reviewer.snapshot.settings,
            report=reports.put if flags.admissionReports else None,
        )
        self.updates = Writer(
            self._client,
            namespace=environment.namespace,
            threshold=lambda: self.reviewer.snapshot.settings.update_request_threshold,
            counted=self._update_counted,
        )
        self.follow_up = FollowUp(self.updates, self.events, account=flags.backgroundServiceAccountName)
        self.reviewer = Reviewer(
            policies=self.policies,
            namespaces=self.namespaces,
            bindings=self.bindings,
            world=World(
                self._client,
                discovery=lambda: self.reviewer.snapshot.discovery,
                max_response=flags.maxAPICallResponseLength,
                timeout=flags.apiCallTimeout,
            ),
            client=self._client,
            recorder=self.recorder,
            snapshot=Snapshot(self._defaults, Exclusions(self._defaults), Discovery()),
            options=Options(
                namespace=environment.namespace,
                force_ignore=flags.forceFailurePolicyIgnore,
                protect_managed=flags.protectManagedResources,
                exceptions_enabled=flags.enablePolicyException,
                exception_namespace=flags.exceptionNamespace,
                background_account=flags.backgroundServiceAccountName,
                dump=flags.dumpPayload,
            ),
            ready=lambda: self._ready,
            passed=self.follow_up.put,
        )
        self.server = WebhookServer(self.reviewer.respond, host=flags.webhookServerHost, port=flags.webhookServerPort)
        self.reconciler = Reconciler(
            self._client, policies=self.policies, inputs=self._inputs, metrics=self.metrics, resync=flags.resyncPeriod
        )
        store = Store(self._client, self._names(), now_utc)
        self._certificate = ServingCertificate(store, trust=self.reconciler.nudge, serve=self.server.renew)
        timing = Timing(retry=flags.leaderElectionRetryPeriod)
        self._leadership = Leadership(
            self._lease_client, namespace=environment.namespace, name=LEASE, identity=environment.pod, timing=timing
        )
        self._heartbeat = Heartbeat(self._lease_client, namespace=environment.namespace, identity=environment.pod)
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
        """kopf's startup activity: everything that must be known before the first request."""
        await self._certificate.load()
        self._owner = await installation.owner(self._client, self.environment.role)
        await self._kinds.discover()
        namespace = self.environment.namespace
        maps = f"/api/v1/namespaces/{namespace}/configmaps"
        secrets = f"/api/v1/namespaces/{namespace}/secrets"
        self._watch("config", Target(maps, field_selector=f"metadata.name={self.environment.config}"), self._config_changed)
        self._watch(
            "metrics config",
            Target(maps, field_selector=f"metadata.name={self.environment.metrics_config}"),
            self._exposure_changed,
        )
        for name in (self.flags.caSecretName, self.flags.tlsSecretName):
            self._watch(f"secret {name}", Target(secrets, field_selector=f"metadata.name={name}"), self._secret_changed)
        self._tasks.spawn("policies", self.policies.run(self._client))
        self._tasks.spawn("exceptions", self.exceptions.run(self._client))
        self._tasks.spawn("namespaces", self.namespaces.run(self._client))
        self._tasks.spawn("kinds", self._kinds.run())
        self._tasks.spawn("events", self.events.run())
        self._tasks.spawn("recorder", self.recorder.run())
        self._tasks.spawn("follow-up", self.follow_up.run())
        self._tasks.spawn("update requests", self.updates.run())
        self._tasks.spawn("ephemeral reports", self.ephemeral_reports.run(self.flags.maxAuditWorkers))
        self._tasks.spawn("certificates", self._certificate.keep(self._renews))
        if not self.flags.disableMetrics:
            await self._metrics_server.start()
        await self.policies.wait()
        await self.exceptions.synced.wait()
        await self.namespaces.synced.wait()
        logger.info("%d policies in force", len(self.policies.entries))

    async def _login(self, **_: Any) -> kopf.ConnectionInfo:
        return connection(self.credentials)

    async def _serve(self, _: Any) -> AsyncIterator[kopf.WebhookClientConfig]:
        """kopf's admission server: ours, which answers on paths of its own."""
        await self.server.start(self._certificate.material.leaf)
        self._ready = True
        self._tasks.spawn("heartbeat", self._heartbeat.run())
        self._tasks.spawn("leadership", self._leadership.run(self.reconciler.run))
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 20, 50)  # a review makes hundreds of objects and hardly a cycle
        logger.info("serving on port %d", self.flags.webhookServerPort)
        yield kopf.WebhookClientConfig(url=f"https://127.0.0.1:{self.flags.webhookServerPort}")
        try:
            await self.server.wait()
            if not self._ending:
                self._fail(RuntimeError("the webhook server ended by itself"))
            await asyncio.Event().wait()  # until kopf cancels us
        finally:
            self._ready = False
            await self.server.stop(patience=0)

    # Changes

    def _policy_changed(self, entry: Entry, change: Change) -> None:
        if entry.policy is not None:
            self.metrics.count("kyverno_policy_changes", change_labels(entry.policy, change))
        if not self._follow_up:
            self._follow_up = True
            asyncio.get_running_loop().call_soon(self._policies_changed)

    def _update_counted(self, dropped: bool) -> None:
        self.metrics.count(
            "kyverno_breaker_drops" if dropped else "kyverno_updaterequest", ("update requests",) if dropped else ()
        )

    def _policies_changed(self) -> None:
        """Once for all changes of one event: a list brings hundreds of policies."""
        self._follow_up = False
        self.recorder.rules_changed(self.policies.snapshot)
        self._want_bindings()
        self.reconciler.nudge()

    def _exceptions_changed(self, exceptions: tuple[PolicyException, ...]) -> None:
        self.policies.except_(exceptions)
        self._want_bindings()

    def _config_changed(self, event: Event) -> None:
        data = settings_module.data_of(event)
        last = self.reviewer.snapshot.settings
        settings, faults = (
            settings_module.read(data, last=last, defaults=self._defaults) if data is not None else (self._defaults, ())
        )
        for fault in faults:
            logger.error("ConfigMap %s: %s; the last good value stays", self.environment.config, fault)
        if settings == last:
            return
        excluded = Exclusions(settings)
        for problem in excluded.problems:
            logger.error("ConfigMap %s: data.%s; this entry is left out", self.environment.config, problem)
        self.reviewer.snapshot = self.reviewer.snapshot._replace(settings=settings, excluded=excluded)
        logger.info("ConfigMap %s: settings replaced", self.environment.config)
        self._want_bindings()
        self.reconciler.nudge()

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

    def _kinds_changed(self, discovery: Discovery) -> None:
        self.reviewer.snapshot = self.reviewer.snapshot._replace(discovery=discovery)
        self.reconciler.nudge()

    def _want_bindings(self) -> None:
        self.bindings.want(self._client, self.policies.needs_roles or self.reviewer.snapshot.settings.needs_roles)

    # Upkeep

    def _renews(self) -> bool:
        return self._leadership.leading and not self.flags.disableCertManagerController

    def _inputs(self) -> tuple[Settings, Discovery, Wanted]:
        flags, environment, snapshot = self.flags, self.environment, self.reviewer.snapshot
        wanted = Wanted(
            ca_bundle=self._certificate.material.ca_bundle,
            namespace=environment.namespace,
            service=environment.service,
            service_port=flags.servicePort,
            url=f"https://{flags.serverIP}" if flags.serverIP else "",
            timeout=flags.webhookTimeout,
            force_ignore=flags.forceFailurePolicyIgnore,
            admission_reports=flags.admissionReports,
            auto_update=flags.autoUpdateWebhooks,
            exclude_bootstrap=flags.excludeBootstrapResources,
            owner=self._owner,
        )
        return snapshot.settings, snapshot.discovery, wanted

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
        """Ends the process; the kubelet starts it again. Half a controller would be worse than none."""
        self._failed = error
        self._ready = False
        self._stop.set()

    def _signalled(self) -> None:
        if self._ending or not self._ready:
            self._stop.set()
            return
        logger.info("asked to end: draining for %.0f s", self.flags.shutdownDrain)
        self._ready = False
        self._ending = True
        self._tasks.spawn("shutdown", self._shut_down())

    async def _shut_down(self) -> None:
        """Readiness fails first; everybody who still comes is served for the drain time; then nobody is left behind."""
        await self._tasks.end("leadership", "heartbeat")
        drained = asyncio.create_task(asyncio.sleep(self.flags.shutdownDrain))
        await self._leadership.release()
        await drained
        try:
            async with asyncio.timeout(PATIENCE):
                await self._leave()
        except (*FAILURES, TimeoutError) as error:
            logger.warning("webhooks were left as they are: %s", error)
        await self.server.stop(patience=PATIENCE)
        self.follow_up.flush()
        self.recorder.flush()
        await self.updates.flush(3.0)
        await self.ephemeral_reports.flush(1.0)
        await self.events.flush(1.0)
        await self._metrics_server.stop()
        self.bindings.want(self._client, False)
        await self._tasks.end()
        logger.info("ended")
        self._stop.set()

    async def _leave(self) -> None:
        """The last replica takes the webhooks away: nobody is there to answer them any more."""
        last = await self._heartbeat.leave()
        if last and await installation.going_down(self._client, self.environment):
            logger.info("last replica: removing webhook configurations")
            await self.reconciler.remove_all()
            await self._heartbeat.delete()

    def _watch(self, name: str, target: Target, handle: Any) -> None:
        self._tasks.spawn(name, follow(self._client, target, handle))
