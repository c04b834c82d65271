"""Which addresses a policy may make an operator call: everything but those that give away the machine it runs on.

Nothing here connects: the rules are pure, and outbound.py asks them for each address right before it connects to it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import unquote

from yarl import URL

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
BLOCKLIST = "127.0.0.0/8,::1/128,localhost,*.localhost,metadata.google.internal,metadata.internal"
"""What --httpBlocklist says by default, as Kyverno: loopback, and the names of metadata services."""

NEVER: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",  # connects to this machine
        "169.254.0.0/16",  # link-local: metadata of AWS, Azure, GCP, OpenStack
        "168.63.129.16/32",  # Azure's wire server
        "100.100.100.200/32",  # metadata of Alibaba Cloud
        "192.0.0.0/24",  # 192.0.0.192: metadata of Oracle Cloud
        "224.0.0.0/4",
        "255.255.255.255/32",
        "::/128",
        "fe80::/10",
        "fd00:ec2::/32",  # metadata of AWS
        "fd20:ce::/32",  # metadata of GCP
        "ff00::/8",
    )
)
"""Refused whatever the flags say: link-local and metadata addresses, and those that are no single host."""
_EMBEDDED = (
    (ip_network("::ffff:0:0:0/96"), 0),  # IPv4-translated (RFC 2765)
    (ip_network("::/96"), 0),  # IPv4-compatible
    (ip_network("64:ff9b::/96"), 0),  # NAT64
    (ip_network("64:ff9b:1::/48"), 0),
    (ip_network("2002::/16"), 80),  # 6to4
)
"""IPv6 networks whose addresses carry an IPv4 address, and how many bits stand behind it."""


class OutOfReach(Exception):
    """An address that policies may not call; the text says which rule forbids it and never what a name resolves to."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Where calls may go. `networks` and `hosts` (wildcards `*.`) are refused besides NEVER; where `prefixes` are given, URLs
    have to begin with one of them (--httpBlocklist, --httpAllowlist)."""

    networks: tuple[Network, ...] = ()
    hosts: tuple[str, ...] = ()
    prefixes: tuple[URL, ...] = ()

    @classmethod
    def of(cls, blocklist: str = BLOCKLIST, allowlist: str = "") -> Reach:
        """From the texts of the flags: networks or host names; URL prefixes. Raises `argparse.ArgumentTypeError`."""
        networks: list[Network] = []
        hosts: list[str] = []
        for word in _words(blocklist):
            try:
                networks.append(ip_network(word, strict=False))
            except ValueError:
                if "/" in word or ":" in word:
                    raise argparse.ArgumentTypeError(f"`{word}` is neither a network nor a host name") from None
                hosts.append(word.lower().rstrip("."))
        return cls(tuple(networks), tuple(hosts), tuple(_prefix(word) for word in _words(allowlist)))

    def check_url(self, url: URL) -> None:
        """Raises `OutOfReach` for a URL that must not be called, before any name is resolved."""
        if url.scheme not in ("http", "https") or not url.host:
            raise OutOfReach("only http and https URLs are called")
        self.check_host(url.host)
        if self.prefixes and not any(_begins(url, prefix) for prefix in self.prefixes):
            raise OutOfReach("the URL is not in --httpAllowlist")

    def check_host(self, host: str) -> None:
        """Raises `OutOfReach` for a host name or a literal address that must not be called."""
        name = host.lower().rstrip(".")
        if any(name == blocked or (blocked.startswith("*.") and name.endswith(blocked[1:])) for blocked in self.hosts):
            raise OutOfReach("this host is in --httpBlocklist")
        try:
            address = ip_address(name.partition("%")[0])
        except ValueError:
            return
        self.check_address(address)

    def check_address(self, address: Address) -> None:
        """Raises `OutOfReach` for an address that must not be connected to, in whatever form it is written."""
        for form in _forms(address):
            if any(form in network for network in NEVER if network.version == form.version):
                raise OutOfReach("link-local, metadata and multicast addresses are never called")
            if any(form in network for network in self.networks if network.version == form.version):
                raise OutOfReach("this address is in --httpBlocklist")


def blocklist(text: str) -> str:
    """A value of --httpBlocklist, checked."""
    Reach.of(text)
    return text


def allowlist(text: str) -> str:
    """A value of --httpAllowlist, checked."""
    Reach.of("", text)
    return text


def _forms(address: Address) -> Iterable[Address]:
    """The address, and the IPv4 address inside an IPv6 address: the kernel or a gateway connects to that."""
    yield address
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            yield address.ipv4_mapped
        if address.teredo is not None:
            yield from address.teredo
        for network, behind in _EMBEDDED:
            inner = (int(address) >> behind) & 0xFFFFFFFF
            if address in network and inner > 0xFFFFFF:  # ::1 is no IPv4 address
                yield IPv4Address(inner)


def _begins(url: URL, prefix: URL) -> bool:
    if (url.scheme, url.host, url.port) != (prefix.scheme, prefix.host, prefix.port):
        return False
    path, wanted = url.raw_path, prefix.raw_path.rstrip("/")
    return ".." not in unquote(path).split("/") and (path == wanted or path.startswith(f"{wanted}/"))


def _prefix(word: str) -> URL:
    try:
        url = URL(word)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"`{word}` is no URL: {error}") from None
    if url.scheme not in ("http", "https") or not url.host or url.query_string:
        raise argparse.ArgumentTypeError(f"`{word}` is no prefix of a URL such as https://host/path")
    return url


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
