"""Pyvern's engine: policies in, verdicts out. Pure: no sockets, files, environment, clock or event loop."""

from engine.compiler import compile_policy
from engine.errors import EngineError, EvaluationError, InvalidPolicy, LookupFailed, Unknown
from engine.evaluate import Response, scan, validate
from engine.facts import NO_FACTS, Facts, Lookup
from engine.policy import Effect, Policy, Rule
from engine.policyset import PolicySet
from engine.request import GroupVersionKind, GroupVersionResource, Request, User, kind_of
from engine.result import Outcome, Result, Status, Verdict

__all__ = [
    "NO_FACTS",
    "Effect",
    "EngineError",
    "EvaluationError",
    "Facts",
    "GroupVersionKind",
    "GroupVersionResource",
    "InvalidPolicy",
    "Lookup",
    "LookupFailed",
    "Outcome",
    "Policy",
    "PolicySet",
    "Request",
    "Response",
    "Result",
    "Rule",
    "Status",
    "Unknown",
    "User",
    "Verdict",
    "compile_policy",
    "kind_of",
    "scan",
    "validate",
]
