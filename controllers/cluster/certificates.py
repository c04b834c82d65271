"""The CA and the serving certificate of a webhook server, kept in two Secrets that all replicas share (spec 3.2).

Nobody needs to lead: whoever finds a Secret missing or due creates the next one, the API server lets one of them win, the
others read the winner's. Secrets without our label belong to the user and are only read.
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from controllers.cluster.client import ApiError, Client

MANAGED_BY = {"cert.kyverno.io/managed-by": "kyverno"}
CA_LIFE = datetime.timedelta(days=365)
LEAF_LIFE = datetime.timedelta(days=150)
CLOCK_SKEW = datetime.timedelta(hours=1)
RENEW_AFTER = 2 / 3
"""Share of its life after which a certificate is replaced."""
Utc = datetime.datetime
logger = logging.getLogger("pyvern.certificates")

PrivateKey = CertificateIssuerPrivateKeyTypes
ALGORITHMS: Mapping[str, Callable[[], PrivateKey]] = {
    "ECDSA": lambda: ec.generate_private_key(ec.SECP256R1()),
    "RSA": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}


class UnusableCertificate(Exception):
    """A Secret that is not ours to rewrite holds no usable certificate."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A private key (PKCS#8 PEM) and its certificate chain (PEM), newest certificate first."""

    certificate: bytes
    key: bytes

    @property
    def leaf(self) -> x509.Certificate:
        return x509.load_pem_x509_certificates(self.certificate)[0]


@dataclass(frozen=True, slots=True)
class Names:
    """Whom the certificate is for and where it is kept."""

    service: str
    namespace: str
    ca_secret: str
    tls_secret: str
    algorithm: str = "ECDSA"
    server_ip: str = ""

    @property
    def hosts(self) -> tuple[str, ...]:
        """DNS names and addresses the API server may call the server by; `server_ip` may carry a port."""
        base = f"{self.service}.{self.namespace}"
        host = self.server_ip.rsplit(":", 1)[0] if self.server_ip.count(":") == 1 else self.server_ip
        return tuple(name for name in (self.service, base, f"{base}.svc", host.strip("[]")) if name)


def new_ca(names: Names, now: Utc) -> Pair:
    """A self-signed CA."""
    key = _key_of(names)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"*.{names.namespace}.svc")])
    certificate = (
        _builder(subject, subject, key, now, CA_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(signing=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, _digest(key))
    )
    return Pair(certificate.public_bytes(serialization.Encoding.PEM), pkcs8(key))


def new_leaf(names: Names, ca: Pair, now: Utc) -> Pair:
    """A serving certificate for `names.hosts`, signed by `ca`."""
    key = _key_of(names)
    issuer = ca.leaf
    signer = _load_key(ca.key)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{names.service}.{names.namespace}.svc")])
    life = min(LEAF_LIFE, issuer.not_valid_after_utc - now)
    certificate = (
        _builder(subject, issuer.subject, key, now, life)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signing=False), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in names.hosts]), critical=False)
        .sign(signer, _digest(signer))
    )
    return Pair(certificate.public_bytes(serialization.Encoding.PEM), pkcs8(key))


def due(certificate: x509.Certificate, now: Utc) -> bool:
    """Has two thirds of the certificate's life passed?"""
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return now >= start + (end - start) * RENEW_AFTER


def bundle(newest: bytes, previous: bytes, now: Utc) -> bytes:
    """`newest` and those certificates of `previous` that still live: clients trust both while servers change over."""
    kept = [c for c in x509.load_pem_x509_certificates(previous) if c.not_valid_after_utc > now] if previous.strip() else []
    fresh = x509.load_pem_x509_certificates(newest)
    parts = [*fresh, *(c for c in kept if c not in fresh)]
    return b"".join(c.public_bytes(serialization.Encoding.PEM) for c in parts)


def serves(leaf: Pair, ca_bundle: bytes, names: Names) -> bool:
    """Is `leaf` signed by a CA of the bundle, for all our hosts, with its own key?"""
    certificate = leaf.leaf
    if certificate.public_key() != _load_key(leaf.key).public_key():
        return False
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    listed = {str(name.value) for name in alternative}
    return set(names.hosts) <= listed and any(_signed_by(certificate, ca) for ca in x509.load_pem_x509_certificates(ca_bundle))


def pkcs8(key: PrivateKey) -> bytes:
    """PKCS#8 PEM, the only form the server's TLS library reads."""
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def pair_of(secret: Mapping[str, Any]) -> Pair | None:
    """The pair in a kubernetes.io/tls Secret, its key as PKCS#8; None when it holds none that can be read."""
    data = secret.get("data") or {}
    try:
        certificate = base64.b64decode(data.get("tls.crt") or "")
        key = pkcs8(_load_key(base64.b64decode(data.get("tls.key") or "")))
        x509.load_pem_x509_certificates(certificate)
    except (ValueError, TypeError):
        return None
    return Pair(certificate, key)


def managed(secret: Mapping[str, Any]) -> bool:
    """May we rewrite this Secret?"""
    labels = (secret.get("metadata") or {}).get("labels") or {}
    return all(labels.get(name) == value for name, value in MANAGED_BY.items())


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


def _key_of(names: Names) -> PrivateKey:
    return ALGORITHMS[names.algorithm]()


def _load_key(pem: bytes) -> PrivateKey:
    key = serialization.load_pem_private_key(pem, None)
    if not isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey, ed25519.Ed25519PrivateKey)):
        raise ValueError("unsupported key type")  # noqa: TRY004  # the caller asks whether the PEM is usable, not its class
    return key


def _digest(key: PrivateKey) -> hashes.SHA256 | None:
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def _builder(
    subject: x509.Name, issuer: x509.Name, key: PrivateKey, now: Utc, life: datetime.timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(random.SystemRandom().getrandbits(120) | 1)
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + life)
    )


def _key_usage(*, signing: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not signing,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signing,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _signed_by(certificate: x509.Certificate, ca: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
