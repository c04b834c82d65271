"""What names mean in one expression that is being compiled: variables, types, the names that macros bind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from engine.lang.cel import access, kinds
from engine.lang.cel.errors import CelError
from engine.lang.cel.frame import BUDGET_STEPS, RESERVED_PLACES, UNSET, Code, Frame, constant
from engine.lang.cel.functions import Function, Key
from engine.lang.cel.kinds import Type
from engine.lang.cel.syntax import Node
from engine.lang.cel.values import TypeValue
from engine.lang.errors import ExpressionSyntaxError

Constructor = Callable[[str, dict[str, Any]], Any]
"""Makes an object from its type's name and its fields."""


class Names:
    """The environment, the bound names and the places of the frame they take."""

    def __init__(
        self,
        text: str,
        *,
        variables: Mapping[str, Type],
        functions: Mapping[Key, Function],
        types: frozenset[str],
        constructors: Mapping[str, Constructor],
        container: str,
        checked: bool,
    ) -> None:
        self.text = text
        self.variables = variables
        self.functions = functions
        self.types = types
        self.constructors = constructors
        self.containers = _containers(container)
        self.container = container
        self.checked = checked
        self.locals: dict[str, Code] = {}
        self.roots: dict[str, Code] = {}
        self.places = RESERVED_PLACES

    def fail(self, node: Node, reason: str) -> NoReturn:
        raise ExpressionSyntaxError(self.text, reason, node.at)

    def slot(self) -> int:
        """A free place in the frame."""
        self.places += 1
        return self.places - 1

    def blank(self) -> Frame:
        """The frame an evaluation starts with."""
        return [None, BUDGET_STEPS, *[UNSET] * (self.places - RESERVED_PLACES)]

    def bound(self, name: str, kind: Type, body: Callable[[Code], Code]) -> Code:
        """What `body` compiles to while `name` is a variable of a comprehension."""
        before = self.locals.get(name)
        slot = self.slot()
        self.locals[name] = variable = Code(access.local_variable(slot), kind, slot=slot)
        try:
            return body(variable)
        finally:
            if before is None:
                del self.locals[name]
            else:
                self.locals[name] = before

    def failing(self, node: Node, reason: str) -> Code:
        """A compile error, or in unchecked mode an evaluation error."""
        if self.checked:
            self.fail(node, reason)

        def raising(_: Frame) -> Any:
            raise CelError(reason)

        return Code(raising)

    def resolve(self, names: list[str]) -> tuple[Code, int] | None:
        """The variable or type that the longest prefix of a dotted name stands for, and the number of names it takes."""
        absolute = names[0].startswith(".")
        if not absolute and names[0] in self.locals:
            return self.locals[names[0]], 1
        first = names[0].removeprefix(".")
        for count in range(len(names), 0, -1):
            name = ".".join((first, *names[1:count]))
            for container in ("",) if absolute else self.containers:
                found = self.root(container + name)
                if found is not None:
                    return found, count
        return None

    def root(self, name: str) -> Code | None:
        kind = self.variables.get(name)
        if kind is not None:
            if name not in self.roots:
                self.roots[name] = Code(access.root_variable(name, self.slot()), kind)
            return self.roots[name]
        return constant(TypeValue(name), kinds.TYPE) if name in self.types else None


def _containers(container: str) -> tuple[str, ...]:
    """Prefixes to try for a name, longest first."""
    parts = container.split(".") if container else []
    return tuple(f"{'.'.join(parts[:count])}." if count else "" for count in range(len(parts), -1, -1))
