"""What is known of the stored reports: of each only what its metadata says (spec 4.3).

A fingerprint of the scan's rows stands in an annotation, so that an object whose scan says the same again costs no request, also
after a restart.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from controllers.cluster.client import Client
from controllers.cluster.watch import Changed, PagedEvent, Target, follow_pages
from controllers.reports.forms import Form
from engine import Object
from engine.report import Subject

SCAN = "reports.pyvern.io/scan"
"""Annotation: the fingerprint of the rows that come from the scan."""
OTHERS = "reports.pyvern.io/others"
"""Annotation: the policies of the rows that do not come from the scan."""


UNKNOWN = "unknown"
"""In place of a fingerprint: what the rows of the scan say must be read. Reports that Kyverno left behind are so."""


@dataclass(slots=True)
class Mark:
    """What is known of a stored report: whose it is, what its scan said, which policies its other rows come from."""

    subject: Subject
    scan: str = ""
    others: str = ""
    version: str = ""
    generation: int = 0

    @property
    def notes(self) -> dict[str, str]:
        """The annotations that say so."""
        return {name: value for name, value in ((SCAN, self.scan), (OTHERS, self.others)) if value}


class Marks:
    """The marks by the uid of the object. `busy`: its report is being written here, so that events about it are our own or will
    be answered by a conflict; `lost` is called with the subject of a report that somebody else deleted or changed.
    """

    def __init__(
        self, client: Client, form: Form, *, busy: Callable[[str], bool], lost: Callable[[Subject], None] = lambda subject: None
    ) -> None:
        self._client = client
        self._form = form
        self._busy = busy
        self._lost = lost
        self._listed = {target: asyncio.Event() for target in form.targets}
        self._known: dict[str, Mark] = {}
        self._missed: dict[str, Changed] = {}

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, uid: str) -> bool:
        return uid in self._known

    def get(self, uid: str) -> Mark | None:
        """What is known of the report on the object of that uid."""
        return self._known.get(uid)

    def all(self) -> Iterator[tuple[str, Mark]]:
        """As they are now, whatever changes meanwhile."""
        return iter(list(self._known.items()))

    def remember(self, subject: Subject, metadata: Mapping[str, Any]) -> None:
        """The report was written or read here."""
        self._known[subject.uid] = _mark(subject, metadata)

    def forget(self, uid: str) -> None:
        """The report is gone."""
        self._known.pop(uid, None)

    def settle(self, uid: str) -> None:
        """Its report is no longer being written: what was heard of it meanwhile counts now."""
        event = self._missed.pop(uid, None)
        if event is not None:
            self._changed(event)

    async def wait(self) -> None:
        """Until all stored reports are known."""
        for listed in self._listed.values():
            await listed.wait()

    async def run(self) -> None:
        """Follows the stored reports until cancelled."""
        await asyncio.gather(*(follow_pages(self._client, target, self._handler(target)) for target in self._form.targets))

    def _handler(self, target: Target) -> Callable[[PagedEvent], None]:
        cluster = target is self._form.targets[1]
        seen: set[str] = set()

        def handle(event: PagedEvent) -> None:
            if isinstance(event, Changed):
                self._changed(event)
                return
            if event.first:
                seen.clear()
            for item in event.objects:
                seen.add(self._keep(item))
            if event.last:
                for uid, mark in list(self._known.items()):
                    # what was written here after the list was made is on none of its pages
                    vanished = uid not in seen and _older(mark.version, event.version)
                    if vanished and cluster is not bool(mark.subject.namespace) and not self._busy(uid):
                        del self._known[uid]
                        self._lost(mark.subject)
                seen.clear()
                self._listed[target].set()

        return handle

    def _changed(self, event: Changed) -> None:
        metadata = event.object["metadata"]
        uid = self._form.uid(metadata["name"])
        if self._busy(uid):
            self._missed[uid] = event
            return
        mark = self._known.get(uid)
        if mark is not None and _older(metadata["resourceVersion"], mark.version):
            return  # from before our own write
        if event.type == "DELETED":
            if mark is not None:
                del self._known[uid]
                self._lost(mark.subject)
            return
        foreign = mark is not None and int(metadata.get("generation") or 0) > mark.generation
        self._keep(event.object)
        if foreign and mark is not None and notes_of(metadata) == mark.notes:
            self._known[uid].scan = UNKNOWN
            self._lost(mark.subject)

    def _keep(self, item: Object) -> str:
        metadata = item["metadata"]
        uid = self._form.uid(metadata["name"])
        owner: Object = next(iter(metadata.get("ownerReferences") or ()), {})
        subject = Subject(
            sys.intern(owner.get("apiVersion") or ""),
            sys.intern(owner.get("kind") or ""),
            owner.get("name") or "",
            sys.intern(metadata.get("namespace") or ""),
            uid,
        )
        if not self._busy(uid):
            mark = self._known[uid] = _mark(subject, metadata)
            if not mark.notes and owner.get("uid") == uid:
                mark.scan = UNKNOWN
        return uid


def _mark(subject: Subject, metadata: Mapping[str, Any]) -> Mark:
    notes = metadata.get("annotations") or {}
    generation = int(metadata.get("generation") or 0)
    others = sys.intern(notes.get(OTHERS) or "")
    return Mark(subject, notes.get(SCAN) or "", others, metadata["resourceVersion"], generation)


def notes_of(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Our annotations of a stored report."""
    notes = metadata.get("annotations") or {}
    return {name: notes[name] for name in (SCAN, OTHERS) if notes.get(name)}


def _older(version: str, than: str) -> bool:
    """Is one version of a resource as old as another, or older? They grow."""
    return version.isdigit() and than.isdigit() and int(version) <= int(than)
