"""validate.pattern and validate.anyPattern: the object has to look like a document with anchors (spec 2.4, 9.1, 9.3)."""

from __future__ import annotations

import marshal
from collections.abc import Callable
from typing import Any

from engine.clauses.template import Template, compile_template
from engine.errors import EvaluationError, InvalidPolicy
from engine.lang.anchors import AnchorKind, parse_anchor
from engine.lang.mismatch import Mismatch
from engine.lang.pattern import Pattern, compile_pattern
from engine.policy import Check
from engine.result import Outcome, Status
from engine.rules.subject import subject_of
from engine.scope import Scope

_KEPT = 16
"""How many sets of substituted values a pattern with variables keeps compiled."""

_Source = Callable[[Scope], Pattern]


def compile_check(spec: Any, *, rule: str, message: Template | None, path: str) -> Check:
    """Compiles the value of `validate.pattern`.

    Raises `InvalidPolicy` for anchors in the wrong place; the check raises `EvaluationError` where a variable of the pattern has
    no value, even below an anchor that would skip it.
    """
    source = _source(spec, path)
    passed = Outcome(Status.PASS, f"validation rule '{rule}' passed.")

    def check(scope: Scope) -> Outcome:
        bad = source(scope)(subject_of(scope))
        if bad is None:
            return passed
        if bad.skips:
            return Outcome(Status.SKIP, bad.text)
        where = f"failed at path {bad.path}" if bad.path else f"execution error: {bad.text}"
        text = _failure(rule, message, scope, ending=f"rule {rule} {where}", detail=bad.text)
        return Outcome(Status.FAIL if bad.path else Status.ERROR, text)

    return check


def compile_any_check(spec: Any, *, rule: str, message: Template | None, path: str) -> Check:
    """Compiles the value of `validate.anyPattern`: a list of patterns, of which the first that matches decides."""
    if not isinstance(spec, list):
        raise InvalidPolicy(path, "anyPattern must be a list of patterns")
    sources = [
        (_source(pattern, f"{path}[{index}]"), Outcome(Status.PASS, f"validation rule '{rule}' anyPattern[{index}] passed."))
        for index, pattern in enumerate(spec)
    ]

    def check(scope: Scope) -> Outcome:
        subject = subject_of(scope)
        patterns = [source(scope) for source, _ in sources]
        bad: list[tuple[int, Mismatch]] = []
        for index, pattern in enumerate(patterns):
            mismatch = pattern(subject)
            if mismatch is None:
                return sources[index][1]
            bad.append((index, mismatch))
        failures = [_one_of(rule, index, mismatch) for index, mismatch in bad if not mismatch.skips]
        if bad and not failures:
            return Outcome(Status.SKIP, " ".join(f"rule {rule}[{index}] skipped: {mismatch.text}" for index, mismatch in bad))
        text = " ".join(failures)
        return Outcome(Status.FAIL, _failure(rule, message, scope, ending=text, detail=text))

    return check


def _failure(rule: str, message: Template | None, scope: Scope, *, ending: str, detail: str) -> str:
    """What the rule says of a violation; `detail` stands for a message whose variables have no value."""
    if message is None or message.value == "":
        return f"validation error: {ending}"
    sentence = _sentence(message, scope)
    if sentence is None:
        return f"validation error: variables substitution error in rule {rule} execution error: {detail}"
    return f"validation error: {sentence} {ending}"


def _one_of(rule: str, index: int, bad: Mismatch) -> str:
    at = bad.path
    return f"rule {rule}[{index}] failed at path {at}" if at else f"rule {rule}[{index}] failed: {bad.text}"


def _sentence(message: Template, scope: Scope) -> str | None:
    """The policy author's message with its full stop; None where a variable has no value."""
    if message.constant:
        text = message.value
    else:
        try:
            text = message(scope)
        except EvaluationError:
            return None
    if not isinstance(text, str):
        # Kyverno panics here (spec 9.8).
        raise EvaluationError(f"validate.message resolved to a value that is no string: {text!r}")
    return text if text.endswith(".") else f"{text}."


def _source(spec: Any, path: str) -> _Source:
    """Where a check takes its compiled pattern from: made once, or per set of values that its variables take."""
    _validate(spec, path, "/")
    _validate_tags(spec, path)
    template = compile_template(spec, path=path)
    if template.constant:
        constant = compile_pattern(template.value)
        return lambda _scope: constant
    kept: dict[bytes, Pattern] = {}

    def source(scope: Scope) -> Pattern:
        try:
            document = template(scope)
        except EvaluationError as error:
            raise EvaluationError(f"variable substitution failed: {error}") from error
        # Equal documents are not enough: true == 1 == 1.0. Version 2 has no back references, which depend on object identity.
        key = marshal.dumps(document, 2)
        pattern = kept.get(key)
        if pattern is None:
            if len(kept) >= _KEPT:
                kept.clear()
            try:
                pattern = kept[key] = compile_pattern(document)
            except RecursionError:
                raise EvaluationError("the pattern is nested too deeply after its variables were substituted") from None
        return pattern

    return source


def _validate(pattern: Any, path: str, at: str) -> None:
    """Anchors where they cannot work are refused."""
    if isinstance(pattern, list):
        for index, member in enumerate(pattern):
            _validate(member, path, f"{at}{index}/")
    if not isinstance(pattern, dict):
        return
    for key, member in pattern.items():
        anchor = parse_anchor(key)
        if anchor is not None and anchor.kind is AnchorKind.ADD:
            raise InvalidPolicy(f"{path}.{at}{key}", "unsupported anchor: `+()` adds members and belongs to mutate rules")
        if anchor is not None and anchor.kind is AnchorKind.EXISTENCE:
            if not isinstance(member, list):
                raise InvalidPolicy(f"{path}.{at}{key}", "existence anchor should have value of type list")
            if not member:
                raise InvalidPolicy(f"{path}.{at}{key}", "existence anchor: should have at least one value")
        _validate(member, path, f"{at}{key}/")


def _validate_tags(pattern: Any, path: str) -> None:
    metadata = pattern.get("metadata") if isinstance(pattern, dict) else None
    if not isinstance(metadata, dict):
        return
    for tag in ("labels", "annotations"):
        values = metadata.get(tag)
        if isinstance(values, dict) and not all(isinstance(value, str) for value in values.values()):
            raise InvalidPolicy(
                f"{path}.metadata.{tag}",
                'labels and annotations supports only string values, "use double quotes around the non string values"',
            )
