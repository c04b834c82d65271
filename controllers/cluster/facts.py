"""Answers to the engine's lookups: the only place where a policy reaches out into the world (design.md 3)."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar
from urllib.parse import quote, unquote

import orjson

from controllers.cluster.client import ApiError, Client, TooLong, Unreachable
from controllers.cluster.discovery import Discovery, Resource
from controllers.cluster.shared_answers import MOMENT, Ask, Counted, SharedAnswers
from engine import Facts, Held, Lookup, LookupFailed, Unknown

Answer = TypeVar("Answer")
MAX_ROUNDS = 20
"""Lookups may depend on each other's answers; a policy that needs more rounds than this is going in circles."""
MAX_RESPONSE = 2_000_000
_NAMESPACED = re.compile(r"/?(?:api/[^/]+|apis/[^/]+/[^/]+)/namespaces/([^/]+)(?:/.*)?")


class Learns(Protocol):
    """Whoever can answer lookups."""

    def facts(self) -> Facts:
        """What is known before anything was asked."""
        ...

    async def learn(self, facts: Facts, lookups: Iterable[Lookup]) -> Facts:
        """`facts` and the answers to `lookups`; a lookup that fails is answered with LookupFailed."""
        ...


async def settle(ask: Callable[[Facts], Answer], world: Learns, facts: Facts | None = None) -> Answer:
    """The answer of `ask`, asked again with more facts as long as it raises `Unknown`.

    Each lookup is answered once. Raises `LookupFailed` after MAX_ROUNDS.
    """
    facts = world.facts() if facts is None else facts
    for _ in range(MAX_ROUNDS):
        try:
            return ask(facts)
        except Unknown as unknown:
            facts = await world.learn(facts, unknown.lookups)
    raise LookupFailed(None, f"data outside the object was asked for {MAX_ROUNDS} times in a row")


class Remembers(Protocol):
    """Whoever keeps answers in memory, up to date by itself (`controllers.cluster.memory`)."""

    def ready(self, lookup: Lookup) -> Held | None:
        """The answer, if it is in memory now."""
        ...

    async def answer(self, lookup: Lookup) -> Held | None:
        """The answer, None where it has to be fetched; raises `LookupFailed`."""
        ...


class World:
    """The cluster as policies see it, and what `sources` know beyond it: lookup source -> who answers.

    What `memory` keeps is not asked for. `max_size` is how much JSON a context entry may hold (maxContextSize), `counted` hears
    of every lookup that is asked for.
    """

    def __init__(
        self,
        client: Client,
        *,
        discovery: Callable[[], Discovery] = Discovery,
        max_response: int = MAX_RESPONSE,
        timeout: float = 10.0,
        sources: Mapping[str, Ask] | None = None,
        max_size: Callable[[], int] | None = None,
        counted: Counted = lambda lookup, how, seconds: None,
        memory: Remembers | None = None,
    ) -> None:
        self._client = client
        self._memory = memory
        self._discovery = discovery
        self._max_response = max_response
        self._timeout = timeout
        self._sources = sources or {}
        self._max_size = max_size
        self._shared = SharedAnswers(self._answer, keep={"service": MOMENT, "imageData": MOMENT}, counted=counted)

    def facts(self) -> Facts:
        """What is known before anything was asked."""
        ready = self._ready if self._memory is not None else None
        return Facts(ready=ready) if self._max_size is None else Facts(max_size=self._max_size(), ready=ready)

    def _ready(self, lookup: Lookup) -> Held | None:
        return self._memory.ready(lookup) if self._memory is not None and _own(lookup) else None

    async def fetch(self, lookup: Lookup) -> Any:
        """The answer as it is now, whatever is kept of it. Raises `LookupFailed`."""
        answer = await self._fetched(lookup)
        if isinstance(answer, LookupFailed):
            raise answer
        return answer

    def within(self, seconds: float) -> Learns:
        """This world for one question that has to be answered within so many seconds from now."""
        return _Hurried(self, asyncio.get_running_loop().time() + seconds)

    async def learn(self, facts: Facts, lookups: Iterable[Lookup], *, until: float | None = None) -> Facts:
        """`until` is the loop's time after which what is not known yet is answered with LookupFailed."""
        asked = [lookup for lookup in lookups if lookup not in facts.answers]
        answers = await asyncio.gather(*(self._shared.answer(lookup, until=until) for lookup in asked))
        return facts.plus(dict(zip(asked, answers, strict=True)))

    async def _answer(self, lookup: Lookup) -> Any:
        if self._memory is not None and _own(lookup):
            try:
                held = await self._memory.answer(lookup)
            except LookupFailed as failure:
                return failure
            if held is not None:
                return held
        return await self._fetched(lookup)

    async def _fetched(self, lookup: Lookup) -> Any:
        try:
            source = self._sources.get(lookup.source)
            if source is not None:
                return await source(lookup)
            answer = ANSWERS.get(lookup.source)
            if answer is None:
                raise LookupFailed(lookup, f"{lookup.source} `{lookup.key}`: not available here")
            return await answer(self, lookup)
        except LookupFailed as failure:
            return failure
        except ApiError as error:
            denied = "permission denied: " if error.status in (401, 403) else ""
            return LookupFailed(lookup, f"{lookup}: {denied}{error.message or error.reason or error.status}")
        except Unreachable as error:
            return LookupFailed(lookup, str(error))

    async def _config_map(self, lookup: Lookup) -> Any:
        namespace, _, name = lookup.key.partition("/")
        if lookup.namespace and namespace != lookup.namespace:
            raise LookupFailed(lookup, f"a policy of namespace {lookup.namespace} may not read ConfigMap {lookup.key}")
        document = await self._client.call(
            "GET", _safe(lookup, f"/api/v1/namespaces/{namespace}/configmaps/{name}"), timeout=self._timeout
        )
        binary = document.pop("binaryData", None) or {}
        decoded = {key: base64.b64decode(value).decode(errors="replace") for key, value in binary.items()}
        document["data"] = {**(document.get("data") or {}), **decoded}
        return document

    async def _api_call(self, lookup: Lookup) -> Any:
        path = _safe(lookup, lookup.key)
        if not _own(lookup):
            raise LookupFailed(lookup, f"a policy of namespace {lookup.namespace} may not call {path}")
        body = lookup.body.encode() if lookup.method == "POST" else None
        try:
            data = await self._client.raw(lookup.method, path, body=body, timeout=self._timeout, limit=self._max_response)
            return orjson.loads(data)
        except TooLong:
            raise LookupFailed(lookup, f"the answer of {path} is longer than {self._max_response} bytes") from None
        except orjson.JSONDecodeError as error:
            raise LookupFailed(lookup, f"the answer of {path} is no JSON: {error}") from error

    async def _resource(self, lookup: Lookup) -> Any:
        """One object (None: there is none), or with method LIST the list of them (facts.resource, facts.resources)."""
        options = dict(lookup.options)
        namespace, _, name = lookup.key.partition("/")
        found = self._served(lookup, options["apiVersion"], options["kind"])
        where = ""
        if found.namespaced:
            if lookup.namespace and namespace != lookup.namespace:
                raise LookupFailed(lookup, f"a policy of namespace {lookup.namespace} may not read {found.kind} {lookup.key}")
            where = f"/namespaces/{namespace}" if namespace else ""
        base = f"/apis/{found.group}/{found.version}" if found.group else f"/api/{found.version}"
        path = _safe(lookup, f"{base}{where}/{found.plural}")
        if lookup.method == "LIST":
            query = _selector_query(options.get("labelSelector"))
            listed = await self._client.call("GET", path + query, timeout=self._timeout)
            kind = {"apiVersion": options["apiVersion"], "kind": options["kind"]}
            return [{**kind, **item} for item in listed.get("items") or []]
        try:
            return await self._client.call("GET", _safe(lookup, f"{path}/{name}"), timeout=self._timeout)
        except ApiError as error:
            if error.not_found:
                return None
            raise

    def _served(self, lookup: Lookup, api_version: str, kind: str) -> Resource:
        group, _, version = api_version.rpartition("/")
        for resource in self._discovery().resources:
            if (resource.group, resource.version, resource.kind) == (group, version, kind) and not resource.subresource:
                return resource
        raise LookupFailed(lookup, f"the API server serves no {api_version} {kind}")


class _Hurried:
    """A world with a deadline."""

    __slots__ = ("_until", "_world")

    def __init__(self, world: World, until: float) -> None:
        self._world = world
        self._until = until

    def facts(self) -> Facts:
        return self._world.facts()

    async def learn(self, facts: Facts, lookups: Iterable[Lookup]) -> Facts:
        return await self._world.learn(facts, lookups, until=self._until)


def _own(lookup: Lookup) -> bool:
    """May the policy have what is kept in memory? One of a namespace reads API paths of its namespace only."""
    if lookup.source != "apiCall" or not lookup.namespace:
        return True
    # trap: further on in a path, behind `/proxy/`, `namespaces/mine` means nothing to the API server
    within = _NAMESPACED.fullmatch(unquote(lookup.key.partition("?")[0]))
    return within is not None and within[1] == lookup.namespace


def _selector_query(selector: str | None) -> str:
    """The `labelSelector` of a request for a JSON label selector; empty without one."""
    if not selector:
        return ""
    document = orjson.loads(selector)
    terms = [f"{key}={value}" for key, value in (document.get("matchLabels") or {}).items()]
    for expression in document.get("matchExpressions") or ():
        form = EXPRESSIONS[expression["operator"]]
        terms.append(form.format(key=expression["key"], values=",".join(expression.get("values") or ())))
    return f"?labelSelector={quote(','.join(terms))}"


EXPRESSIONS: Mapping[str, str] = {
    "In": "{key} in ({values})",
    "NotIn": "{key} notin ({values})",
    "Exists": "{key}",
    "DoesNotExist": "!{key}",
}


ANSWERS: Mapping[str, Callable[[World, Lookup], Awaitable[Any]]] = {
    "configMap": World._config_map,
    "apiCall": World._api_call,
    "resource": World._resource,
}


def _safe(lookup: Lookup, path: str) -> str:
    """Refuses paths that mean another place than they show (a namespaced policy must stay in its namespace)."""
    if not path.startswith("/"):
        path = f"/{path}"
    plain = unquote(path.partition("?")[0])
    if ".." in plain or "//" in plain or "%" in plain or any(ord(char) < 33 for char in path) or "#" in path:
        raise LookupFailed(lookup, f"`{path}` is no plain path of the API server")
    return path
