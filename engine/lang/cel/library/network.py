"""IP addresses and CIDR ranges."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import ClassVar

from engine.lang.cel.errors import CelError
from engine.lang.cel.functions import Library, Overload
from engine.lang.cel.kinds import BOOL, INT, STRING
from engine.lang.cel.values import Opaque

IP_KIND = "net.IP"
CIDR_KIND = "net.CIDR"

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class IP(Opaque):
    """An address. An IPv6 address that maps an IPv4 address equals it."""

    __slots__ = ("address",)
    kind: ClassVar[str] = IP_KIND

    def __init__(self, address: _Address) -> None:
        self.address = address

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IP) and _plain(self.address) == _plain(other.address)

    def __hash__(self) -> int:
        return hash(_plain(self.address))


class CIDR(Opaque):
    """An address and the length of its prefix; bits behind the prefix are kept."""

    __slots__ = ("address", "prefix")
    kind: ClassVar[str] = CIDR_KIND

    def __init__(self, address: _Address, prefix: int) -> None:
        self.address = address
        self.prefix = prefix

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CIDR) and (self.address, self.prefix) == (other.address, other.prefix)

    def __hash__(self) -> int:
        return hash((self.address, self.prefix))

    @property
    def masked(self) -> _Address:
        bits = self.address.max_prefixlen - self.prefix
        return type(self.address)(int(self.address) >> bits << bits)


def _plain(address: _Address) -> _Address:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _parse(text: str, what: str) -> _Address:
    if "%" in text:
        raise CelError(f"{what} with zone value is not allowed")
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise CelError(f"{what} '{text}' parse error during conversion from string") from None
    if "." in text and ":" in text:
        raise CelError(f"IPv4-mapped IPv6 address is not allowed: {text}")
    return address


def parse_ip(text: str) -> IP:
    """An address as `ip()` takes it. Raises `CelError`."""
    return IP(_parse(text, "IP Address"))


def parse_cidr(text: str) -> CIDR:
    """A range as `cidr()` takes it. Raises `CelError`."""
    address, slash, length = text.partition("/")
    found = _parse(address, "CIDR")
    if not slash or not (length.isascii() and length.isdigit()) or (length[0] == "0" and length != "0") or len(length) > 3:
        raise CelError(f"network address parse error during conversion from string '{text}'")
    if int(length) > found.max_prefixlen:
        raise CelError(f"network address parse error during conversion from string '{text}'")
    return CIDR(found, int(length))


def _is(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            parse(text)
        except CelError:
            return False
        return True

    return check


def _contains(cidr: CIDR, address: _Address, prefix: int) -> bool:
    if address.version != cidr.address.version or prefix < cidr.prefix:
        return False
    bits = address.max_prefixlen - cidr.prefix
    return int(address) >> bits == int(cidr.address) >> bits


def _contains_ip(cidr: CIDR, ip: IP) -> bool:
    return _contains(cidr, ip.address, ip.address.max_prefixlen)


def _link_local_multicast(address: _Address) -> bool:
    if address.version == 4:
        return int(address) >> 8 == 0xE00000
    return (int(address) >> 112) & 0xFF0F == 0xFF02


def _link_local_unicast(address: _Address) -> bool:
    return int(address) >> 16 == 0xA9FE if address.version == 4 else int(address) >> 118 == 0x3FA


def _global_unicast(address: _Address) -> bool:
    broadcast = address.version == 4 and int(address) == 0xFFFFFFFF
    special = address.is_unspecified or address.is_loopback or address.is_multicast or _link_local_unicast(address)
    return not broadcast and not special


def _on_address(test: Callable[[_Address], bool]) -> tuple[Overload, ...]:
    return (Overload((IP_KIND,), BOOL, lambda ip: test(ip.address)),)


LIBRARY = Library(
    "network",
    functions={
        "ip": (Overload((STRING,), IP_KIND, parse_ip),),
        "isIP": (Overload((STRING,), BOOL, _is(parse_ip)),),
        "ip.isCanonical": (Overload((STRING,), BOOL, lambda text: str(parse_ip(text).address) == text),),
        "cidr": (Overload((STRING,), CIDR_KIND, parse_cidr),),
        "isCIDR": (Overload((STRING,), BOOL, _is(parse_cidr)),),
        "string": (
            Overload((IP_KIND,), STRING, lambda ip: str(ip.address)),
            Overload((CIDR_KIND,), STRING, lambda cidr: f"{cidr.address}/{cidr.prefix}"),
        ),
    },
    members={
        "family": (Overload((IP_KIND,), INT, lambda ip: ip.address.version),),
        "isUnspecified": _on_address(lambda address: address.is_unspecified),
        "isLoopback": _on_address(lambda address: address.is_loopback),
        "isLinkLocalMulticast": _on_address(_link_local_multicast),
        "isLinkLocalUnicast": _on_address(_link_local_unicast),
        "isGlobalUnicast": _on_address(_global_unicast),
        "containsIP": (
            Overload((CIDR_KIND, IP_KIND), BOOL, _contains_ip),
            Overload((CIDR_KIND, STRING), BOOL, lambda cidr, text: _contains_ip(cidr, parse_ip(text))),
        ),
        "containsCIDR": (
            Overload((CIDR_KIND, CIDR_KIND), BOOL, lambda cidr, inner: _contains(cidr, inner.address, inner.prefix)),
            Overload(
                (CIDR_KIND, STRING),
                BOOL,
                lambda cidr, text: _contains(cidr, (inner := parse_cidr(text)).address, inner.prefix),
            ),
        ),
        "ip": (Overload((CIDR_KIND,), IP_KIND, lambda cidr: IP(cidr.address)),),
        "masked": (Overload((CIDR_KIND,), CIDR_KIND, lambda cidr: CIDR(cidr.masked, cidr.prefix)),),
        "prefixLength": (Overload((CIDR_KIND,), INT, lambda cidr: cidr.prefix),),
    },
    types=(IP_KIND, CIDR_KIND),
)
