"""The two sides of a comparison: the policies that are given, and those of the same names in force, ready to be asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from cli.kinds import Kinds, resource_of
from cli.offline_facts import OfflineFacts
from cli.resources import name_of, namespace_of
from controllers.cluster.generating import knows_asker
from engine import (
    Effect,
    GroupVersionResource,
    Object,
    Policy,
    PolicyException,
    PolicySet,
    Request,
    Response,
    Rule,
    Status,
    User,
    blocks,
    deletable,
    generate,
    kind_of,
    mutate,
    respond,
)

OPERATIONS = ("CREATE", "UPDATE", "DELETE")
"""Each rule is asked about the first of these that it is for."""
VALIDATING = frozenset({Effect.VALIDATE})
NAME_LABEL = "kubernetes.io/metadata.name"
"""The label that every Namespace has, also one that is not shown."""
Key = tuple[str, str, str]
"""Kind, namespace and name of a policy."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What requests need beside the object. `user`: who asks, None: nobody in particular."""

    kinds: Kinds
    namespace_labels: Mapping[str, Mapping[str, str]]
    user: User | None
    now: int


class Verdict(NamedTuple):
    """What a policy says of one object: `deny`, `audit`, `error` or nothing; the rules that say so with their messages."""

    word: str
    rules: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()
    excepted: bool = False


GOOD = Verdict("")


def key_of(policy: Policy) -> Key:
    identity = policy.identity
    return identity.kind, identity.namespace, identity.name


def operation_of(rule: Rule) -> str:
    """The operation the rule is asked about; empty where it is only for CONNECT. Cleanup rules are for stored objects."""
    if rule.effect is Effect.DELETE:
        return "CREATE"
    return next((one for one in OPERATIONS if one in rule.match.operations), "")


class Side:
    """Some policies and the exceptions that count with them."""

    def __init__(self, policies: Iterable[Policy], exceptions: Iterable[PolicyException], setting: Setting) -> None:
        self.policies = {key_of(policy): policy for policy in policies}
        self.exceptions = tuple(exceptions)
        self._setting = setting
        self.sets = {operation: PolicySet(self._for(operation), self.exceptions) for operation in OPERATIONS}

    def _for(self, operation: str) -> Iterable[Policy]:
        for policy in self.policies.values():
            rules = tuple(rule for rule in policy.rules if operation_of(rule) == operation and self.judged(rule))
            if rules:
                yield replace(policy, rules=rules)

    def judged(self, rule: Rule) -> bool:
        """Can the rule be asked at all? Not without knowing who asks, where it wants to know, and no images are verified."""
        if rule.effect is Effect.VERIFY_IMAGES:
            return False
        return self._setting.user is not None or not (rule.needs_user or knows_asker(rule))

    def request(self, object_: Object, operation: str) -> Request:
        """The question as if the operation were asked for now."""
        gvk = kind_of(object_)
        namespace = namespace_of(object_)
        labels = self._setting.namespace_labels
        own = (object_.get("metadata") or {}).get("labels") or {} if gvk == ("", "v1", "Namespace") else None
        return Request(
            operation=operation,
            kind=gvk,
            resource=GroupVersionResource(gvk.group, gvk.version, resource_of(gvk, self._setting.kinds).plural),
            object=None if operation == "DELETE" else object_,
            old_object=object_ if operation != "CREATE" else None,
            namespace=namespace,
            name=name_of(object_),
            user=self._setting.user,
            namespace_labels=own if own is not None else labels.get(namespace, {NAME_LABEL: namespace}) if namespace else None,
            uid=str((object_.get("metadata") or {}).get("uid") or ""),
            now=self._setting.now,
            seed=self._setting.now,
        )

    def mutated(self, object_: Object, facts: OfflineFacts) -> tuple[Object, dict[Key, tuple[str, ...]], dict[Key, Verdict]]:
        """The object as the policies make it; the rules that changed it, by policy; the policies whose rules err."""
        changed: dict[Key, tuple[str, ...]] = {}
        failed: dict[Key, Verdict] = {}
        for operation in OPERATIONS[:2]:
            among = self.sets[operation]
            if not len(among):
                continue
            request = self.request(object_, operation)
            verdict = facts.settle(partial(mutate, among, request))
            for result in verdict.results:
                key = result.rule.policy.kind, result.rule.policy.namespace, result.rule.policy.name
                if result.status in (Status.ERROR, Status.FAIL):
                    failed[key] = Verdict("error", (result.rule.name,), (result.message,))
                elif result.patched is not None and result.patched != object_:
                    changed[key] = (*changed.get(key, ()), result.rule.name)
                    object_ = result.patched
        return object_, changed, failed

    def judgement(self, object_: Object, facts: OfflineFacts) -> dict[Key, Verdict]:
        """What each policy says of the object; policies without a word for it are absent."""
        found: dict[Key, list[Response]] = {}
        for operation, among in self.sets.items():
            request = self.request(object_, operation)
            ask = partial(respond, among, request, effects=VALIDATING, forgiving=False)
            for response in facts.settle(ask):
                if response.results:
                    found.setdefault(key_of(response.policy), []).append(response)
        return {key: _verdict(responses) for key, responses in found.items()}

    def wanted(self, object_: Object, facts: OfflineFacts) -> list[tuple[Policy, Response]]:
        """What the generate rules of each policy want because of the object."""
        return self._responses(object_, facts, generate)

    def doomed(self, object_: Object, facts: OfflineFacts) -> list[tuple[Policy, Response]]:
        """The cleanup policies that select the object."""
        said = self._responses(object_, facts, deletable)
        return [(policy, response) for policy, response in said if any(r.status is Status.PASS for r in response.results)]

    def _responses(
        self, object_: Object, facts: OfflineFacts, verb: Callable[..., tuple[Response, ...]]
    ) -> list[tuple[Policy, Response]]:
        found = []
        for operation in OPERATIONS[:2]:
            among = self.sets[operation]
            if len(among):
                request = self.request(object_, operation)
                for response in facts.settle(partial(verb, among, request)):
                    if response.results:
                        found.append((self.policies[key_of(response.policy)], response))
        return found


def _verdict(responses: list[Response]) -> Verdict:
    results = [result for response in responses for result in response.results]
    excepted = any(result.exceptions for result in results)
    bad = [result for result in results if result.status in (Status.FAIL, Status.ERROR)]
    if not bad:
        return Verdict("", excepted=excepted)
    if any(response.policy.admission and blocks(response) for response in responses):
        word = "deny"
    else:
        word = "audit" if any(result.status is Status.FAIL for result in bad) else "error"
    rules, messages = tuple(result.rule.name for result in bad), tuple(result.message for result in bad)
    return Verdict(word, rules, messages, excepted)
