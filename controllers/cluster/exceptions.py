"""The exceptions in force: PolicyExceptions of one namespace or of all, compiled (spec 2.12)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any

from controllers.cluster.client import Client
from controllers.cluster.watch import Event, Listed, Target, follow
from engine import InvalidPolicy, PolicyException, compile_exception

Object = dict[str, Any]
Key = tuple[str, str]
EVERYWHERE = "*"
logger = logging.getLogger("pyvern.exceptions")


class Exceptions:
    """Follows the PolicyExceptions that count. `changed` is called with all of them after every change.

    `namespace` is the setting of that name: `*` for all, empty for none. One that does not compile exempts nothing.
    """

    def __init__(self, namespace: str, changed: Callable[[tuple[PolicyException, ...]], None]) -> None:
        self._namespace = namespace
        self._changed = changed
        self._compiled: dict[Key, PolicyException] = {}
        self.synced = asyncio.Event()
        if not namespace:
            self.synced.set()

    async def run(self, client: Client) -> None:
        """Watches until cancelled; without a namespace there is nothing to watch."""
        if not self._namespace:
            return
        within = "" if self._namespace == EVERYWHERE else f"/namespaces/{self._namespace}"
        await follow(client, Target(f"/apis/kyverno.io/v2{within}/policyexceptions"), self.handle)

    def handle(self, event: Event) -> None:
        """Takes a list or a change of the collection."""
        if isinstance(event, Listed):
            self._compiled = {}
            self._put(event.objects)
            self.synced.set()
        elif event.type == "DELETED":
            self._compiled.pop(_key(event.object), None)
        else:
            self._put([event.object])
        self._changed(tuple(self._compiled.values()))

    def _put(self, documents: Iterable[Object]) -> None:
        for document in documents:
            key = _key(document)
            try:
                self._compiled[key] = compile_exception(document)
            except InvalidPolicy as error:
                self._compiled.pop(key, None)
                logger.warning("exception %s does not compile and exempts nothing: %s", "/".join(key), error)


def _key(document: Object) -> Key:
    metadata = document["metadata"]
    return metadata.get("namespace") or "", metadata["name"]
