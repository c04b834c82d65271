"""The CA and the serving certificate of a webhook server: made, judged, read from Secrets (spec 3.2). Pure but for randomness.

`python -m controllers.cluster.certificates` answers one `Question` on standard input with a `Decision`: operators ask it that way
and stay small (docs/decisions/0004).
"""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
import random
import sys
from collections.abc import Callable, Mapping
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from controllers.cluster.pair import Decision, Material, Names, Pair, Question, UnusableCertificate, managed

CA_LIFE = datetime.timedelta(days=365)
LEAF_LIFE = datetime.timedelta(days=150)
CLOCK_SKEW = datetime.timedelta(hours=1)
RENEW_AFTER = 2 / 3
"""Share of its life after which a certificate is replaced, unless --renewBefore says otherwise."""
Utc = datetime.datetime

PrivateKey = CertificateIssuerPrivateKeyTypes
ALGORITHMS: Mapping[str, Callable[[], PrivateKey]] = {
    "ECDSA": lambda: ec.generate_private_key(ec.SECP256R1()),
    "RSA": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}


def newest(pair: Pair) -> x509.Certificate:
    """The first certificate of the chain."""
    return x509.load_pem_x509_certificates(pair.certificate)[0]


def decide(question: Question) -> Decision:
    """What to serve, and what to write for it. Raises `UnusableCertificate` for a user's Secret that cannot be served."""
    now, names, renew = Utc.fromisoformat(question.now), question.names, question.renew
    ca = pair_of(question.ca) if question.ca else None
    new_authority = None
    if ca is None or (question.ca is not None and managed(question.ca) and _replaced(ca, now, names, renew=renew)):
        if question.ca is not None and not managed(question.ca):
            raise UnusableCertificate(
                f"secret {names.ca_secret} is not managed by us and holds no readable certificate authority"
            )
        fresh = new_ca(names, now)
        ca = new_authority = Pair(bundle(fresh.certificate, ca.certificate if ca else question.trusted, now), fresh.key)
    leaf = pair_of(question.leaf) if question.leaf else None
    if question.leaf is not None and not managed(question.leaf):
        if leaf is None:
            raise UnusableCertificate(f"secret {names.tls_secret} is not ours and holds no readable certificate")
        return Decision(Material(leaf, ca.certificate), new_ca=new_authority)
    if leaf is not None and serves(leaf, ca.certificate, names) and not _replaced(leaf, now, names, renew=renew):
        return Decision(Material(leaf, ca.certificate), new_ca=new_authority)
    signed = new_leaf(names, ca, now)
    return Decision(Material(signed, ca.certificate), new_ca=new_authority, new_leaf=signed)


def _replaced(pair: Pair, now: Utc, names: Names, *, renew: bool) -> bool:
    certificate = newest(pair)
    return certificate.not_valid_after_utc <= now or (renew and due(certificate, now, names.renew_before))


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
    issuer = newest(ca)
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


def due(certificate: x509.Certificate, now: Utc, before: float = 0.0) -> bool:
    """Is its end nearer than `before` seconds? Where that says nothing or more than its life: have two thirds of it passed?"""
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    ahead = datetime.timedelta(seconds=before)
    return now >= (end - ahead if before > 0 and ahead < end - start else start + (end - start) * RENEW_AFTER)


def bundle(latest: bytes, previous: bytes, now: Utc) -> bytes:
    """`latest` and those certificates of `previous` that still live: clients trust both while servers change over."""
    kept = [c for c in x509.load_pem_x509_certificates(previous) if c.not_valid_after_utc > now] if previous.strip() else []
    fresh = x509.load_pem_x509_certificates(latest)
    parts = [*fresh, *(c for c in kept if c not in fresh)]
    return b"".join(c.public_bytes(serialization.Encoding.PEM) for c in parts)


def serves(leaf: Pair, ca_bundle: bytes, names: Names) -> bool:
    """Is `leaf` signed by a CA of the bundle, for all our hosts, with its own key?"""
    certificate = newest(leaf)
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


def main() -> None:
    """Reads a question from standard input, prints the decision; both as JSON, with PEM as text of latin-1."""
    asked = json.load(sys.stdin)
    asked.update(names=Names(**asked["names"]), trusted=asked["trusted"].encode("latin-1"))
    try:
        decision = decide(Question(**asked))
    except UnusableCertificate as error:
        json.dump({"fault": str(error)}, sys.stdout)
        return
    pairs = {"leaf": decision.material.leaf, "new_ca": decision.new_ca, "new_leaf": decision.new_leaf}
    texts = {name: [pair.certificate.decode("latin-1"), pair.key.decode("latin-1")] for name, pair in pairs.items() if pair}
    json.dump({"pairs": texts, "ca_bundle": decision.material.ca_bundle.decode("latin-1")}, sys.stdout)


if __name__ == "__main__":
    main()
