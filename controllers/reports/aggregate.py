"""One report per object (spec 4.3): rows of scans and of admission reviews merged, written only when they say something new.

What reports say is not kept in memory, only their marks.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from controllers.cluster.client import FAILURES, ApiError, Client
from controllers.cluster.watch import backoff
from controllers.reports.forms import Form
from controllers.reports.in_force import Origin, Rules
from controllers.reports.job import Job
from controllers.reports.marks import OTHERS, SCAN, Marks, notes_of
from engine import Object, report
from engine.report import Row, Subject

WAITING = 100
"""Objects whose rows may wait to be written; then the scan waits."""
TRIES = 6
"""Conflicts with other writers of one report after which it is left to them; an API server that is away is waited for."""
REVIEWED = 30
"""Seconds that the review of a change may lie before its event, clocks of two machines considered."""
AHEAD = 300
"""Seconds: a row from further in the future comes from a clock that was wrong, and is not newer than one of now."""
WORTH_ANOTHER_TRY = frozenset({401, 408, 409, 429})
"""Refusals that may end; whatever else is no fault of the API server is said again by the next scan."""
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
logger = logging.getLogger("pyvern.aggregate")


class Aggregator:
    """Writes reports of objects, each object by one worker at a time. `rules` are the rules in force (`rules_of`).

    `lost` is called with the subject of a report that somebody else deleted or changed. `limit`: reports that may be stored at
    most, 0: any number.
    """

    def __init__(
        self,
        client: Client,
        form: Form,
        *,
        rules: Callable[[], Rules],
        lost: Callable[[Subject], None] = lambda subject: None,
        mine: Callable[[str], bool] = lambda uid: True,
        counted: Callable[[str], None] = lambda what: None,
        limit: int = 0,
    ) -> None:
        self._client = client
        self._form = form
        self._rules = rules
        self._mine = mine
        self._counted = counted
        self._limit = limit
        self._full = False
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._busy: dict[str, Job] = {}
        self._delayed: dict[str, Job] = {}
        self._pruned: Rules = {}
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self.marks = Marks(client, form, busy=self._busy.__contains__, lost=lost)

    @property
    def waiting(self) -> int:
        """Objects whose rows are not written yet."""
        return len(self._jobs) + len(self._busy) + len(self._delayed)

    async def wait(self) -> None:
        """Until all stored reports are known."""
        await self.marks.wait()

    async def run(self, workers: int) -> None:
        """Follows the stored reports and writes, until cancelled. More than WAITING `workers` would find no work."""
        await asyncio.gather(self.marks.run(), *(self._work() for _ in range(min(workers, WAITING))))

    async def scanned(self, subject: Subject, rows: list[Row]) -> bool:
        """Takes the rows of a scan, all there are. False: the report says so already."""
        uid = subject.uid
        mark = self.marks.get(uid)
        waits = uid in self._jobs or uid in self._busy or uid in self._delayed
        if not waits and report.fingerprint(rows) == (mark.scan if mark else ""):
            self._counted("saved")
            return False
        while len(self._jobs) + len(self._delayed) >= WAITING and uid not in self._jobs and uid not in self._delayed:
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

    def outdated(self, uid: str) -> None:
        """The object says something else now: what earlier reviews said of it is no longer true (spec 9.7)."""
        mark = self.marks.get(uid)
        if mark is not None and mark.others:
            self._job(mark.subject).since = int(time.time()) - REVIEWED

    def prune(self, orphaned: Callable[[Subject], bool]) -> None:
        """The rules or the scanned kinds have changed: rows without a rule go, and scans of `orphaned` objects."""
        rules = self._rules()
        policies = {policy for _, policy, _ in rules}
        smaller = {policy for _, policy, _ in self._pruned.keys() - rules.keys()}
        self._pruned = rules
        for uid, mark in self.marks.all():
            if not self._mine(uid):
                continue
            if mark.scan and orphaned(mark.subject):
                self._job(mark.subject).scan = []
            elif mark.others:
                named = mark.others.split(",")
                if not policies.issuperset(named) or not smaller.isdisjoint(named):
                    self._job(mark.subject)
        for job in self._busy.values():  # what is being written may be out of date by now
            self._job(job.subject)

    def _job(self, subject: Subject) -> Job:
        job = self._jobs.get(subject.uid)
        if job is None:
            # INVARIANT (newest wins): what waits for another try joins what is new, it never comes after it
            job = self._jobs[subject.uid] = self._delayed.pop(subject.uid, Job(subject))
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
                job.settle()
            finally:
                del self._busy[uid]
                self.marks.settle(uid)
                self._filled.set()

    def _again(self, job: Job, error: Exception) -> None:
        if isinstance(error, ApiError) and error.status < 500 and error.status not in WORTH_ANOTHER_TRY:
            level = logging.DEBUG if error.status == 404 or "being terminated" in error.message else logging.WARNING
            logger.log(level, "report on %s: %s", job.subject, error)
            self._counted("dropped")
            job.settle()
            return
        job.attempt += 1
        if isinstance(error, ApiError) and error.conflict and job.attempt >= TRIES:
            logger.warning("report on %s given up after %d tries: %s", job.subject, job.attempt, error)
            self._counted("dropped")
            job.settle()
            return
        uid = job.subject.uid
        if uid in self._jobs:
            self._jobs[uid].take_over(job)
        else:
            self._delayed[uid] = job
            asyncio.get_running_loop().call_later(backoff(job.attempt), self._put_back, job)

    def _put_back(self, job: Job) -> None:
        if self._delayed.get(job.subject.uid) is job:
            self._job(job.subject)

    async def _write(self, job: Job) -> None:
        uid = job.subject.uid
        rules = self._rules()
        if job.scan is not None:  # a policy may have gone since
            job.scan = [one for one in job.scan if rules.get(report.key(one)[:3]) is Origin.SCAN]
        mark = self.marks.get(uid)
        path = self._form.path(uid, job.subject.namespace)
        if mark is None:
            rows = report.merge(self._in_force(job.others), job.scan or ())
            if not rows or self._too_many():
                return
            try:
                await self._put("POST", job, rows, version="")
            except ApiError as error:
                stored = await self._stored(path) if error.conflict else None
                if stored is None:  # a conflict too: somebody else created it, and somebody deleted it again
                    raise
            else:
                return
        else:
            stored = await self._stored(path)
            if stored is None:
                self.marks.forget(uid)
                await self._write(job)
                return
        await self._update(job, stored, path)

    async def _stored(self, path: str) -> Object | None:
        try:
            found: Object = await self._client.get(path)
        except ApiError as error:
            if error.not_found:
                return None
            raise
        return found

    async def _update(self, job: Job, stored: Object, path: str) -> None:
        before = self._form.rows(stored)
        rules = self._rules()
        ahead = int(time.time()) + AHEAD
        fresh = {report.key(one) for one in job.others}
        kept = []
        for one in before:
            origin, stamp = rules.get(report.key(one)[:3]), report.stamp(one)
            if (
                origin is None
                or (origin is Origin.SCAN and job.scan is not None)
                or (origin is Origin.REVIEW and stamp < job.since)
            ):
                continue
            if stamp <= ahead or report.key(one) not in fresh:
                kept.append(one)
        rows = report.unchanged(report.merge(kept, self._in_force(job.others), job.scan or ()), before)
        metadata = stored["metadata"]
        if not rows:
            self.marks.forget(job.subject.uid)
            await self._delete(path, metadata["resourceVersion"])
        elif rows != before or self._annotations(job, rows) != notes_of(metadata):
            await self._put("PUT", job, rows, version=metadata["resourceVersion"])
        else:
            self.marks.remember(job.subject, metadata)
            self._counted("saved")

    def _too_many(self) -> bool:
        """Are as many reports stored as may be? Those that are left out come with a later scan."""
        full = 0 < self._limit <= len(self.marks)
        if full:
            self._counted("dropped")
        if full is not self._full:
            self._full = full
            logger.warning("%d reports of %d are stored%s", len(self.marks), self._limit, ": new ones wait" if full else "")
        return full

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
        self.marks.remember(subject, answer["metadata"])
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
        scanned = [one for one in rows if rules.get(report.key(one)[:3]) is Origin.SCAN]
        others = {one["policy"] for one in rows if rules.get(report.key(one)[:3]) is not Origin.SCAN}
        notes = {}
        if job.scan is not None:
            notes[SCAN] = report.fingerprint(job.scan)
        elif scanned and (mark := self.marks.get(job.subject.uid)) is not None:
            notes[SCAN] = mark.scan
        if others:
            notes[OTHERS] = ",".join(sorted(others))
        return {name: value for name, value in notes.items() if value}
