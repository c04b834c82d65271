"""Which addresses policies may call."""

from __future__ import annotations

import argparse
from ipaddress import ip_address

import pytest
from yarl import URL

from controllers.cluster.reach import OutOfReach, Reach


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.170.2",
        "fe80::1",
        "fd00:ec2::254",
        "168.63.129.16",
        "100.100.100.200",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "::ffff:169.254.169.254",
        "::169.254.169.254",
        "::ffff:0:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "2001:0:a9fe:a9fe::1",
    ],
)
def test_metadata_and_link_local_addresses_are_refused_whatever_the_flags_say(address: str) -> None:
    with pytest.raises(OutOfReach, match="never called"):
        Reach.of("").check_address(ip_address(address))


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "::127.0.0.1"])
def test_loopback_is_refused_unless_the_flag_leaves_it_out(address: str) -> None:
    with pytest.raises(OutOfReach, match="--httpBlocklist"):
        Reach.of().check_address(ip_address(address))
    Reach.of("10.9.0.0/16").check_address(ip_address(address))


@pytest.mark.parametrize("address", ["10.96.0.10", "172.16.1.1", "192.168.1.1", "100.64.0.1", "fd12:3456::1", "93.184.215.14"])
def test_services_of_the_cluster_and_the_internet_are_reached(address: str) -> None:
    Reach.of().check_address(ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/",
        "http://LOCALHOST./",
        "http://x.localhost/",
        "http://metadata.google.internal/computeMetadata/v1/",
        "http://169.254.169.254/latest/",
        "http://[::ffff:a9fe:a9fe]/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "http://",
        "/relative",
    ],
)
def test_urls_that_are_never_called(url: str) -> None:
    with pytest.raises(OutOfReach):
        Reach.of().check_url(URL(url))


def test_an_allowlist_lets_only_its_prefixes_through() -> None:
    reach = Reach.of(allowlist="https://a.example/api, http://b.default.svc:8080")
    for url in ("https://a.example/api", "https://a.example/api/x?y", "http://b.default.svc:8080/anything"):
        reach.check_url(URL(url))
    paths = ("https://a.example/api/../x", "https://a.example/api/..%2Fx", "https://a.example/api/%2e%2E/x")
    for url in ("https://a.example/apis", "http://a.example/api", "https://a.example.evil/api", *paths):
        with pytest.raises(OutOfReach, match="--httpAllowlist"):
            reach.check_url(URL(url, encoded=True))


@pytest.mark.parametrize(
    ("blocked", "allowed"), [("10.0.0.0/99", ""), ("", "example.com"), ("", "ftp://x/"), ("", "https://x/?a=b")]
)
def test_flags_that_make_no_sense_are_refused(blocked: str, allowed: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        Reach.of(blocked, allowed)
