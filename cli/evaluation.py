"""What all policies say of one object: the stages of cli-format.md 5, each on what the one before made of the object."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from cli.kinds import BUILT_IN, Kinds, resource_of
from cli.offline_facts import OfflineFacts
from cli.resources import name_of, namespace_of
from cli.values import NO_VALUES, Values, nested
from engine import (
    Effect,
    EngineError,
    GroupVersionResource,
    Object,
    Policy,
    PolicyException,
    PolicySet,
    Request,
    Result,
    Status,
    User,
    is_target,
    kind_of,
    mutate,
    mutate_target,
    respond,
    targets_of,
)

SILENT_KINDS = frozenset({"MutatingAdmissionPolicy", "GeneratingPolicy", "DeletingPolicy"})
"""Policies that have no answer at all for an object that they do not select (cli-format.md 5)."""
FAILING = {Status.PASS: Status.FAIL}


Targets = Callable[[Sequence[Object]], Iterable[Object]]
"""Objects that rules with targets may change: at least those that the selector documents ask for. Raises `EngineError`."""


def these(objects: Sequence[Object]) -> Targets:
    """The same objects, whatever is asked for."""
    return lambda _wanted: objects


class Answer(NamedTuple):
    """What one policy says of one object. No `results`: no rule applies.

    `patched` is the object after this policy, `targets` are other objects that its rules patched, as they are then.
    """

    policy: Policy
    object: Object
    results: tuple[Result, ...]
    patched: Object
    targets: tuple[Object, ...] = ()


@dataclass(frozen=True, slots=True)
class World:
    """Everything an evaluation knows beside the object.

    `assume_sources`: a clone's source that is not given is taken to
    be there, as for Kyverno's `apply` (peer-apply.json, sync-secrets); `operation` decides where a test row states it.
    """

    policies: Sequence[Policy]
    facts: OfflineFacts
    exceptions: Sequence[PolicyException] = ()
    values: Values = NO_VALUES
    user: User | None = None
    targets: Targets = field(default_factory=lambda: these(()))
    kinds: Kinds = field(default_factory=lambda: BUILT_IN)
    assume_sources: bool = False
    operation: str = ""
    now: int = field(default_factory=time.time_ns)
    seed: int = field(default_factory=lambda: random.getrandbits(62))


class Stage(NamedTuple):
    """A step of the evaluation: the rules it takes, and how it asks them."""

    effects: frozenset[Effect]
    run: Callable[[Evaluator, Stage, Object], tuple[list[Answer], Object]]


class Evaluator:
    """Policies made ready to be asked about many objects.

    Policies for which there are values of their own get requests of their own; all others share one request per object.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        own = [policy for policy in world.policies if world.values.concerns(policy.identity.name)]
        shared = [policy for policy in world.policies if policy not in own]
        self.each = [(policy, PolicySet((policy,), world.exceptions)) for policy in world.policies]
        self._alone = [(policy, alone) for policy, alone in self.each if policy in own]
        self._together = (shared, PolicySet(shared, world.exceptions))
        effects = {rule.effect for policy in world.policies for rule in policy.rules}
        self._stages = [stage for stage in STAGES if stage.effects & effects]
        self._order = {id(policy): position for position, policy in enumerate(world.policies)}

    def __call__(self, object_: Object) -> list[Answer]:
        """The answers of all stages; `answer.object` is what the policy was asked about."""
        answers: list[Answer] = []
        for stage in self._stages:
            found, object_ = stage.run(self, stage, object_)
            answers += found
        return [answer for answer in answers if answer.results or answer.policy.identity.kind not in SILENT_KINDS]

    def asked(self, stage: Stage, object_: Object, facts: OfflineFacts) -> list[Answer]:
        """The answers of a stage that leaves the object as it is, in the order of the policies."""
        answers: list[Answer] = []
        policies, together = self._together
        if policies:
            answers += self._ask(together, policies, stage, self.request(object_, ""), facts)
        for policy, alone in self._alone:
            answers += self._ask(alone, (policy,), stage, self.request(object_, policy.identity.name), facts)
        answers.sort(key=lambda answer: self._order[id(answer.policy)])
        return answers

    def _ask(
        self, among: PolicySet, policies: Sequence[Policy], stage: Stage, request: Request, facts: OfflineFacts
    ) -> Iterable[Answer]:
        effects = stage.effects
        responses = facts.settle(lambda known: respond(among, request, known, effects=effects, forgiving=False))
        subject = request.subject
        said = {id(response.policy): response.results for response in responses}
        for policy in policies:
            results = said.get(id(policy))
            if results is not None or any(rule.effect in effects for rule in policy.rules):
                yield Answer(policy, subject, results or (), subject)

    def request(self, object_: Object, policy: str) -> Request:
        """The request about an object, with the values for a policy of that name."""
        world = self.world
        given = nested(world.values.for_resource(policy, name_of(object_)))
        about = given.get("request")
        about = about if isinstance(about, dict) else {}
        operation = world.operation or str(about.get("operation") or "CREATE")
        changes = about.get("oldObject" if operation == "DELETE" else "object")
        if isinstance(changes, dict):
            object_ = _merged(object_, changes)
        if world.operation:
            about = {**about, "operation": operation}
            given["request"] = about
        kind, subresource = kind_of(object_), ""
        if kind in world.values.subresources:
            kind, subresource = world.values.subresources[kind]
        namespace = namespace_of(object_)
        return Request(
            operation=operation if operation in ("UPDATE", "DELETE") else "CREATE",
            kind=kind,
            resource=GroupVersionResource(kind.group, kind.version, resource_of(kind, world.kinds).plural),
            subresource=subresource,
            object=None if operation == "DELETE" else object_,
            old_object=object_ if operation in ("UPDATE", "DELETE") else None,
            namespace=namespace,
            name=name_of(object_),
            user=world.user,
            namespace_labels=world.values.namespace_labels.get(namespace, {}),
            variables=given,
            rule_variables=world.values.rules.get(policy, {}),
            now=world.now,
            seed=world.seed,
        )


def _merged(base: Any, changes: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(changes, dict)):
        return changes
    return {**base, **{key: _merged(base.get(key), value) for key, value in changes.items()}}


def _mutate(evaluator: Evaluator, stage: Stage, object_: Object) -> tuple[list[Answer], Object]:
    """Each policy sees what the ones before it made of the object."""
    answers = []
    for policy, alone in evaluator.each:
        if not any(rule.effect in stage.effects for rule in policy.rules):
            continue
        request = evaluator.request(object_, policy.identity.name)
        verdict = evaluator.world.facts.settle(partial(mutate, alone, request))
        patched = request.subject
        for result in verdict.results:
            patched = patched if result.patched is None else result.patched
        existing, targets = _mutate_existing(evaluator, policy, alone, request)
        answers.append(Answer(policy, request.subject, (*verdict.results, *existing), patched, targets))
        object_ = patched
    return answers, object_


def _mutate_existing(
    evaluator: Evaluator, policy: Policy, alone: PolicySet, request: Request
) -> tuple[list[Result], tuple[Object, ...]]:
    """One result for each target that a rule changes because of the request, and the targets as they are then."""
    results: list[Result] = []
    patched: list[Object] = []
    settle = evaluator.world.facts.settle
    for rule in policy.rules:
        if rule.effect is not Effect.MUTATE_EXISTING:
            continue
        try:
            wanted = settle(partial(targets_of, rule, request))
            targets = evaluator.world.targets(wanted)
        except EngineError as error:
            results.append(Result(rule, Status.ERROR, str(error)))
            continue
        for target in targets:
            if any(is_target(selector, target) for selector in wanted):
                ask = partial(mutate_target, rule, request, target, exceptions=alone.exceptions_of(rule))
                outcome = settle(ask)
                if outcome is not None:
                    results.append(Result(rule, outcome.status, outcome.message, outcome.properties))
                    patched.append(target if outcome.patched is None else outcome.patched)
    return results, tuple(patched)


def _judge(evaluator: Evaluator, stage: Stage, object_: Object) -> tuple[list[Answer], Object]:
    return evaluator.asked(stage, object_, evaluator.world.facts), object_


def _clean_up(evaluator: Evaluator, stage: Stage, object_: Object) -> tuple[list[Answer], Object]:
    """An object that a cleanup policy wants deleted fails, others have no answer (apply-cases.json, CleanupPolicies)."""
    answers = []
    for answer in evaluator.asked(stage, object_, evaluator.world.facts):
        results = tuple(r._replace(status=FAILING.get(r.status, r.status)) for r in answer.results if r.status is not Status.SKIP)
        if results:
            answers.append(answer._replace(results=results))
    return answers, object_


def _generate(evaluator: Evaluator, stage: Stage, object_: Object) -> tuple[list[Answer], Object]:
    """A policy that generates nothing for the object has no answer at all (cli-format.md 5)."""
    world = evaluator.world
    facts = world.facts.assuming() if world.assume_sources else world.facts
    return [answer for answer in evaluator.asked(stage, object_, facts) if answer.results], object_


STAGES: tuple[Stage, ...] = (
    Stage(frozenset({Effect.MUTATE, Effect.MUTATE_EXISTING}), _mutate),
    Stage(frozenset({Effect.VERIFY_IMAGES}), _judge),
    Stage(frozenset({Effect.VALIDATE}), _judge),
    Stage(frozenset({Effect.GENERATE}), _generate),
    Stage(frozenset({Effect.DELETE}), _clean_up),
)
"""In this order; each sees the object as the stages before left it."""
