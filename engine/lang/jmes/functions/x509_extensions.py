"""Certificate extensions as the fields of Go's x509.Certificate; what is absent is null, zero or false as Go leaves it."""

from __future__ import annotations

import base64
import ipaddress
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from cryptography import x509

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
_USAGES = [
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
]


def to_base64(data: bytes) -> str:
    """Bytes as Go's JSON writes them."""
    return base64.b64encode(data).decode("ascii")


def numbers_of(dotted: str) -> list[int]:
    """An object identifier as Go's JSON writes it: a list of numbers."""
    return [int(number) for number in dotted.split(".")]


def _find(extensions: x509.Extensions, kind: type[Any]) -> Any:
    return next((extension.value for extension in extensions if isinstance(extension.value, kind)), None)


def alternative_names(extensions: x509.Extensions) -> dict[str, Any]:
    """DNSNames, EmailAddresses, IPAddresses, URIs."""
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


def usages(extensions: x509.Extensions) -> dict[str, Any]:
    """Key usages and basic constraints."""
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
        "UnknownExtKeyUsage": [numbers_of(item) for item in extended if item not in _EXTENDED_USAGES] or None,
        "BasicConstraintsValid": basic is not None,
        "IsCA": basic is not None and basic.ca,
        "MaxPathLen": length,
        "MaxPathLenZero": basic is not None and length == 0,
    }


def authority(extensions: x509.Extensions) -> dict[str, Any]:
    """Key identifiers, places to ask, policies and constraints."""
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
        "SubjectKeyId": to_base64(subject_key.digest) if subject_key else None,
        "AuthorityKeyId": to_base64(authority_key.key_identifier or b"") if authority_key else None,
        "OCSPServer": _locations(access, "1.3.6.1.5.5.7.48.1"),
        "IssuingCertificateURL": _locations(access, "1.3.6.1.5.5.7.48.2"),
        "CRLDistributionPoints": [name.value for point in points for name in point.full_name or []] or None,
        "PolicyIdentifiers": [numbers_of(policy) for policy in policies] or None,
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
            {"IP": str(tree.value.network_address), "Mask": to_base64(tree.value.netmask.packed)}
            for tree in trees
            if isinstance(tree, x509.IPAddress) and isinstance(tree.value, (ipaddress.IPv4Network, ipaddress.IPv6Network))
        ] or None
    return answer
