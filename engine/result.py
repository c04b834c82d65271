"""The one answer: a `Result` per rule and object, a `Verdict` per request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from engine.policy import PolicyIdentity, Rule


class Status(StrEnum):
    PASS = "pass"
    FAIL = "fail"
    WARN = "warn"
    ERROR = "error"
    SKIP = "skip"


class Outcome(NamedTuple):
    """What a check says of one object, before anybody asks whose rule it was.

    `patched` is the object after a mutation (None: untouched), `generated` the documents a generate rule wants,
    `exceptions` the exceptions that skipped the rule.
    """

    status: Status
    message: str
    properties: Mapping[str, str] = {}
    patched: dict[str, Any] | None = None
    generated: tuple[dict[str, Any], ...] = ()
    exceptions: tuple[PolicyIdentity, ...] = ()


class Result(NamedTuple):
    """One rule's answer for one object. `enforced`: the rule's effective action for this request is Enforce."""

    rule: Rule
    status: Status
    message: str
    properties: Mapping[str, str] = {}
    enforced: bool = False
    patched: dict[str, Any] | None = None
    generated: tuple[dict[str, Any], ...] = ()
    exceptions: tuple[PolicyIdentity, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to an admission review. `patch` is a list of JSON Patch operations, empty when nothing changed."""

    allowed: bool
    message: str = ""
    warnings: tuple[str, ...] = ()
    patch: tuple[dict[str, Any], ...] = ()
    results: tuple[Result, ...] = ()
