"""What an expression may use, and the compiled expression."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from engine.lang.cel.compiler import Compiler
from engine.lang.cel.errors import CelError
from engine.lang.cel.frame import BUDGET, BUDGET_STEPS, READ, Frame, Run
from engine.lang.cel.functions import Library, tabulate
from engine.lang.cel.kinds import Type
from engine.lang.cel.library import ALL
from engine.lang.cel.names import Constructor
from engine.lang.cel.parser import parse
from engine.lang.cel.syntax import Node
from engine.lang.errors import UnknownKey


class Activation(Protocol):
    """Where root variables come from; `engine.lang.jmes.Root` is one."""

    def field(self, name: str) -> Any:
        """The value of a variable; raises `UnknownKey` where there is none."""
        ...


class Program:
    """A compiled expression: call it with the values of its variables.

    `names` are the root variables it may read, `result_kind` the static type of its value (a CEL type's name, `dyn` where
    it is not known), `ast` the syntax tree, `constant` whether it has one value whatever the variables are.
    """

    __slots__ = ("_blank", "_run", "ast", "constant", "names", "result_kind", "text")

    def __init__(
        self, text: str, *, ast: Node, run: Run, blank: Frame, names: frozenset[str], result_kind: str, constant: bool
    ) -> None:
        self.text = text
        self.ast = ast
        self.names = names
        self.result_kind = result_kind
        self.constant = constant
        self._run = run
        self._blank = blank

    def __call__(self, activation: Activation | Mapping[str, Any], *, budget: int = BUDGET_STEPS) -> Any:
        """The value for these variables. Raises `CelError`, `CostExceeded`, and whatever reading a variable raises."""
        frame = self._blank.copy()
        frame[READ] = _reader(activation)
        frame[BUDGET] = budget
        return self._run(frame)


def _reader(activation: Any) -> Callable[[str], Any]:
    if activation.__class__ is dict or isinstance(activation, Mapping):
        mapping = activation

        def from_mapping(name: str) -> Any:
            if name not in mapping:
                raise CelError(f"no such attribute(s): {name}")
            return mapping[name]

        return from_mapping
    field = activation.field

    def from_root(name: str) -> Any:
        try:
            return field(name)
        except UnknownKey as error:
            raise CelError(f"no such attribute(s): {error.key}") from None

    return from_root


class Environment:
    """Variables with their types and the libraries that expressions may use. Immutable; make one and compile many.

    `constructors` are object types: name -> function of (name, fields); the name `Object.*` stands for every dotted name that
    begins so. `container` is the namespace that names are looked up in first. With `checked=False` only the syntax is
    checked when compiling, unknown names become evaluation errors.
    """

    def __init__(
        self,
        variables: Mapping[str, Type],
        *,
        libraries: Iterable[Library] = ALL,
        constructors: Mapping[str, Constructor] | None = None,
        container: str = "",
        checked: bool = True,
    ) -> None:
        self.variables = dict(variables)
        self.libraries = tuple(libraries)
        self.functions = tabulate(self.libraries)
        self.types = frozenset(name for library in self.libraries for name in library.types)
        self.constructors = dict(constructors or {})
        self.container = container
        self.checked = checked

    def extended(self, variables: Mapping[str, Type]) -> Environment:
        """This environment with more variables, or other types for them."""
        other = object.__new__(Environment)
        other.__dict__.update(self.__dict__)
        other.variables = {**self.variables, **variables}
        return other

    def compile(self, text: str) -> Program:
        """The program of an expression. Raises `ExpressionSyntaxError` with the offset of the fault."""
        tree = parse(text)
        compiler = Compiler(
            text,
            variables=self.variables,
            functions=self.functions,
            types=self.types,
            constructors=self.constructors,
            container=self.container,
            checked=self.checked,
        )
        code = compiler.compile(tree)
        return Program(
            text,
            ast=tree,
            run=code.run,
            blank=compiler.blank(),
            names=frozenset(compiler.roots),
            result_kind=code.kind if isinstance(code.kind, str) else code.kind.name,
            constant=code.is_constant,
        )
