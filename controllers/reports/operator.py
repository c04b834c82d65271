"""The reports operator: puts the parts together and orders its life."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import time
from collections.abc import Callable

from controllers.cluster.credentials import Credentials
from controllers.cluster.discovery import Discovery
from controllers.cluster.exceptions import Exceptions
from controllers.cluster.failure import CannotStart
from controllers.cluster.flags import Environment
from controllers.cluster.namespaces import TARGET as NAMESPACES
from controllers.cluster.operator import Operator
from controllers.cluster.policies import Policies
from controllers.cluster.settings import Settings
from controllers.cluster.watch import follow
from controllers.reports import forms, native_policies
from controllers.reports.aggregate import Aggregator
from controllers.reports.changes import Changes
from controllers.reports.collect import Collector
from controllers.reports.condition import Condition
from controllers.reports.in_force import InForce
from controllers.reports.inventory import Inventory
from controllers.reports.members import Members
from controllers.reports.native_policies import NativePolicies
from controllers.reports.observe import Observer, counter
from controllers.reports.scan import Scanner
from engine import PolicyException, Request, compile_filters

STATE_EVERY = 2.0
DRAIN = 5.0
logger = logging.getLogger("pyvern.operator")


class MissingKinds(CannotStart):
    """The API server does not serve the kinds of reports."""


class Reports(Operator):
    """One replica of the reports controller."""

    NAME = "reports"
    LEASE = "kyverno-reports-controller"

    def __init__(self, flags: argparse.Namespace, environment: Environment, credentials: Credentials) -> None:
        super().__init__(flags, environment, credentials)
        self._filters: Callable[[Request], bool] = _nothing
        self.in_force = InForce(scanning=flags.backgroundScan, reporting=flags.enableReporting)
        self.policies = Policies(lambda entry, change: self.changes.policy(entry, change))
        self.exceptions = Exceptions(flags.exceptionNamespace if flags.enablePolicyException else "", self._exceptions_changed)
        self.native = NativePolicies(lambda names: self.changes.native(names))
        self.members = Members(
            self._lease_client, namespace=environment.namespace, identity=environment.pod, changed=self._members_changed
        )
        self._observer = Observer(self.metrics, self.events)
        self._condition = Condition(self._lease_client, namespace=environment.namespace, deployment=environment.deployment)
        self.form = _form(flags)
        self.aggregator = Aggregator(
            self._client,
            self.form,
            rules=lambda: self.in_force.rules,
            lost=lambda subject: self.changes.lost(subject),
            mine=self.members.mine,
            counted=counter(self.metrics, "pyvern_reports"),
            limit=flags.maxBackgroundReports if self.form is forms.EPHEMERAL_REPORTS else 0,
        )
        self._scanner = Scanner(
            policies=lambda: self.in_force.policies,
            namespaces=self.namespaces,
            world=self.world,
            aggregator=self.aggregator,
            excluded=lambda request: self._filters(request),
            allowed=flags.allowedResults,
            looked=self._observer.looked,
            failed=lambda: self.metrics.count("pyvern_scan_failures"),
        )
        self.inventory = Inventory(
            self._client,
            self._scanner.inspect,
            workers=flags.backgroundScanWorkers,
            mine=self.members.mine,
            changed=self.aggregator.outdated,
            failed=self._fail,
        )
        self.changes = Changes(
            policies=lambda: self.policies.snapshot,
            native=self.native.compiled,
            discovery=lambda: self.kinds.discovery,
            in_force=self.in_force,
            namespaces=self.namespaces,
            inventory=self.inventory,
            aggregator=self.aggregator,
            renewed=self.memory.want,
        )
        self._collector = Collector(
            self._client,
            aggregator=self.aggregator,
            inventory=self.inventory,
            discovery=lambda: self.kinds.discovery,
            rules=lambda: self.in_force.rules,
            allowed=flags.allowedResults,
            mine=self.members.mine,
        )

    async def _start(self) -> None:
        """Policies and stored reports are known before the first object is looked at."""
        await self._follow_cluster()
        self._check_kinds()
        self._tasks.spawn("policies", self.policies.run(self._client))
        self._tasks.spawn("exceptions", self.exceptions.run(self._client))
        if self.flags.validatingAdmissionPolicyReports and self.kinds.discovery.kind_of(native_policies.RESOURCE) is not None:
            self._tasks.spawn("native policies", self.native.run(self._client))
            await self.native.wait()
        self._tasks.spawn("namespaces", follow(self._client, NAMESPACES, self.changes.namespace))
        self._tasks.spawn("leadership", self._leadership.run(self._lead))
        self._tasks.spawn("members", self.members.run())
        await self.policies.wait()
        await self.exceptions.synced.wait()
        await self.namespaces.synced.wait()
        await self.members.wait()
        self.changes.renew()
        self._tasks.spawn("reports", self.aggregator.run(self.flags.aggregationWorkers))
        await self.aggregator.wait()
        self.ready = True
        self.changes.begin()
        self._tasks.spawn("lost reports", self.changes.run())
        if self.flags.aggregateReports and self.flags.admissionReports and self.flags.policyReports:
            self._tasks.spawn("ephemeral reports", self._collector.run())
        self._tasks.spawn("interval", self._rescan_for_ever())
        self._tasks.spawn("state", self._show_state())
        self._settle_memory()
        gc.set_threshold(10_000, 20, 50)
        logger.info("%d policies in force, %d reports known", len(self.policies.entries), len(self.aggregator.marks))

    def _check_kinds(self) -> None:
        served = {f"/apis/{r.group}/{r.version}/{r.plural}" for r in self.kinds.discovery.resources if not r.subresource}
        wanted = {target.path for target in self.form.targets}
        if self.flags.reportsCRDsSanityChecks and not wanted <= served:
            raise MissingKinds(f"the API server does not serve {', '.join(sorted(wanted - served))}; are the CRDs applied?")

    # Changes

    def _exceptions_changed(self, exceptions: tuple[PolicyException, ...]) -> None:
        self.policies.except_(exceptions)
        self.changes.exceptions(exceptions)

    def _kinds_changed(self, discovery: Discovery) -> None:
        self.changes.kinds(discovery)

    def _members_changed(self) -> None:
        """Some objects have come to this replica, some have left it."""
        self.inventory.sweep()
        self.changes.shares()
        if self.ready:
            self._tasks.spawn("ephemeral reports of others", self._collector.again())

    def _settings_changed(self, last: Settings) -> None:
        if not self.flags.skipResourceFilters and self.settings.resource_filters != last.resource_filters:
            filters = compile_filters(self.settings.resource_filters)
            self._filters = lambda request: filters(request)
            self.inventory.sweep()

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
                self._condition.look(collections),
                waiting=self.aggregator.waiting,
                reports=len(self.aggregator.marks),
                replicas=len(self.members.names),
            )
            await asyncio.sleep(STATE_EVERY)

    async def _lead(self) -> None:
        """The Lease says who answers for the installation; the work itself is shared (members)."""
        self._condition.forget()
        while True:
            await asyncio.sleep(STATE_EVERY)
            if self.ready:
                await self._condition.write()

    # End

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


def _form(flags: argparse.Namespace) -> forms.Form:
    if not flags.policyReports or not flags.aggregateReports:
        return forms.EPHEMERAL_REPORTS
    return forms.OPEN_REPORTS if flags.openreportsEnabled else forms.POLICY_REPORTS


def _nothing(_: Request) -> bool:
    return False
