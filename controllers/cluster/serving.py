"""The certificate this replica serves: made or read at the start, watched, renewed in time, changed without a gap."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from controllers.cluster.certificate_store import DeciderFailed, Store
from controllers.cluster.client import FAILURES
from controllers.cluster.pair import Material, Pair, UnusableCertificate
from controllers.cluster.watch import backoff

CHECK = 3600.0
TRUST_FIRST = 2.0
"""Seconds between new trust in the webhook configurations and a new certificate on the server."""
logger = logging.getLogger("pyvern.certificates")


class ServingCertificate:
    """Follows the Secrets of `store`. `trust` is told of a new CA bundle, then `serve` of a new certificate."""

    def __init__(self, store: Store, *, trust: Callable[[], None], serve: Callable[[Pair], None]) -> None:
        self._store = store
        self._trust = trust
        self._serve = serve
        self._lock = asyncio.Lock()
        self._material: Material | None = None

    @property
    def material(self) -> Material:
        """What is in the Secrets as far as this replica knows; there after `load`."""
        assert self._material is not None
        return self._material

    async def load(self) -> None:
        """The first certificate; waits for the API server as long as it takes."""
        self._material = await self._ensure(renew=False)

    async def refresh(self, *, renew: bool = False) -> None:
        """Reads the Secrets again, makes what is missing and with `renew` replaces what is due."""
        async with self._lock:
            material = await self._ensure(renew=renew)
            if material == self._material:
                return
            self._material = material
            self._trust()
        # INVARIANT (trust first): the API server must know the new authority before it meets a certificate signed by it; the
        # certificate served meanwhile is trusted through the bundle, which keeps the old authority.
        await asyncio.sleep(TRUST_FIRST)
        if material == self._material:
            self._serve(material.leaf)

    async def keep(self, renews: Callable[[], bool]) -> None:
        """Checks hourly until cancelled; `renews`: is it this replica that renews?"""
        while True:
            await asyncio.sleep(CHECK)
            await self.refresh(renew=renews())

    async def _ensure(self, *, renew: bool) -> Material:
        attempt = 0
        while True:
            try:
                return await self._store.ensure(renew=renew)
            except (*FAILURES, DeciderFailed, UnusableCertificate) as error:
                if isinstance(error, UnusableCertificate) and self._material is not None:
                    logger.error("%s; the old certificate stays in use", error)
                    return self._material
                attempt += 1
                logger.warning("certificates: %s (try %d)", error, attempt)
                await asyncio.sleep(backoff(attempt))
