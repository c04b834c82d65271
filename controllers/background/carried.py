"""What became of an UpdateRequest, rule by rule."""

from __future__ import annotations

from dataclasses import dataclass, field

from controllers.background.generation import Made, OutOfReach
from controllers.background.objects import Unserved
from controllers.background.targets import Target
from controllers.cluster.client import ApiError, Unreachable
from controllers.cluster.events import Reference
from engine import EngineError, Policy, Request, Rule

FAILING = (EngineError, ApiError, Unreachable, Unserved, OutOfReach)
"""What keeps one rule from being carried out and leaves the others alone."""


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
