"""The two Secrets that hold the CA and the serving certificate, shared by all replicas (spec 3.2).

Nobody needs to lead: whoever finds a Secret missing or due creates the next one, the API server lets one of them win, the
others read the winner's. Secrets without our label belong to the user and are only read.
"""

from __future__ import annotations

import asyncio
import base64
import datetime
import logging
import sys
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from controllers.cluster.client import ApiError, Client
from controllers.cluster.pair import MANAGED_BY, Decision, Material, Names, Pair, Question, UnusableCertificate

PATIENCE = 30.0
logger = logging.getLogger("pyvern.certificates")


class DeciderFailed(Exception):
    """The process that reads and makes certificates did not answer."""


async def decide_apart(question: Question) -> Decision:
    """`certificates.decide` in a process of its own, whose memory is given back. Raises UnusableCertificate and DeciderFailed."""
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "controllers.cluster.certificates", stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
    except OSError as error:
        raise DeciderFailed(f"cannot start {sys.executable}: {error.strerror or error}") from error
    try:
        async with asyncio.timeout(PATIENCE):
            answer, complaint = await process.communicate(orjson.dumps(question, default=_text))
    except TimeoutError as error:
        process.kill()
        await process.wait()
        raise DeciderFailed(f"no certificate after {PATIENCE:.0f} s") from error
    if process.returncode:
        last = complaint.decode(errors="replace").strip().rpartition("\n")[2]
        raise DeciderFailed(f"exit status {process.returncode}: {last}")
    found = orjson.loads(answer)
    if "fault" in found:
        raise UnusableCertificate(found["fault"])
    pairs = {name: Pair(*(part.encode("latin-1") for part in pair)) for name, pair in found["pairs"].items()}
    material = Material(pairs["leaf"], found["ca_bundle"].encode("latin-1"))
    return Decision(material, new_ca=pairs.get("new_ca"), new_leaf=pairs.get("new_leaf"))


def _text(value: Any) -> str:
    """Bytes in JSON: a PEM file may carry remarks in any encoding, latin-1 gives every byte back."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    raise TypeError(type(value).__name__)


class Store:
    """The two Secrets. `ensure` may be called by any replica at any time."""

    def __init__(
        self,
        client: Client,
        names: Names,
        clock: Callable[[], datetime.datetime],
        *,
        decide: Callable[[Question], Awaitable[Decision]] = decide_apart,
    ) -> None:
        self._client = client
        self._names = names
        self._clock = clock
        self._decide = decide
        self._trusted = b""

    async def ensure(self, *, renew: bool) -> Material:
        """The certificate to serve; makes what is missing or broken, and with `renew` replaces what is due.

        Raises ApiError, Unreachable, DeciderFailed, and UnusableCertificate for a user's Secret that cannot be served.
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
        names = self._names
        ca, leaf = await self._read(names.ca_secret), await self._read(names.tls_secret)
        question = Question(names, self._clock().isoformat(), renew=renew, trusted=self._trusted, ca=ca, leaf=leaf)
        decision = await self._decide(question)
        if decision.new_ca is not None:
            await self._write(names.ca_secret, ca, decision.new_ca)
        if decision.new_leaf is not None:
            await self._write(names.tls_secret, leaf, decision.new_leaf)
        return decision.material

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
