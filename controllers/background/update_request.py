"""One UpdateRequest carried out: gather trigger, rule and what is there; let the engine decide; write (design.md 4)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from controllers.background.carried import FAILING, Carried, Work
from controllers.background.lifecycle import LifeCycle
from controllers.background.objects import Objects
from controllers.background.question import Pointless, Questions
from controllers.background.targets import Targets
from controllers.background.triggers import Triggers
from controllers.cluster.facts import Learns
from controllers.cluster.namespaces import Namespaces
from controllers.cluster.update_requests import Cause, Type, UpdateRequest
from engine import Effect, EvaluationError, PolicySet, Status

EFFECTS: Mapping[Type, Effect] = {"generate": Effect.GENERATE, "mutate": Effect.MUTATE_EXISTING}
Handler = Callable[[Work], Awaitable[list[Carried]]]


class Carrier:
    """Carries UpdateRequests out. `policies` is the snapshot at that moment."""

    def __init__(
        self,
        *,
        policies: Callable[[], PolicySet],
        objects: Objects,
        world: Learns,
        namespaces: Namespaces,
        triggers: Triggers,
    ) -> None:
        self._policies = policies
        self._questions = Questions(objects, namespaces)
        self._targets = Targets(objects, world)
        life = LifeCycle(objects, world, self._questions, triggers)
        self._without_policy: Mapping[Cause, Callable[[UpdateRequest], Awaitable[None]]] = {
            "removed": life.removed,
            "orphaned": life.removed,
        }
        self._handlers: Mapping[tuple[Type, Cause], Handler] = {
            ("mutate", "trigger"): self._mutate,
            ("mutate", "existing"): self._mutate,
            ("generate", "trigger"): life.trigger,
            ("generate", "existing"): life.existing,
            ("generate", "downstream"): life.downstream,
            ("generate", "source"): life.source,
        }

    async def carry_out(self, update: UpdateRequest, *, age: float) -> list[Carried]:
        """Does what the request wants; `age`: seconds for which it is known.

        Raises `NotYet`, `Pointless` and the errors that concern the whole request; those of single rules are in the answer.
        """
        if update.cause in self._without_policy:
            await self._without_policy[update.cause](update)
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
        return await self._handlers[update.type, update.cause](Work(update, policies, policy, items, age))

    async def _mutate(self, work: Work) -> list[Carried]:
        update, policies, policy, items, age = work
        carried: list[Carried] = []
        for rule, item in items:
            request = (
                await self._questions.asked(update, age) if update.admission else await self._questions.as_stored(rule, item)
            )
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
