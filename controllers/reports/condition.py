"""Kinds that cannot be scanned: a log line when one fails or works again, and the condition `KindsScanned` of our Deployment.

`kubectl wait --for=condition=KindsScanned deployment/kyverno-reports-controller -n kyverno` waits for it; `kubectl describe`
shows it with the names of the kinds that fail and why. It stands there because it is about this controller: a kind that cannot
be read concerns all policies that match it.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterable, Mapping

from controllers.cluster.client import FAILURES, Client
from controllers.cluster.lease import now_utc
from controllers.reports.inventory import Collection
from controllers.reports.reach import Key

TYPE = "KindsScanned"
STRATEGIC = "application/strategic-merge-patch+json"
MOST = 20
"""Kinds that the condition's message names."""
logger = logging.getLogger("pyvern.inventory")


class Condition:
    """Says which kinds fail. `wanted` becomes the condition when this replica leads (`write`)."""

    def __init__(self, client: Client, *, namespace: str, deployment: str) -> None:
        self._client = client
        self._path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{deployment}/status"
        self._failing: dict[Key, str] = {}
        self._written: tuple[str, str] | None = None
        self._listing = True

    def look(self, collections: Iterable[Collection]) -> Mapping[Key, str]:
        """Logs what changed since the last look; returns the resources that fail now, and why."""
        failing = {}
        names = set()
        self._listing = False
        for collection in collections:
            key = (collection.resource.group, collection.resource.plural)
            names.add(key)
            if collection.error:
                failing[key] = collection.error
            elif not collection.listed.is_set():
                self._listing = True
            if failing.get(key) != self._failing.get(key):
                if collection.error:
                    logger.warning("%s cannot be scanned: %s; other kinds are", _named(key), collection.error)
                else:
                    logger.info("%s can be scanned again", _named(key))
        for key in self._failing.keys() - names:
            logger.info("%s need not be scanned any more", _named(key))
        self._failing = failing
        return failing

    async def write(self) -> None:
        """Brings the condition up to date; without the right to, or without the Deployment, the log has it all the same."""
        wanted = self._wanted()
        if wanted == self._written or (self._listing and not self._failing):  # not all kinds have been looked at yet
            return
        reason, message = wanted
        now = _stamp(now_utc())
        condition = {
            "type": TYPE,
            "status": "False" if self._failing else "True",
            "reason": reason,
            "message": message,
            "lastUpdateTime": now,
            "lastTransitionTime": now,
        }
        patch = {"status": {"conditions": [condition]}}
        try:
            await self._client.call("PATCH", self._path, body=patch, content_type=STRATEGIC)
        except FAILURES as error:
            logger.debug("condition %s: %s", TYPE, error)
            return
        self._written = wanted

    def forget(self) -> None:
        """Another replica may have written meanwhile."""
        self._written = None

    def _wanted(self) -> tuple[str, str]:
        if not self._failing:
            return "AllFollowed", "all kinds that policies match are scanned"
        named = [f"{_named(key)}: {error}" for key, error in sorted(self._failing.items())]
        more = f" and {len(named) - MOST} more" if len(named) > MOST else ""
        return "KindsFailing", f"not scanned: {', '.join(named[:MOST])}{more}"


def _named(key: Key) -> str:
    group, plural = key
    return f"{plural}.{group}" if group else plural


def _stamp(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
