"""What an UpdateRequest asks of rules, and what became of it, rule by rule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from controllers.background.generation import Made, OutOfReach
from controllers.background.objects import Unserved
from controllers.background.targets import Target
from controllers.cluster.client import ApiError, Unreachable
from controllers.cluster.events import Reference
from controllers.cluster.update_requests import Item, UpdateRequest
from engine import EngineError, Policy, PolicySet, Request, Result, Rule

FAILING = (EngineError, ApiError, Unreachable, Unserved, OutOfReach)
"""What keeps one rule from being carried out and leaves the others alone."""


class Work(NamedTuple):
    """One UpdateRequest and what it is about now: the items whose rules are still there. `age`: seconds for which it is known."""

    update: UpdateRequest
    policies: PolicySet
    policy: Policy
    items: Sequence[tuple[Rule, Item]]
    age: float


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
    skipped: Result | None = None
    """The answer of a generate rule that exceptions kept from generating for the trigger."""

    def exempted(self) -> Iterator[Result]:
        """What exceptions kept the rule from doing: one result for the trigger, or one for each target."""
        if self.skipped is not None:
            yield self.skipped
        for target in self.targets:
            outcome = target.outcome
            if outcome.exceptions:
                yield Result(self.rule, outcome.status, outcome.message, outcome.properties, exceptions=outcome.exceptions)
