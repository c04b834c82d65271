"""A collection that is kept in memory and up to date: what policies read again and again (features 2.10, 2.14)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from controllers.cluster.client import Client
from controllers.cluster.watch import Changed, Page, PagedEvent, Target, follow_pages
from engine import Held

Object = dict[str, Any]
PAUSE = 40e-6
"""Seconds an answer is believed per object in it, counted from when it was made: an expression takes some two microseconds an
object, so that a list of 10,000 that never stops changing costs a twentieth of a core, and a short one is never old."""
TYPE = ("apiVersion", "kind")
DEEP = 1_500_000
"""Bytes that an object counts for which is nested too deeply to be measured: etcd takes no more."""


class TooBig(Exception):
    """The collection would take more memory than there is for all of them."""


class Budget:
    """Bytes of JSON that collections may hold together."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def take(self, size: int) -> None:
        """Raises `TooBig`."""
        if self.used + size > self.limit:
            raise TooBig(f"more than {self.limit} bytes of lists")
        self.used += size


class _Made(NamedTuple):
    """An answer and what it was made of; until `until` it is given out although there are changes."""

    held: Held
    revision: tuple[int, int]
    until: float


class Collection:
    """The objects of one path by namespace and name, without managed fields; equal parts of them are one object in memory.

    `typed`: every object says its apiVersion and kind; otherwise only where lists of the API server do so. `shape` makes the
    answer of the objects and the resourceVersion. `budget` limits the size (`TooBig` ends `run`), `changed` is called after
    every change and when the watch stands again after errors, `failing` with every error (what it raises ends `run`;
    true: it has told of it).
    """

    def __init__(
        self,
        client: Client,
        target: Target,
        *,
        shape: Callable[[list[Object], str], Any],
        typed: bool,
        budget: Budget | None = None,
        changed: Callable[[], None] = lambda: None,
        failing: Callable[[Exception], object] = lambda error: None,
    ) -> None:
        self._client = client
        self._target = target
        self._shape = shape
        self._typed = typed
        self._budget = budget
        self._changed = changed
        self._failing = failing
        self._spaces: dict[str, dict[str, Object]] = {}
        self._listing: dict[str, dict[str, Object]] = {}
        self._shared: dict[Any, Any] = {}
        self._named = True
        self._size = 0
        self._version = ""
        self._lists = 0
        self._changes: dict[str, int] = {}
        self._sorted: dict[str, list[Object]] = {}
        self._made: dict[str, _Made] = {}
        self.synced = asyncio.Event()

    def __len__(self) -> int:
        return sum(map(len, self._spaces.values()))

    async def run(self) -> None:
        """Follows the collection until cancelled. Raises `TooBig`, and what `failing` raises."""
        try:
            await follow_pages(self._client, self._target, self.handle, failing=self._failing, healed=self._changed)
        finally:
            self._forget()

    def held(self, namespace: str = "") -> Held:
        """The answer for one namespace, or for all; at most `PAUSE` seconds an object older than what is known."""
        revision = (self._lists, self._changes.get(namespace, 0))
        made = self._made.get(namespace)
        now = time.monotonic()
        if made is not None and (made.revision == revision or now < made.until):
            return made.held
        objects = self._objects(namespace)
        held = Held(self._shape(objects, self._version))
        if objects or not namespace:
            self._made[namespace] = _Made(held, revision, now + PAUSE * len(objects))
        else:
            self._made.pop(namespace, None)
        return held

    def _objects(self, namespace: str) -> list[Object]:
        """In the order of the API server, which is that of `namespace/name`."""
        if namespace:
            return self._within(namespace)
        if len(self._sorted) < len(self._spaces):
            self._sorted = {space: self._within(space) for space in sorted(self._spaces, key=lambda space: f"{space}/")}
        return [document for space, documents in self._sorted.items() for document in documents or self._within(space)]

    def _within(self, namespace: str) -> list[Object]:
        known = self._sorted.get(namespace)
        if not known:
            space = self._spaces.get(namespace) or {}
            known = [space[name] for name in sorted(space)]
            if namespace in self._sorted:
                self._sorted[namespace] = known
        return known

    def handle(self, event: PagedEvent) -> None:
        """Takes a page or a change. Raises `TooBig`."""
        if isinstance(event, Page):
            self._page(event)
            if not event.last:
                return
        else:
            self._change(event)
        self._changed()

    def _page(self, page: Page) -> None:
        if page.first:
            self._listing = {}
            if self._budget is not None:
                self._budget.used -= self._size
            self._size = 0
        if page.objects:
            self._named = page.named
        for document in page.objects:
            metadata = document["metadata"]
            namespace, name = metadata.get("namespace") or "", metadata["name"]
            before = self._spaces.get(namespace, {}).get(name)
            same = before is not None and before["metadata"].get("resourceVersion") == metadata.get("resourceVersion")
            kept = before if same and before is not None else share(self._bare(document), self._shared)
            self._weigh(kept)
            self._listing.setdefault(namespace, {})[name] = kept
        if page.last:
            self._spaces, self._listing = self._listing, {}
            self._shared = {}
            self._version = page.version
            self._lists += 1
            self._changes.clear()
            self._sorted = {}
            self._made = {namespace: made for namespace, made in self._made.items() if not namespace or namespace in self._spaces}
            self.synced.set()

    def _change(self, event: Changed) -> None:
        document = event.object
        metadata = document["metadata"]
        namespace, name = metadata.get("namespace") or "", metadata["name"]
        self._version = metadata.get("resourceVersion") or self._version
        space = self._spaces.setdefault(namespace, {})
        before = space.pop(name, None)
        if before is not None:
            self._weigh(before, -1)
        if event.type != "DELETED":
            space[name] = self._bare(document)
            self._weigh(document)
            if before is not None:
                keep(document, before)
        elif not space:
            del self._spaces[namespace]
            for known in (self._sorted, self._made, self._changes):
                known.pop(namespace, None)
        if namespace in self._sorted:
            self._sorted[namespace] = []
        for touched in {namespace, ""} if namespace in self._spaces else {""}:
            self._changes[touched] = self._changes.get(touched, 0) + 1

    def _bare(self, document: Object) -> Object:
        if not self._typed and not self._named:
            for field in TYPE:
                document.pop(field, None)
        return document

    def _weigh(self, document: Object, sign: int = 1) -> None:
        if self._budget is not None:
            text = _json(document)
            size = sign * (DEEP if text is None else len(text))
            self._budget.take(size)
            self._size += size

    def _forget(self) -> None:
        if self._budget is not None:
            self._budget.used -= self._size
        self._size = 0
        self._spaces, self._listing, self._shared = {}, {}, {}
        self._sorted, self._made = {}, {}


def listed(kind: str, api_version: str) -> Callable[[list[Object], str], Object]:
    """The shape that a GET of the collection has."""
    head = {"kind": f"{kind}List", "apiVersion": api_version}
    return lambda objects, version: {**head, "metadata": {"resourceVersion": version}, "items": objects}


def plain(objects: list[Object], _: str) -> list[Object]:
    """The objects alone, as GlobalContextEntries give them."""
    return objects


def lean(answer: Any) -> Any:
    """The answer of a GET, an object or a list, without managed fields; in a list equal parts become one in memory."""
    known: dict[Any, Any] = {}
    for document in (answer, *(answer.get("items") or ())) if isinstance(answer, dict) else ():
        if _is_object(document):
            document["metadata"].pop("managedFields", None)
    if isinstance(answer, dict) and isinstance(answer.get("items"), list):
        answer["items"] = [share(item, known) if _is_object(item) else item for item in answer["items"]]
    return answer


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("metadata"), dict)


OWN = ("name", "uid", "resourceVersion")
"""Metadata that no two objects have in common."""


def share(document: Object, known: dict[Any, Any]) -> Object:
    """The document made anew, its parts and strings replaced by equal ones that are `known`.

    Thousands of RoleBindings name a few roles. What a page of a list leaves behind is then in one piece and can be given back.
    """
    shared = {field: _known(value, known) for field, value in document.items() if field != "metadata"}
    metadata = document["metadata"]
    shared["metadata"] = {field: value if field in OWN else _known(value, known) for field, value in metadata.items()}
    return shared


def _known(value: Any, known: dict[Any, Any]) -> Any:
    """Strings are keys of `known` themselves, lists and objects are found by their JSON."""
    if value.__class__ is str:
        return known.setdefault(value, value)
    if value.__class__ is not dict and value.__class__ is not list:
        return value
    text = _json(value)
    if text is None:
        return value
    found = known.get(text)
    if found is None:
        found = known[text] = _anew(value, known)
    return found


def _anew(value: Any, known: dict[Any, Any]) -> Any:
    if value.__class__ is str:
        return known.setdefault(value, value)
    if value.__class__ is dict:
        return {field: _anew(part, known) for field, part in value.items()}
    return [_anew(part, known) for part in value] if value.__class__ is list else value


def keep(document: Object, before: Object) -> None:
    """Replaces the parts of a changed document that are as they were `before` by those: to Python 1 and true are equal."""
    for new, old in ((document, before), (document["metadata"], before["metadata"])):
        for field, value in old.items():
            if field in new and (text := _json(value)) is not None and _json(new[field]) == text:
                new[field] = value


def _json(value: Any) -> bytes | None:
    """The JSON of a value; None for what is nested deeper than orjson writes (254), although it reads it."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        return None
