"""The one compiled shape. Every policy kind lowers to `Policy` and its `Rule`s; kinds end at `compiler.FRONTENDS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, NamedTuple, Protocol

from engine.lang.cron import Schedule
from engine.request import GroupVersionKind, Object, Request
from engine.result import Outcome, Status
from engine.scope import Scope

Action = Literal["Enforce", "Audit"]
FailurePolicy = Literal["Fail", "Ignore"]
Check = Callable[[Scope], Outcome | None]
"""What a rule says of the request in `scope`; None: the rule gives no row (foreach over nothing). Raises EvaluationError."""


class Effect(StrEnum):
    """What a rule does; the value is Kyverno's rule type in reports and metrics."""

    VALIDATE = "Validation"
    MUTATE = "Mutation"
    MUTATE_EXISTING = "MutateExisting"
    GENERATE = "Generation"
    VERIFY_IMAGES = "ImageVerify"
    DELETE = "Cleanup"


@dataclass(frozen=True, slots=True)
class KindSelector:
    """One entry of `kinds`, parsed (spec 9.4); each part may hold wildcards. `subresource` is empty for the object itself."""

    group: str
    version: str
    kind: str
    subresource: str
    text: str


class Reach(NamedTuple):
    """A kind and the operations a rule can match it with. `stated`: the author named operations, no default narrows them."""

    kind: KindSelector
    operations: frozenset[str]
    stated: bool


class Match(Protocol):
    """match and exclude of a rule, compiled (`clauses.match`)."""

    kinds: tuple[KindSelector, ...]
    operations: frozenset[str]
    """Operations the rule can match, over all kinds."""
    reach: tuple[Reach, ...]
    """The same per kind: what the webhook configuration needs. Kinds that exclude leaves no operation are absent."""
    needs_user: bool
    """It reads `request.user`."""
    needs_roles: bool
    """It reads the user's roles or clusterRoles, which somebody must resolve from bindings."""
    needs_namespace_labels: bool
    """It reads `request.namespace_labels`."""

    def __call__(self, request: Request) -> bool:
        """Does the rule apply to `request`?"""
        ...

    def covers(self, kind: GroupVersionKind, subresource: str, operation: str) -> bool:
        """Can a request of this kind, subresource and operation match at all? What the index asks, once per combination."""
        ...


@dataclass(frozen=True, slots=True)
class PolicyIdentity:
    """What results, events and reports name. `namespace` is empty for cluster policies; `api_version` is as written."""

    api_version: str
    kind: str
    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """`name`, or `namespace/name`: how reports and messages call the policy."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """One compiled rule.

    `evaluate` takes the request's root scope, shared by all rules of the request, and runs context, preconditions and check
    on a child of it; the only names it may bind on the root are the request's own (`request`, `images`, ...), lazily. `action`
    is the effective failure action for a request. `origin` is the name of the written rule when autogen made this one.
    `document` is the rule as the API shows it (for autogen rules: the generated one). `error` is set when the rule did not
    compile; `evaluate` then always errors.
    """

    policy: PolicyIdentity
    name: str
    effect: Effect
    match: Match
    evaluate: Check
    action: Callable[[Request], Action]
    document: Object
    origin: str = ""
    allow_existing_violations: bool = True
    on_delete: bool = True
    """False: not evaluated for DELETE requests (pattern rules, spec 2.4)."""
    needs_user: bool = False
    """True: match, exclude or variables need to know who asked; background scans pass the rule by."""
    skip_background_requests: bool = True
    excepted: Callable[[Scope, tuple[PolicyException, ...]], Outcome | None] | None = None
    """What exceptions that apply to the request make of the rule; None: it is skipped as a whole."""
    error: str = ""


class RuleReference(NamedTuple):
    """Rules that an exception names: `policy` is a policy's key, `rules` accepts the names of its rules."""

    policy: str
    rules: Callable[[str], bool]


@dataclass(frozen=True, slots=True, eq=False)
class PolicyException:
    """A compiled exception (spec 2.12). `match` and `holds` (its conditions) say whether it applies to a request.

    `background`: it counts in background scans too. `exclusions` are what it takes out of the checks of a podSecurity rule
    (`rules.pod_security.Exclusion`); without them it skips rules of every type. `expires` (Unix nanoseconds): from then on it
    exempts nothing (docs/decisions/0015).
    """

    identity: PolicyIdentity
    references: tuple[RuleReference, ...]
    match: Match
    holds: Callable[[Scope], bool]
    background: bool = True
    exclusions: tuple[Any, ...] = ()
    expires: int | None = None
    document: Object = field(default_factory=dict)

    def expired(self, now: int) -> bool:
        """Is it over at `now` (Unix nanoseconds)?"""
        return self.expires is not None and now >= self.expires

    def names(self, rule: Rule) -> bool:
        """Is the rule one of those it is about?"""
        return any(policy == rule.policy.key and rules(rule.name) for policy, rules in self.references)


def skipped_by(exceptions: tuple[PolicyException, ...], text: str = "rule is skipped due to policy exceptions") -> Outcome:
    """The outcome of a rule that exceptions skip. The missing blank is missing in Kyverno's too (spec 2.12)."""
    identities = tuple(exception.identity for exception in exceptions)
    message = text + ", ".join(identity.key for identity in identities)
    names = ",".join(identity.name for identity in identities)
    return Outcome(Status.SKIP, message, {"exceptions": names}, exceptions=identities)


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """What the policy wants of its webhook. `fine_grained` policies get a webhook of their own (spec 3.1).

    `holds` are the match conditions, compiled: the API server asks them before it calls, background scans ask themselves.
    None: there are none. Raises EvaluationError.
    """

    failure_policy: FailurePolicy = "Fail"
    timeout_seconds: int | None = None
    match_conditions: tuple[Mapping[str, str], ...] = ()
    holds: Callable[[Scope], bool] | None = None

    @property
    def fine_grained(self) -> bool:
        return bool(self.match_conditions) or self.timeout_seconds is not None


@dataclass(frozen=True, slots=True)
class Cleanup:
    """When a policy deletes, and how: Foreground, Background, Orphan, or empty for the API server's own way."""

    schedule: Schedule
    propagation: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """A compiled policy. `rules` holds written rules first, generated ones after; `autogen` the generated rules' documents."""

    identity: PolicyIdentity
    rules: tuple[Rule, ...]
    webhook: WebhookSettings = WebhookSettings()
    admission: bool = True
    background: bool = True
    apply_one: bool = False
    emit_warning: bool = False
    scored: bool = True
    autogen: tuple[Object, ...] = ()
    rule_count: Mapping[str, int] = field(default_factory=dict)
    """validate, generate, mutate, verifyimages: number of written rules, for status.rulecount."""
    warnings: tuple[str, ...] = ()
    """What the policy webhook tells the author although the policy is valid."""
    cleanup: Cleanup | None = None
    """Set for policies whose rules have Effect.DELETE."""
    document: Object = field(default_factory=dict)
