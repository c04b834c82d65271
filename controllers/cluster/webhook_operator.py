"""A controller that answers webhooks: the operator of controllers/cluster/operator.py with a server and its certificate."""

from __future__ import annotations

import argparse
import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

from controllers.cluster import installation
from controllers.cluster.certificate_store import Store
from controllers.cluster.client import FAILURES
from controllers.cluster.credentials import Credentials
from controllers.cluster.flags import Environment
from controllers.cluster.framework import kopf
from controllers.cluster.lease import now_utc
from controllers.cluster.operator import Operator
from controllers.cluster.pair import Names
from controllers.cluster.server import WebhookServer
from controllers.cluster.serving import ServingCertificate
from controllers.cluster.watch import Event, Target, follow

PATIENCE = 10.0
logger = logging.getLogger("pyvern.operator")


class WebhookOperator(Operator):
    """A controller says besides what it serves: `_respond`, `_trust_changed`, `_serving`, `_leave`."""

    def __init__(
        self, flags: argparse.Namespace, environment: Environment, credentials: Credentials, *, host: str, port: int
    ) -> None:
        super().__init__(flags, environment, credentials)
        self._port = port
        self._owner: dict[str, Any] | None = None
        self.server = WebhookServer(self._respond, host=host, port=port)
        store = Store(self._client, self._names(), now_utc)
        self._certificate = ServingCertificate(store, trust=self._trust_changed, serve=self.server.renew)

    async def run(self) -> None:
        """As every operator, but at once `PortTaken` (a CannotStart) where another process has the port."""
        self.server.try_port()
        await super().run()

    # What a controller fills in

    async def _respond(self, method: str, path: str, query: str, body: bytes) -> tuple[int, bytes]:
        """The status and the JSON body of an answer."""
        raise NotImplementedError

    def _trust_changed(self) -> None:
        """Another CA bundle belongs into the webhook configurations."""
        raise NotImplementedError

    def _serving(self) -> None:
        """Requests are answered from now on: time to compete for the Lease."""
        raise NotImplementedError

    async def _leave(self, *, led: bool) -> None:
        """This replica goes; it has given its Lease back if it `led`. The last one of all takes the webhooks away."""
        raise NotImplementedError

    # Start

    def _adjust(self, settings: kopf.OperatorSettings) -> None:
        settings.admission.server = self._serve

    async def _follow_cluster(self) -> None:
        await self._certificate.load()
        self._owner = await installation.owner(self._client, self.environment.role)
        await super()._follow_cluster()
        secrets = f"/api/v1/namespaces/{self.environment.namespace}/secrets"
        for name in (self.flags.caSecretName, self.flags.tlsSecretName):
            target = Target(secrets, field_selector=f"metadata.name={name}")
            self._tasks.spawn(f"secret {name}", follow(self._client, target, self._secret_changed))
        self._tasks.spawn("certificates", self._certificate.keep(self._renews))

    async def _serve(self, _: Any) -> AsyncIterator[kopf.WebhookClientConfig]:
        """kopf's admission server: ours, which answers on paths of its own."""
        await self.server.start(self._certificate.material.leaf)
        self.ready = True
        self._serving()
        self._settle_memory()
        logger.info("serving on port %d", self._port)
        yield kopf.WebhookClientConfig(url=f"https://127.0.0.1:{self._port}")
        try:
            await self.server.wait()
            if not self._ending:
                self._fail(RuntimeError("the webhook server ended by itself"))
            await asyncio.Event().wait()  # until kopf cancels us
        finally:
            self.ready = False
            await self.server.stop(patience=0)

    def _secret_changed(self, _: Event) -> None:
        self._tasks.spawn("certificate", self._certificate.refresh())

    def _renews(self) -> bool:
        return self._leadership.leading and not self.flags.disableCertManagerController

    def _names(self) -> Names:
        flags, environment = self.flags, self.environment
        return Names(
            service=environment.service,
            namespace=environment.namespace,
            ca_secret=flags.caSecretName,
            tls_secret=flags.tlsSecretName,
            algorithm=flags.tlsKeyAlgorithm,
            server_ip=flags.serverIP,
            renew_before=flags.renewBefore,
        )

    # End

    async def _shut_down(self) -> None:
        """Readiness has failed; another replica takes over at once; who still comes is answered for the drain time."""
        logger.info("asked to end: draining for %.0f s", self.flags.shutdownDrain)
        led = self._leadership.leading
        await self._tasks.end("leadership", "heartbeat")
        drained = asyncio.create_task(asyncio.sleep(self.flags.shutdownDrain))
        await self._leadership.release()
        await drained
        try:
            async with asyncio.timeout(PATIENCE):
                await self._leave(led=led)
        except (*FAILURES, TimeoutError) as error:
            logger.warning("webhooks were left as they are: %s", error)
        await self.server.stop(patience=PATIENCE)
