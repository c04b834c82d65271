"""The life of UpdateRequests (spec 4.2): taken up, carried out, tried again, given up, removed.

A request is Pending until it is tried. What is done, or turns out to be pointless, is deleted at once, so that Completed and
Skip are only ever seen on requests that somebody else made; what failed gets status Failed with the reason and the number of
tries, so that another process goes on where this one ended.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from controllers.background.carried import FAILING, Carried
from controllers.background.conditions import Conditions
from controllers.background.held import Held
from controllers.background.question import NotYet, Pointless, Refused
from controllers.background.queue import Queue
from controllers.background.update_request import Carrier
from controllers.cluster.client import FAILURES, ApiError, Client
from controllers.cluster.metrics import Metrics
from controllers.cluster.requests import UnknownResource
from controllers.cluster.update_requests import UpdateRequest, collection, content, read
from controllers.cluster.watch import Event as Seen
from controllers.cluster.watch import Listed, Target, follow
from engine import EvaluationError, LookupFailed, Object

CONTROLLER = "background-controller"
MAX_TRIES = 10
MAX_TRIES_WRONG = 3
"""Tries for rules that err: they will not get better by themselves, but what they look up may appear."""
HELD = 4_000_000
"""Bytes of requests that are kept while they wait; others are read again when their turn comes."""
LONGEST = 30.0
HOPELESS = 600.0
"""Seconds for which nobody but the trigger itself starts anew what was given up."""
SHOWN = 30.0
"""Seconds for which a request about an object that was refused elsewhere is kept, so that people can see it."""
GIVEN_UP = 20_000
"""Triggers of given up requests that are remembered at most."""
FINISHED = frozenset({"Completed", "Skip"})
Told = Callable[[UpdateRequest, Iterable[Carried]], None]
GivenUp = Callable[[UpdateRequest, Iterable[Carried], str], None]
logger = logging.getLogger("pyvern.worker")


class Unforeseen(Exception):
    """A bug of ours that a request met, or content that only a request by hand can have."""


class Worker:
    """Works on the UpdateRequests of one namespace, as long as this process leads."""

    def __init__(
        self,
        client: Client,
        *,
        namespace: str,
        carrier: Carrier,
        metrics: Metrics,
        carried: Told,
        given_up: GivenUp,
        conditions: Conditions,
    ) -> None:
        self._client = client
        self._path = collection(namespace)
        self._carrier = carrier
        self._metrics = metrics
        self._told = carried
        self._given_up = given_up
        self._conditions = conditions
        self._documents = Held(HELD)
        self._contents: dict[str, tuple[Any, ...]] = {}
        self._seen: dict[str, float] = {}
        self._hopeless: dict[str, float] = {}
        self.queue = Queue(self._work)

    def attends(self, trigger: str) -> bool:
        """Is work for that trigger (uid) under way, or was it given up a moment ago? Then nobody else need care."""
        return self.queue.attends(trigger) or self._hopeless.get(trigger, 0.0) > time.monotonic()

    async def run(self, workers: int) -> None:
        """Works until cancelled."""
        try:
            await asyncio.gather(follow(self._client, Target(self._path), self._handle), self.queue.run(workers))
        finally:
            self.queue.clear()
            self._documents.clear()
            self._contents.clear()
            self._seen.clear()

    def _handle(self, event: Seen) -> None:
        if isinstance(event, Listed):
            listed = {document["metadata"]["name"] for document in event.objects}
            for name in set(self._documents) - listed:
                self._forget(name)
            for document in sorted(event.objects, key=_created):
                self._take(document)
        elif event.type == "DELETED":
            self._forget(event.object["metadata"]["name"])
        else:
            self._take(event.object)

    def _take(self, document: Object) -> None:
        metadata = document["metadata"]
        name = metadata["name"]
        known, now = self._contents.get(name), content(document)
        self._documents.put(name, document)
        self._contents[name] = now
        if known != now:
            self._seen[name] = time.monotonic()
            self.queue.put(name, read(document).subject)

    def _forget(self, name: str) -> None:
        self.queue.drop(name)
        self._documents.drop(name)
        for known in (self._contents, self._seen):
            known.pop(name, None)

    async def _work(self, name: str) -> float | None:
        """One try."""
        try:
            if name not in self._documents:
                return None
            document = self._documents.get(name) or await self._client.get(f"{self._path}/{name}")
            return await self._try(name, document, read(document))
        except ApiError as error:
            if error.not_found:
                return None
            logger.warning("UpdateRequest %s: %s", name, error)
        except FAILURES as error:
            logger.warning("UpdateRequest %s: %s", name, error)
        return 1.0

    async def _try(self, name: str, document: Object, update: UpdateRequest) -> float | None:
        if (document.get("status") or {}).get("state") in FINISHED:
            return await self._finish(name, document)
        self._metrics.count("kyverno_controller_reconcile", (CONTROLLER,))
        carried: list[Carried] = []
        failures: list[Exception] = []
        try:
            carried = await self._carrier.carry_out(update, age=time.monotonic() - self._seen.get(name, 0.0))
            failures = [failure for one in carried for failure in one.failures]
        except NotYet as not_yet:
            return not_yet.seconds
        except Refused as reason:
            if update.stored.tries:
                return await self._finish(name, document)
            await self._failed(name, str(reason), 1, [])
            return SHOWN
        except Pointless as reason:
            logger.debug("UpdateRequest %s: %s", name, reason)
        except (*FAILING, LookupFailed, UnknownResource) as error:
            failures = [error]
        except Exception as error:  # INVARIANT (isolation): what one request meets must not end the work on all, again and again
            logger.exception("UpdateRequest %s of policy %s: internal error", name, update.policy)
            failures = [Unforeseen(f"internal error: {type(error).__name__}: {error}")]
        self._told(update, carried)
        if not failures:
            if carried:
                await self._conditions.succeeded(update.policy)
            return await self._finish(name, document)
        tries = update.stored.tries + 1
        message = "; ".join(dict.fromkeys(str(failure) for failure in failures))
        if tries >= _most(failures):
            logger.error("UpdateRequest of policy %s about %s is given up: %s", update.policy, update.about.text, message)
            self._metrics.count("kyverno_controller_drop", (CONTROLLER,))
            self._give_up(update.subject)
            self._given_up(update, carried, message)
            await self._conditions.failed(update.policy, f"{update.about.text}: {message}")
            return await self._finish(name, document)
        logger.info("UpdateRequest of policy %s about %s, try %d: %s", update.policy, update.about.text, tries, message)
        self._metrics.count("kyverno_controller_requeue", (CONTROLLER, str(tries)))
        await self._failed(name, message, tries, _done(update, carried))
        return backoff(tries)

    def _give_up(self, subject: str) -> None:
        self._hopeless.pop(subject, None)
        self._hopeless[subject] = time.monotonic() + HOPELESS
        if len(self._hopeless) > GIVEN_UP:
            del self._hopeless[next(iter(self._hopeless))]

    async def _finish(self, name: str, document: Object) -> float | None:
        """Removes the request, unless it has been renewed meanwhile."""
        current = self._documents.get(name) or document
        if self._contents.get(name, content(document)) != content(document):
            return 0.0
        try:
            version = current["metadata"]["resourceVersion"]
            await self._client.call("DELETE", f"{self._path}/{name}", body={"preconditions": {"resourceVersion": version}})
        except ApiError as error:
            if error.conflict:
                self._documents.put(name, None)
                return 0.0
            if not error.not_found:
                raise
        return None

    async def _failed(self, name: str, message: str, tries: int, done: list[Object]) -> None:
        status: Object = {"state": "Failed", "message": message[:1024], "retryCount": tries}
        if done:
            status["generatedResources"] = done
        try:
            written = await self._client.merge(f"{self._path}/{name}/status", {"status": status})
        except ApiError as error:
            if not error.not_found:
                raise
        else:
            if self._contents.get(name) == content(written):
                self._documents.put(name, written)


def backoff(tries: int) -> float:
    """Seconds before the next try: doubling, with some jitter."""
    return min(LONGEST, 0.5 * 2.0 ** (tries - 1)) * random.uniform(0.8, 1.2)


def _most(failures: Iterable[Exception]) -> int:
    wrong = all(
        isinstance(failure, EvaluationError | Unforeseen) or (isinstance(failure, ApiError) and failure.status in (400, 422))
        for failure in failures
    )
    return MAX_TRIES_WRONG if wrong else MAX_TRIES


def _done(update: UpdateRequest, carried: Iterable[Carried]) -> list[Object]:
    """Targets that must not be changed a second time by the same request."""
    targets = [target for one in carried for target in one.targets if target.failure is None and target.patched]
    done = {target.object.uid: target.object.document() for target in targets}
    return [{"uid": uid} for uid in update.stored.done if uid not in done] + list(done.values())


def _created(document: Mapping[str, Any]) -> str:
    return str(document["metadata"].get("creationTimestamp") or "")
