"""Certificates as plain bytes: what is stored, asked and answered where nobody reads inside them.

INVARIANT (memory): this module stays free of `cryptography`, which costs an operator 9 MB; what needs it is decided in
`controllers.cluster.certificates`, in a process of a tenth of a second (docs/decisions/0004).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MANAGED_BY = {"cert.kyverno.io/managed-by": "kyverno"}


@dataclass(frozen=True, slots=True)
class Pair:
    """A private key (PKCS#8 PEM) and its certificate chain (PEM), newest certificate first."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class Names:
    """Whom the certificate is for, where it is kept, and when it is renewed: `renew_before` seconds before its end (0: when two
    thirds of its life are over).
    """

    service: str
    namespace: str
    ca_secret: str
    tls_secret: str
    algorithm: str = "ECDSA"
    server_ip: str = ""
    renew_before: float = 0.0

    @property
    def hosts(self) -> tuple[str, ...]:
        """DNS names and addresses the API server may call the server by; `server_ip` may carry a port."""
        base = f"{self.service}.{self.namespace}"
        host = self.server_ip.rsplit(":", 1)[0] if self.server_ip.count(":") == 1 else self.server_ip
        return tuple(name for name in (self.service, base, f"{base}.svc", host.strip("[]")) if name)


@dataclass(frozen=True, slots=True)
class Material:
    """What a server serves and what its clients must trust."""

    leaf: Pair
    ca_bundle: bytes


@dataclass(frozen=True, slots=True)
class Question:
    """What the Secrets hold, for `certificates.decide`. `ca` and `leaf` are whole Secrets, None where there is none.

    `now` is RFC 3339. `renew`: may what is due be replaced? `trusted` is the bundle that clients trusted last.
    """

    names: Names
    now: str
    renew: bool
    trusted: bytes
    ca: Mapping[str, Any] | None
    leaf: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Decision:
    """What shall be served, and which of the two Secrets must be written for it."""

    material: Material
    new_ca: Pair | None = None
    new_leaf: Pair | None = None


class UnusableCertificate(Exception):
    """A Secret that is not ours to rewrite holds no usable certificate."""


def managed(secret: Mapping[str, Any]) -> bool:
    """May we rewrite this Secret?"""
    labels = (secret.get("metadata") or {}).get("labels") or {}
    return all(labels.get(name) == value for name, value in MANAGED_BY.items())
