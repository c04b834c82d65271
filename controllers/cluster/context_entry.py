"""One GlobalContextEntry at work: its data, followed or called for again and again, and what policies read of it (2.14)."""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from argparse import ArgumentTypeError
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from controllers.cluster.client import ApiError, Client
from controllers.cluster.collection import PAUSE, Collection, lean, plain
from controllers.cluster.flags import seconds
from controllers.cluster.watch import Target
from engine import Expression, Held, LanguageError, Lookup, LookupFailed, compile_expression, json_text

Object = dict[str, Any]
Call = Callable[[Lookup], Awaitable[Any]]
"""Answers a lookup of source apiCall or service with JSON. Raises `LookupFailed`."""
REFRESH = 600.0
SHORTEST = 1.0
"""Seconds between two calls: what an entry asks for, and what it gets at least."""
PERSISTENCE = (5.0, 300.0)
"""Seconds to the next round of calls after one that failed: the first, and the longest; never longer than the interval."""
TRYING = 60.0
"""Seconds within which a failed call is made again, however many times the entry allows."""
FATAL = (401, 403, 404, 405)
"""Answers of the API server after which the objects that were known count no more: not allowed, or no such kind."""
SETTLE = 0.05
"""Seconds to wait for more changes before projections are made anew."""
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
logger = logging.getLogger("pyvern.globalcontext")


class State(NamedTuple):
    """How an entry stands. `ready` None: it is being loaded. `refreshed`: when its data was last called for, Unix seconds."""

    ready: bool | None = None
    message: str = ""
    refreshed: float = 0.0


class Unfit(Exception):
    """A spec that nothing can be read by; the text names the field."""


class ContextEntry:
    """The entry `document`. `changed` is called with the state before whenever its `state` is another one."""

    def __init__(self, document: Object, *, client: Client, call: Call, changed: Callable[[ContextEntry, State], None]) -> None:
        self.document = document
        self.name: str = document["metadata"]["name"]
        self.state = State()
        self.tried = asyncio.Event()
        self._client = client
        self._call = call
        self._changed = changed
        self._spec: Object = document.get("spec") or {}
        self._projections: dict[str, Expression] = {}
        self._source: Callable[[], Held] | None = None
        self._data: Held | None = None
        self._values: dict[str, Held | LookupFailed] = {}
        self._due: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Keeps the data until cancelled."""
        try:
            self._projections = projections(self._spec)
            source = self._spec.get("kubernetesResource")
            await (self._follow(source) if source else self._poll(self._spec.get("apiCall") or {}))
        except Unfit as error:
            self._fails(str(error))
            await asyncio.Event().wait()
        finally:
            if self._due is not None:
                self._due.cancel()

    def broke(self, error: BaseException) -> None:
        """`run` ended with an error of our own: who asks hears of it."""
        self._fails(f"internal error: {type(error).__name__}")

    def value(self, projection: str = "") -> Held | LookupFailed:
        """The data, or one projection of it; why there is none."""
        self._refresh()
        if not self._values:
            return LookupFailed(
                None, f"global context entry {self.name} is not ready: {self.state.message or 'it is being loaded'}"
            )
        if projection and projection not in self._projections:
            return LookupFailed(None, f"global context entry {self.name} has no projection {projection}")
        found = self._values.get(projection)
        if found is None or (isinstance(found, Held) and found.value is None):
            return LookupFailed(None, f"no data available in global context entry {self.name}")
        return found

    # From the API server's watch

    async def _follow(self, source: Object) -> None:
        collection = Collection(
            self._client,
            Target(path_of(source)),
            shape=plain,
            typed=True,
            changed=lambda: self._listed(collection),
            failing=lambda error: self._unlisted(collection, error),
        )
        await collection.run()

    def _listed(self, collection: Collection) -> None:
        if self._source is None:
            self._source = collection.held
            self._refresh()
        elif self._due is None:
            self._due = asyncio.get_running_loop().call_later(SETTLE + PAUSE * len(collection), self._refresh)

    def _unlisted(self, collection: Collection, error: Exception) -> bool:
        fatal = isinstance(error, ApiError) and error.status in FATAL
        if fatal or not collection.synced.is_set():
            self._fails(reason(error) if isinstance(error, ApiError) else str(error))
            return True
        return False

    # From calls

    async def _poll(self, call: Object) -> None:
        every = interval(call)
        lookup = _lookup(call)
        pause = PERSISTENCE[0]
        while True:
            try:
                answer = Held(await self._ask(lookup, int(call.get("retryLimit", 3))))
            except LookupFailed as error:
                self._fails(error.reason)
                await asyncio.sleep(min(every, pause * random.uniform(0.8, 1.2)))
                pause = min(PERSISTENCE[1], pause * 2)
                continue
            pause = PERSISTENCE[0]
            self._source = lambda answer=answer: answer
            self._refresh(time.time())
            await asyncio.sleep(every)

    async def _ask(self, lookup: Lookup, retries: int) -> Any:
        """As often as the entry says, but not for longer than `TRYING`: what is wrong is told then."""
        attempt = 0
        until = time.monotonic() + TRYING
        while True:
            try:
                return lean(await self._call(lookup)) if lookup.source == "apiCall" else await self._call(lookup)
            except LookupFailed:
                if attempt >= retries or time.monotonic() > until:
                    raise
            await asyncio.sleep(min(2.0, 0.1 * 3.0**attempt) * random.uniform(0.8, 1.2))
            attempt += 1

    # What policies read

    def _refresh(self, now: float = 0.0) -> None:
        """Makes the projections anew where the data is another."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if self._source is None:
            return
        data = self._source()
        if data is self._data and not now:
            return
        self._data = data
        self._values = {"": data, **{name: _projected(name, one, data) for name, one in self._projections.items()}}
        failed = next((value for value in self._values.values() if isinstance(value, LookupFailed)), None)
        refreshed = now or self.state.refreshed
        if failed is None:
            self._becomes(State(True, "Ready", refreshed))
        else:
            self._becomes(State(False, failed.reason, refreshed))

    def _fails(self, message: str) -> None:
        """There is no data any more: what was known may be wrong by now, and who asks must hear of it."""
        self._source, self._data, self._values = None, None, {}
        self._becomes(State(False, message, self.state.refreshed))

    def _becomes(self, state: State) -> None:
        self.tried.set()
        if state != self.state:
            if not state.ready and state.message != self.state.message:
                logger.warning("entry %s is not ready: %s", self.name, state.message)
            elif state.ready and not self.state.ready:
                logger.info("entry %s is ready", self.name)
            before, self.state = self.state, state
            self._changed(self, before)


def path_of(source: Object) -> str:
    """The path of the collection that an entry names. Raises `Unfit` where it would be another place than it seems."""
    parts = {field: str(source.get(field) or "") for field in ("group", "version", "resource", "namespace")}
    parts["group"] = parts["group"].removeprefix("apis/")
    for field, part in parts.items():
        if part and _NAME.fullmatch(part) is None:
            raise Unfit(f"spec.kubernetesResource.{field}: `{part}` is no {field}")
    base = f"/apis/{parts['group']}/{parts['version']}" if parts["group"] else f"/api/{parts['version']}"
    within = f"/namespaces/{parts['namespace']}" if parts["namespace"] else ""
    return f"{base}{within}/{parts['resource']}"


def projections(spec: Object) -> dict[str, Expression]:
    """The projections of an entry by name. Raises `Unfit`."""
    compiled: dict[str, Expression] = {}
    for index, projection in enumerate(spec.get("projections") or ()):
        text = str(projection.get("jmesPath") or "")
        try:
            compiled[str(projection.get("name"))] = compile_expression(text)
        except LanguageError as error:
            raise Unfit(f"spec.projections[{index}].jmesPath: failed to parse JMESPath `{text}`: {error}") from error
    return compiled


def reason(error: ApiError) -> str:
    """What the API server said, and first of all whether it was a matter of permission."""
    if error.not_found:
        return "the server could not find the requested resource"
    text = error.message or error.reason or str(error.status)
    return f"permission denied: {text}" if error.status in (401, 403) else text


def _projected(name: str, expression: Expression, data: Held) -> Held | LookupFailed:
    try:
        return Held(data.searched(expression, now=time.time_ns()))
    except LanguageError as error:
        return LookupFailed(None, f"failed to apply projection {name}: {error.discreet}")


def interval(call: Object) -> float:
    """Seconds between two calls. Raises `Unfit`."""
    written = call.get("refreshInterval")
    if not written:
        return REFRESH
    try:
        return max(SHORTEST, seconds(str(written)))
    except ArgumentTypeError as error:
        raise Unfit(f"spec.apiCall.refreshInterval: {error}") from error


def _lookup(call: Object) -> Lookup:
    method = call.get("method") or "GET"
    body = json_text({item["key"]: item.get("value") for item in call["data"]}) if call.get("data") else ""
    service = call.get("service")
    if not service:
        return Lookup("apiCall", str(call.get("urlPath")), method, body)
    headers = sorted((f"header:{header['key']}", str(header.get("value") or "")) for header in service.get("headers") or ())
    bundle = (("caBundle", str(service["caBundle"])),) if service.get("caBundle") else ()
    return Lookup("service", str(service.get("url")), method, body, (*bundle, *headers))
