"""Labels of namespaces, from a watch that transfers metadata only, unless whole ones are wanted for a while."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace

from controllers.cluster.client import Client
from controllers.cluster.watch import Event, Listed, Target, follow
from engine import Object

TARGET = Target("/api/v1/namespaces", metadata=True)
NO_LABELS: Mapping[str, str] = {}


class Namespaces:
    """name -> labels. Label mappings that are equal are shared: clusters have thousands of namespaces that look alike.

    `recent`: how many of those that changed last are kept whole.
    """

    def __init__(self, *, recent: int = 0) -> None:
        self._capacity = recent
        self._recent: OrderedDict[str, Object] = OrderedDict()
        self._labels: dict[str, Mapping[str, str]] = {}
        self._known: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}
        self.synced = asyncio.Event()

    def labels(self, name: str) -> Mapping[str, str] | None:
        """The labels of namespace `name`; None while it is unknown."""
        return self._labels.get(name)

    def recent(self, name: str, uid: str) -> Object | None:
        """The namespace as it was last seen, without managedFields; None where it has not changed lately, or is another one."""
        found = self._recent.get(name)
        return found if found is not None and found["metadata"]["uid"] == uid else None

    def handle(self, event: Event) -> None:
        if isinstance(event, Listed):
            self._recent.clear()
            self._known.clear()
            self._labels = {item["metadata"]["name"]: self._shared(item["metadata"].get("labels")) for item in event.objects}
            self.synced.set()
            return
        metadata = event.object["metadata"]
        if event.type == "DELETED":
            self._labels.pop(metadata["name"], None)
            self._recent.pop(metadata["name"], None)
        else:
            if self._capacity:
                self._remember(event.object)
            self._labels[metadata["name"]] = self._shared(metadata.get("labels"))

    async def run(self, client: Client) -> None:
        """Watches until cancelled."""
        await follow(client, replace(TARGET, metadata=not self._capacity), self.handle)

    def _remember(self, document: Object) -> None:
        name = document["metadata"]["name"]
        self._recent[name] = document
        self._recent.move_to_end(name)
        if len(self._recent) > self._capacity:
            self._recent.popitem(last=False)

    def _shared(self, labels: Mapping[str, str] | None) -> Mapping[str, str]:
        if not labels:
            return NO_LABELS
        return self._known.setdefault(tuple(sorted(labels.items())), labels)
