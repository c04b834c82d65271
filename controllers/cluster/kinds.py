"""What the API server serves, kept up to date: discovery at the start and after every change of a CRD."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from controllers.cluster.client import FAILURES, Client
from controllers.cluster.discovery import Discovery, discover
from controllers.cluster.watch import Event, Target, backoff, follow

REDISCOVER = (0.3, 1.5, 5.0)
"""Seconds after a change of a CRD at which kinds are discovered again: the API server takes a while to serve them."""
CRDS = Target("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", metadata=True)
logger = logging.getLogger("pyvern.kinds")


class Kinds:
    """`changed` is called with every new snapshot that differs from the one before."""

    def __init__(self, client: Client, changed: Callable[[Discovery], None]) -> None:
        self._client = client
        self._changed = changed
        self._due = asyncio.Event()
        self.discovery = Discovery()

    async def run(self) -> None:
        """Watches until cancelled."""
        await asyncio.gather(follow(self._client, CRDS, self._crds_changed), self._rediscover_for_ever())

    async def discover(self) -> None:
        """Asks until there is an answer."""
        attempt = 0
        while True:
            try:
                discovery = await discover(self._client)
                break
            except FAILURES as error:
                attempt += 1
                logger.warning("discovery: %s (try %d)", error, attempt)
                await asyncio.sleep(backoff(attempt))
        if discovery != self.discovery:
            self.discovery = discovery
            self._changed(discovery)

    def _crds_changed(self, _: Event) -> None:
        for delay in REDISCOVER:
            asyncio.get_running_loop().call_later(delay, self._due.set)

    async def _rediscover_for_ever(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            await self.discover()
