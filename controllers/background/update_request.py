"""One UpdateRequest carried out: gather trigger, rule and what is there; let the engine decide; write (design.md 4)."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NoReturn

from controllers.background import downstream
from controllers.background.downstream import Leftovers
from controllers.background.generation import Downstreams, Learning, Made, OutOfReach
from controllers.background.objects import Objects, Unserved
from controllers.background.targets import Target, Targets
from controllers.cluster import requests
from controllers.cluster.client import ApiError, Unreachable
from controllers.cluster.events import Reference
from controllers.cluster.facts import Learns, settle
from controllers.cluster.generating import PREFIX, TRIGGER_UID, server_side, synchronizes
from controllers.cluster.namespaces import NO_LABELS, Namespaces
from controllers.cluster.update_requests import Cause, Item, Type, UpdateRequest
from engine import (
    Effect,
    EngineError,
    EvaluationError,
    Facts,
    Object,
    Policy,
    PolicySet,
    Request,
    Response,
    Result,
    Rule,
    Status,
    respond,
)

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


@dataclass(slots=True)
class Carried:
    """What was done for one rule. `failures` are what could not be done."""

    policy: Policy
    rule: Rule
    request: Request | None = None
    trigger: Reference | None = None
    made: list[Made] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)


class Carrier:
    """Carries UpdateRequests out. `policies` is the snapshot at that moment."""

    def __init__(
        self,
        *,
        policies: Callable[[], PolicySet],
        objects: Objects,
        world: Learns,
        namespaces: Namespaces,
    ) -> None:
        self._policies = policies
        self._objects = objects
        self._world = world
        self._namespaces = namespaces
        self.downstreams = Downstreams(objects)
        self._targets = Targets(objects, world)

    async def carry_out(self, update: UpdateRequest, *, age: float) -> list[Carried]:
        """Does what the request wants; `age`: seconds for which it is known.

        Raises `NotYet`, `Pointless` and the errors that concern the whole request; those of single rules are in the answer.
        """
        if update.cause in WITHOUT_POLICY:
            await WITHOUT_POLICY[update.cause](self, update)
            return []
        policies = self._policies()
        namespace, _, name = update.policy.rpartition("/")
        policy = policies.get(("Policy" if namespace else "ClusterPolicy", namespace, name))
        if policy is None:
            raise Pointless(f"policy {update.policy} is gone")
        wanted = {rule.name: rule for rule in policy.rules if rule.effect is EFFECTS[update.type]}
        items = [(wanted[item.rule], item) for item in update.items if item.rule in wanted]
        if not items:
            raise Pointless(f"policy {update.policy} has no rule {', '.join(item.rule for item in update.items)} any more")
        return await HANDLERS[update.type, update.cause](self, update, policies, policy, items, age)

    # Mutate

    async def _mutate(
        self,
        update: UpdateRequest,
        policies: PolicySet,
        policy: Policy,
        items: Sequence[tuple[Rule, Item]],
        age: float,
    ) -> list[Carried]:
        carried: list[Carried] = []
        for rule, item in items:
            request = await self._asked(update, age) if update.admission else await self._as_stored(rule, item)
            if request is None:
                continue
            one = Carried(policy, rule, request, item.trigger)
            carried.append(one)
            try:
                one.targets = await self._targets.change(policies, rule, request, done=update.stored.done)
            except FAILING as error:
                one.failures.append(error)
            one.failures += [
                target.failure or EvaluationError(target.outcome.message)
                for target in one.targets
                if target.failure or target.outcome.status in (Status.ERROR, Status.FAIL)
            ]
        return carried

    # Generate

    async def _generate(
        self,
        update: UpdateRequest,
        policies: PolicySet,
        policy: Policy,
        items: Sequence[tuple[Rule, Item]],
        age: float,
    ) -> list[Carried]:
        """A trigger came, changed or went."""
        if update.admission is None:
            return [one for item in items for one in await self._of_existing(policies, policy, [item], force=False)]
        request = await self._asked(update, age)
        learning = Learning(self._world)
        results = await self._results(policies, policy, [rule for rule, item in items if not item.delete], request, learning)
        carried = []
        for rule, item in items:
            one = Carried(policy, rule, request, item.trigger)
            carried.append(one)
            fresh = request.operation == "CREATE"
            await self._bring(one, None if item.delete else results.get(rule.name), delete=item.delete, fresh=fresh)
        await self._mark(carried, learning)
        return carried

    async def _existing(
        self,
        update: UpdateRequest,
        policies: PolicySet,
        policy: Policy,
        items: Sequence[tuple[Rule, Item]],
        age: float,
    ) -> list[Carried]:
        """A rule is new or has changed for triggers that are there."""
        return await self._of_existing(policies, policy, items, force=True)

    async def _of_existing(
        self, policies: PolicySet, policy: Policy, items: Sequence[tuple[Rule, Item]], *, force: bool
    ) -> list[Carried]:
        carried = []
        learning = Learning(self._world)
        held: dict[str, list[Object]] = {}
        for rule, item in items:
            request = await self._as_stored(rule, item)
            if request is None:
                continue
            one = Carried(policy, rule, request, item.trigger)
            carried.append(one)
            try:
                if rule.name not in held and synchronizes(rule):
                    trigger = item.trigger.uid if len(items) == 1 and item.trigger else ""
                    held[rule.name] = await self.downstreams.existing(rule, trigger=trigger)
                results = await self._results(policies, policy, [rule], request, learning)
            except FAILING as error:
                one.failures.append(error)
                continue
            uid = request.subject["metadata"]["uid"]
            existing = [d for d in held.get(rule.name, ()) if d["metadata"]["labels"].get(TRIGGER_UID) == uid]
            await self._bring(one, results.get(rule.name), existing=existing, force=force)
        await self._mark(carried, learning)
        return carried

    async def _of_downstream(
        self,
        update: UpdateRequest,
        policies: PolicySet,
        policy: Policy,
        items: Sequence[tuple[Rule, Item]],
        age: float,
    ) -> list[Carried]:
        """Somebody changed or deleted what a rule had made."""
        await self._stored_by_now(update, age)
        carried = []
        for rule, item in items:
            trigger = await self._objects.find(item.trigger) if item.trigger and item.trigger.uid else None
            if trigger is not None and not item.restore:
                carried += await self._of_existing(policies, policy, [(rule, item)], force=False)
                continue
            one = Carried(policy, rule, None, item.trigger)
            carried.append(one)
            try:
                if trigger is None and not rule.on_delete:
                    one.made += await self._end(update.about, rule)
                elif update.admission and update.admission.get("oldObject"):
                    wanted = downstream.restored(update.admission["oldObject"])
                    one.made += await self.downstreams.bring(rule, [wanted], [], synchronize=True)
            except FAILING as error:
                one.failures.append(error)
        return carried

    async def _of_source(
        self,
        update: UpdateRequest,
        policies: PolicySet,
        policy: Policy,
        items: Sequence[tuple[Rule, Item]],
        age: float,
    ) -> list[Carried]:
        """A clone source was changed or deleted."""
        await self._stored_by_now(update, age)
        gone = update.operation == "DELETE"
        carried = []
        for rule, _ in items:
            one = Carried(policy, rule)
            try:
                copies = await self.downstreams.existing(rule, source=update.about.uid)
                if gone:
                    one.made += await self.downstreams.bring(rule, [], copies, synchronize=True, leftovers="delete")
                else:
                    triggers = {_trigger_of(copy).uid: _trigger_of(copy) for copy in copies}
                    again = [(rule, Item(rule.name, trigger)) for trigger in triggers.values() if trigger.uid]
                    carried += await self._of_existing(policies, policy, again, force=False)
            except FAILING as error:
                one.failures.append(error)
            carried.append(one)
        return carried

    async def _bring(
        self,
        one: Carried,
        result: Result | None,
        *,
        delete: bool = False,
        fresh: bool = False,
        existing: Sequence[Object] | None = None,
        force: bool = False,
    ) -> None:
        """Makes the downstreams of one trigger what the rule's result wants. `fresh`: the trigger is too new to have any."""
        rule, request = one.rule, one.request
        assert request is not None
        synchronize = synchronizes(rule)
        if result is not None and result.status in (Status.ERROR, Status.FAIL):
            one.failures.append(EvaluationError(result.message))
            return
        if result is not None and result.exceptions:
            return
        wanted = result.generated if result is not None and result.status is Status.PASS else ()
        if not wanted and not synchronize:
            return
        try:
            if existing is None:
                uid = (request.subject.get("metadata") or {}).get("uid") or ""
                known = synchronize and uid and not fresh
                existing = await self.downstreams.existing(rule, trigger=uid) if known else ()
            one.made += await self.downstreams.bring(
                rule,
                wanted,
                existing,
                synchronize=synchronize,
                leftovers="keep" if not synchronize else "unlabel" if force and wanted else "delete",
                force=force,
                server_side=server_side(one.policy),
            )
        except FAILING as error:
            one.failures.append(error)

    async def _mark(self, carried: Sequence[Carried], learning: Learning) -> None:
        """Sources of synchronized copies get their label."""
        if any(synchronizes(one.rule) for one in carried):
            await self.downstreams.mark(learning.sources.values())

    async def _end(self, about: Reference, rule: Rule) -> list[Made]:
        """A downstream whose trigger is gone goes too."""
        found = await self._objects.find(about)
        if found is None or (found["metadata"].get("labels") or {}).get(TRIGGER_UID) is None:
            return []
        return await self.downstreams.bring(rule, [], [found], synchronize=True, leftovers="delete")

    # Rules that are gone

    async def _removed(self, update: UpdateRequest) -> None:
        try:
            resource = self._objects.resource(update.about.api_version, update.about.kind)
        except Unserved as error:
            raise Pointless(str(error)) from error
        namespace, _, name = update.policy.rpartition("/")
        for item in update.items:
            found = await self.downstreams.labelled(resource, policy=name, namespace=namespace, rule=item.rule)
            await self.downstreams.write(downstream.plan([], found, synchronize=True, leftovers=LEFTOVERS[update.cause]))

    # Requests

    async def _asked(self, update: UpdateRequest, age: float) -> Request:
        """The question as it was asked, about the object as it is stored now."""
        asked = update.admission
        assert asked is not None
        document = dict(asked)
        if not asked.get("subResource") and update.operation != "CONNECT":
            stored = await self._objects.find(update.about)
            leaving = stored is not None and stored["metadata"].get("deletionTimestamp") is not None
            if update.operation == "DELETE":
                if stored is not None and not leaving:
                    _wait(age, PENDING, f"{update.about.text} was not deleted")
            elif stored is None:
                await self._missing(update, age)
            elif leaving:
                raise Pointless(f"{update.about.text} is on its way out")
            elif update.changes and age < PENDING and _version(stored) == _version(asked.get("oldObject")):
                raise NotYet
            if update.operation != "DELETE":
                document["object"] = stored
        labels = await self._labels(document.get("namespace") or "")
        asker = requests.Asker(update.roles, update.cluster_roles)
        discovery = self._objects.discovery
        request = requests.request_of(document, discovery, asker=asker, namespace_labels=labels, now=time.time_ns())
        return requests.as_it_is(request)

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

    async def _as_stored(self, rule: Rule, item: Item) -> Request | None:
        """The question about a stored trigger; None where it is gone or the rule is for other operations."""
        operation = next((one for one in ("CREATE", "UPDATE") if one in rule.match.operations), "")
        if item.trigger is None or not operation:
            return None
        stored = await self._objects.find(item.trigger)
        if stored is None or stored["metadata"].get("deletionTimestamp") is not None:
            return None
        resource = self._objects.resource(item.trigger.api_version, item.trigger.kind)
        labels = await self._labels(item.trigger.namespace)
        return requests.of_stored(resource, stored, operation=operation, namespace_labels=labels, now=time.time_ns())

    async def _stored_by_now(self, update: UpdateRequest, age: float) -> None:
        """Waits until the change that the request is about is stored."""
        if age < SOON:
            raise NotYet
        if update.operation == "DELETE":
            stored = await self._objects.find(update.about)
            if stored is not None and stored["metadata"].get("deletionTimestamp") is None:
                _wait(age, PENDING, f"{update.about.text} was not deleted")

    async def _labels(self, namespace: str) -> Mapping[str, str] | None:
        if not namespace:
            return None
        labels = self._namespaces.labels(namespace)
        if labels is None:
            found = await self._objects.find(Reference("v1", "Namespace", namespace))
            labels = (found or {}).get("metadata", {}).get("labels")
        return labels or NO_LABELS

    async def _results(
        self, policies: PolicySet, policy: Policy, rules: Sequence[Rule], request: Request, learning: Learning
    ) -> dict[str, Result]:
        if not rules:
            return {}
        names = {rule.name for rule in rules}

        def ask(facts: Facts) -> tuple[Response, ...]:
            return respond(
                policies,
                request,
                facts,
                effects=GENERATING,
                among=lambda one: one is policy,
                skip=lambda rule: rule.name not in names,
            )

        responses = await settle(partial(ask), learning)
        return {result.rule.name: result for response in responses for result in response.results}


def _wait(age: float, limit: float, reason: str) -> None:
    if age < limit:
        raise NotYet
    raise Pointless(reason)


def _version(document: Object | None) -> str:
    return str(((document or {}).get("metadata") or {}).get("resourceVersion") or "")


def _trigger_of(document: Object) -> Reference:
    """The trigger that the labels of a downstream name."""
    labels = document["metadata"].get("labels") or {}
    group, version = labels.get(f"{PREFIX}trigger-group") or "", labels.get(f"{PREFIX}trigger-version") or ""
    return Reference(
        f"{group}/{version}" if group else version,
        labels.get(f"{PREFIX}trigger-kind") or "",
        "",
        labels.get(f"{PREFIX}trigger-namespace") or "",
        labels.get(TRIGGER_UID) or "",
    )


FAILING = (EngineError, ApiError, Unreachable, Unserved, OutOfReach)
"""What keeps one rule from being carried out and leaves the others alone."""
GENERATING = frozenset({Effect.GENERATE})
EFFECTS: Mapping[Type, Effect] = {"generate": Effect.GENERATE, "mutate": Effect.MUTATE_EXISTING}
LEFTOVERS: Mapping[Cause, Leftovers] = {"removed": "delete", "orphaned": "unlabel"}
WITHOUT_POLICY: Mapping[Cause, Callable[[Carrier, UpdateRequest], Awaitable[None]]] = {
    "removed": Carrier._removed,
    "orphaned": Carrier._removed,
}
Handler = Callable[[Carrier, UpdateRequest, PolicySet, Policy, Sequence[tuple[Rule, Item]], float], Awaitable[list[Carried]]]
HANDLERS: Mapping[tuple[Type, Cause], Handler] = {
    ("mutate", "trigger"): Carrier._mutate,
    ("mutate", "existing"): Carrier._mutate,
    ("generate", "trigger"): Carrier._generate,
    ("generate", "existing"): Carrier._existing,
    ("generate", "downstream"): Carrier._of_downstream,
    ("generate", "source"): Carrier._of_source,
}
