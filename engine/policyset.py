"""The policies of one moment: an immutable snapshot that answers which rules may concern a request.

A change makes a new set; requests keep the one they started with, so that nothing they see moves under them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from engine.policy import Effect, Policy, PolicyException, PolicyIdentity, Rule
from engine.request import GroupVersionKind, Request

Selection = tuple[tuple[Policy, tuple[Rule, ...]], ...]

REMEMBERED = 4096
"""Selections kept per set. Real clusters have a few hundred combinations; whoever makes up kinds must not fill the memory."""


class PolicyKey(NamedTuple):
    """Which policy: its kind, its namespace (empty for cluster policies) and its name."""

    kind: str
    namespace: str
    name: str


class Question(NamedTuple):
    """All that the index knows of a request. `namespace` is empty where no policy lives in the request's namespace."""

    kind: GroupVersionKind
    subresource: str
    operation: str
    namespace: str
    effects: frozenset[Effect]


Position = tuple[str, str, str]
"""(namespace, name, kind): cluster policies come first, then names decide (spec 2.2)."""


class PolicySet:
    """An immutable set of compiled policies, in the order in which they are evaluated.

    The order is the same for the same policies, however the set was made: cluster policies before namespaced ones, by name;
    inside a policy the written rules in their order, generated ones after. Exceptions are part of the set. INVARIANT
    (snapshot): nothing here changes after construction except the memory of selections and of the exceptions of rules,
    which only holds what would be computed again.
    """

    __slots__ = ("_excepting", "_exceptions", "_namespaces", "_policies", "_positions", "_selections")

    def __init__(self, policies: Iterable[Policy] = (), exceptions: Iterable[PolicyException] = ()) -> None:
        """Of several policies with one key the last stays; exceptions likewise."""
        ordered = sorted({position_of(policy.identity): policy for policy in policies}.items(), key=lambda item: item[0])
        self._build(
            tuple(position for position, _ in ordered), tuple(policy for _, policy in ordered), _ordered_exceptions(exceptions)
        )

    def _build(
        self, positions: tuple[Position, ...], policies: tuple[Policy, ...], exceptions: tuple[PolicyException, ...]
    ) -> None:
        self._positions = positions
        self._policies = policies
        self._exceptions = exceptions
        self._excepting: dict[Rule, tuple[PolicyException, ...]] = {}
        self._namespaces = frozenset(namespace for namespace, _, _ in positions if namespace)
        self._selections: dict[Question, Selection] = {}

    def _changed(
        self, positions: tuple[Position, ...], policies: tuple[Policy, ...], exceptions: tuple[PolicyException, ...]
    ) -> PolicySet:
        made = PolicySet.__new__(PolicySet)
        made._build(positions, policies, exceptions)
        return made

    def with_exceptions(self, exceptions: Iterable[PolicyException]) -> PolicySet:
        """The same policies with these exceptions in place of those there were."""
        return self._changed(self._positions, self._policies, _ordered_exceptions(exceptions))

    @property
    def exceptions(self) -> tuple[PolicyException, ...]:
        """All exceptions, by namespace and name."""
        return self._exceptions

    def exceptions_of(self, rule: Rule) -> tuple[PolicyException, ...]:
        """The exceptions that name `rule`, by namespace and name; whether they apply to a request, they say themselves."""
        if not self._exceptions:
            return ()
        found = self._excepting.get(rule)
        if found is None:
            found = self._excepting[rule] = tuple(exception for exception in self._exceptions if exception.names(rule))
        return found

    def plus(self, policy: Policy) -> PolicySet:
        """This set with `policy`, which takes the place of one with the same key."""
        position = position_of(policy.identity)
        at = bisect_left(self._positions, position)
        after = at + self._holds(position, at)
        return self._changed(
            (*self._positions[:at], position, *self._positions[after:]),
            (*self._policies[:at], policy, *self._policies[after:]),
            self._exceptions,
        )

    def minus(self, key: tuple[str, str, str]) -> PolicySet:
        """This set without the policy of that (kind, namespace, name); the same set when there is none."""
        position = _position(*key)
        at = bisect_left(self._positions, position)
        if not self._holds(position, at):
            return self
        return self._changed(
            (*self._positions[:at], *self._positions[at + 1 :]),
            (*self._policies[:at], *self._policies[at + 1 :]),
            self._exceptions,
        )

    def get(self, key: tuple[str, str, str]) -> Policy | None:
        """The policy of that (kind, namespace, name)."""
        position = _position(*key)
        at = bisect_left(self._positions, position)
        return self._policies[at] if self._holds(position, at) else None

    def __iter__(self) -> Iterator[Policy]:
        return iter(self._policies)

    def __len__(self) -> int:
        return len(self._policies)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, tuple) and len(key) == 3 and self.get(key) is not None

    def select(self, request: Request, effects: frozenset[Effect]) -> Selection:
        """The policies and rules with one of `effects` that may concern `request`; policies without such a rule are absent.

        Kind, subresource, operation and the namespace of namespaced policies are looked at and nothing else: whether a rule
        matches, its `match` says. Of a subresource request `request.kind` is the kind that owns the subresource.
        """
        # A Namespace lies in no namespace, although the API server names it as its own (spec 2.1).
        namespace = request.namespace if request.namespace in self._namespaces and request.kind.kind != "Namespace" else ""
        question = Question(request.kind, request.subresource, request.operation, namespace, effects)
        selection = self._selections.get(question)
        if selection is None:
            selection = self._select(question)
            if len(self._selections) < REMEMBERED:
                self._selections[question] = selection
        return selection

    def _select(self, question: Question) -> Selection:
        selected = []
        for policy in self._policies:
            if policy.identity.namespace and policy.identity.namespace != question.namespace:
                continue
            rules = tuple(rule for rule in policy.rules if _concerns(rule, question))
            if rules:
                selected.append((policy, rules))
        return tuple(selected)

    def _holds(self, position: Position, at: int) -> bool:
        return at < len(self._positions) and self._positions[at] == position


def key_of(identity: PolicyIdentity) -> PolicyKey:
    """The key under which a set holds the policy."""
    return PolicyKey(identity.kind, identity.namespace, identity.name)


def position_of(identity: PolicyIdentity) -> Position:
    """Where the policy stands in the order of a set."""
    return _position(identity.kind, identity.namespace, identity.name)


def _ordered_exceptions(exceptions: Iterable[PolicyException]) -> tuple[PolicyException, ...]:
    named = {(exception.identity.namespace, exception.identity.name): exception for exception in exceptions}
    return tuple(exception for _, exception in sorted(named.items(), key=lambda item: item[0]))


def _position(kind: str, namespace: str, name: str) -> Position:
    return namespace, name, kind


def _concerns(rule: Rule, question: Question) -> bool:
    return rule.effect in question.effects and rule.match.covers(question.kind, question.subresource, question.operation)
