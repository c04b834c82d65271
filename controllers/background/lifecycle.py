"""The life cycle of downstreams (spec 9.6): what a rule has to make, change or take away because of what happened."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from controllers.background.answers import Answers
from controllers.background.carried import FAILING, Carried, Work
from controllers.background.generation import Downstreams, Learning, Made
from controllers.background.objects import Objects, Unserved, reference
from controllers.background.question import Pointless, Questions
from controllers.background.triggers import Triggers
from controllers.cluster import downstream
from controllers.cluster.downstream import Leftovers
from controllers.cluster.events import Reference
from controllers.cluster.facts import Learns, settle
from controllers.cluster.generating import TRIGGER_UID, server_side, synchronizes, trigger_of
from controllers.cluster.update_requests import Cause, Item, UpdateRequest
from engine import Effect, EvaluationError, Facts, Object, Policy, PolicySet, Request, Response, Result, Rule, Status, respond

ROUNDS = 4
"""Times that a rule is asked again because a clone source has changed meanwhile."""
SIDE_BY_SIDE = 8
"""Triggers of one UpdateRequest that are worked on at the same time."""
GENERATING = frozenset({Effect.GENERATE})
LEFTOVERS: Mapping[Cause, Leftovers] = {"removed": "delete", "orphaned": "unlabel"}


class LifeCycle:
    """Carries generate rules out."""

    def __init__(self, objects: Objects, world: Learns, questions: Questions, triggers: Triggers) -> None:
        self._objects = objects
        self._triggers = triggers
        self._answers = Answers(world)
        self._epoch = 0
        self._questions = questions
        self._downstreams = Downstreams(objects)

    async def trigger(self, work: Work) -> list[Carried]:
        """A trigger came, changed or went."""
        update, policies, policy, items, age = work
        if update.admission is None and update.operation == "DELETE":
            return [await self._lost(policy, rule, item) for rule, item in items]
        if update.admission is None:
            return [one for item in items for one in await self._of_existing(policies, policy, [item], force=False)]
        request = await self._questions.asked(update, age)
        rendered = [rule for rule, item in items if not item.delete]
        fresh = request.operation == "CREATE"
        for _ in range(ROUNDS):
            epoch = self._epoch
            results = await self._results(policies, policy, rendered, request, known=time.monotonic() - age)
            carried = []
            for rule, item in items:
                one = Carried(policy, rule, request, item.trigger)
                carried.append(one)
                await self._bring(one, None if item.delete else results.get(rule.name), fresh=fresh)
            if epoch == self._epoch:
                break  # else a source has changed, and whoever follows its change may not have seen these copies
            fresh = False
        return carried

    async def existing(self, work: Work) -> list[Carried]:
        """A rule is new or has changed for triggers that are there."""
        return await self._of_existing(work.policies, work.policy, work.items, force=True)

    async def _of_existing(
        self, policies: PolicySet, policy: Policy, items: Sequence[tuple[Rule, Item]], *, force: bool
    ) -> list[Carried]:
        known = time.monotonic()
        held: dict[str, dict[str, list[Object]]] = {}
        for rule, item in items:
            if rule.name not in held and synchronizes(rule):
                trigger = item.trigger.uid if len(items) == 1 and item.trigger else ""
                held[rule.name] = _by_trigger(await self._downstreams.existing(rule, trigger=trigger))
        room = asyncio.Semaphore(SIDE_BY_SIDE)

        async def bring(rule: Rule, item: Item) -> Carried | None:
            async with room:
                request = await self._questions.as_stored(rule, item)
                if request is None:
                    return None
                one = Carried(policy, rule, request, item.trigger)
                try:
                    results = await self._results(policies, policy, [rule], request, known=known)
                except FAILING as error:
                    one.failures.append(error)
                    return one
                existing = held.get(rule.name, {}).get(request.subject["metadata"]["uid"], ())
                await self._bring(one, results.get(rule.name), existing=existing, force=force)
                return one

        return [one for one in await asyncio.gather(*(bring(rule, item) for rule, item in items)) if one is not None]

    async def _lost(self, policy: Policy, rule: Rule, item: Item) -> Carried:
        """The trigger has gone unheard: what was made for it goes too."""
        one = Carried(policy, rule, None, item.trigger)
        try:
            if item.delete and item.trigger is not None and item.trigger.uid and synchronizes(rule):
                made = await self._downstreams.existing(rule, trigger=item.trigger.uid)
                one.made += await self._downstreams.bring(rule, [], made, synchronize=True, leftovers="delete")
        except FAILING as error:
            one.failures.append(error)
        return one

    async def downstream(self, work: Work) -> list[Carried]:
        """Somebody changed or deleted what a rule had made."""
        update, policies, policy, items, age = work
        await self._questions.stored_by_now(update, age)
        carried = []
        for rule, item in items:
            trigger = await self._objects.find(item.trigger) if item.trigger and item.trigger.uid else None
            if trigger is not None and not item.restore:
                named = replace(item, trigger=reference(trigger))
                carried += await self._of_existing(policies, policy, [(rule, named)], force=False)
                continue
            one = Carried(policy, rule, None, item.trigger)
            carried.append(one)
            try:
                if trigger is None and not rule.on_delete:
                    one.made += await self._end(update.about, rule)
                elif update.admission and update.admission.get("oldObject"):
                    wanted = downstream.restored(update.admission["oldObject"])
                    one.made += await self._downstreams.bring(rule, [wanted], [], synchronize=True)
            except FAILING as error:
                one.failures.append(error)
        return carried

    async def source(self, work: Work) -> list[Carried]:
        """A clone source was changed or deleted."""
        update, policies, policy, items, age = work
        await self._questions.stored_by_now(update, age)
        self._answers.forget()
        self._epoch += 1
        gone = update.operation == "DELETE"
        carried = []
        for rule, _ in items:
            one = Carried(policy, rule)
            try:
                copies = await self._downstreams.existing(rule, source=update.about.uid)
                if gone:
                    one.made += await self._downstreams.bring(rule, [], copies, synchronize=True, leftovers="delete")
                else:
                    triggers = await self._triggers_of_source(policy, rule, copies)
                    again = [(rule, Item(rule.name, trigger)) for trigger in triggers]
                    carried += await self._of_existing(policies, policy, again, force=False)
            except FAILING as error:
                one.failures.append(error)
            carried.append(one)
        return carried

    async def _triggers_of_source(self, policy: Policy, rule: Rule, copies: Sequence[Object]) -> Sequence[Reference]:
        """The triggers that have a copy of it; those of the rule when it is new and has none."""
        if not copies:
            return [trigger async for trigger in self._triggers.concerned(policy, rule)]
        return await self._objects.named(trigger for trigger in dict.fromkeys(map(trigger_of, copies)) if trigger.uid)

    async def _bring(
        self,
        one: Carried,
        result: Result | None,
        *,
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
            one.skipped = result
            return
        wanted = result.generated if result is not None and result.status is Status.PASS else ()
        if not wanted and not synchronize:
            return
        try:
            if existing is None:
                uid = (request.subject.get("metadata") or {}).get("uid") or ""
                known = synchronize and uid and not fresh
                existing = await self._downstreams.existing(rule, trigger=uid) if known else ()
            one.made += await self._downstreams.bring(
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

    async def _end(self, about: Reference, rule: Rule) -> list[Made]:
        """A downstream whose trigger is gone goes too."""
        found = await self._objects.find(about)
        if found is None or (found["metadata"].get("labels") or {}).get(TRIGGER_UID) is None:
            return []
        return await self._downstreams.bring(rule, [], [found], synchronize=True, leftovers="delete")

    async def removed(self, update: UpdateRequest) -> None:
        try:
            resource = self._objects.resource(update.about.api_version, update.about.kind)
        except Unserved as error:
            raise Pointless(str(error)) from error
        namespace, _, name = update.policy.rpartition("/")
        for item in update.items:
            found = await self._downstreams.labelled(resource, policy=name, namespace=namespace, rule=item.rule)
            await self._downstreams.write(downstream.plan([], found, synchronize=True, leftovers=LEFTOVERS[update.cause]))

    async def _results(
        self, policies: PolicySet, policy: Policy, rules: Sequence[Rule], request: Request, *, known: float
    ) -> dict[str, Result]:
        """What the rules want, for a request that is `known` since then (monotonic seconds).

        The sources of synchronized copies are marked, so that no later change of them goes unheard."""
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

        for _ in range(ROUNDS):
            learning = Learning(self._answers.since(known))
            responses = await settle(ask, learning)
            results = {result.rule.name: result for response in responses for result in response.results}
            if not any(synchronizes(rule) for rule in rules):
                break
            marked = await self._downstreams.mark(learning.sources.values())
            if marked != "before":
                self._answers.forget()
            if marked != "changed":
                break
        return results


def _by_trigger(documents: Iterable[Object]) -> dict[str, list[Object]]:
    """Downstreams by the uid of their trigger."""
    found: dict[str, list[Object]] = {}
    for document in documents:
        found.setdefault(trigger_of(document).uid, []).append(document)
    return found
