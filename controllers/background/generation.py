"""Downstreams brought to what a generate rule wants: gather what is there, let `downstream.plan` decide, write."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from controllers.background.objects import Objects, reference
from controllers.cluster import downstream
from controllers.cluster.client import ApiError
from controllers.cluster.discovery import Resource
from controllers.cluster.downstream import Leftovers, Step
from controllers.cluster.events import Reference
from controllers.cluster.facts import Learns
from controllers.cluster.generating import POLICY_NAME, POLICY_NAMESPACE, RULE_NAME, SOURCE_UID, TRIGGER_UID, downstreams
from engine import Facts, Lookup, Object, Rule

ROUNDS = 6
"""Times that a write is planned anew because somebody else was faster."""
Marked = Literal["before", "now", "changed"]
"""When clone sources got their label; `changed`: one is another than was read, and what was made of it is old."""
logger = logging.getLogger("pyvern.generate")


@dataclass(frozen=True, slots=True)
class Made:
    """One write that was done."""

    action: str
    object: Reference


class OutOfReach(Exception):
    """A target outside the namespace of its namespaced policy."""


class Learning:
    """Answers lookups and remembers the objects among the answers: the sources of clones."""

    def __init__(self, world: Learns) -> None:
        self._world = world
        self.sources: dict[str, Object] = {}

    def facts(self) -> Facts:
        return self._world.facts()

    async def learn(self, facts: Facts, lookups: Iterable[Lookup]) -> Facts:
        asked = tuple(lookups)
        facts = await self._world.learn(facts, asked)
        for lookup in asked:
            if lookup.source == "resource":
                answer = facts.answers[lookup]
                for document in answer if isinstance(answer, list) else (answer,):
                    if isinstance(document, dict):
                        self.sources[document["metadata"]["uid"]] = document
        return facts


class Downstreams:
    """Writes downstreams of generate rules."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    async def existing(self, rule: Rule, *, trigger: str = "", source: str = "") -> list[Object]:
        """What a rule has made, of one trigger or one source (uids) or of all. Nothing of kinds that are not served."""
        found: list[Object] = []
        for resource in downstreams(rule, self._objects.discovery):
            found += await self.labelled(
                resource, policy=rule.policy.name, namespace=rule.policy.namespace, rule=rule.name, trigger=trigger, source=source
            )
        return found

    async def labelled(
        self, resource: Resource, *, policy: str, namespace: str, rule: str, trigger: str = "", source: str = ""
    ) -> list[Object]:
        """Stored objects with the labels of a rule of a policy."""
        wanted = {POLICY_NAME: policy, POLICY_NAMESPACE: namespace, RULE_NAME: rule}
        wanted.update({key: value for key, value in ((TRIGGER_UID, trigger), (SOURCE_UID, source)) if value})
        labels = ",".join(f"{key}={value}" for key, value in wanted.items())
        return [document async for document in self._objects.list(resource, namespace, labels=labels)]

    async def bring(
        self,
        rule: Rule,
        wanted: Sequence[Object],
        existing: Sequence[Object],
        *,
        synchronize: bool,
        leftovers: Leftovers = "keep",
        force: bool = False,
        server_side: bool = False,
    ) -> list[Made]:
        """Writes what differs. Raises the API's errors, `Unserved` and `OutOfReach` after everything else was tried."""
        for document in wanted:
            namespace = document["metadata"].get("namespace") or ""
            if rule.policy.namespace and namespace != rule.policy.namespace:
                raise OutOfReach(f"policy {rule.policy.key} may not generate in namespace `{namespace}`")
        made: list[Made] = []
        failed: Exception | None = None
        for step in downstream.plan(wanted, existing, synchronize=synchronize, leftovers=leftovers, force=force):
            try:
                done = await self._write(step, synchronize=synchronize, force=force, server_side=server_side)
            except ApiError as error:
                failed = failed or error
            else:
                made += done
        if failed is not None:
            raise failed
        return made

    async def write(self, steps: Iterable[Step]) -> list[Made]:
        """Carries out steps that were planned elsewhere."""
        return [made for step in steps for made in await self._write(step, synchronize=True, force=False, server_side=False)]

    async def mark(self, sources: Iterable[Object]) -> Marked:
        """Labels clone sources, so that their changes are noticed.

        Without the right to label them their changes are just not noticed.
        """
        unmarked = [(source, marked) for source in sources if (marked := downstream.as_source(source)) is not None]
        for source, marked in unmarked:
            try:
                await self._objects.replace(self._objects.resource(source["apiVersion"], source["kind"]), marked)
            except ApiError as error:
                if error.conflict or error.not_found:
                    return "changed"
                if error.status not in (403, 422):
                    raise
                logger.warning("changes of clone source %s will not be noticed: %s", reference(source).text, error)
        return "now" if unmarked else "before"

    async def _write(self, step: Step, *, synchronize: bool, force: bool, server_side: bool) -> list[Made]:
        document = step.object
        resource = self._objects.resource(document["apiVersion"], document["kind"])
        for _ in range(ROUNDS):
            try:
                if step.action == "delete":
                    await self._objects.delete(resource, step.object)
                elif server_side and step.action in ("create", "update"):
                    await self._objects.apply(resource, downstream.restored(document))
                elif step.action == "create":
                    await self._objects.create(resource, step.object)
                else:
                    await self._replace(resource, step, document)
            except ApiError as error:
                if error.status in (403, 404) and step.action == "create" and await self._leaving(resource, document):
                    return []
                if error.not_found and step.action != "create":
                    if step.action == "unlabel":
                        return []
                    step = Step("create", downstream.restored(document))
                    continue
                if not error.conflict:
                    raise
                again = await self._plan_again(resource, step, document, synchronize=synchronize, force=force)
                if again is None:
                    return []
                step = again
            else:
                return [Made(step.action, reference(step.object))]
        raise ApiError(409, "Conflict", f"{reference(document).text}: somebody else is always faster")

    async def _replace(self, resource: Resource, step: Step, wanted: Object) -> None:
        try:
            await self._objects.replace(resource, step.object)
        except ApiError as error:
            if error.status != 422 or step.action != "update":
                raise
            held = await self._objects.get(resource, wanted["metadata"].get("namespace") or "", wanted["metadata"]["name"])
            if held is None:
                raise
            await self._objects.replace(resource, downstream.overlaid(held, downstream.restored(wanted)))

    async def _plan_again(self, resource: Resource, step: Step, wanted: Object, *, synchronize: bool, force: bool) -> Step | None:
        metadata = wanted["metadata"]
        held = await self._objects.get(resource, metadata.get("namespace") or "", metadata["name"])
        if held is None:
            return None if step.action == "unlabel" else Step("create", downstream.restored(wanted))
        if step.action == "unlabel":
            return Step("unlabel", downstream.unlabelled(held))
        target = downstream.restored(wanted)
        return next(iter(downstream.plan([target], [held], synchronize=synchronize, force=force)), None)

    async def _leaving(self, resource: Resource, document: Object) -> bool:
        namespace = document["metadata"].get("namespace") or ""
        return bool(resource.namespaced and namespace and await self._objects.terminating(namespace))
