"""Pyvern's engine: policies in, verdicts out. Pure: no sockets, files, environment, clock or event loop."""

from engine.clauses.filters import compile_exclusions, compile_filters
from engine.compiler import compile_exception, compile_policy
from engine.errors import EngineError, EvaluationError, InvalidPolicy, LookupFailed, Unknown
from engine.evaluate import Response, scan, validate
from engine.facts import NO_FACTS, Facts, Lookup
from engine.policy import Effect, KindSelector, Policy, PolicyException, PolicyIdentity, Reach, Rule
from engine.policyset import PolicySet
from engine.request import GroupVersionKind, GroupVersionResource, Object, Request, User, kind_of
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
    "KindSelector",
    "Lookup",
    "LookupFailed",
    "Object",
    "Outcome",
    "Policy",
    "PolicyException",
    "PolicyIdentity",
    "PolicySet",
    "Reach",
    "Request",
    "Response",
    "Result",
    "Rule",
    "Status",
    "Unknown",
    "User",
    "Verdict",
    "compile_exception",
    "compile_exclusions",
    "compile_filters",
    "compile_policy",
    "kind_of",
    "scan",
    "validate",
]
