"""What a request that was let pass leaves to the background controller (spec 4.2): generate and mutate-existing rules.

Rules are asked again when they are carried out; here they are asked so that nothing is queued that would come to nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from controllers.cluster.events import Event, Events, Reference
from controllers.cluster.exceptions import count_hits
from controllers.cluster.generating import (
    CLONE_SOURCE,
    POLICY_NAME,
    POLICY_NAMESPACE,
    RULE_NAME,
    copies,
    knows_asker,
    synchronizes,
    trigger_of,
    wants_copied,
)
from controllers.cluster.metrics import Metrics
from controllers.cluster.requests import as_it_is
from controllers.cluster.update_request_writer import Writer
from controllers.cluster.update_requests import Item, UpdateRequest, kept
from engine import Effect, Object, Policy, PolicySet, Request, Result, Rule, Status, Unknown, respond

IN_BACKGROUND = frozenset({Effect.GENERATE, Effect.MUTATE_EXISTING})
NAMESPACE_CONTROLLER = "system:serviceaccount:kube-system:namespace-controller"
BATCH = 20
Among = Callable[[Policy], bool]
logger = logging.getLogger("pyvern.updates")


class Passed(NamedTuple):
    """A request that was let pass, and the policies that its webhook stands for."""

    policies: PolicySet
    request: Request
    among: Among


class FollowedUp(NamedTuple):
    """What a request leaves to do, the `errors` of rules that cannot be carried out, and the results of those `exempted`."""

    updates: tuple[UpdateRequest, ...] = ()
    errors: tuple[Result, ...] = ()
    exempted: tuple[Result, ...] = ()


class FollowUp:
    """Takes requests without waiting and works off the request path."""

    def __init__(self, writer: Writer, events: Events, metrics: Metrics, *, account: str, capacity: int = 20_000) -> None:
        """`account`: the user name of the background controller."""
        self._writer = writer
        self._events = events
        self._metrics = metrics
        self._account = account
        self._capacity = capacity
        self._waiting: deque[Passed] = deque()
        self._filled = asyncio.Event()

    def put(self, passed: Passed) -> None:
        if len(self._waiting) >= self._capacity:
            logger.error("too many requests wait for their UpdateRequests: one about %s is left out", passed.request.name)
            return
        self._waiting.append(passed)
        self._filled.set()

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._waiting:
                for _ in range(min(BATCH, len(self._waiting))):
                    self._work(self._waiting.popleft())
                await asyncio.sleep(0)

    def flush(self) -> None:
        """Everything that waits, now."""
        while self._waiting:
            self._work(self._waiting.popleft())

    def _work(self, passed: Passed) -> None:
        updates, errors, exempted = updates_of(passed.policies, passed.request, among=passed.among, account=self._account)
        if self._metrics.exposure.counts(passed.request.namespace):
            count_hits(self._metrics, exempted, "admission_request")
        for update in updates:
            self._writer.put(update)
        for result in errors:
            self._events.put(failure(passed.request, result))


def failure(request: Request, result: Result) -> Event:
    """A rule that cannot be carried out because of the request itself."""
    resource = Reference.of_request(request)
    note = f"{resource.text}: [{result.rule.name}] error; {result.message}"
    return Event("Warning", "PolicyError", "None", Reference.of_policy(result.rule.policy), note, resource)


def updates_of(policies: PolicySet, request: Request, *, among: Among, account: str) -> FollowedUp:
    """The UpdateRequests that a request gives cause for, and rules that come to nothing whatever else is known. Pure.

    `account` is the background controller's user name: what it does starts no rule that skips background requests.
    """
    if request.dry_run:
        return FollowedUp()
    own = request.user is not None and request.user.username == account
    updates: list[UpdateRequest] = []
    nothing: list[Result] = []
    for policy, selected in policies.select(request, IN_BACKGROUND):
        if policy.admission and among(policy):
            rules = tuple(rule for rule in selected if not (own and rule.skip_background_requests))
            updates += _of_trigger(policies, policy, rules, request, nothing)
    if not request.subresource and request.operation != "CONNECT":
        if request.old_object is not None and not own:
            updates += _of_downstream(policies, request, among)
        updates += _of_source(policies, request, among, own=own)
    errors = tuple(result for result in nothing if result.status is Status.ERROR)
    exempted = tuple(result for result in nothing if result.exceptions)
    return FollowedUp(tuple(updates), errors, exempted)


# The request is about a trigger


def _of_trigger(
    policies: PolicySet, policy: Policy, rules: tuple[Rule, ...], request: Request, nothing: list[Result]
) -> Iterator[UpdateRequest]:
    if not rules:
        return
    trigger = Reference.of_request(request)
    generating: list[Item] = []
    for rule, result in _asked(policies, policy, rules, as_it_is(request)):
        if result is not None and (result.status is Status.ERROR or result.exceptions):
            nothing.append(result)
        elif rule.effect is Effect.MUTATE_EXISTING:
            if result is None or result.status is Status.PASS:
                yield _update("mutate", policy, (Item(rule.name, trigger),), trigger, request, key=rule.name)
        elif result is None or result.status is Status.PASS:
            generating.append(Item(rule.name, trigger, synchronize=synchronizes(rule)))
    wanted = {item.rule for item in generating}
    for rule in rules:
        if rule.effect is Effect.GENERATE and rule.name not in wanted and _ends(policies, policy, rule, request):
            generating.append(Item(rule.name, trigger, delete=request.operation == "DELETE", synchronize=True))
    if generating:
        yield _update("generate", policy, tuple(generating), trigger, request)


def _ends(policies: PolicySet, policy: Policy, rule: Rule, request: Request) -> bool:
    """Was the object a trigger of a synchronized rule, and is it no more?"""
    if request.operation not in ("UPDATE", "DELETE") or request.old_object is None or not synchronizes(rule):
        return False
    if request.operation == "DELETE" and (rule.on_delete or not rule.match(request)):
        return False
    operation = next((one for one in ("CREATE", "UPDATE") if one in rule.match.operations), "CREATE")
    document = {**request.document, "operation": operation, "object": request.old_object, "oldObject": None}
    before = replace(request, operation=operation, object=request.old_object, old_object=None, document=document)
    return any(result is None or result.status is Status.PASS for _, result in _asked(policies, policy, (rule,), before))


def _asked(
    policies: PolicySet, policy: Policy, rules: tuple[Rule, ...], request: Request
) -> Iterable[tuple[Rule, Result | None]]:
    """Rules that apply, with their results; None where data from outside decides."""
    try:
        responses = respond(
            policies, request, effects=IN_BACKGROUND, among=lambda one: one is policy, skip=lambda rule: rule not in rules
        )
    except Unknown:
        return _asked_each(policies, policy, rules, request)
    return [(result.rule, result) for response in responses for result in response.results]


def _asked_each(
    policies: PolicySet, policy: Policy, rules: tuple[Rule, ...], request: Request
) -> Iterator[tuple[Rule, Result | None]]:
    for rule in rules:
        if len(rules) == 1:
            yield rule, None
        else:
            yield from _asked(policies, policy, (rule,), request)


# The request is about what a rule made, or copied


def _of_downstream(policies: PolicySet, request: Request, among: Among) -> Iterator[UpdateRequest]:
    assert request.old_object is not None
    labels = _labels(request.old_object)
    if POLICY_NAME not in labels or (request.operation == "DELETE" and _is_sweep(request)):
        return
    namespace = labels.get(POLICY_NAMESPACE) or ""
    policy = policies.get(("Policy" if namespace else "ClusterPolicy", namespace, labels[POLICY_NAME]))
    if policy is None or not policy.admission or not among(policy):
        return
    rule = next((rule for rule in policy.rules if rule.name == labels.get(RULE_NAME)), None)
    if rule is None or rule.effect is not Effect.GENERATE or not synchronizes(rule):
        return
    restore = rule.on_delete or knows_asker(rule)
    item = Item(rule.name, trigger_of(request.old_object), synchronize=True, restore=restore)
    yield _update("generate", policy, (item,), Reference.of_request(request), request, cause="downstream", asked=restore)


def _is_sweep(request: Request) -> bool:
    """A namespace is being emptied: nothing can be put back there."""
    return request.user is not None and request.user.username == NAMESPACE_CONTROLLER


def _of_source(policies: PolicySet, request: Request, among: Among, *, own: bool) -> Iterator[UpdateRequest]:
    """A marked source has changed or goes, or the object is one that rules want to copy and nobody has copied yet.

    What rules have made may be copied too. `own`: it was the background controller, whose creations are nobody's new source.
    """
    marked = request.old_object is not None and CLONE_SOURCE in _labels(request.old_object)
    if not marked and (own or request.object is None or request.operation == "DELETE"):
        return
    source = Reference.of_request(request)
    for policy in policies:
        if not policy.admission or not among(policy):
            continue
        items = tuple(
            Item(rule.name, delete=request.operation == "DELETE", synchronize=True)
            for rule in policy.rules
            if rule.effect is Effect.GENERATE
            and synchronizes(rule)
            and (
                copies(rule, source.api_version, source.kind, source.namespace, source.name)
                if marked
                else wants_copied(rule, source, _labels(request.object))
            )
        )
        if items:
            yield _update("generate", policy, items, source, request, cause="source", asked=False)


def _labels(document: Object | None) -> dict[str, str]:
    return ((document or {}).get("metadata") or {}).get("labels") or {}


def _update(
    kind: str,
    policy: Policy,
    items: tuple[Item, ...],
    about: Reference,
    request: Request,
    *,
    cause: str = "trigger",
    key: str = "",
    asked: bool = True,
) -> UpdateRequest:
    """`asked`: who asked for what is kept."""
    user = request.user
    return UpdateRequest(
        type="mutate" if kind == "mutate" else "generate",
        cause="downstream" if cause == "downstream" else "source" if cause == "source" else "trigger",
        policy=policy.identity.key,
        items=items,
        about=about,
        operation=request.operation,
        admission=kept(request.document) if asked else None,
        roles=user.roles if user and asked else (),
        cluster_roles=user.cluster_roles if user and asked else (),
        changes=_version(request) if request.operation == "UPDATE" else "",
        key=key,
    )


def _version(request: Request) -> str:
    """The resourceVersion from which the object is about to change; empty when it stays as it is."""
    old = request.old_object
    if old is None or _content(request.object) == _content(old):
        return ""
    return str((old.get("metadata") or {}).get("resourceVersion") or "")


def _content(document: Object | None) -> Object:
    """The object without what the API server changes by itself."""
    if document is None:
        return {}
    metadata = document.get("metadata") or {}
    bookkeeping = ("managedFields", "resourceVersion", "generation")
    return {**document, "metadata": {key: value for key, value in metadata.items() if key not in bookkeeping}}
