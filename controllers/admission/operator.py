"""The admission operator: puts the parts together and orders its life from start to drained end."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging

from controllers.admission.admission_reports import AdmissionReports
from controllers.admission.exclusions import Exclusions
from controllers.admission.follow_up import FollowUp
from controllers.admission.leader import Reconciler
from controllers.admission.recorder import Recorder, change_labels
from controllers.admission.reviewer import Options, Reviewer, Snapshot
from controllers.admission.webhooks import Wanted
from controllers.cluster import installation
from controllers.cluster.bindings import Bindings
from controllers.cluster.credentials import Credentials
from controllers.cluster.discovery import Discovery
from controllers.cluster.ephemeral_reports import EphemeralReports
from controllers.cluster.exceptions import Exceptions, expiry_event
from controllers.cluster.flags import Environment
from controllers.cluster.lease import Heartbeat
from controllers.cluster.metrics import breaker
from controllers.cluster.policies import Change, Entry, Policies
from controllers.cluster.settings import Settings
from controllers.cluster.update_request_writer import Writer
from controllers.cluster.webhook_operator import WebhookOperator
from engine import PolicyException

logger = logging.getLogger("pyvern.operator")


class Admission(WebhookOperator):
    """One replica of the admission controller."""

    NAME = "admission"
    LEASE = "kyverno"
    ANSWERS_REQUESTS = True

    def __init__(self, flags: argparse.Namespace, environment: Environment, credentials: Credentials) -> None:
        super().__init__(flags, environment, credentials, host=flags.webhookServerHost, port=flags.webhookServerPort)
        self._follow_up = False
        self.bindings = Bindings()
        self.policies = Policies(self._policy_changed)
        self.exceptions = Exceptions(
            flags.exceptionNamespace if flags.enablePolicyException else "",
            self._exceptions_changed,
            expired=lambda exception: self.events.put(expiry_event(exception)),
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
            lambda: self.settings,
            report=reports.put if flags.admissionReports else None,
        )
        self.updates = Writer(
            self._client,
            namespace=environment.namespace,
            threshold=lambda: self.settings.update_request_threshold,
            counted=self._update_counted,
        )
        self.follow_up = FollowUp(self.updates, self.events, self.metrics, account=flags.backgroundServiceAccountName)
        self.reviewer = Reviewer(
            policies=self.policies,
            namespaces=self.namespaces,
            bindings=self.bindings,
            world=self.world,
            client=self._client,
            recorder=self.recorder,
            snapshot=Snapshot(self.settings, Exclusions(self.settings), Discovery()),
            options=Options(
                namespace=environment.namespace,
                force_ignore=flags.forceFailurePolicyIgnore,
                protect_managed=flags.protectManagedResources,
                exceptions_enabled=flags.enablePolicyException,
                exception_namespace=flags.exceptionNamespace,
                background_account=flags.backgroundServiceAccountName,
                reports_account=flags.reportsServiceAccountName,
                dump=flags.dumpPayload,
            ),
            ready=lambda: self.ready,
            passed=self.follow_up.put,
        )
        self.reconciler = Reconciler(
            self._client, policies=self.policies, inputs=self._inputs, metrics=self.metrics, resync=flags.resyncPeriod
        )
        self._heartbeat = Heartbeat(self._lease_client, namespace=environment.namespace, identity=environment.pod)

    async def _respond(self, method: str, path: str, query: str, body: bytes) -> tuple[int, bytes]:
        return await self.reviewer.respond(method, path, query, body)

    async def _start(self) -> None:
        """Everything that must be known before the first request."""
        await self._follow_cluster()
        self._tasks.spawn("policies", self.policies.run(self._client))
        self._tasks.spawn("exceptions", self.exceptions.run(self._client))
        self._tasks.spawn("namespaces", self.namespaces.run(self._client))
        self._tasks.spawn("recorder", self.recorder.run())
        self._tasks.spawn("follow-up", self.follow_up.run())
        self._tasks.spawn("update requests", self.updates.run())
        self._tasks.spawn("ephemeral reports", self.ephemeral_reports.run(self.flags.maxAuditWorkers))
        await self.policies.wait()
        await self.exceptions.synced.wait()
        await self.namespaces.synced.wait()
        logger.info("%d policies in force", len(self.policies.entries))

    def _serving(self) -> None:
        self._tasks.spawn("heartbeat", self._heartbeat.run())
        self._tasks.spawn("leadership", self._leadership.run(self.reconciler.run))
        gc.set_threshold(10_000, 20, 50)  # a review makes hundreds of objects and hardly a cycle

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
        self.memory.want(self.policies.snapshot)
        self._want_bindings()
        self.reconciler.nudge()

    def _exceptions_changed(self, exceptions: tuple[PolicyException, ...]) -> None:
        self.policies.except_(exceptions)
        self._want_bindings()

    def _settings_changed(self, _: Settings) -> None:
        excluded = Exclusions(self.settings)
        for problem in excluded.problems:
            logger.error("ConfigMap %s: data.%s; this entry is left out", self.environment.config, problem)
        self.reviewer.snapshot = self.reviewer.snapshot._replace(settings=self.settings, excluded=excluded)
        logger.info("ConfigMap %s: settings replaced", self.environment.config)
        self._want_bindings()
        self.reconciler.nudge()

    def _trust_changed(self) -> None:
        self.reconciler.nudge()

    def _kinds_changed(self, discovery: Discovery) -> None:
        self.reviewer.snapshot = self.reviewer.snapshot._replace(discovery=discovery)
        self.reconciler.nudge()

    def _want_bindings(self) -> None:
        self.bindings.want(self._client, self.policies.needs_roles or self.settings.needs_roles)

    # Upkeep

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

    # End

    async def _shut_down(self) -> None:
        """Nobody who still comes is left behind, and what was seen is written."""
        await super()._shut_down()
        self.follow_up.flush()
        self.recorder.flush()
        await self.updates.flush(3.0)
        await self.ephemeral_reports.flush(1.0)
        self.bindings.want(self._client, False)

    async def _leave(self, *, led: bool) -> None:
        """The last replica takes the webhooks away: nobody is there to answer them any more."""
        last = await self._heartbeat.leave()
        if last and await installation.going_down(self._client, self.environment):
            logger.info("last replica: removing webhook configurations")
            await self.reconciler.remove_all()
            await self._heartbeat.delete()
