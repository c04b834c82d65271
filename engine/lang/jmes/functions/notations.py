"""Notations from outside JSON: versions, images, URLs, and texts made after a pattern."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from engine.lang.errors import ExpressionError
from engine.lang.image_ref import InvalidImage, parse_image
from engine.lang.jmes.functions.regex import compile_regex
from engine.lang.jmes.functions.signature import function
from engine.lang.jmes.root import Root
from engine.lang.random_text import UnsupportedPattern, random_text
from engine.lang.semver import compile_range, parse_version

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2}).{0,2}", re.DOTALL)
_PRIVATE = [ipaddress.ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")]
_LOOPBACK = [ipaddress.ip_network(text) for text in ("127.0.0.0/8", "::1/128")]


def semver_compare(version: str, wanted: str) -> bool:
    """Is the version in the range? A text that is no version is in none (spec 9.8)."""
    inside = compile_range(wanted)
    if inside is None:
        raise ExpressionError(f'could not parse range "{wanted}"')
    parsed = parse_version(version)
    return parsed is not None and inside(parsed)


def image_normalize(image: str) -> str:
    """The image with registry and tag or digest written out."""
    try:
        return parse_image(image).reference
    except InvalidImage as error:
        raise ExpressionError(f"JMESPath function 'image_normalize': {error}") from None


def is_external_url(root: Root, url: str) -> bool:
    """Does the URL's host lie outside loopback and private networks? Every address of a name must be outside."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError as error:
        raise ExpressionError(f'parse "{url}": {error}') from None
    wrong = _BAD_ESCAPE.search(host)
    if wrong:
        raise ExpressionError(f'parse "{url}": invalid URL escape "{wrong[0]}"')
    if not host:
        raise ExpressionError("lookup : no such host")
    try:
        addresses = [ipaddress.ip_address(host)]
    except ValueError:
        addresses = [ipaddress.ip_address(text) for text in root.addresses(host)]
    return not any(address in network for address in map(_unmapped, addresses) for network in (*_PRIVATE, *_LOOPBACK))


def _unmapped(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def random(root: Root, pattern: str) -> str:
    """Text that the regular expression matches."""
    if not pattern:
        raise ExpressionError("no pattern provided")
    compile_regex(pattern)
    try:
        return random_text(pattern, seed=root.seed(pattern))
    except UnsupportedPattern as error:
        raise ExpressionError(str(error)) from None


NOTATIONS = {
    "image_normalize": function("string -> string", image_normalize, "an image reference with registry and tag written out"),
    "is_external_url": function(
        "string -> boolean", is_external_url, "is the URL's host outside private networks", needs_root=True
    ),
    "random": function("string -> string", random, "random text that matches a regular expression", needs_root=True),
    "semver_compare": function("string, string -> boolean", semver_compare, "is a semantic version in a range"),
}
