"""Kubernetes events with Kyverno's reasons and texts (spec 3.8), written through a bounded queue."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from controllers.cluster.client import ApiError, Client, Unreachable
from controllers.cluster.lease import micro_time, now_utc
from controllers.cluster.pace import Pace
from controllers.cluster.settings import Settings
from engine import Effect, PolicyIdentity, Request, Result, Status

MAX_NOTE = 1024
Object = dict[str, Any]
logger = logging.getLogger("pyvern.events")
_serial = itertools.count()


@dataclass(frozen=True, slots=True)
class Reference:
    """What an event is about."""

    api_version: str
    kind: str
    name: str
    namespace: str = ""
    uid: str = ""

    @classmethod
    def of_policy(cls, identity: PolicyIdentity) -> Reference:
        return cls(identity.api_version, identity.kind, identity.name, identity.namespace, identity.uid)

    @classmethod
    def of_request(cls, request: Request) -> Reference:
        group, version, kind = request.kind
        uid = ((request.subject.get("metadata") or {}).get("uid")) or ""
        return cls(f"{group}/{version}" if group else version, kind, request.name, request.namespace, uid)

    @property
    def text(self) -> str:
        """`Pod default/nginx`, `Namespace blue`."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    def document(self) -> dict[str, str]:
        fields = {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "name": self.name,
            "namespace": self.namespace,
            "uid": self.uid,
        }
        return {name: value for name, value in fields.items() if value}


@dataclass(frozen=True, slots=True)
class Event:
    """One event, not yet written."""

    type: Literal["Normal", "Warning"]
    reason: str
    action: str
    regarding: Reference
    note: str
    related: Reference | None = None
    source: str = "kyverno-admission"
    key: str = ""
    """What happens once only: events with one key have one name, and the second to be written is dropped."""

    def document(self, instance: str) -> Object:
        """The events.k8s.io/v1 object; cluster-scoped subjects have their events in namespace `default`."""
        namespace = self.regarding.namespace or "default"
        suffix = hashlib.sha256(self.key.encode()).hexdigest()[:16] if self.key else f"{time.time_ns() + next(_serial) % 1000:x}"
        name = f"{self.regarding.name[:230]}.{suffix}"
        body: Object = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "eventTime": micro_time(now_utc()),
            "type": self.type,
            "reason": self.reason,
            "action": self.action,
            "regarding": self.regarding.document(),
            "note": shorten(self.note),
            "reportingController": self.source,
            "reportingInstance": f"{self.source}-{instance}"[:128],
        }
        if self.related is not None:
            body["related"] = self.related.document()
        return body


def shorten(note: str) -> str:
    """At most 1,024 bytes, cut between characters."""
    if len(note) <= MAX_NOTE // 4 or len(note.encode()) <= MAX_NOTE:
        return note
    return note.encode()[: MAX_NOTE - 3].decode(errors="ignore") + "..."


def of_results(
    request: Request, results: Iterable[Result], *, blocked: bool, settings: Settings, source: str = "kyverno-admission"
) -> Iterator[Event]:
    """The events of one admission request: violations, skips by exception and, when wanted, successes per policy."""
    resource = Reference.of_request(request)
    for _, group in itertools.groupby(results, key=lambda result: id(result.rule.policy)):
        rows = list(group)
        policy = Reference.of_policy(rows[0].rule.policy)
        violations = [row for row in rows if row.status in (Status.FAIL, Status.ERROR)]
        for row in violations:
            yield Event(
                "Warning",
                "PolicyViolation" if row.status is Status.FAIL else "PolicyError",
                "Resource Blocked" if blocked else "Resource Passed",
                policy,
                f"{resource.text}: [{row.rule.name}] {row.status}{' (blocked)' if blocked else ''}; {row.message}",
                resource,
                source,
            )
            if not blocked and row.status is Status.FAIL:
                note = f"policy {row.rule.policy.key}/{row.rule.name} fail: {row.message}"
                yield Event("Warning", "PolicyViolation", "Resource Passed", resource, note, policy, source)
        skipped = [row for row in rows if row.status is Status.SKIP and row.exceptions]
        for row in skipped:
            yield from _skipped(row, policy, resource, source)
        passed = [row for row in rows if row.status is Status.PASS]
        if passed and not violations and not blocked and _wants_success(settings, passed[0]):
            mutated = any(row.rule.effect is Effect.MUTATE for row in passed)
            action = "Resource Mutated" if mutated else "Resource Passed"
            note = f"{resource.text} is successfully mutated" if mutated else f"{resource.text}: pass"
            yield Event("Normal", "PolicyApplied", action, policy, note, resource, source)


def _skipped(row: Result, policy: Reference, resource: Reference, source: str) -> Iterator[Event]:
    rule = row.rule
    name = f"{resource.kind}/{resource.namespace}/{resource.name}"
    keys = ", ".join(exception.key for exception in row.exceptions)
    note = f"resource {name} was skipped from rule {rule.name} due to policy exceptions {keys}"
    yield Event("Normal", "PolicySkipped", "Resource Passed", policy, note, resource, source)
    for exception in row.exceptions:
        note = f"resource {name} was skipped from policy rule {rule.policy.key}/{rule.name}"
        yield Event("Normal", "PolicySkipped", "Resource Passed", Reference.of_policy(exception), note, resource, source)


def _wants_success(settings: Settings, row: Result) -> bool:
    if not settings.generate_success_events:
        return False
    wanted = settings.success_event_actions
    return not wanted or ("Enforce" if row.enforced else "Audit") in wanted or str(row.rule.effect) in wanted


class Events:
    """The queue and its writers. `put` never blocks: what does not fit is dropped and counted."""

    def __init__(
        self,
        client: Client,
        *,
        instance: str,
        omit: frozenset[str] = frozenset(),
        capacity: int = 1000,
        pace: Pace | None = None,
        dropped: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._instance = instance
        self._omit = omit
        self._capacity = capacity
        self._pace = pace or Pace(rate=50, burst=100)
        self._dropped = dropped
        self._queue: deque[Event] = deque()
        self._filled = asyncio.Event()

    @property
    def full(self) -> bool:
        return len(self._queue) >= self._capacity

    def drop(self) -> None:
        """Counts an event that was not even made."""
        self._dropped()

    def put(self, event: Event) -> None:
        if event.reason in self._omit:
            return
        if self.full:
            self._dropped()
            return
        self._queue.append(event)
        self._filled.set()

    async def run(self, writers: int = 3) -> None:
        """Writes until cancelled."""
        await asyncio.gather(*(self._write_all() for _ in range(writers)))

    async def flush(self, patience: float) -> None:
        """Gives what is queued a last chance."""
        deadline = time.monotonic() + patience
        while self._queue and time.monotonic() < deadline:
            await asyncio.sleep(0.05)

    async def _write_all(self) -> None:
        while True:
            while not self._queue:
                self._filled.clear()
                await self._filled.wait()
            event = self._queue.popleft()
            await asyncio.sleep(self._pace.delay(time.monotonic()))
            await self._write(event.document(self._instance))

    async def _write(self, body: Mapping[str, Any]) -> None:
        path = f"/apis/events.k8s.io/v1/namespaces/{body['metadata']['namespace']}/events"
        for attempt in range(3):
            try:
                await self._client.call("POST", path, body=body, timeout=10)
            except ApiError as error:
                if error.conflict:
                    return  # somebody else has told it
                if error.status < 500 and error.status != 429:
                    logger.debug("event not accepted: %s", error)
                    break
            except Unreachable as error:
                logger.debug("event not written: %s", error)
            else:
                return
            await asyncio.sleep(0.5 * 2**attempt)
        self._dropped()
