"""Certificates and certificate requests as objects: the fields of Go's x509.Certificate, as its JSON shows them.

Only RSA keys, as in Kyverno. `cryptography` is imported at the first call: most policies never need it.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any

from engine.lang import der
from engine.lang.errors import ExpressionError
from engine.lang.jmes.functions.x509_extensions import alternative_names, authority, numbers_of, to_base64, usages
from engine.lang.jmes.values import to_bytes, whole

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

_PEM = re.compile(
    rb"(?:^|\n)-----BEGIN ([^\n-]*)-----[ \t\r]*\n((?:[^\n:-]+:[^\n]*\n)*)([A-Za-z0-9+/=\s]*?)\n?-----END \1-----[ \t\r]*(?:\n|$)"
)
_SIGNATURES = {
    "1.2.840.113549.1.1.2": 1,
    "1.2.840.113549.1.1.4": 2,
    "1.2.840.113549.1.1.5": 3,
    "1.3.14.3.2.29": 3,
    "1.2.840.113549.1.1.11": 4,
    "1.2.840.113549.1.1.12": 5,
    "1.2.840.113549.1.1.13": 6,
    "1.2.840.10040.4.3": 7,
    "2.16.840.1.101.3.4.3.2": 8,
    "1.2.840.10045.4.1": 9,
    "1.2.840.10045.4.3.2": 10,
    "1.2.840.10045.4.3.3": 11,
    "1.2.840.10045.4.3.4": 12,
    "1.3.101.112": 16,
}
_PSS = {"1.2.840.113549.1.1.10": {"sha256": 13, "sha384": 14, "sha512": 15}}
_NAME_PARTS: dict[tuple[int, ...], str] = {
    (2, 5, 4, 6): "Country",
    (2, 5, 4, 10): "Organization",
    (2, 5, 4, 11): "OrganizationalUnit",
    (2, 5, 4, 7): "Locality",
    (2, 5, 4, 8): "Province",
    (2, 5, 4, 9): "StreetAddress",
    (2, 5, 4, 17): "PostalCode",
}
_HANDLED = frozenset(
    [
        *("2.5.29.14", "2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.30", "2.5.29.31", "2.5.29.32", "2.5.29.33"),
        *("2.5.29.35", "2.5.29.36", "2.5.29.37", "2.5.29.54", "1.3.6.1.5.5.7.1.1"),
    ]
)


def x509_decode(pem: str) -> dict[str, Any]:
    """The first PEM block of `pem`. Raises `ExpressionError` for what is no certificate or request, or has no RSA key."""
    found = _PEM.search(to_bytes(pem))
    try:
        content = base64.b64decode(re.sub(rb"\s", b"", found[3]), validate=True) if found else b""
    except binascii.Error:
        found = None
    if found is None:
        raise ExpressionError("failed to decode PEM block")
    kind = "certificate request" if found[1] == b"CERTIFICATE REQUEST" else "certificate"
    try:
        return _request(content) if kind == "certificate request" else _certificate(content)
    except (ValueError, IndexError):  # cryptography's and our reader's way to refuse bytes
        raise ExpressionError(f"x509: malformed {kind}") from None


def _certificate(content: bytes) -> dict[str, Any]:
    from cryptography import x509

    certificate = x509.load_der_x509_certificate(content)
    fields = [part for part in der.split(content)[0].children()[0].children() if part.tag != 0xA0]
    extensions = next((part.children()[0].children() for part in fields if part.tag == 0xA3), [])
    key = _public_key(certificate.public_key())
    answer = {
        "Raw": to_base64(content),
        "RawTBSCertificate": to_base64(certificate.tbs_certificate_bytes),
        "RawSubjectPublicKeyInfo": to_base64(fields[5].raw),
        "RawSubject": to_base64(fields[4].raw),
        "RawIssuer": to_base64(fields[2].raw),
        "Signature": to_base64(certificate.signature),
        "SignatureAlgorithm": _signature_algorithm(certificate),
        "PublicKeyAlgorithm": 1,
        "PublicKey": key,
        "Version": certificate.version.value + 1,
        "SerialNumber": whole(float(certificate.serial_number)),
        "Issuer": _name(certificate.issuer),
        "Subject": _name(certificate.subject),
        "NotBefore": certificate.not_valid_before_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "NotAfter": certificate.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "Extensions": [_extension(part) for part in extensions] or None,
        "ExtraExtensions": None,
        "UnhandledCriticalExtensions": [
            [int(number) for number in extension.oid.dotted_string.split(".")]
            for extension in certificate.extensions
            if extension.critical and extension.oid.dotted_string not in _HANDLED
        ]
        or None,
    }
    return answer | alternative_names(certificate.extensions) | usages(certificate.extensions) | authority(certificate.extensions)


def _request(content: bytes) -> dict[str, Any]:
    from cryptography import x509

    request = x509.load_der_x509_csr(content)
    fields = der.split(content)[0].children()[0].children()
    attributes = fields[3].children() if len(fields) > 3 else []
    extensions = [
        part
        for attribute in attributes
        if der.oid(attribute.children()[0].body) == [1, 2, 840, 113549, 1, 9, 14]
        for part in attribute.children()[1].children()[0].children()
    ]
    return {
        "Raw": to_base64(content),
        "RawTBSCertificateRequest": to_base64(request.tbs_certrequest_bytes),
        "RawSubjectPublicKeyInfo": to_base64(fields[2].raw),
        "RawSubject": to_base64(fields[1].raw),
        "Version": int.from_bytes(fields[0].body, "big"),
        "Signature": to_base64(request.signature),
        "SignatureAlgorithm": _signature_algorithm(request),
        "PublicKeyAlgorithm": 1,
        "PublicKey": _public_key(request.public_key()),
        "Subject": _name(request.subject),
        "Attributes": [_attribute(attribute) for attribute in attributes] or None,
        "Extensions": [_extension(part) for part in extensions] or None,
        "ExtraExtensions": None,
        **alternative_names(request.extensions),
    }


def _public_key(key: PublicKeyTypes) -> dict[str, Any]:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    if not isinstance(key, RSAPublicKey):
        raise ExpressionError("certificate should use rsa algorithm")
    numbers = key.public_numbers()
    return {"N": str(numbers.n), "E": numbers.e}


def _signature_algorithm(signed: x509.Certificate | x509.CertificateSigningRequest) -> int:
    dotted = signed.signature_algorithm_oid.dotted_string
    if dotted in _PSS:
        algorithm = signed.signature_hash_algorithm
        return _PSS[dotted].get(algorithm.name, 0) if algorithm else 0
    return _SIGNATURES.get(dotted, 0)


def _name(name: x509.Name) -> dict[str, Any]:
    answer: dict[str, Any] = dict.fromkeys(_NAME_PARTS.values())
    answer |= {"SerialNumber": "", "CommonName": "", "Names": None, "ExtraNames": None}
    for attribute in name:
        kind = numbers_of(attribute.oid.dotted_string)
        value = attribute.value if isinstance(attribute.value, str) else attribute.value.decode("utf-8", "replace")
        answer["Names"] = [*(answer["Names"] or []), {"Type": kind, "Value": value}]
        if kind == [2, 5, 4, 3]:
            answer["CommonName"] = value
        elif kind == [2, 5, 4, 5]:
            answer["SerialNumber"] = value
        elif (part := _NAME_PARTS.get(tuple(kind))) is not None:
            answer[part] = [*(answer[part] or []), value]
    return answer


def _extension(part: der.Element) -> dict[str, Any]:
    identifier, *flags, value = part.children()
    return {"Id": der.oid(identifier.body), "Critical": bool(flags and any(flags[0].body)), "Value": to_base64(value.body)}


def _attribute(attribute: der.Element) -> dict[str, Any]:
    """Go shows an attribute as sets of type and value; only what is shaped like extensions fits."""
    identifier, values = attribute.children()
    shown = [
        [{"Type": der.oid(item.children()[0].body), "Value": to_base64(item.children()[-1].body)} for item in value.children()]
        for value in values.children()
        if value.tag == 0x30
    ]
    return {"Type": der.oid(identifier.body), "Value": shown}
