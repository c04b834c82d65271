"""Certificates and certificate requests as objects: the fields of Go's x509.Certificate, as its JSON shows them.

Only RSA keys, as in Kyverno. `cryptography` is imported at the first call: most policies never need it.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from engine.lang import der
from engine.lang.errors import ExpressionError
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
_EXTENDED_USAGES = {
    "2.5.29.37.0": 0,
    "1.3.6.1.5.5.7.3.1": 1,
    "1.3.6.1.5.5.7.3.2": 2,
    "1.3.6.1.5.5.7.3.3": 3,
    "1.3.6.1.5.5.7.3.4": 4,
    "1.3.6.1.5.5.7.3.5": 5,
    "1.3.6.1.5.5.7.3.6": 6,
    "1.3.6.1.5.5.7.3.7": 7,
    "1.3.6.1.5.5.7.3.8": 8,
    "1.3.6.1.5.5.7.3.9": 9,
    "1.3.6.1.4.1.311.10.3.3": 10,
    "2.16.840.1.113730.4.1": 11,
    "1.3.6.1.4.1.311.2.1.22": 12,
    "1.3.6.1.4.1.311.61.1.1": 13,
}
_USAGES = (
    "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign "
    "encipher_only decipher_only"
).split()
_NAME_PARTS = {
    (2, 5, 4, 6): "Country",
    (2, 5, 4, 10): "Organization",
    (2, 5, 4, 11): "OrganizationalUnit",
    (2, 5, 4, 7): "Locality",
    (2, 5, 4, 8): "Province",
    (2, 5, 4, 9): "StreetAddress",
    (2, 5, 4, 17): "PostalCode",
}
_HANDLED = frozenset(
    ("2.5.29.14", "2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.30", "2.5.29.31", "2.5.29.32", "2.5.29.33")
    + ("2.5.29.35", "2.5.29.36", "2.5.29.37", "2.5.29.54", "1.3.6.1.5.5.7.1.1")
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
        "Raw": _base64(content),
        "RawTBSCertificate": _base64(certificate.tbs_certificate_bytes),
        "RawSubjectPublicKeyInfo": _base64(fields[5].raw),
        "RawSubject": _base64(fields[4].raw),
        "RawIssuer": _base64(fields[2].raw),
        "Signature": _base64(certificate.signature),
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
    return answer | _alternative_names(certificate.extensions) | _usages(certificate.extensions) | _authority(certificate.extensions)


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
        "Raw": _base64(content),
        "RawTBSCertificateRequest": _base64(request.tbs_certrequest_bytes),
        "RawSubjectPublicKeyInfo": _base64(fields[2].raw),
        "RawSubject": _base64(fields[1].raw),
        "Version": int.from_bytes(fields[0].body, "big"),
        "Signature": _base64(request.signature),
        "SignatureAlgorithm": _signature_algorithm(request),
        "PublicKeyAlgorithm": 1,
        "PublicKey": _public_key(request.public_key()),
        "Subject": _name(request.subject),
        "Attributes": [_attribute(attribute) for attribute in attributes] or None,
        "Extensions": [_extension(part) for part in extensions] or None,
        "ExtraExtensions": None,
        **_alternative_names(request.extensions),
    }


def _public_key(key: PublicKeyTypes) -> dict[str, Any]:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    if not isinstance(key, RSAPublicKey):
        raise ExpressionError("certificate should use rsa algorithm")
    numbers = key.public_numbers()
    return {"N": str(numbers.n), "E": numbers.e}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _signature_algorithm(signed: x509.Certificate | x509.CertificateSigningRequest) -> int:
    dotted = signed.signature_algorithm_oid.dotted_string
    if dotted in _PSS:
        algorithm = signed.signature_hash_algorithm
        return _PSS[dotted].get(algorithm.name, 0) if algorithm else 0
    return _SIGNATURES.get(dotted, 0)


def _numbers(dotted: str) -> list[int]:
    return [int(number) for number in dotted.split(".")]


def _name(name: x509.Name) -> dict[str, Any]:
    answer: dict[str, Any] = {part: None for part in _NAME_PARTS.values()}
    answer |= {"SerialNumber": "", "CommonName": "", "Names": None, "ExtraNames": None}
    for attribute in name:
        kind = _numbers(attribute.oid.dotted_string)
        value = attribute.value if isinstance(attribute.value, str) else attribute.value.decode("utf-8", "replace")
        answer["Names"] = [*(answer["Names"] or []), {"Type": kind, "Value": value}]
        if kind == [2, 5, 4, 3]:
            answer["CommonName"] = value
        elif kind == [2, 5, 4, 5]:
            answer["SerialNumber"] = value
        elif (part := _NAME_PARTS.get(tuple(kind))) is not None:  # type: ignore[call-overload]
            answer[part] = [*(answer[part] or []), value]
    return answer


def _extension(part: der.Element) -> dict[str, Any]:
    identifier, *flags, value = part.children()
    return {"Id": der.oid(identifier.body), "Critical": bool(flags and any(flags[0].body)), "Value": _base64(value.body)}


def _attribute(attribute: der.Element) -> dict[str, Any]:
    """Go shows an attribute as sets of type and value; only what is shaped like extensions fits."""
    identifier, values = attribute.children()
    shown = [
        [{"Type": der.oid(item.children()[0].body), "Value": _base64(item.children()[-1].body)} for item in value.children()]
        for value in values.children()
        if value.tag == 0x30
    ]
    return {"Type": der.oid(identifier.body), "Value": shown}


def _find(extensions: x509.Extensions, kind: type[Any]) -> Any:
    return next((extension.value for extension in extensions if isinstance(extension.value, kind)), None)


def _alternative_names(extensions: x509.Extensions) -> dict[str, Any]:
    from cryptography import x509

    found = _find(extensions, x509.SubjectAlternativeName) or []
    return {
        "DNSNames": [name.value for name in found if isinstance(name, x509.DNSName)] or None,
        "EmailAddresses": [name.value for name in found if isinstance(name, x509.RFC822Name)] or None,
        "IPAddresses": [str(name.value) for name in found if isinstance(name, x509.IPAddress)] or None,
        "URIs": [_url(name.value) for name in found if isinstance(name, x509.UniformResourceIdentifier)] or None,
    }


def _url(text: str) -> dict[str, Any]:
    parts = urlsplit(text)
    opaque = bool(parts.scheme) and not parts.netloc and not parts.path.startswith("/")
    path = unquote(parts.path)
    return {
        "Scheme": parts.scheme,
        "Opaque": parts.path if opaque else "",
        "User": {} if "@" in parts.netloc else None,
        "Host": parts.netloc.rpartition("@")[2],
        "Path": "" if opaque else path,
        "RawPath": "" if opaque or path == parts.path else parts.path,
        "OmitHost": False,
        "ForceQuery": text.endswith("?"),
        "RawQuery": parts.query,
        "Fragment": unquote(parts.fragment),
        "RawFragment": "",
    }


def _usages(extensions: x509.Extensions) -> dict[str, Any]:
    from cryptography import x509

    usage = _find(extensions, x509.KeyUsage)
    extended = [item.dotted_string for item in _find(extensions, x509.ExtendedKeyUsage) or []]
    basic = _find(extensions, x509.BasicConstraints)
    length = (-1 if basic.path_length is None else basic.path_length) if basic is not None else 0
    return {
        # encipher_only and decipher_only may only be asked for together with key_agreement
        "KeyUsage": sum(
            1 << bit
            for bit, name in enumerate(_USAGES)
            if usage is not None and (bit < 7 or usage.key_agreement) and getattr(usage, name)
        ),
        "ExtKeyUsage": [_EXTENDED_USAGES[item] for item in extended if item in _EXTENDED_USAGES] or None,
        "UnknownExtKeyUsage": [_numbers(item) for item in extended if item not in _EXTENDED_USAGES] or None,
        "BasicConstraintsValid": basic is not None,
        "IsCA": basic is not None and basic.ca,
        "MaxPathLen": length,
        "MaxPathLenZero": basic is not None and length == 0,
    }


def _authority(extensions: x509.Extensions) -> dict[str, Any]:
    from cryptography import x509

    subject_key = _find(extensions, x509.SubjectKeyIdentifier)
    authority_key = _find(extensions, x509.AuthorityKeyIdentifier)
    access = list(_find(extensions, x509.AuthorityInformationAccess) or [])
    points = list(_find(extensions, x509.CRLDistributionPoints) or [])
    policies = [policy.policy_identifier.dotted_string for policy in _find(extensions, x509.CertificatePolicies) or []]
    constraints = _find(extensions, x509.PolicyConstraints)
    inhibited = _find(extensions, x509.InhibitAnyPolicy)
    explicit = constraints.require_explicit_policy if constraints else None
    mapping = constraints.inhibit_policy_mapping if constraints else None
    return {
        "SubjectKeyId": _base64(subject_key.digest) if subject_key else None,
        "AuthorityKeyId": _base64(authority_key.key_identifier or b"") if authority_key else None,
        "OCSPServer": _locations(access, "1.3.6.1.5.5.7.48.1"),
        "IssuingCertificateURL": _locations(access, "1.3.6.1.5.5.7.48.2"),
        "CRLDistributionPoints": [name.value for point in points for name in point.full_name or []] or None,
        "PolicyIdentifiers": [_numbers(policy) for policy in policies] or None,
        "Policies": policies or None,
        "PolicyMappings": None,
        "RequireExplicitPolicy": explicit or 0,
        "RequireExplicitPolicyZero": explicit == 0,
        "InhibitPolicyMapping": mapping or 0,
        "InhibitPolicyMappingZero": mapping == 0,
        "InhibitAnyPolicy": inhibited.skip_certs if inhibited else 0,
        "InhibitAnyPolicyZero": inhibited is not None and inhibited.skip_certs == 0,
        **_constraints(extensions),
    }


def _locations(access: list[x509.AccessDescription], method: str) -> list[str] | None:
    return [item.access_location.value for item in access if item.access_method.dotted_string == method] or None


def _constraints(extensions: x509.Extensions) -> dict[str, Any]:
    from cryptography import x509

    critical = any(extension.critical for extension in extensions if isinstance(extension.value, x509.NameConstraints))
    found = _find(extensions, x509.NameConstraints)
    answer: dict[str, Any] = {"PermittedDNSDomainsCritical": critical}
    for side, trees in (("Permitted", found and found.permitted_subtrees), ("Excluded", found and found.excluded_subtrees)):
        trees = trees or []
        answer[f"{side}DNSDomains"] = [tree.value for tree in trees if isinstance(tree, x509.DNSName)] or None
        answer[f"{side}EmailAddresses"] = [tree.value for tree in trees if isinstance(tree, x509.RFC822Name)] or None
        answer[f"{side}URIDomains"] = [tree.value for tree in trees if isinstance(tree, x509.UniformResourceIdentifier)] or None
        answer[f"{side}IPRanges"] = [
            {"IP": str(tree.value.network_address), "Mask": _base64(tree.value.netmask.packed)}
            for tree in trees
            if isinstance(tree, x509.IPAddress)
        ] or None
    return answer
