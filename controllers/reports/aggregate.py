"""One report per object (spec 4.3): rows of scans and of admission reviews merged, written only when they say something new.

Of a stored report only what its metadata says is kept in memory: a fingerprint of the scan's rows stands in an annotation, so
that an object whose scan says the same again costs no request, also after a restart.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from controllers.cluster.client import FAILURES, ApiError, Client
from controllers.cluster.watch import Changed, PagedEvent, Target, backoff, follow_pages
from controllers.reports.forms import Form
from engine import Effect, Object, Policy, report
from engine.report import Row, Subject

SCAN = "reports.pyvern.io/scan"
"""Annotation: the fingerprint of the rows that come from the scan."""
OTHERS = "reports.pyvern.io/others"
"""Annotation: the policies of the rows that do not come from the scan."""
WAITING = 100
"""Objects whose rows may wait to be written; then the scan waits."""
TRIES = 6
"""Conflicts with other writers of one report after which it is left to them; an API server that is away is waited for."""
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
RuleKey = tuple[str, str, str]
"""(source, policy, rule) of a row."""
logger = logging.getLogger("pyvern.aggregate")


def rules_of(policies: Iterable[Policy], *, scanning: bool) -> dict[RuleKey, bool]:
    """The rules in force that may have rows. True: the scan finds all its rows, so that it is right about them."""
    index: dict[RuleKey, bool] = {}
    for policy in policies:
        if not report.reported(policy.identity):
            continue
        source = report.SOURCES.get(policy.identity.kind, report.KYVERNO)
        for rule in policy.rules:
            scanned = scanning and policy.background and rule.effect is Effect.VALIDATE and not rule.needs_user
            index[source, policy.identity.key, rule.name] = scanned
    return index


@dataclass(slots=True)
class Mark:
    """What is known of a stored report: whose it is, what its scan said, which policies its other rows come from."""

    subject: Subject
    scan: str = ""
    others: str = ""
    version: str = ""
    generation: int = 0


@dataclass(slots=True)
class Job:
    """What waits to be written about one object. `scan` is None when no scan has spoken."""

    subject: Subject
    scan: list[Row] | None = None
    others: list[Row] = field(default_factory=list)
    done: list[asyncio.Future[None]] = field(default_factory=list)
    attempt: int = 0


class Aggregator:
    """Writes reports of objects, each object by one worker at a time. `rules` are the rules in force (`rules_of`).

    `lost` is called with the subject of a report that somebody else deleted or changed.
    """

    def __init__(
        self,
        client: Client,
        form: Form,
        *,
        rules: Callable[[], Mapping[RuleKey, bool]],
        lost: Callable[[Subject], None] = lambda subject: None,
        mine: Callable[[str], bool] = lambda uid: True,
        counted: Callable[[str], None] = lambda what: None,
    ) -> None:
        self._client = client
        self._form = form
        self._rules = rules
        self._lost = lost
        self._mine = mine
        self._counted = counted
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._busy: dict[str, Job] = {}
        self._delayed = 0
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._listed = {target: asyncio.Event() for target in form.targets}
        self.marks: dict[str, Mark] = {}

    @property
    def waiting(self) -> int:
        """Objects whose rows are not written yet."""
        return len(self._jobs) + len(self._busy) + self._delayed

    async def wait(self) -> None:
        """Until all stored reports are known."""
        for listed in self._listed.values():
            await listed.wait()

    async def run(self, workers: int) -> None:
        """Follows the stored reports and writes, until cancelled."""
        follows = (follow_pages(self._client, target, self._handler(target)) for target in self._form.targets)
        await asyncio.gather(*follows, *(self._work() for _ in range(workers)))

    async def scanned(self, subject: Subject, rows: list[Row]) -> bool:
        """Takes the rows of a scan, all there are. False: the report says so already."""
        job = self._jobs.get(subject.uid)
        mark = self.marks.get(subject.uid)
        if job is None and subject.uid not in self._busy and report.fingerprint(rows) == (mark.scan if mark else ""):
            self._counted("saved")
            return False
        while len(self._jobs) + self._delayed >= WAITING and subject.uid not in self._jobs:
            self._room.clear()
            await self._room.wait()
        self._job(subject).scan = rows
        return True

    async def admitted(self, subject: Subject, rows: Iterable[Row]) -> None:
        """Takes rows that come from elsewhere, and waits until they are written."""
        job = self._job(subject)
        job.others.extend(rows)
        done = asyncio.get_running_loop().create_future()
        job.done.append(done)
        await done

    def prune(self, orphaned: Callable[[Subject], bool]) -> None:
        """The rules or the scanned kinds have changed: rows without a rule go, and scans of `orphaned` objects."""
        policies = {policy for _, policy, _ in self._rules()}
        for uid, mark in self.marks.items():
            if not self._mine(uid):
                continue
            if mark.scan and orphaned(mark.subject):
                self._job(mark.subject).scan = []
            elif mark.others and not policies.issuperset(mark.others.split(",")):
                self._job(mark.subject)
        for job in self._busy.values():  # what is being written may be out of date by now
            self._job(job.subject)

    def _job(self, subject: Subject) -> Job:
        job = self._jobs.get(subject.uid)
        if job is None:
            job = self._jobs[subject.uid] = Job(subject)
        self._filled.set()
        return job

    async def _work(self) -> None:
        while True:
            uid = next((uid for uid in self._jobs if uid not in self._busy), None)
            if uid is None:
                self._filled.clear()
                await self._filled.wait()
                continue
            job = self._jobs.pop(uid)
            self._room.set()
            self._busy[uid] = job
            try:
                await self._write(job)
            except FAILURES as error:
                self._again(job, error)
            else:
                _settle(job)
            finally:
                del self._busy[uid]
                self._filled.set()

    def _again(self, job: Job, error: Exception) -> None:
        if isinstance(error, ApiError) and error.status in (403, 404, 422):
            level = logging.DEBUG if error.status == 404 or "being terminated" in error.message else logging.WARNING
            logger.log(level, "report on %s: %s", job.subject, error)
            self._counted("dropped")
            _settle(job)
            return
        job.attempt += 1
        if isinstance(error, ApiError) and error.conflict and job.attempt >= TRIES:
            logger.warning("report on %s given up after %d tries: %s", job.subject, job.attempt, error)
            self._counted("dropped")
            _settle(job)
            return
        self._delayed += 1
        asyncio.get_running_loop().call_later(backoff(job.attempt), self._put_back, job)

    def _put_back(self, job: Job) -> None:
        self._delayed -= 1
        waiting = self._job(job.subject)
        waiting.scan = job.scan if waiting.scan is None else waiting.scan
        waiting.others[:0] = job.others
        waiting.done.extend(job.done)
        waiting.attempt = max(waiting.attempt, job.attempt)

    async def _write(self, job: Job) -> None:
        uid = job.subject.uid
        rules = self._rules()
        if job.scan is not None:  # a policy may have gone since
            job.scan = [one for one in job.scan if rules.get(report.key(one)[:3])]
        mark = self.marks.get(uid)
        if mark is None:
            rows = report.merge(self._in_force(job.others), job.scan or ())
            if not rows:
                return
            try:
                await self._put("POST", job, rows, version="")
            except ApiError as error:
                if not error.conflict:
                    raise
            else:
                return
        path = self._form.path(uid, job.subject.namespace)
        try:
            stored = await self._client.get(path)
        except ApiError as error:
            if not error.not_found:
                raise
            self.marks.pop(uid, None)
            if mark is None:  # created and deleted by somebody else, or its namespace is gone
                raise
            await self._write(job)
            return
        await self._update(job, stored, path)

    async def _update(self, job: Job, stored: Object, path: str) -> None:
        before = self._form.rows(stored)
        rules = self._rules()
        if job.scan is None:
            kept = [one for one in before if report.key(one)[:3] in rules]
        else:
            kept = [one for one in before if rules.get(report.key(one)[:3]) is False]
        rows = report.unchanged(report.merge(kept, self._in_force(job.others), job.scan or ()), before)
        metadata = stored["metadata"]
        if not rows:
            self.marks.pop(job.subject.uid, None)
            await self._delete(path, metadata["resourceVersion"])
        elif rows != before or self._annotations(job, rows) != _notes(metadata):
            await self._put("PUT", job, rows, version=metadata["resourceVersion"])
        else:
            self._remember(job.subject, metadata)
            self._counted("saved")

    def _in_force(self, rows: Iterable[Row]) -> list[Row]:
        """Those of rules in force that the scan says nothing about, or not yet."""
        rules = self._rules()
        return [one for one in rows if report.key(one)[:3] in rules]

    async def _put(self, method: str, job: Job, rows: list[Row], *, version: str) -> None:
        subject = job.subject
        document = self._form.document(subject, rows, self._annotations(job, rows))
        if version:
            document["metadata"]["resourceVersion"] = version
        path = self._form.path(subject.uid if method == "PUT" else "", subject.namespace)
        answer = await self._client.call(method, path, body=document, accept=METADATA)
        self._remember(subject, answer["metadata"])
        self._counted("created" if method == "POST" else "updated")

    async def _delete(self, path: str, version: str) -> None:
        try:
            await self._client.call("DELETE", path, body={"preconditions": {"resourceVersion": version}})
        except ApiError as error:
            if not error.not_found:
                raise
        self._counted("deleted")

    def _annotations(self, job: Job, rows: list[Row]) -> dict[str, str]:
        rules = self._rules()
        scanned = [one for one in rows if rules.get(report.key(one)[:3])]
        others = {one["policy"] for one in rows if not rules.get(report.key(one)[:3])}
        notes = {}
        if job.scan is not None:
            notes[SCAN] = report.fingerprint(job.scan)
        elif scanned and (mark := self.marks.get(job.subject.uid)) is not None:
            notes[SCAN] = mark.scan
        if others:
            notes[OTHERS] = ",".join(sorted(others))
        return {name: value for name, value in notes.items() if value}

    def _remember(self, subject: Subject, metadata: Mapping[str, Any]) -> None:
        self.marks[subject.uid] = _mark(subject, metadata)

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
                for uid, mark in list(self.marks.items()):
                    if uid not in seen and cluster is not bool(mark.subject.namespace):
                        del self.marks[uid]
                seen.clear()
                self._listed[target].set()

        return handle

    def _changed(self, event: Changed) -> None:
        metadata = event.object["metadata"]
        uid = self._form.uid(metadata["name"])
        mark = self.marks.get(uid)
        if event.type == "DELETED":
            if mark is not None and uid not in self._busy:
                del self.marks[uid]
                self._lost(mark.subject)
        elif mark is None or mark.version != metadata["resourceVersion"]:
            if uid in self._busy or (mark is not None and _older(metadata, mark.version)):
                return
            foreign = mark is not None and int(metadata.get("generation") or 0) > mark.generation
            self._keep(event.object)
            if foreign and mark is not None and _notes(metadata) == _notes_of(mark):
                self.marks[uid].scan = "changed by somebody else"
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
        if uid not in self._busy:
            self.marks[uid] = _mark(subject, metadata)
        return uid


def _mark(subject: Subject, metadata: Mapping[str, Any]) -> Mark:
    notes = metadata.get("annotations") or {}
    generation = int(metadata.get("generation") or 0)
    others = sys.intern(notes.get(OTHERS) or "")
    return Mark(subject, notes.get(SCAN) or "", others, metadata["resourceVersion"], generation)


def _notes(metadata: Mapping[str, Any]) -> dict[str, str]:
    notes = metadata.get("annotations") or {}
    return {name: notes[name] for name in (SCAN, OTHERS) if notes.get(name)}


def _notes_of(mark: Mark) -> dict[str, str]:
    return {name: value for name, value in ((SCAN, mark.scan), (OTHERS, mark.others)) if value}


def _older(metadata: Mapping[str, Any], version: str) -> bool:
    """Is this an event from before our own write? Versions of one resource grow."""
    mine, theirs = version, str(metadata["resourceVersion"])
    return mine.isdigit() and theirs.isdigit() and int(theirs) <= int(mine)


def _settle(job: Job) -> None:
    for done in job.done:
        if not done.done():
            done.set_result(None)


__all__ = ["Aggregator", "Mark", "rules_of"]
