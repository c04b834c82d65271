"""ValidatingAdmissionPolicies whose results are reported: those labelled for it, with their bindings (spec 1.5, 4.3)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from controllers.cluster.client import Client
from controllers.cluster.watch import Event, Listed, Target, follow
from engine import GroupVersionResource, InvalidPolicy, Object, Policy, bind, compile_policy

RESOURCE = GroupVersionResource("admissionregistration.k8s.io", "v1", "validatingadmissionpolicies")
"""Older API servers do not serve it."""
GROUP = "/apis/admissionregistration.k8s.io/v1"
POLICIES = Target(f"{GROUP}/validatingadmissionpolicies", label_selector="reports.kyverno.io/enabled=true")
BINDINGS = Target(f"{GROUP}/validatingadmissionpolicybindings")
logger = logging.getLogger("pyvern.policies")


class NativePolicies:
    """Compiled policies by name. `changed` is called with the names of those that are new, different or gone."""

    def __init__(self, changed: Callable[[Iterable[str]], None]) -> None:
        self._changed = changed
        self._documents: dict[str, Object] = {}
        self._bindings: dict[str, Object] = {}
        self._synced = (asyncio.Event(), asyncio.Event())
        self._versions: dict[str, list[tuple[object, ...]]] = {}
        self.compiled: dict[str, Policy] = {}

    async def wait(self) -> None:
        """Until policies and bindings have been listed once."""
        for synced in self._synced:
            await synced.wait()

    async def run(self, client: Client) -> None:
        """Watches until cancelled."""
        await asyncio.gather(
            follow(client, POLICIES, lambda event: self._take(event, self._documents, self._synced[0])),
            follow(client, BINDINGS, lambda event: self._take(event, self._bindings, self._synced[1])),
        )

    def _take(self, event: Event, held: dict[str, Object], synced: asyncio.Event) -> None:
        if isinstance(event, Listed):
            held.clear()
            held.update((item["metadata"]["name"], item) for item in event.objects)
            synced.set()
        elif event.type == "DELETED":
            held.pop(event.object["metadata"]["name"], None)
        else:
            held[event.object["metadata"]["name"]] = event.object
        self._compile()

    def _compile(self) -> None:
        """Those that changed, or whose bindings did."""
        changed = [name for name in self._versions if name not in self._documents]
        for name in changed:
            self.compiled.pop(name, None)
            del self._versions[name]
        for name, document in self._documents.items():
            own = [binding for binding in self._bindings.values() if (binding.get("spec") or {}).get("policyName") == name]
            version = [_version(document), *map(_version, own)]
            if self._versions.get(name) == version:
                continue
            self._versions[name] = version
            changed.append(name)
            self.compiled.pop(name, None)
            try:
                self.compiled[name] = bind(compile_policy(document), own)
            except InvalidPolicy as error:
                logger.warning("ValidatingAdmissionPolicy %s is not reported on: %s", name, error)
        if changed:
            self._changed(changed)


def _version(document: Object) -> tuple[object, ...]:
    """Differs when a document says something else; its status does not count."""
    metadata = document["metadata"]
    return metadata["uid"], metadata.get("generation"), metadata.get("labels"), metadata.get("annotations")
