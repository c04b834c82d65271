"""Collections that policies read by API path, answered from memory: which paths, since when, until when (docs/decisions/0016)."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from controllers.cluster.client import ApiError, Client
from controllers.cluster.collection import Budget, Collection, TooBig, listed
from controllers.cluster.discovery import Discovery, Resource
from controllers.cluster.watch import Target
from engine import Held, Policy

LIMIT = 64 * 1024 * 1024
"""Bytes of JSON, without managed fields, that all lists of a process may hold; what does not fit is read by GET."""
PATIENCE = 5.0
"""Seconds a question waits for the first list, before it reads the path itself."""
AGAIN = 600.0
"""Seconds after which a path that could not be kept is tried again."""
REFUSALS = (401, 403, 404, 405)
ANY = "\0"
"""Stands for a variable; no real path holds it."""
_VARIABLE = re.compile(r"\{\{.*?\}\}+", re.DOTALL)
_SELECTORS = {"labelSelector", "fieldSelector"}
_PRIVATE = ("secrets", "configmaps")
logger = logging.getLogger("pyvern.lists")


class Place(NamedTuple):
    """A collection as a path names it: `base` is `/api/v1` or `/apis/group/version`; the namespace may be `ANY`."""

    base: str
    plural: str
    namespace: str = ""
    query: str = ""

    @property
    def everywhere(self) -> Place:
        """The same collection in all namespaces."""
        return self._replace(namespace="")

    @property
    def path(self) -> str:
        within = f"/namespaces/{self.namespace}" if self.namespace else ""
        return f"{self.base}{within}/{self.plural}"

    @property
    def api_version(self) -> str:
        return self.base.removeprefix("/apis/").removeprefix("/api/")


def place_of(path: str) -> Place | None:
    """The collection that a path may name, None for everything else; a namespace that holds a variable is `ANY`."""
    plain, _, query = _VARIABLE.sub(ANY, path).partition("?")
    if ANY in query or not {name for name, _ in parse_qsl(query)} <= _SELECTORS:
        return None
    match plain.split("/"):
        case ["", "api", version, *rest]:
            base = f"/api/{version}"
        case ["", "apis", group, version, *rest]:
            base = f"/apis/{group}/{version}"
        case _:
            return None
    match rest:
        case [plural]:
            place = Place(base, plural, "", query)
        case ["namespaces", namespace, plural] if namespace:
            place = Place(base, plural, ANY if ANY in namespace else namespace, query)
        case _:
            return None
    fixed = (place.base, place.plural)
    if not place.plural or any(ANY in part for part in fixed) or (place.namespace == ANY and place.plural in _PRIVATE):
        return None
    return place


def places(policy: Policy) -> Mapping[Place, bool]:
    """The collections that GET calls of the policy name; False for those that have to be read whole, for managed fields."""
    found: dict[Place, bool] = {}
    for rule in policy.rules:
        named = [place for path in _url_paths(rule.document) if (place := place_of(path)) is not None]
        bare = not named or "managedFields" not in str(rule.document)
        for place in named:
            found[place] = found.get(place, True) and bare
    return found


def _url_paths(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        call = value.get("apiCall")
        if isinstance(call, dict) and isinstance(call.get("urlPath"), str) and call.get("method") in (None, "", "GET"):
            yield call["urlPath"]
        for part in value.values():
            yield from _url_paths(part)
    elif isinstance(value, list):
        for part in value:
            yield from _url_paths(part)


class _Followed(NamedTuple):
    collection: Collection
    task: asyncio.Task[None]


class ListPaths:
    """Follows the collections that policies name; `ready` and `answer` give them in the form of a GET.

    A collection is followed from the first question for it, or with `eager` from the moment a policy names it, until none
    does. What may not be watched, or is too big, is left to GET for `AGAIN` seconds, with one line in the log.
    """

    def __init__(self, client: Client, discovery: Callable[[], Discovery], *, limit: int = LIMIT, eager: bool = False) -> None:
        self._client = client
        self._discovery = discovery
        self._eager = eager
        self._budget = Budget(limit)
        self._named: dict[int, tuple[Policy, Mapping[Place, bool]]] = {}
        self._wanted: frozenset[Place] = frozenset()
        self._followed: dict[Place, _Followed] = {}
        self._refused: dict[Place, asyncio.TimerHandle] = {}

    def want(self, policies: Iterable[Policy]) -> None:
        """These are the policies in force from now on."""
        self._named = {id(policy): self._named.get(id(policy)) or (policy, places(policy)) for policy in policies}
        named = [item for _, found in self._named.values() for item in found.items()]
        whole = {(place.base, place.plural) for place, bare in named if not bare}
        wanted = frozenset(place for place, _ in named if (place.base, place.plural) not in whole)
        if wanted == self._wanted:
            return
        self._wanted = wanted
        kept = {_source(place) for place in wanted}
        for place in [place for place in self._followed if place not in kept]:
            self._followed.pop(place).task.cancel()
        if self._eager:
            for place in kept:
                self._follow(place)

    def ready(self, path: str) -> Held | None:
        """The list, if it is in memory."""
        place = self._place(path)
        if place is None:
            return None
        source = place if place in self._wanted else place.everywhere
        followed = self._followed.get(source)
        if followed is None or not followed.collection.synced.is_set():
            return None
        return followed.collection.held("" if source is place else place.namespace)

    async def answer(self, path: str) -> Held | None:
        """The list, waited for when it is only just being read; None: to be had by GET."""
        place = self._place(path)
        if place is None:
            return None
        source = place if place in self._wanted else place.everywhere
        followed = self._follow(source)
        if followed is None:
            return None
        if source is place:  # one namespace of many is read faster than all of them
            synced = asyncio.ensure_future(followed.collection.synced.wait())
            try:
                await asyncio.wait((synced, followed.task), timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
            finally:
                synced.cancel()
        return self.ready(path)

    async def run(self) -> None:
        """Until cancelled; then nothing is followed any more."""
        try:
            await asyncio.Event().wait()
        finally:
            self.want(())
            for timer in self._refused.values():
                timer.cancel()

    def _place(self, path: str) -> Place | None:
        """The collection of a real path, if a policy names it."""
        place = place_of(path)
        if place is None or place.namespace == ANY:
            return None
        named = place in self._wanted or (place.namespace and place._replace(namespace=ANY) in self._wanted)
        return place if named else None

    def _follow(self, place: Place) -> _Followed | None:
        followed = self._followed.get(place)
        if followed is not None or place in self._refused:
            return followed
        resource = self._served(place)
        if resource is None:
            return None
        selectors = dict(parse_qsl(place.query))
        collection = Collection(
            self._client,
            Target(place.path, selectors.get("labelSelector", ""), selectors.get("fieldSelector", "")),
            shape=listed(resource.kind, place.api_version),
            typed=False,
            budget=self._budget,
            failing=_refused,
        )
        task = asyncio.create_task(collection.run(), name=f"list {place.path}")
        task.add_done_callback(partial(self._ended, place))
        made = self._followed[place] = _Followed(collection, task)
        return made

    def _served(self, place: Place) -> Resource | None:
        for resource in self._discovery().resources:
            version = f"{resource.group}/{resource.version}" if resource.group else resource.version
            if (version, resource.plural, resource.subresource) == (place.api_version, place.plural, ""):
                fits = resource.namespaced or not place.namespace
                return resource if fits and {"list", "watch"} <= resource.verbs else None
        return None

    def _ended(self, place: Place, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        expected = isinstance(error, (TooBig, Refused))
        logger.log(
            logging.WARNING if expected else logging.ERROR,
            "%s is not kept in memory, policies read it by GET: %s",
            place.path,
            error,
            exc_info=None if expected else error,
        )
        self._followed.pop(place, None)
        self._refused[place] = asyncio.get_running_loop().call_later(AGAIN, self._refused.pop, place, None)


class Refused(Exception):
    """The API server lets this account not follow the collection."""


def _refused(error: Exception) -> None:
    if isinstance(error, ApiError) and error.status in REFUSALS:
        raise Refused(error.message or str(error)) from error


def _source(place: Place) -> Place:
    """What is followed for a place that a policy names."""
    return place.everywhere if place.namespace == ANY else place
