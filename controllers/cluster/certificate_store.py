"""The two Secrets that hold the CA and the serving certificate, shared by all replicas (spec 3.2).

Nobody needs to lead: whoever finds a Secret missing or due creates the next one, the API server lets one of them win, the
others read the winner's. Secrets without our label belong to the user and are only read.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from controllers.cluster.certificates import (
    MANAGED_BY,
    Names,
    Pair,
    Utc,
    bundle,
    due,
    managed,
    new_ca,
    new_leaf,
    pair_of,
    serves,
)
from controllers.cluster.client import ApiError, Client

logger = logging.getLogger("pyvern.certificates")


class UnusableCertificate(Exception):
    """A Secret that is not ours to rewrite holds no usable certificate."""


@dataclass(frozen=True, slots=True)
class Material:
    """What a server serves and what its clients must trust."""

    leaf: Pair
    ca_bundle: bytes


class Store:
    """The two Secrets. `ensure` may be called by any replica at any time."""

    def __init__(self, client: Client, names: Names, clock: Callable[[], Utc]) -> None:
        self._client = client
        self._names = names
        self._clock = clock
        self._trusted = b""

    async def ensure(self, *, renew: bool) -> Material:
        """The certificate to serve; makes what is missing or broken, and with `renew` replaces what is due.

        Raises ApiError, Unreachable, and UnusableCertificate for a user's Secret that cannot be served.
        """
        for attempt in range(8):
            try:
                material = await self._once(renew)
            except ApiError as error:
                if not error.conflict or attempt == 7:
                    raise
                logger.info("another replica wrote the certificates first; reading them again")
            else:
                self._trusted = material.ca_bundle
                return material
        raise AssertionError("unreachable")

    async def _once(self, renew: bool) -> Material:
        now = self._clock()
        names = self._names
        stored = await self._read(names.ca_secret)
        ca = pair_of(stored) if stored else None
        if ca is None or (stored is not None and managed(stored) and _replace_ca(ca, now, renew)):
            self._may_write(stored, names.ca_secret)
            previous = ca.certificate if ca else self._trusted
            fresh = new_ca(names, now)
            ca = Pair(bundle(fresh.certificate, previous, now), fresh.key)
            await self._write(names.ca_secret, stored, ca)
        held = await self._read(names.tls_secret)
        leaf = pair_of(held) if held else None
        if held is not None and not managed(held):
            if leaf is None:
                raise UnusableCertificate(f"secret {names.tls_secret} is not managed by us and holds no readable certificate")
            return Material(leaf, ca.certificate)
        if leaf is None or not serves(leaf, ca.certificate, names) or _replace_leaf(leaf, now, renew):
            leaf = new_leaf(names, ca, now)
            await self._write(names.tls_secret, held, leaf)
        return Material(leaf, ca.certificate)

    async def _read(self, name: str) -> dict[str, Any] | None:
        try:
            secret: dict[str, Any] = await self._client.get(self._path(name))
        except ApiError as error:
            if error.not_found:
                return None
            raise
        return secret

    async def _write(self, name: str, stored: Mapping[str, Any] | None, pair: Pair) -> None:
        metadata: dict[str, Any] = {"name": name, "namespace": self._names.namespace, "labels": dict(MANAGED_BY)}
        data = {"tls.crt": base64.b64encode(pair.certificate).decode(), "tls.key": base64.b64encode(pair.key).decode()}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "kubernetes.io/tls", "data": data}
        if stored is None:
            await self._client.create(self._path(), secret)
        else:
            metadata["resourceVersion"] = stored["metadata"]["resourceVersion"]
            metadata["labels"] = {**(stored["metadata"].get("labels") or {}), **MANAGED_BY}
            await self._client.replace(self._path(name), secret)
        logger.info("secret %s/%s: new certificate", self._names.namespace, name)

    def _path(self, name: str = "") -> str:
        base = f"/api/v1/namespaces/{self._names.namespace}/secrets"
        return f"{base}/{name}" if name else base

    def _may_write(self, stored: Mapping[str, Any] | None, name: str) -> None:
        if stored is not None and not managed(stored):
            raise UnusableCertificate(f"secret {name} is not managed by us and holds no readable certificate authority")


def _replace_ca(ca: Pair, now: Utc, renew: bool) -> bool:
    return ca.leaf.not_valid_after_utc <= now or (renew and due(ca.leaf, now))


def _replace_leaf(leaf: Pair, now: Utc, renew: bool) -> bool:
    return leaf.leaf.not_valid_after_utc <= now or (renew and due(leaf.leaf, now))
