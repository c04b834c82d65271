"""A condition on a policy that could not be carried out (issue: never silence); it goes with the next success or change."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from controllers.cluster.client import FAILURES, ApiError, Client
from controllers.cluster.lease import now_utc
from controllers.cluster.policies import Entry
from engine import Object

TYPE = "Background"
MAX_MESSAGE = 1024
ROUNDS = 4
logger = logging.getLogger("pyvern.conditions")
Entries = Mapping[tuple[str, str, str], Entry]


class Conditions:
    """Writes the condition `Background` of policies. `entries` are the stored policies."""

    def __init__(self, client: Client, entries: Entries) -> None:
        self._client = client
        self._entries = entries

    async def failed(self, policy: str, message: str) -> None:
        """The policy of that key could not be carried out, and nobody tries it any more."""
        await self._write(policy, message)

    async def succeeded(self, policy: str) -> None:
        """It could: an earlier condition is taken away."""
        entry = self._entry(policy)
        if entry is not None and any(c.get("type") == TYPE for c in (entry.document.get("status") or {}).get("conditions") or ()):
            await self._write(policy, "")

    def _entry(self, policy: str) -> Entry | None:
        namespace, _, name = policy.rpartition("/")
        return self._entries.get(("Policy" if namespace else "ClusterPolicy", namespace, name))

    async def _write(self, policy: str, message: str) -> None:
        entry = self._entry(policy)
        if entry is None:
            return
        for _ in range(ROUNDS):
            try:
                document = await self._client.get(entry.path)
                await self._client.replace(f"{entry.path}/status", with_condition(document, message))
            except ApiError as error:
                if not error.conflict:
                    logger.warning("policy %s: its status cannot be written: %s", policy, error)
                    return
            except FAILURES as error:
                logger.warning("policy %s: its status cannot be written: %s", policy, error)
                return
            else:
                return


def with_condition(document: Object, message: str) -> Object:
    """The policy with the condition, or without it when `message` is empty. Pure but for the time in it."""
    status = document.get("status") or {}
    conditions = [condition for condition in status.get("conditions") or () if condition.get("type") != TYPE]
    if message:
        conditions.append(
            {
                "type": TYPE,
                "status": "False",
                "reason": "GivenUp",
                "message": message[:MAX_MESSAGE],
                "observedGeneration": document["metadata"]["generation"],
                "lastTransitionTime": now_utc().strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
        )
    return {**document, "status": {**status, "conditions": conditions}}
