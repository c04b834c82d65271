"""Pyvern's engine: policies in, verdicts out. Pure: no sockets, files, environment, clock or event loop."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from engine.clauses.filters import compile_exclusions, compile_filters
from engine.compiler import FRONTENDS, compile_exception, compile_policy
from engine.errors import EngineError, EvaluationError, InvalidPolicy, LookupFailed, Unknown
from engine.evaluate import Response, generate, scan, validate
from engine.evaluate import evaluate as respond
from engine.facts import NO_FACTS, Facts, Lookup
from engine.policy import Effect, KindSelector, Policy, PolicyException, PolicyIdentity, Reach, Rule
from engine.policyset import PolicySet
from engine.request import GroupVersionKind, GroupVersionResource, Object, Request, User, kind_of
from engine.result import Outcome, Result, Status, Verdict

if TYPE_CHECKING:
    from engine.lang.go_json import dumps as json_text
    from engine.lang.jmes import compile_expression
    from engine.lang.yaml_value import InvalidYAML
    from engine.lang.yaml_value import load as load_yaml

_LATER = {
    "InvalidYAML": ("engine.lang.yaml_value", "InvalidYAML"),
    "compile_expression": ("engine.lang.jmes", "compile_expression"),
    "json_text": ("engine.lang.go_json", "dumps"),
    "load_yaml": ("engine.lang.yaml_value", "load"),
}
"""Names that are imported when they are first used: not every process needs them, and some take long."""


def __getattr__(name: str) -> Any:
    where = _LATER.get(name)
    if where is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(where[0]), where[1])


__all__ = [
    "FRONTENDS",
    "NO_FACTS",
    "Effect",
    "EngineError",
    "EvaluationError",
    "Facts",
    "GroupVersionKind",
    "GroupVersionResource",
    "InvalidPolicy",
    "InvalidYAML",
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
    "compile_expression",
    "compile_filters",
    "compile_policy",
    "generate",
    "json_text",
    "kind_of",
    "load_yaml",
    "respond",
    "scan",
    "validate",
]
