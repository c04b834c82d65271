"""Answers of the cleanup controller's webhooks: cleanup policies, and objects with a time to live (spec 3.4, 2.13)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

from controllers.cleanup import deletion
from controllers.cleanup.lives import LABEL, PROPAGATION
from controllers.cleanup.sweep import NEEDED, selected
from controllers.cleanup.webhooks import POLICY_PATH, TTL_PATH
from controllers.cluster import moments, permissions, review
from controllers.cluster.client import ApiError, Client, Unreachable
from controllers.cluster.discovery import Discovery, Resource
from engine import InvalidPolicy, KindSelector, Policy, compile_policy, ttl_due

Object = dict[str, Any]
Reply = tuple[int, bytes]
OK = (200, b"ok")
VERBS = ("delete", "list")
AGGREGATION = 1.0
"""Seconds that the control plane may take until a new role counts: what is refused is asked about once more."""
logger = logging.getLogger("pyvern.webhook")


class Reviewer:
    """Answers every path of the webhook server."""

    def __init__(
        self, client: Client, *, discovery: Callable[[], Discovery], ready: Callable[[], bool], dump: bool = False
    ) -> None:
        self._client = client
        self._discovery = discovery
        self._ready = ready
        self._dump = dump
        self._handlers: Mapping[str, Callable[[Object], Awaitable[bytes]]] = {
            POLICY_PATH: self._policy,
            TTL_PATH: _time_to_live,
        }

    async def respond(self, method: str, path: str, query: str, body: bytes) -> Reply:
        """The HTTP answer. 400: no review; 404: no such path; 503: not ready; everything else is a review."""
        if path == "/health/liveness":
            return OK
        if path == "/health/readiness":
            return OK if self._ready() else (503, b"not ready")
        handler = self._handlers.get(path)
        if handler is None:
            return 404, b'{"error":"no such path"}'
        if method != "POST":
            return 405, b'{"error":"POST an AdmissionReview"}'
        try:
            document = review.parse(body)
            if self._dump:
                logger.info("admission request: %s", review.shown(document))
            return 200, await handler(document)
        except review.Malformed as error:
            logger.warning("%s: %s", path, error)
            return 400, b'{"error":"the body is no AdmissionReview"}'
        except (ApiError, Unreachable) as error:
            logger.warning("%s: %s", path, error)
            return 500, b'{"error":"the API server could not be asked"}'

    async def _policy(self, document: Object) -> bytes:
        """A cleanup policy: denied when it does not compile, or when we may not do what it asks for."""
        uid, written = document["uid"], document.get("object")
        if not written or (written.get("metadata") or {}).get("deletionTimestamp"):
            return review.allowed(uid)
        try:
            compiled = compile_policy(written)
        except InvalidPolicy as error:
            return review.denied(uid, str(error))
        discovery = self._discovery()
        warnings = [*compiled.warnings, *_hints(compiled, discovery)]
        asked = selected(compiled, discovery, named=True)
        lacking = await self._lacking(asked, compiled.identity.namespace)
        if lacking:
            await asyncio.sleep(AGGREGATION)
            lacking = await self._lacking(asked, compiled.identity.namespace)
        if lacking:
            return review.denied(uid, "; ".join(lacking), warnings)
        return review.allowed(uid, warnings)

    async def _lacking(self, resources: Sequence[Resource], namespace: str) -> list[str]:
        """What we may not do, a line each."""
        answers = await asyncio.gather(
            *(permissions.missing(self._client, VERBS, resource, namespace=namespace) for resource in resources)
        )
        return [
            f"cleanup controller has no permission to {verb} kind {resource.kind}"
            for resource, verbs in zip(resources, answers, strict=True)
            for verb in verbs
        ]


def _hints(policy: Policy, discovery: Discovery) -> Iterator[str]:
    """What will not work although it may be written."""
    unknown = [s.text for rule in policy.rules for s in rule.match.kinds if s.kind != "*" and not discovery.find(s)]
    if unknown:
        yield f"unable to convert GVK to GVR for kinds {', '.join(unknown)}"
    for rule in policy.rules:
        for selector in rule.match.kinds:
            if "*" not in selector.text and "?" not in selector.text:
                yield from _never(selector, discovery.find(selector), policy.identity.namespace)


def _never(selector: KindSelector, found: Sequence[Resource], namespace: str) -> Iterator[str]:
    """Why a kind that a policy names has no objects that it could delete."""
    if selector.subresource:
        yield f"kind {selector.text}: subresources are not deleted"
    elif found and not any(resource.verbs >= NEEDED for resource in found):
        yield f"kind {selector.text}: the API server does not list and delete objects of this kind"
    elif found and namespace and not any(resource.namespaced for resource in found):
        yield f"kind {selector.text}: objects of this kind are in no namespace, a CleanupPolicy deletes in its own only"


async def _time_to_live(document: Object) -> bytes:
    """An object with the label: always let in, with warnings where its label or annotation will be ignored."""
    metadata = (document.get("object") or {}).get("metadata") or {}
    return review.allowed(document["uid"], ttl_warnings(metadata))


def ttl_warnings(metadata: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with label and annotation."""
    value = (metadata.get("labels") or {}).get(LABEL)
    if value is not None and ttl_due(value, moments.parse(metadata.get("creationTimestamp") or "") or 0) is None:
        why = (
            f"`{value}` is no duration such as 30m or 1d12h, no date such as 2026-01-31 and no moment such as 2026-01-31T180000Z"
        )
        yield f"{LABEL} label value cannot be parsed as any recognizable format ({why})"
    wish = (metadata.get("annotations") or {}).get(PROPAGATION)
    if wish is not None and wish not in deletion.PROPAGATIONS:
        yield f"{PROPAGATION} annotation `{wish}` is none of {', '.join(deletion.PROPAGATIONS)} and will be ignored"
