"""The reports operator: puts the parts together, decides what a change touches, and orders its life."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import signal
import time
from collections.abc import Callable, Iterable
from typing import Any

from controllers.cluster import settings as settings_module
from controllers.cluster.client import Client
from controllers.cluster.credentials import Credentials
from controllers.cluster.discovery import Discovery
from controllers.cluster.events import Events, Pace
from controllers.cluster.exceptions import Exceptions
from controllers.cluster.facts import World
from controllers.cluster.flags import Environment
from controllers.cluster.framework import connection, kopf, operator_settings
from controllers.cluster.kinds import Kinds
from controllers.cluster.lease import Leadership, Timing
from controllers.cluster.metrics import InvalidExposure, Metrics, read_exposure
from controllers.cluster.metrics_server import MetricsServer
from controllers.cluster.namespaces import TARGET as NAMESPACES
from controllers.cluster.namespaces import Namespaces
from controllers.cluster.policies import Change, Entry, Policies
from controllers.cluster.settings import Settings
from controllers.cluster.tasks import Tasks
from controllers.cluster.watch import Event, Listed, Target, follow
from controllers.reports import forms
from controllers.reports.aggregate import Aggregator
from controllers.reports.collect import Collector
from controllers.reports.in_force import InForce, PolicyKey
from controllers.reports.inventory import Inventory
from controllers.reports.members import Members
from controllers.reports.native_policies import NativePolicies
from controllers.reports.observe import Observer, counter
from controllers.reports.scan import Scanner
from engine import Effect, PolicyException, Request, compile_filters
from engine.report import Subject

LEASE = "kyverno-reports-controller"
STATE_EVERY = 2.0
DRAIN = 5.0
logger = logging.getLogger("pyvern.operator")


class MissingKinds(Exception):
    """The API server does not serve the kinds of reports."""


class Reports:
    """One replica of the reports controller."""

    def __init__(self, flags: argparse.Namespace, environment: Environment, credentials: Credentials) -> None:
        self.flags = flags
        self.environment = environment
        self.credentials = credentials
        self._client = Client(credentials, user_agent="pyvern-reports")
        self._lease_client = Client(credentials, connections=4, user_agent="pyvern-reports-lease")
        self._tasks = Tasks(self._fail)
        self._stop = asyncio.Event()
        self._failed: BaseException | None = None
        self._started = False
        self._ending = False
        self._follow_up = False
        self._settings = settings_module.default_settings(environment.namespace)
        self._filters: Callable[[Request], bool] = _nothing
        self._changed: set[PolicyKey] = set()
        self.in_force = InForce(scanning=flags.backgroundScan and Effect.VALIDATE in flags.enableReporting)
        self.metrics = Metrics()
        self.namespaces = Namespaces()
        self.policies = Policies(self._policy_changed)
        self.exceptions = Exceptions(flags.exceptionNamespace if flags.enablePolicyException else "", self._exceptions_changed)
        self.native = NativePolicies(self._native_changed)
        self.kinds = Kinds(self._client, self._kinds_changed)
        self.members = Members(
            self._lease_client, namespace=environment.namespace, identity=environment.pod, changed=self._members_changed
        )
        self.events = Events(
            self._client,
            instance=environment.pod,
            omit=frozenset(part.strip() for part in flags.omitEvents.split(",") if part.strip()),
            capacity=flags.maxQueuedEvents,
            pace=Pace(rate=max(1, flags.eventsRateLimitQPS), burst=max(1, flags.eventsRateLimitBurst)),
            dropped=lambda: self.metrics.count("kyverno_events_dropped"),
        )
        self._observer = Observer(self.metrics, self.events)
        self.form = _form(flags)
        self.aggregator = Aggregator(
            self._client,
            self.form,
            rules=lambda: self.in_force.rules,
            lost=self._report_lost,
            mine=self.members.mine,
            counted=counter(self.metrics, "pyvern_reports"),
        )
        self._scanner = Scanner(
            policies=lambda: self.in_force.policies,
            namespaces=self.namespaces,
            world=World(self._client, max_response=flags.maxAPICallResponseLength, timeout=flags.apiCallTimeout),
            aggregator=self.aggregator,
            excluded=lambda request: self._filters(request),
            allowed=flags.allowedResults,
            looked=self._observer.looked,
            failed=lambda: self.metrics.count("pyvern_scan_failures"),
        )
        self.inventory = Inventory(self._client, self._scanner.inspect, mine=self.members.mine, failed=self._fail)
        self._collector = Collector(
            self._client,
            aggregator=self.aggregator,
            inventory=self.inventory,
            rules=lambda: self.in_force.rules,
            allowed=flags.allowedResults,
            mine=self.members.mine,
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
        """kopf's startup activity: policies and stored reports are known before the first object is looked at."""
        await self.kinds.discover()
        self._check_kinds()
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
        if self.flags.validatingAdmissionPolicyReports:
            self._tasks.spawn("native policies", self.native.run(self._client))
            await self.native.wait()
        self._tasks.spawn("namespaces", follow(self._client, NAMESPACES, self._namespaces_changed))
        self._tasks.spawn("kinds", self.kinds.run())
        self._tasks.spawn("events", self.events.run())
        self._tasks.spawn("leadership", self._leadership.run(_lead))
        self._tasks.spawn("members", self.members.run())
        await self.policies.wait()
        await self.exceptions.synced.wait()
        await self.namespaces.synced.wait()
        await self.members.wait()
        self._renew()
        self._tasks.spawn("reports", self.aggregator.run(self.flags.aggregationWorkers))
        await self.aggregator.wait()
        self._started = True
        self._policies_changed()
        if self.flags.aggregateReports and self.flags.admissionReports and self.flags.policyReports:
            self._tasks.spawn("ephemeral reports", self._collector.run())
        self._tasks.spawn("interval", self._rescan_for_ever())
        self._tasks.spawn("state", self._show_state())
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 20, 50)
        logger.info("%d policies in force, %d reports known", len(self.policies.entries), len(self.aggregator.marks))

    async def _login(self, **_: Any) -> kopf.ConnectionInfo:
        return connection(self.credentials)

    def _check_kinds(self) -> None:
        served = {f"/apis/{r.group}/{r.version}/{r.plural}" for r in self.kinds.discovery.resources if not r.subresource}
        wanted = {target.path for target in self.form.targets}
        if self.flags.reportsCRDsSanityChecks and not wanted <= served:
            raise MissingKinds(f"the API server does not serve {', '.join(sorted(wanted - served))}; are the CRDs applied?")

    # Changes

    def _policy_changed(self, entry: Entry, change: Change) -> None:
        metadata = entry.document["metadata"]
        self._follow([(entry.document.get("kind") or "", metadata.get("namespace") or "", metadata["name"])])

    def _native_changed(self, names: Iterable[str]) -> None:
        self._follow([("ValidatingAdmissionPolicy", "", name) for name in names])

    def _follow(self, changed: Iterable[PolicyKey]) -> None:
        """Once for all changes of one event: a list brings hundreds of policies."""
        self._changed.update(changed)
        if not self._follow_up:
            self._follow_up = True
            asyncio.get_running_loop().call_soon(self._policies_changed)

    def _policies_changed(self) -> None:
        """What the changed policies reach now, and what they reached before, is looked at again."""
        self._follow_up = False
        if not self._started:
            return
        self._renew()
        before = self.in_force.reach
        self._aim()
        self.inventory.sweep(self.in_force.touched_by(self._changed, before))
        self._changed.clear()

    def _renew(self) -> None:
        self.in_force.renew(self.policies.snapshot, self.native.compiled.values())

    def _aim(self) -> None:
        """Follows what the policies reach now; what is out of reach loses the rows of its scans."""
        wanted = self.in_force.aim(self.kinds.discovery)
        self.inventory.want(wanted)
        kinds = {(resource.group, resource.kind) for resource in wanted.values()}
        self.aggregator.prune(lambda subject: (subject.api_version.rpartition("/")[0], subject.kind) not in kinds)

    def _exceptions_changed(self, exceptions: tuple[PolicyException, ...]) -> None:
        self.policies.except_(exceptions)
        self._renew()
        self.inventory.sweep(self.in_force.touched_by_exceptions(exceptions))

    def _namespaces_changed(self, event: Event) -> None:
        """Objects of a namespace whose labels are others now, or were not known when they were looked at."""
        name = "" if isinstance(event, Listed) else event.object["metadata"]["name"]
        before = self.namespaces.labels(name)
        self.namespaces.handle(event)
        if isinstance(event, Listed) or before != self.namespaces.labels(name):
            self.inventory.sweep(self.in_force.reading_namespaces(), namespace=name)

    def _kinds_changed(self, _: Discovery) -> None:
        if self._started:
            self._aim()

    def _members_changed(self) -> None:
        """Some objects have come to this replica, some have left it."""
        self.inventory.sweep()
        if self._started:
            self._tasks.spawn("ephemeral reports of others", self._collector.again())

    def _config_changed(self, event: Event) -> None:
        data = settings_module.data_of(event)
        defaults = settings_module.default_settings(self.environment.namespace)
        last: Settings = self._settings
        settings, faults = settings_module.read(data or {}, last=last, defaults=defaults)
        for fault in faults:
            logger.error("ConfigMap %s: %s; the last good value stays", self.environment.config, fault)
        if settings == last:
            return
        self._settings = settings
        if not self.flags.skipResourceFilters and settings.resource_filters != last.resource_filters:
            filters = compile_filters(settings.resource_filters)
            self._filters = lambda request: filters(request)
            self.inventory.sweep()

    def _exposure_changed(self, event: Event) -> None:
        try:
            exposure = read_exposure(settings_module.data_of(event) or {})
        except InvalidExposure as error:
            logger.error("ConfigMap %s: %s; the last good values stay", self.environment.metrics_config, error)
            return
        if exposure != self.metrics.exposure:
            self.metrics.expose(exposure)

    def _report_lost(self, subject: Subject) -> None:
        """Somebody deleted or changed a report: when its object lives, it is made anew."""
        if not self._started or not self.inventory.holds(subject.uid):
            return
        group = subject.api_version.rpartition("/")[0]
        self._tasks.spawn("revisit", self.inventory.revisit(group, subject.kind, subject.name, subject.namespace))

    # Upkeep

    async def _rescan_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self.flags.backgroundScanInterval)
            self.inventory.sweep()
            logger.info("full scan of %d kinds begins", len(self.inventory.collections))
            self.metrics.count("kyverno_controller_reconcile", ("background-scan-controller",))

    async def _show_state(self) -> None:
        while True:
            collections = self.inventory.collections.values()
            self._observer.state(
                collections,
                waiting=self.aggregator.waiting,
                reports=len(self.aggregator.marks),
                replicas=len(self.members.names),
            )
            await asyncio.sleep(STATE_EVERY)

    # End

    def _signalled(self) -> None:
        if self._ending or not self._started:
            self._stop.set()
            return
        self._ending = True
        self._started = False
        self._tasks.spawn("shutdown", self._shut_down())

    async def _shut_down(self) -> None:
        """What was found is written, then another replica takes over."""
        await self._tasks.end("ephemeral reports", "interval", "policies", "exceptions", "namespaces", "kinds")
        await self.inventory.stop()
        deadline = time.monotonic() + DRAIN
        while self.aggregator.waiting and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        await self.members.leave()
        await self._tasks.end("leadership")
        await self._leadership.release()
        await self.events.flush(1.0)
        await self._server.stop()
        await self._tasks.end()
        logger.info("ended")
        self._stop.set()

    def _fail(self, error: BaseException) -> None:
        """Ends the process; the kubelet starts it again."""
        self._failed = error
        self._stop.set()


async def _lead() -> None:
    """The Lease says who answers for the installation; the work itself is shared (members)."""
    await asyncio.Event().wait()


def _form(flags: argparse.Namespace) -> forms.Form:
    if not flags.policyReports or not flags.aggregateReports:
        return forms.EPHEMERAL_REPORTS
    return forms.OPEN_REPORTS if flags.openreportsEnabled else forms.POLICY_REPORTS


def _nothing(_: Request) -> bool:
    return False
