"""What policies ask beyond the API server, put together from the flags: services, and image registries."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping

from controllers.cluster.client import Client
from controllers.cluster.flags import Flag, boolean, seconds
from controllers.cluster.image_data import DEFAULT_REGISTRY, ImageData
from controllers.cluster.metrics import Metrics
from controllers.cluster.outbound import Outbound
from controllers.cluster.reach import BLOCKLIST, Reach, allowlist, blocklist
from controllers.cluster.registry import Registry
from controllers.cluster.registry_logins import Secrets
from controllers.cluster.service_calls import ServiceCalls
from controllers.cluster.settings import Settings
from controllers.cluster.shared_answers import Ask, Counted
from engine import Lookup

FLAGS = (
    Flag("maxAPICallResponseLength", int, 2_000_000, "longest answer of an API call in a policy, in bytes"),
    Flag("maxGlobalContextEntries", int, 0, "GlobalContextEntries that are kept; 0: all"),
    Flag("apiCallTimeout", seconds, 30.0, "patience with API calls of policies"),
    Flag("httpBlocklist", blocklist, BLOCKLIST, "networks and hosts that policies must not call, besides link-local ones"),
    Flag("httpAllowlist", allowlist, "", "URL prefixes; if given, service calls go nowhere else"),
    Flag(
        "allowHTTPInNamespacedPolicies",
        boolean,
        False,
        "accepted; about http.Get and http.Post in namespaced CEL policies (policies.kyverno.io), not carried out yet",
    ),
    Flag("imagePullSecrets", str, "", "Secrets of our namespace with log-ins of registries, comma-separated"),
    Flag("allowInsecureRegistry", boolean, False, "registries may have no TLS, or a certificate that nobody trusts"),
)
"""What all controllers have in common here."""


class Outside:
    """Who answers lookups that the API server cannot. Use as an async context manager, on one event loop."""

    def __init__(
        self, flags: argparse.Namespace, client: Client, *, settings: Callable[[], Settings], namespace: str, user_agent: str
    ) -> None:
        self._outbound = Outbound(Reach.of(flags.httpBlocklist, flags.httpAllowlist), user_agent=user_agent)
        names = [name.strip() for name in flags.imagePullSecrets.split(",") if name.strip()]
        registry = Registry(self._outbound, max_blob=flags.maxAPICallResponseLength, timeout=flags.apiCallTimeout)
        logins = Secrets(client, own=namespace, names=names).known
        images = ImageData(
            registry,
            logins,
            timeout=flags.apiCallTimeout,
            insecure=flags.allowInsecureRegistry,
            default=lambda: _default_registry(settings()),
        )
        calls = ServiceCalls(self._outbound, max_response=flags.maxAPICallResponseLength, timeout=flags.apiCallTimeout)
        self.sources: Mapping[str, Ask] = {"service": calls.answer, "imageData": images.answer}

    async def __aenter__(self) -> Outside:
        await self._outbound.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._outbound.__aexit__()


def lookups(metrics: Metrics) -> Counted:
    """Counts lookups of policies by source and by what became of them."""

    def count(lookup: Lookup, how: str, seconds: float) -> None:
        metrics.count("pyvern_lookups", (lookup.source, how))
        if how in ("found", "failed"):
            metrics.observe("pyvern_lookup_seconds", (lookup.source,), seconds)

    return count


def _default_registry(settings: Settings) -> str:
    return (settings.default_registry if settings.enable_default_registry_mutation else "") or DEFAULT_REGISTRY
