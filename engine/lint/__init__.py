"""What a policy document says that its author did not mean: faults, dead rules, old forms, rights it needs.

Pure like the rest of the engine: documents in, findings with paths out. Where a path stands in a file, the shell knows.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Mapping
from typing import Any

from engine.compiler import FRONTENDS, compile_exception, compile_policy
from engine.errors import InvalidPolicy, UnknownField
from engine.lang.errors import ExpressionSyntaxError
from engine.lint.deprecated import deprecated_findings
from engine.lint.expressions import expression_findings
from engine.lint.finding import CODES, Finding, Level
from engine.lint.needs import Need, needs_of
from engine.lint.reach import reach_findings
from engine.lint.walk import rules_of
from engine.policy import Policy
from engine.request import kind_of

__all__ = ["CODES", "Finding", "Level", "Need", "lint", "lintable", "needs_of"]

EXCEPTION = ("kyverno.io", "PolicyException")
_SHOWN = 100
"""Unknown fields that are reported of one document."""
_TOLD_HERE = ("is deprecated", "are deprecated", "has been deprecated")


def lintable(document: Any) -> bool:
    """Is it a document that `lint` knows?"""
    return isinstance(document, Mapping) and _kind(document) in {*FRONTENDS, EXCEPTION}


def lint(document: Mapping[str, Any], *, cluster_scoped: frozenset[str] = frozenset()) -> list[Finding]:
    """All findings for one document, in the order of their checks; `needs_of` tells the rights, which need a cluster to judge.

    `cluster_scoped` are the kinds that the shell knows to lie in no namespace.
    """
    findings: list[Finding] = []
    for path, rule in rules_of(document):
        findings += expression_findings({key: rule[key] for key in rule if key not in ("match", "exclude", "name")}, path)
    policy, faults = _compiled(document, spoken=bool(findings))
    findings += faults
    for path, rule in rules_of(document):
        findings += reach_findings(rule, path, cluster_scoped=cluster_scoped)
    findings += deprecated_findings(document)
    if policy is not None:
        findings += [Finding("warning", "", text) for text in policy.warnings if not any(word in text for word in _TOLD_HERE)]
    return findings


def _kind(document: Mapping[str, Any]) -> tuple[str, str]:
    gvk = kind_of(document)
    return gvk.group, gvk.kind


def _compiled(document: Mapping[str, Any], *, spoken: bool) -> tuple[Policy | None, list[Finding]]:
    """The policy, if it compiles without its unknown fields, and what the compiler finds.

    `spoken`: faulty expressions have been found already, the compiler need not repeat the first of them.
    """
    compiles = compile_exception if _kind(document) == EXCEPTION else compile_policy
    findings: list[Finding] = []
    rest: Any = copy.deepcopy(document)
    while len(findings) < _SHOWN:
        try:
            compiled = compiles(rest)
        except UnknownField as fault:
            holder, name = _holder(rest, fault)
            near = difflib.get_close_matches(name, fault.known, 1)
            known = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(sorted(fault.known))}"
            findings.append(Finding("unknown-field", fault.path, f"unknown field `{name}`", help=known))
            if holder is None:
                return None, findings
            value = holder.pop(name)
            if near and near[0] not in holder:
                holder[near[0]] = value  # what was meant: it shall not be missed as well
        except InvalidPolicy as fault:
            if not (spoken and isinstance(fault.__cause__, ExpressionSyntaxError)):
                findings.append(Finding("invalid", fault.place, fault.reason))
            return None, findings
        else:
            return compiled if isinstance(compiled, Policy) else None, findings
    return None, findings


def _holder(document: Any, fault: UnknownField) -> tuple[dict[str, Any] | None, str]:
    """The map that holds the unknown field, and the field's name, which may itself hold dots."""
    return _find(document, fault.path) or (None, fault.path.rpartition(".")[2])


def _find(value: Any, path: str) -> tuple[dict[str, Any], str] | None:
    if isinstance(value, dict):
        if path in value:
            return value, path
        for key, member in value.items():
            if path.startswith(key) and path[len(key) : len(key) + 1] in (".", "["):
                found = _find(member, path[len(key) :].removeprefix("."))
                if found:
                    return found
    if isinstance(value, list) and path.startswith("["):
        index, _, rest = path[1:].partition("]")
        if index.isdigit() and int(index) < len(value):
            return _find(value[int(index)], rest.removeprefix("."))
    return None
