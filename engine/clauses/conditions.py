"""Conditions: preconditions, deny, exceptions, cleanup (spec 2.3, 9.8)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.clauses.template import Template, compile_template
from engine.errors import EvaluationError, InvalidPolicy, UnknownField
from engine.lang.comparisons import OPERATORS, Test
from engine.lang.membership import OperatorError
from engine.scope import Scope

_MISSING = "entered value of `key`, `value` or `operator` is missing or misspelled"


class _Condition:
    """One comparison; called with a scope it says whether it holds."""

    __slots__ = ("key", "message", "prepare", "test", "value")

    def __init__(self, document: Any, path: str) -> None:
        if not isinstance(document, dict) or document.get("key") is None or document.get("value") is None:
            raise InvalidPolicy(path, _MISSING)
        name = document.get("operator")
        if not name:
            raise InvalidPolicy(path, _MISSING)
        if not isinstance(name, str) or name not in OPERATORS:
            names = " ".join(f'"{operator}"' for operator in OPERATORS)
            raise InvalidPolicy(path, f"entered value of `operator` is invalid. valid values: [{names}]")
        self.prepare = OPERATORS[name]
        self.key = compile_template(document["key"], path=f"{path}.key")
        self.value = compile_template(document["value"], path=f"{path}.value")
        message = document.get("message") or ""
        if not isinstance(message, str):
            raise InvalidPolicy(f"{path}.message", "must be a string")
        self.message = message
        self.test: Test | None = self.prepare(self.value.value) if self.value.constant else None

    def __call__(self, scope: Scope) -> bool:
        try:
            key = self.key(scope)
        except EvaluationError as error:
            raise EvaluationError(f"failed to substitute variables in condition key: {error}") from error
        test = self.test
        if test is None:
            try:
                test = self.prepare(self.value(scope))
            except EvaluationError as error:
                raise EvaluationError(f"failed to substitute variables in condition value: {error}") from error
        try:
            return test(key)
        except OperatorError as error:
            raise EvaluationError(str(error)) from error
        except RecursionError:
            raise EvaluationError("the condition compares values that are nested too deeply") from None


class Conditions:
    """Conditions, compiled. Called with a scope they give (met, message).

    `any` stops at the first condition that holds, `all` at the first that does not. The message joins the messages of the
    conditions that decided, as written: their variables are not replaced. Raises `EvaluationError` where a key or a value
    cannot be had. `templates` are all keys and values.
    """

    __slots__ = ("_all", "_any", "_separator")

    def __init__(self, any_of: tuple[_Condition, ...] | None, all_of: tuple[_Condition, ...], *, separator: str = "; ") -> None:
        self._any = any_of
        self._all = all_of
        self._separator = separator

    @property
    def templates(self) -> tuple[Template, ...]:
        return tuple(template for condition in (*(self._any or ()), *self._all) for template in (condition.key, condition.value))

    def __call__(self, scope: Scope) -> tuple[bool, str]:
        met = True
        messages: list[str] = []
        if self._any is not None:
            met, messages = _any_holds(self._any, scope)
        every, more = _all_hold(self._all, scope)
        if met is every:
            return met, self._separator.join([*messages, *more])
        return False, self._separator.join(messages if every else more)


def _any_holds(conditions: tuple[_Condition, ...], scope: Scope) -> tuple[bool, list[str]]:
    failed = []
    for condition in conditions:
        if condition(scope):
            return True, [condition.message] if condition.message else []
        if condition.message:
            failed.append(condition.message)
    return False, failed


def _all_hold(conditions: tuple[_Condition, ...], scope: Scope) -> tuple[bool, list[str]]:
    held = []
    for condition in conditions:
        if not condition(scope):
            return False, [condition.message] if condition.message else []
        if condition.message:
            held.append(condition.message)
    return True, held


def compile_conditions(document: Any, *, path: str) -> Conditions:
    """Compiles `any` and `all` blocks or the old bare list, which is an `all`.

    No conditions are met; an empty `any` is not (oracle conditions.json). Raises `InvalidPolicy` for other blocks, for
    unknown operators and for a key or a value that is missing or null.
    """
    if isinstance(document, list):
        # oracle conditions.json: the old form joins its messages without a blank
        return Conditions(None, tuple(_compiled(document, path)), separator=";")
    if not isinstance(document, dict):
        raise InvalidPolicy(path, "conditions must be a map with any or all, or a list")
    for key in document:
        if key not in ("any", "all"):
            raise UnknownField(f"{path}.{key}", ("any", "all"))
    any_of = document.get("any")
    return Conditions(
        None if any_of is None else tuple(_compiled(any_of, f"{path}.any")),
        tuple(_compiled(document.get("all") or [], f"{path}.all")),
    )


def _compiled(documents: Any, path: str) -> Iterator[_Condition]:
    if not isinstance(documents, list):
        raise InvalidPolicy(path, "must be a list of conditions")
    for index, document in enumerate(documents):
        yield _Condition(document, f"{path}[{index}]")
