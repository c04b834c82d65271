"""Pyvern's engine: policies in, verdicts out. Pure: no sockets, files, environment, clock or event loop.

Names are imported when they are first asked for: no process needs all of them, and some of what stands behind them takes
long to load. `engine.explain` and `engine.lint` are faces of their own, for tools.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.clauses.filters import compile_exclusions, compile_filters
    from engine.compiler import (
        FRONTENDS,
        check_update,
        compile_exception,
        compile_policy,
        compile_stored,
        update_warnings,
    )
    from engine.compiler.bindings import BINDINGS, bind
    from engine.errors import EngineError, EvaluationError, InvalidPolicy, LookupFailed, Unknown
    from engine.evaluate import Response, blocks, deletable, generate, scan, validate
    from engine.evaluate import evaluate as respond
    from engine.facts import NO_FACTS, Facts, Lookup
    from engine.held import Held
    from engine.lang.errors import LanguageError
    from engine.lang.go_json import dumps as json_text
    from engine.lang.go_yaml_value import dump_value as yaml_text
    from engine.lang.image_ref import parse_image
    from engine.lang.jmes import Expression, compile_expression
    from engine.lang.selector import compile_selector
    from engine.lang.ttl import due as ttl_due
    from engine.lang.yaml_value import InvalidYAML
    from engine.lang.yaml_value import load as load_yaml
    from engine.mutation import mutate, mutate_target, targets_of
    from engine.policy import Effect, KindSelector, Policy, PolicyException, PolicyIdentity, Reach, Rule
    from engine.policyset import PolicySet
    from engine.request import GroupVersionKind, GroupVersionResource, Object, Request, User, kind_of
    from engine.result import Outcome, Result, Status, Verdict
    from engine.rules.cel_types import type_faults
    from engine.rules.mutate_existing import is_target

_HOMES = {
    "BINDINGS": ("engine.compiler.bindings", "BINDINGS"),
    "Expression": ("engine.lang.jmes", "Expression"),
    "Effect": ("engine.policy", "Effect"),
    "EngineError": ("engine.errors", "EngineError"),
    "EvaluationError": ("engine.errors", "EvaluationError"),
    "FRONTENDS": ("engine.compiler", "FRONTENDS"),
    "Facts": ("engine.facts", "Facts"),
    "GroupVersionKind": ("engine.request", "GroupVersionKind"),
    "GroupVersionResource": ("engine.request", "GroupVersionResource"),
    "Held": ("engine.held", "Held"),
    "InvalidPolicy": ("engine.errors", "InvalidPolicy"),
    "LanguageError": ("engine.lang.errors", "LanguageError"),
    "InvalidYAML": ("engine.lang.yaml_value", "InvalidYAML"),
    "KindSelector": ("engine.policy", "KindSelector"),
    "Lookup": ("engine.facts", "Lookup"),
    "LookupFailed": ("engine.errors", "LookupFailed"),
    "NO_FACTS": ("engine.facts", "NO_FACTS"),
    "Object": ("engine.request", "Object"),
    "Outcome": ("engine.result", "Outcome"),
    "Policy": ("engine.policy", "Policy"),
    "PolicyException": ("engine.policy", "PolicyException"),
    "PolicyIdentity": ("engine.policy", "PolicyIdentity"),
    "PolicySet": ("engine.policyset", "PolicySet"),
    "Reach": ("engine.policy", "Reach"),
    "Request": ("engine.request", "Request"),
    "Response": ("engine.evaluate", "Response"),
    "Result": ("engine.result", "Result"),
    "Rule": ("engine.policy", "Rule"),
    "Status": ("engine.result", "Status"),
    "Unknown": ("engine.errors", "Unknown"),
    "User": ("engine.request", "User"),
    "Verdict": ("engine.result", "Verdict"),
    "bind": ("engine.compiler.bindings", "bind"),
    "blocks": ("engine.evaluate", "blocks"),
    "check_update": ("engine.compiler", "check_update"),
    "compile_exception": ("engine.compiler", "compile_exception"),
    "compile_exclusions": ("engine.clauses.filters", "compile_exclusions"),
    "compile_expression": ("engine.lang.jmes", "compile_expression"),
    "compile_filters": ("engine.clauses.filters", "compile_filters"),
    "compile_policy": ("engine.compiler", "compile_policy"),
    "compile_selector": ("engine.lang.selector", "compile_selector"),
    "compile_stored": ("engine.compiler", "compile_stored"),
    "deletable": ("engine.evaluate", "deletable"),
    "generate": ("engine.evaluate", "generate"),
    "is_target": ("engine.rules.mutate_existing", "is_target"),
    "json_text": ("engine.lang.go_json", "dumps"),
    "kind_of": ("engine.request", "kind_of"),
    "load_yaml": ("engine.lang.yaml_value", "load"),
    "mutate": ("engine.mutation", "mutate"),
    "mutate_target": ("engine.mutation", "mutate_target"),
    "parse_image": ("engine.lang.image_ref", "parse_image"),
    "respond": ("engine.evaluate", "evaluate"),
    "scan": ("engine.evaluate", "scan"),
    "targets_of": ("engine.mutation", "targets_of"),
    "ttl_due": ("engine.lang.ttl", "due"),
    "type_faults": ("engine.rules.cel_types", "type_faults"),
    "update_warnings": ("engine.compiler", "update_warnings"),
    "validate": ("engine.evaluate", "validate"),
    "yaml_text": ("engine.lang.go_yaml_value", "dump_value"),
}
"""Name -> (module, its name there)."""


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home[0]), home[1])
    return value


__all__ = [
    "BINDINGS",
    "FRONTENDS",
    "NO_FACTS",
    "Effect",
    "EngineError",
    "EvaluationError",
    "Expression",
    "Facts",
    "GroupVersionKind",
    "GroupVersionResource",
    "Held",
    "InvalidPolicy",
    "InvalidYAML",
    "KindSelector",
    "LanguageError",
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
    "bind",
    "blocks",
    "check_update",
    "compile_exception",
    "compile_exclusions",
    "compile_expression",
    "compile_filters",
    "compile_policy",
    "compile_selector",
    "compile_stored",
    "deletable",
    "generate",
    "is_target",
    "json_text",
    "kind_of",
    "load_yaml",
    "mutate",
    "mutate_target",
    "parse_image",
    "respond",
    "scan",
    "targets_of",
    "ttl_due",
    "type_faults",
    "update_warnings",
    "validate",
    "yaml_text",
]
