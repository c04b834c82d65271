"""Webhook configurations of our operators: their common form (spec 3.1), and keeping them as they should be."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from controllers.cluster.client import ApiError, Client
from controllers.cluster.settings import WebhookDefaults
from controllers.cluster.watch import Event, Listed, Target, follow

Object = dict[str, Any]
API = "/apis/admissionregistration.k8s.io/v1"
COLLECTIONS = {
    "ValidatingWebhookConfiguration": f"{API}/validatingwebhookconfigurations",
    "MutatingWebhookConfiguration": f"{API}/mutatingwebhookconfigurations",
}
MANAGED_BY = {"webhook.kyverno.io/managed-by": "kyverno"}
SELECTOR = "webhook.kyverno.io/managed-by=kyverno"
MAX_TIMEOUT = 30
logger = logging.getLogger("pyvern.webhooks")


@dataclass(frozen=True, slots=True)
class Address:
    """How the API server calls a webhook server.

    `url` (`https://host:port`) is for a server outside the cluster; without it the Service `service` in `namespace` is called.
    `owner` is the ownerReference that lets the garbage collector take the configurations away on uninstall.
    """

    ca_bundle: bytes
    namespace: str = "kyverno"
    service: str = "kyverno-svc"
    service_port: int = 443
    url: str = ""
    timeout: int = 10
    owner: Mapping[str, Any] | None = None

    def client_config(self, path: str) -> Object:
        bundle = base64.b64encode(self.ca_bundle).decode()
        if self.url:
            return {"url": self.url + path, "caBundle": bundle}
        service = {"namespace": self.namespace, "name": self.service, "path": path, "port": self.service_port}
        return {"service": service, "caBundle": bundle}


class Fixed(NamedTuple):
    """A webhook that does not depend on policies."""

    kind: str
    configuration: str
    name: str
    path: str
    failure_policy: str
    group: str
    versions: tuple[str, ...]
    resources: tuple[str, ...]
    operations: tuple[str, ...]
    object_selector: Mapping[str, Any] = {}
    namespaced: bool = False


def fixed(entries: Iterable[Fixed], defaults: WebhookDefaults, address: Address) -> Iterable[Object]:
    """The configurations of such webhooks, one each."""
    for entry in entries:
        rule = {
            "apiGroups": [entry.group],
            "apiVersions": list(entry.versions),
            "operations": list(entry.operations),
            "resources": list(entry.resources),
            "scope": "Namespaced" if entry.namespaced else "*",
        }
        selector = {"matchLabels": {"kubernetes.io/metadata.name": address.namespace}} if entry.namespaced else {}
        webhook: Object = {
            "name": entry.name,
            "clientConfig": address.client_config(entry.path),
            "rules": [rule],
            "failurePolicy": entry.failure_policy,
            "matchPolicy": "Equivalent",
            "namespaceSelector": selector,
            "objectSelector": dict(entry.object_selector),
            "sideEffects": "None",
            "timeoutSeconds": min(address.timeout, MAX_TIMEOUT),
            "admissionReviewVersions": ["v1"],
        }
        if entry.kind == "MutatingWebhookConfiguration":
            webhook["reinvocationPolicy"] = "IfNeeded"
        yield configuration(entry.kind, entry.configuration, [webhook], defaults, address)


def configuration(kind: str, name: str, webhooks: list[Object], defaults: WebhookDefaults, address: Address) -> Object:
    """A configuration with the labels and annotations of all ours."""
    metadata: Object = {"name": name, "labels": {**defaults.labels, **MANAGED_BY}}
    if defaults.annotations:
        metadata["annotations"] = dict(defaults.annotations)
    if address.owner is not None:
        metadata["ownerReferences"] = [dict(address.owner)]
    return {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": metadata, "webhooks": webhooks}


def differs(live: Object | None, target: Object, *, last: Object | None = None) -> bool:
    """Must `live` be written? Labels and annotations of others are left alone, the list of webhooks is ours.

    `last` is what was wanted before: what it had and `target` has not is to go.
    """
    if live is None:
        return True
    have, want = live.get("metadata") or {}, target["metadata"]
    for key in ("labels", "annotations"):
        owned = have.get(key) or {}
        if any(owned.get(name) != value for name, value in (want.get(key) or {}).items()):
            return True
        if any(name in owned for name in _dropped(last, target, key)):
            return True
    if want.get("ownerReferences") and have.get("ownerReferences") != want["ownerReferences"]:
        return True
    return bool((live.get("webhooks") or []) != target["webhooks"])


class Configurations:
    """The configurations in the cluster: watched, and written where they differ. `changed`: somebody changed one."""

    def __init__(self, client: Client, changed: Callable[[], None], *, kinds: Iterable[str] = COLLECTIONS) -> None:
        self._client = client
        self._changed = changed
        self._listed = {kind: asyncio.Event() for kind in kinds}
        self._live: dict[tuple[str, str], Object] = {}
        self._last: dict[tuple[str, str], Object] = {}

    def watches(self) -> list[Coroutine[Any, Any, None]]:
        """Watches to be run until they are cancelled, one a kind."""
        for listed in self._listed.values():
            listed.clear()
        return [
            follow(self._client, Target(COLLECTIONS[kind], label_selector=SELECTOR), self._handler(kind)) for kind in self._listed
        ]

    async def wait(self) -> None:
        """Returns when all kinds have been listed."""
        for listed in self._listed.values():
            await listed.wait()

    async def apply(self, wanted: Object) -> None:
        """Writes `wanted` when it differs. Raises ApiError and Unreachable."""
        kind, name = wanted["kind"], wanted["metadata"]["name"]
        live, last = self._live.get((kind, name)), self._last.get((kind, name))
        if not differs(live, wanted, last=last):
            self._last[kind, name] = wanted
            return
        path = COLLECTIONS[kind]
        try:
            if live is None:
                written = await self._client.create(path, wanted)
            else:
                written = await self._client.replace(f"{path}/{name}", _merged(live, wanted, last))
        except ApiError as error:
            if not (error.conflict or error.not_found):
                raise
            self._live.pop((kind, name), None)
            written = await self._retry(path, name, wanted, last, missing=error.not_found)
        self._live[kind, name] = written
        self._last[kind, name] = wanted
        logger.info("%s %s: %d webhooks", kind, name, len(wanted["webhooks"]))

    async def apply_all(self, configurations: Iterable[Object]) -> None:
        """As `apply`; one that is refused keeps no other waiting, its error is raised in the end."""
        refused: ApiError | None = None
        for wanted in configurations:
            try:
                await self.apply(wanted)
            except ApiError as error:
                refused = refused or error
        if refused is not None:
            raise refused

    async def remove(self, names: Iterable[tuple[str, str]]) -> None:
        """Takes configurations, (kind, name), away; the cluster then works as if we had never been there."""
        for kind, name in names:
            await self._client.delete(f"{COLLECTIONS[kind]}/{name}")

    async def _retry(self, path: str, name: str, wanted: Object, last: Object | None, *, missing: bool) -> Object:
        written: Object
        if missing:
            written = await self._client.create(path, wanted)
        else:
            live = await self._client.get(f"{path}/{name}")
            written = await self._client.replace(f"{path}/{name}", _merged(live, wanted, last))
        return written

    def _handler(self, kind: str) -> Callable[[Event], None]:
        def handle(event: Event) -> None:
            if isinstance(event, Listed):
                for key in [key for key in self._live if key[0] == kind]:
                    del self._live[key]
                self._remember(kind, event.objects)
                self._listed[kind].set()
            elif event.type == "DELETED":
                self._live.pop((kind, event.object["metadata"]["name"]), None)
            else:
                self._remember(kind, (event.object,))
            self._changed()

        return handle

    def _remember(self, kind: str, objects: Iterable[Object]) -> None:
        for item in objects:
            self._live[kind, item["metadata"]["name"]] = item


def _merged(live: Object, wanted: Object, last: Object | None) -> Object:
    """`wanted` on top of what others wrote into the metadata, without what only `last` had."""
    metadata = live["metadata"]
    fresh = {**metadata, **wanted["metadata"]}
    for key in ("labels", "annotations"):
        merged = {**(metadata.get(key) or {}), **(wanted["metadata"].get(key) or {})}
        for name in _dropped(last, wanted, key):
            merged.pop(name, None)
        fresh[key] = merged
    fresh.pop("managedFields", None)
    return {**wanted, "metadata": fresh}


def _dropped(last: Object | None, wanted: Object, key: str) -> set[str]:
    """The labels (or annotations: `key`) that were wanted before and are not any more."""
    if last is None:
        return set()
    return set(last["metadata"].get(key) or ()) - set(wanted["metadata"].get(key) or ())
