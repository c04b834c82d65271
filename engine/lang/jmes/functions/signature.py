"""What a function takes and gives, and the closure of a call: checked arguments, then the plain Python function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from engine.lang import go_format
from engine.lang.errors import ExpressionError

Closure = Callable[[Any], Any]
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "array[string]": (list,),
    "array[number]": (list,),
    "any": (str, int, float, bool, list, dict, type(None)),
}
_MEMBERS: dict[str, tuple[type, ...]] = {"array[string]": (str,), "array[number]": (int, float)}


class InvalidType(ExpressionError):
    """An argument of a type the function does not take."""

    def __init__(self, value: Any, types: Sequence[str]) -> None:
        expected = ", ".join(f'"{name}"' for name in types)
        super().__init__(f"Invalid type for: {go_format.plain(value)}, expected: []jmespath.JpType{{{expected}}}")
        self.value = value
        self.types = tuple(types)

    @property
    def discreet(self) -> str:
        return f"an argument of an invalid type, expected: {', '.join(self.types)}"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: the JMESPath types it takes, any of them."""

    types: tuple[str, ...]

    @property
    def is_expression(self) -> bool:
        return self.types == ("expref",)

    def checked(self, argument: Closure) -> Closure:
        """`argument` with its result's type checked."""
        types = self.types
        if self.is_expression or types == ("any",):
            return argument
        members = [_MEMBERS[name] for name in types if name in _MEMBERS]
        classes = tuple(kind for name in types for kind in _TYPES[name])
        if members:

            def check_members(value: Any) -> Any:
                found = argument(value)
                if found.__class__ is list and any(all(item.__class__ in kinds for item in found) for kinds in members):
                    return found
                raise InvalidType(found, types)

            return check_members
        if len(classes) == 1:
            only = classes[0]

            def check_one(value: Any) -> Any:
                found = argument(value)
                if found.__class__ is only:
                    return found
                raise InvalidType(found, types)

            return check_one

        def check(value: Any) -> Any:
            found = argument(value)
            if found.__class__ in classes:
                return found
            raise InvalidType(found, types)

        return check


@dataclass(frozen=True, slots=True)
class Function:
    """One JMESPath function.

    `call` gets the argument values in order; an `&expression` arrives as a closure. With `needs_root` the Root comes first.
    `prepare` (optional) turns a first argument known at compile time into the function of the others. `raw`: strings may hold
    bytes that are no UTF-8 (see `values.from_bytes`).
    """

    parameters: tuple[Parameter, ...]
    result: str
    call: Callable[..., Any]
    note: str
    variadic: bool = False
    needs_root: bool = False
    raw: bool = False
    builtin: bool = False
    prepare: Callable[[Any], Callable[..., Any]] | None = None

    def signature(self, name: str) -> str:
        """`add(any, any) any`, as `jp function` prints it."""
        parameters = ["|".join(parameter.types) for parameter in self.parameters]
        return f"{name}({', '.join(parameters)}{', ...' if self.variadic else ''}) {self.result}"

    def accepts(self, count: int) -> bool:
        """May it be called with `count` arguments?"""
        return count >= len(self.parameters) if self.variadic else count == len(self.parameters)

    def parameter(self, index: int) -> Parameter:
        """The parameter that argument `index` is for."""
        return self.parameters[min(index, len(self.parameters) - 1)]


def function(signature: str, call: Callable[..., Any], note: str, **settings: Any) -> Function:
    """A table entry: `function("string, string|number -> boolean", regex_match, "…")`; `...` after the last type: variadic."""
    taken, _, result = signature.partition("->")
    variadic = taken.rstrip().endswith("...")
    names = [name.strip() for name in taken.replace("...", "").split(",") if name.strip()]
    parameters = tuple(Parameter(tuple(name.split("|"))) for name in names)
    return Function(parameters, result.strip(), call, note, variadic=variadic, **settings)


def bind(call: Callable[..., Any], arguments: Sequence[Closure]) -> Closure:
    """The closure of a call."""
    if len(arguments) == 1:
        (only,) = arguments
        return lambda value: call(only(value))
    if len(arguments) == 2:
        first, second = arguments
        return lambda value: call(first(value), second(value))
    if len(arguments) == 3:
        first, second, third = arguments
        return lambda value: call(first(value), second(value), third(value))
    return lambda value: call(*[argument(value) for argument in arguments])
