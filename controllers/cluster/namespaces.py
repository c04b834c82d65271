"""Labels of namespaces, from a watch that transfers metadata only."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from controllers.cluster.client import Client
from controllers.cluster.watch import Event, Listed, Target, follow

TARGET = Target("/api/v1/namespaces", metadata=True)
NO_LABELS: Mapping[str, str] = {}


class Namespaces:
    """name -> labels. Label mappings that are equal are shared: clusters have thousands of namespaces that look alike."""

    def __init__(self) -> None:
        self._labels: dict[str, Mapping[str, str]] = {}
        self._known: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}
        self.synced = asyncio.Event()

    def labels(self, name: str) -> Mapping[str, str] | None:
        """The labels of namespace `name`; None while it is unknown."""
        return self._labels.get(name)

    def handle(self, event: Event) -> None:
        if isinstance(event, Listed):
            self._known.clear()
            self._labels = {item["metadata"]["name"]: self._shared(item["metadata"].get("labels")) for item in event.objects}
            self.synced.set()
            return
        metadata = event.object["metadata"]
        if event.type == "DELETED":
            self._labels.pop(metadata["name"], None)
        else:
            self._labels[metadata["name"]] = self._shared(metadata.get("labels"))

    async def run(self, client: Client) -> None:
        """Watches until cancelled."""
        await follow(client, TARGET, self.handle)

    def _shared(self, labels: Mapping[str, str] | None) -> Mapping[str, str]:
        if not labels:
            return NO_LABELS
        return self._known.setdefault(tuple(sorted(labels.items())), labels)
