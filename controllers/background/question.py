"""The question that an UpdateRequest asks the engine: as it was asked, about the objects as they are stored now."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import NoReturn

from controllers.background.objects import Objects
from controllers.cluster import requests
from controllers.cluster.events import Reference
from controllers.cluster.namespaces import NO_LABELS, Namespaces
from controllers.cluster.update_requests import Item, UpdateRequest
from engine import Object, Request, Rule

PHANTOM = 5.0
"""Seconds in which an object that was admitted is stored, or never: somebody else has refused it."""
PENDING = 3.0
"""Seconds in which an admitted change is stored, or never."""
SOON = 0.15


class NotYet(Exception):
    """The API server has not stored yet what it asked us about; `seconds` until another look."""

    def __init__(self, seconds: float = SOON) -> None:
        super().__init__("not stored yet")
        self.seconds = seconds


class Refused(Exception):
    """What we were asked about was admitted and never stored: somebody else has refused it, or another object has the name."""


class Pointless(Exception):
    """There is nothing to do: trigger, rule or policy is gone."""


class Questions:
    """Reads what the question is about."""

    def __init__(self, objects: Objects, namespaces: Namespaces) -> None:
        self._objects = objects
        self._namespaces = namespaces

    async def asked(self, update: UpdateRequest, age: float) -> Request:
        """The question as it was asked, about the object as it is stored now."""
        asked = update.admission
        assert asked is not None
        document = dict(asked)
        if not asked.get("subResource") and update.operation != "CONNECT":
            stored = self._created(update) or await self._objects.find(update.about)
            leaving = stored is not None and stored["metadata"].get("deletionTimestamp") is not None
            if update.operation == "DELETE":
                if stored is not None and not leaving:
                    _wait(age, PENDING, f"{update.about.text} was not deleted")
            elif stored is None:
                await self._missing(update, age)
            elif leaving:
                raise Pointless(f"{update.about.text} is on its way out")
            elif age < PENDING and _unchanged(update, stored):
                raise NotYet
            if update.operation != "DELETE":
                document["object"] = stored
        labels = await self._namespace_labels(document.get("namespace") or "")
        asker = requests.Asker(update.roles, update.cluster_roles)
        discovery = self._objects.discovery
        request = requests.request_of(document, discovery, asker=asker, namespace_labels=labels, now=time.time_ns())
        return requests.as_it_is(request)

    def _created(self, update: UpdateRequest) -> Object | None:
        """A Namespace that was just made, from the watch. If it has changed since, another request says so."""
        about = update.about
        if update.operation != "CREATE" or (about.api_version, about.kind) != ("v1", "Namespace"):
            return None
        return self._namespaces.recent(about.name, about.uid)

    async def _missing(self, update: UpdateRequest, age: float) -> NoReturn:
        """The trigger is not there: deleted again, or never stored."""
        about = update.about
        if update.operation != "CREATE":
            raise Pointless(f"{about.text} is gone")
        if age < PHANTOM:
            raise NotYet
        if await self._objects.find(replace(about, uid="")) is not None:
            raise Refused(f"{about.text} is another object than the one that was admitted")
        raise Pointless(f"{about.text} is gone, or was never stored")

    async def as_stored(self, rule: Rule, item: Item) -> Request | None:
        """The question about a stored trigger; None where it is gone or the rule is for other operations."""
        operation = next((one for one in ("CREATE", "UPDATE") if one in rule.match.operations), "")
        if item.trigger is None or not operation:
            return None
        stored = await self._objects.find(item.trigger)
        if stored is None or stored["metadata"].get("deletionTimestamp") is not None:
            return None
        resource = self._objects.resource(item.trigger.api_version, item.trigger.kind)
        labels = await self._namespace_labels(item.trigger.namespace)
        return requests.of_stored(resource, stored, operation=operation, namespace_labels=labels, now=time.time_ns())

    async def stored_by_now(self, update: UpdateRequest, age: float) -> None:
        """Waits until the change that the request is about is stored; what nobody has stored by then was refused elsewhere."""
        if age < SOON:
            raise NotYet
        if not update.changes and update.operation == "UPDATE":
            return
        stored = await self._objects.find(update.about)
        if update.operation == "DELETE":
            if stored is not None and stored["metadata"].get("deletionTimestamp") is None:
                _wait(age, PENDING, f"{update.about.text} was not deleted")
        elif stored is None:
            _wait(age, PHANTOM if update.operation == "CREATE" else 0.0, f"{update.about.text} is gone, or was never stored")
        elif age < PENDING and _unchanged(update, stored):
            raise NotYet

    async def _namespace_labels(self, namespace: str) -> Mapping[str, str] | None:
        if not namespace:
            return None
        labels = self._namespaces.labels(namespace)
        if labels is None:
            found = await self._objects.find(Reference("v1", "Namespace", namespace))
            labels = (found or {}).get("metadata", {}).get("labels")
        return labels or NO_LABELS


def _wait(age: float, limit: float, reason: str) -> None:
    if age < limit:
        raise NotYet
    raise Pointless(reason)


def _unchanged(update: UpdateRequest, stored: Object) -> bool:
    return bool(update.changes) and _version(stored) == update.changes


def _version(document: Object | None) -> str:
    return str(((document or {}).get("metadata") or {}).get("resourceVersion") or "")
