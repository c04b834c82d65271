"""What is wrong with the expressions of `validate.cel` where the type of the objects is known.

The API server checks admission policies so and says in their status what it found; Kyverno warns the policy's author
(chainsaw test policy-validation/cluster-policy/cel-expressions). The rule is not refused: it may match other kinds as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.clauses.expressions import ENVIRONMENT, WITH_PARAMS, Variables, compile_cel
from engine.errors import InvalidPolicy
from engine.lang.cel import Struct
from engine.lang.cel.openapi import object_type

OBJECTS = ("object", "oldObject")


def type_faults(
    rule: Mapping[str, Any], schemas: Mapping[str, Any], *, group: str, version: str, kind: str, path: str
) -> Iterator[str]:
    """A line for each expression of a rule that compiles, and can yet never succeed on objects of this kind.

    `schemas` is the OpenAPI v3 document of the kind's group and version, `path` the place of the rule. Nothing where the rule has
    no `validate.cel` or the document does not describe the kind.
    """
    cel = (rule.get("validate") or {}).get("cel")
    if not cel:
        return
    known = object_type(schemas, group=group, version=version, kind=kind)
    if known is None:
        return
    api_version = f"{group}/{version}" if group else version
    for entry, where, fault in _faults(rule, cel, known, path):
        yield f"{where}.{fault.path}: {fault.reason}; {api_version} {kind}: {' '.join(str(entry[fault.path]).split())}"


def _faults(
    rule: Mapping[str, Any], cel: Mapping[str, Any], known: Struct, path: str
) -> Iterator[tuple[Mapping[str, Any], str, InvalidPolicy]]:
    """(entry, its place, fault: its path is the field)."""
    untyped = WITH_PARAMS if cel.get("paramKind") else ENVIRONMENT
    environment = untyped.extended(dict.fromkeys(OBJECTS, known))
    for index, entry in enumerate(rule.get("celPreconditions") or ()):
        for fault in _fault(entry, "expression", environment, ("bool",)):
            yield entry, f"{path}.celPreconditions[{index}]", fault
    inside = f"{path}.validate.cel"
    variables: list[Mapping[str, Any]] = []
    for index, entry in enumerate(cel.get("variables") or ()):
        typed = Variables(variables, environment, path="").environment
        found = list(_fault(entry, "expression", typed))
        for fault in found:
            yield entry, f"{inside}.variables[{index}]", fault
        # an expression that is at fault counts as one of an unknown type for those after it
        variables.append({**entry, "expression": "dyn(null)"} if found else entry)
    typed = Variables(variables, environment, path="").environment
    for index, entry in enumerate(cel.get("expressions") or ()):
        for field, kinds in (("expression", ("bool",)), ("messageExpression", ("string",))):
            for fault in _fault(entry, field, typed, kinds):
                yield entry, f"{inside}.expressions[{index}]", fault
    for index, entry in enumerate(cel.get("auditAnnotations") or ()):
        for fault in _fault(entry, "valueExpression", typed, ("string", "null_type")):
            yield entry, f"{inside}.auditAnnotations[{index}]", fault


def _fault(entry: Mapping[str, Any], field: str, environment: Any, kinds: tuple[str, ...] = ()) -> Iterator[InvalidPolicy]:
    if entry.get(field):
        try:
            compile_cel(entry[field], environment, path=field, kinds=kinds)
        except InvalidPolicy as fault:
            yield fault
