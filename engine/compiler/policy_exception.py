"""PolicyException (kyverno.io/v2, v2beta1) to `PolicyException` (spec 1.2, 2.12)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from engine.clauses.conditions import compile_conditions
from engine.clauses.match import compile_match
from engine.clauses.request_variables import bind_request
from engine.compiler import fields
from engine.compiler.identity import identity_of
from engine.compiler.shape import anything, boolean, check_document, list_of, record, text
from engine.compiler.users import user_fields
from engine.errors import EvaluationError, InvalidPolicy
from engine.lang.go_time import RFC3339, InvalidTime, parse_time
from engine.lang.wildcard import compile_any
from engine.policy import PolicyException, RuleReference
from engine.rules.pod_security import compile_exclusions
from engine.scope import Scope

EXPIRES = "exceptions.pyvern.io/expires"
"""Annotation: from when it exempts nothing, a moment (`2026-12-31T18:00:00Z`) or a day (`2026-12-31`, in UTC, its first)."""
GROUP = "kyverno.io"
KIND = "PolicyException"

_spec = record(
    ("match", "exceptions"),
    background=boolean,
    match=fields.match,
    conditions=anything,
    exceptions=list_of(record(("policyName", "ruleNames"), policyName=text, ruleNames=fields.texts)),
    podSecurity=fields.exclusions,
)


def compile_exception(document: Mapping[str, Any]) -> PolicyException:
    """Compiles a PolicyException; raises `InvalidPolicy`.

    `policyName` is a name, or `namespace/name` for a Policy; `ruleNames` may hold wildcards, and generated rules go by their
    own names (`autogen-x`).
    """
    if not isinstance(document, Mapping):
        raise InvalidPolicy("", "an exception must be a map")
    group = str(document.get("apiVersion") or "").partition("/")[0]
    if group != GROUP or document.get("kind") != KIND:
        raise InvalidPolicy("kind", f"`{document.get('apiVersion')}, {document.get('kind')}` is no kind of exception")
    try:
        return _compile(document)
    except RecursionError:
        raise InvalidPolicy("", "the document is nested too deeply") from None


def _compile(document: Mapping[str, Any]) -> PolicyException:
    check_document(document, _spec)
    spec = document["spec"]
    background = spec.get("background") is not False
    match = compile_match(spec["match"], None, path="spec")
    if background:
        for path in user_fields(spec["match"], "spec.match"):
            raise InvalidPolicy(path, "Forbidden: user info is not known in the background, set spec.background to false")
    return PolicyException(
        identity=identity_of(document, namespace=str(document["metadata"].get("namespace") or "")),
        references=tuple(_references(spec["exceptions"])),
        match=match,
        holds=_conditions(spec.get("conditions")),
        background=background,
        exclusions=compile_exclusions(spec.get("podSecurity"), path="spec.podSecurity"),
        expires=_expires((document["metadata"].get("annotations") or {}).get(EXPIRES)),
        document=dict(document),
    )


def _expires(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_time("2006-01-02" if len(text) == len("2006-01-02") else RFC3339, text).nanoseconds
    except InvalidTime:
        raise InvalidPolicy(
            f"metadata.annotations[{EXPIRES}]",
            f"`{text}` is neither a day such as 2026-12-31 nor a moment such as 2026-12-31T18:00:00Z",
        ) from None


def _references(entries: list[Mapping[str, Any]]) -> Iterator[RuleReference]:
    if not entries:
        raise InvalidPolicy("spec.exceptions", "Required value")
    for index, entry in enumerate(entries):
        if not entry["policyName"]:
            raise InvalidPolicy(f"spec.exceptions[{index}].policyName", "Required value: an exception requires a policy name")
        if not entry["ruleNames"]:
            raise InvalidPolicy(
                f"spec.exceptions[{index}].ruleNames", "Required value: an exception requires at least 1 rule name"
            )
        yield RuleReference(entry["policyName"], compile_any(entry["ruleNames"]))


def _conditions(document: Any) -> Callable[[Scope], bool]:
    if document is None:
        return lambda _scope: True
    conditions = compile_conditions(document, path="spec.conditions")

    def hold(root: Scope) -> bool:
        if "request" not in root.loaders and "request" not in root.values:
            bind_request(root)
        try:
            met, _ = conditions(root)
        except EvaluationError:
            return False  # what cannot be said of a request does not exempt it
        return met

    return hold
