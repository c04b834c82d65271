"""Objects with a time to live, and when each one is over, as plain data: moments come from the caller (Unix nanoseconds)."""

from __future__ import annotations

import heapq
import itertools
import logging
from dataclasses import dataclass
from typing import Any

from controllers.cleanup import deletion
from controllers.cluster import moments
from controllers.cluster.discovery import Resource
from controllers.cluster.watch import Event, Listed
from engine import ttl_due

Object = dict[str, Any]
Kind = tuple[str, str]
"""(group, plural)."""
LABEL = "cleanup.kyverno.io/ttl"
PROPAGATION = "cleanup.kyverno.io/propagation-policy"
SLACK = 1_000
"""Ends in the heap that may have been put off since, before it is looked through for them."""
logger = logging.getLogger("pyvern.ttl")


@dataclass(slots=True)
class Labelled:
    """An object that will be deleted at `due`."""

    resource: Resource
    metadata: Object
    due: int
    propagation: str
    attempt: int = 0


class Lives:
    """The labelled objects by kind, and a heap of their ends."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, str]] = []
        self._serial = itertools.count()
        self._objects: dict[Kind, dict[str, Labelled]] = {}
        self._full = SLACK

    def clear(self) -> None:
        """Nothing is known any more."""
        self._objects.clear()
        self._heap.clear()

    def take(self, kind: Kind, resource: Resource, event: Event) -> None:
        """Takes in what the watch of one kind says."""
        objects = self._objects.setdefault(kind, {})
        if isinstance(event, Listed):
            found = {item["metadata"]["uid"] for item in event.objects}
            for uid in [uid for uid in objects if uid not in found]:
                del objects[uid]
            for item in event.objects:
                self._put(objects, resource, item["metadata"])
        elif event.type == "DELETED":
            objects.pop(event.object["metadata"]["uid"], None)
        else:
            self._put(objects, resource, event.object["metadata"])

    def due(self, now: int) -> list[tuple[Kind, Labelled]]:
        """Takes out what is to be deleted now."""
        found = []
        while self._heap and self._heap[0][0] <= now:
            due, _, uid = heapq.heappop(self._heap)
            for kind, objects in self._objects.items():
                labelled = objects.get(uid)
                if labelled is not None and labelled.due == due:
                    found.append((kind, labelled))
        return found

    def next(self) -> int | None:
        """The moment of the next end; None when there is none."""
        return self._heap[0][0] if self._heap else None

    def put_off(self, labelled: Labelled, due: int) -> None:
        """It is deleted at `due`, whatever its label says."""
        labelled.due = due
        heapq.heappush(self._heap, (due, next(self._serial), labelled.metadata["uid"]))
        if len(self._heap) > self._full:
            self._tidy()

    def _tidy(self) -> None:
        """INVARIANT (bounded): whoever changes a label again and again leaves no more behind than there are objects."""
        ends = {(labelled.due, uid) for objects in self._objects.values() for uid, labelled in objects.items()}
        self._heap = [(due, next(self._serial), uid) for due, uid in ends]
        heapq.heapify(self._heap)
        self._full = 2 * len(self._heap) + SLACK

    def current(self, kind: Kind, labelled: Labelled) -> bool:
        """Is it still there as it is?"""
        return self._objects.get(kind, {}).get(labelled.metadata["uid"]) is labelled

    def forget(self, kind: Kind, labelled: Labelled | None = None) -> None:
        """One object is gone, or with it the whole kind."""
        if labelled is None:
            self._objects.pop(kind, None)
        else:
            self._objects.get(kind, {}).pop(labelled.metadata["uid"], None)

    def _put(self, objects: dict[str, Labelled], resource: Resource, metadata: Object) -> None:
        value = (metadata.get("labels") or {}).get(LABEL) or ""
        due = ttl_due(value, moments.parse(metadata["creationTimestamp"]) or 0)
        if due is None or metadata.get("deletionTimestamp") is not None:
            objects.pop(metadata["uid"], None)
            if due is None:
                name = f"{resource.kind} {metadata.get('namespace') or ''}/{metadata['name']}"
                logger.info("%s: label %s: `%s` is no time to live; ignored", name, LABEL, value)
            return
        wish = (metadata.get("annotations") or {}).get(PROPAGATION) or ""
        kept: Object = {name: metadata[name] for name in ("name", "namespace", "uid", "resourceVersion") if name in metadata}
        propagation = wish if wish in deletion.PROPAGATIONS else ""
        before = objects.get(metadata["uid"])
        if before is not None and before.due == due:  # it stays in the heap once, however often it changes
            before.metadata, before.propagation = kept, propagation
            return
        labelled = objects[metadata["uid"]] = Labelled(resource, kept, due, propagation)
        self.put_off(labelled, due)
