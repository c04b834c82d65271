"""What a run finds: one finding for each object that a policy would treat in a new way, and the sums."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from cli.resources import name_of, namespace_of
from engine import Object, Policy

NEXT_WRITE = "at its next write"
AT_ONCE = "at once"
BY_TRIGGER = "when a trigger changes"

ACTIONS: Mapping[str, str] = {
    "deny": "would be denied",
    "audit": "would fail under Audit",
    "error": "rules err",
    "resolve": "would fail no longer",
    "mutate": "would be mutated",
    "create": "would be created",
    "change": "would be changed",
    "delete": "would be deleted",
}
"""Kind of finding -> what it says of an object, in the order in which they are shown."""
FAILING = ("deny", "audit", "error", "mutate", "create", "change", "delete")
"""What --fail-on may name."""
DEFAULT_FAILING = frozenset(FAILING) - {"audit"}


class Subject(NamedTuple):
    """The object that a finding is about."""

    api_version: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return "/".join(filter(None, (self.namespace, self.kind, self.name)))

    @classmethod
    def of(cls, object_: Object) -> Subject:
        return cls(str(object_.get("apiVersion") or ""), str(object_.get("kind") or ""), namespace_of(object_), name_of(object_))


class Finding(NamedTuple):
    """One object under one policy. `rules` and `messages` go together; `diff` are lines of a unified diff.

    `when` says when it would happen, `was` what the policy in force says of the object now.
    """

    action: str
    subject: Subject
    rules: tuple[str, ...]
    messages: tuple[str, ...] = ()
    when: str = ""
    was: str = ""
    diff: tuple[str, ...] = ()


@dataclass(slots=True)
class Impact:
    """Everything about one policy. `state` is `new` or `replaces the one in force`; no more than `limit` findings of an action
    are kept (0: all), `counts` counts all of them. `same` are objects that fail now and would go on failing.
    """

    policy: Policy
    file: str
    state: str
    limit: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)
    same: int = 0
    excepted: int = 0
    matched: int = 0
    subjects: dict[str, set[int]] = field(default_factory=dict)
    """Action -> hashes of the objects it was found on, shared by the policies of a run: an object counts once in the sums."""
    later: Counter[str] = field(default_factory=Counter)
    """Rule name -> triggers that are there and for which nothing happens until they change."""

    @property
    def title(self) -> str:
        return f"{self.policy.identity.kind} {self.policy.identity.key}"

    def add(self, finding: Finding) -> None:
        self.counts[finding.action] += 1
        self.subjects.setdefault(finding.action, set()).add(hash(finding.subject))
        if not self.limit or self.counts[finding.action] <= self.limit:
            self.findings.append(finding)

    def note(self, text: str) -> None:
        """A remark, once."""
        self.notes[text] = None

    def of(self, action: str) -> list[Finding]:
        return sorted((finding for finding in self.findings if finding.action == action), key=lambda one: one.subject)


@dataclass(slots=True)
class Report:
    """A whole run. `unread`: what could not be read, with the reason; `faults`: what was given and cannot be used."""

    source: str
    impacts: list[Impact]
    objects: int = 0
    kinds: int = 0
    unread: dict[str, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def totals(self) -> Counter[str]:
        """Action -> number of objects, however many policies say it."""
        found: dict[str, set[int]] = {}
        for impact in self.impacts:
            for action, held in impact.subjects.items():
                found[action] = found.get(action, set()) | held
        return Counter({action: len(held) for action, held in found.items()})

    def failing(self, fail_on: Iterable[str]) -> list[str]:
        """The actions among `fail_on` that were found."""
        totals = self.totals
        wanted = set(fail_on)
        return [action for action in FAILING if action in wanted and totals[action]]

    def status(self, fail_on: Iterable[str], *, partial: bool) -> int:
        """The exit status: 2 where something could not be used or (unless `partial`) read, 1 where something is found, else 0."""
        if self.faults or (self.unread and not partial):
            return 2
        return 1 if self.failing(fail_on) else 0
