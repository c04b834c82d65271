"""How functions are declared and called: overloads by kinds of arguments, resolved when compiling or by class at run time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.lang.cel.kinds import DYN, Type, fits, kind_name
from engine.lang.cel.values import kind_of_class, no_overload

Implementation = Callable[..., Any]
Cost = Callable[..., int]
NOT_CONSTANT: Any = object()
"""Stands for an argument whose value is only known when evaluating."""


@dataclass(frozen=True, slots=True)
class Overload:
    """One signature. A member function's first argument is its target.

    `cost` tells, from the arguments, how many steps a call takes where that is more than a few. `prepare` gets the values
    that are known when compiling (`NOT_CONSTANT` for others) and may return a faster implementation; a `CelError` from
    it is a compile error.
    """

    args: tuple[str, ...]
    result: Type
    call: Implementation
    cost: Cost | None = None
    prepare: Callable[..., Implementation | None] | None = None


@dataclass(frozen=True, slots=True)
class Function:
    """All overloads of one name, style (member or global) and number of arguments."""

    name: str
    overloads: tuple[Overload, ...]

    def candidates(self, given: Iterable[Type]) -> list[Overload]:
        """Overloads that arguments of these static types may reach."""
        types = tuple(given)
        return [overload for overload in self.overloads if all(map(fits, types, overload.args))]

    def dispatcher(self, candidates: list[Overload]) -> Callable[[tuple[Any, ...]], Overload]:
        """A function from arguments to the overload for their classes; raises `CelError` where there is none."""
        known: dict[tuple[type, ...], Overload] = {}

        def choose(values: tuple[Any, ...]) -> Overload:
            classes = tuple([value.__class__ for value in values])
            found = known.get(classes)
            if found is None:
                found = self._matching(candidates, classes)
                if found is None:
                    raise no_overload(self.name, *values)
                known[classes] = found
            return found

        return choose

    def _matching(self, candidates: list[Overload], classes: tuple[type, ...]) -> Overload | None:
        actual = [kind_of_class(cls) for cls in classes]
        for overload in candidates:
            if all(wanted in (DYN, kind) for kind, wanted in zip(actual, overload.args, strict=True)):
                return overload
        return None


def mismatch(name: str, given: Iterable[Type], *, member: bool) -> str:
    """What the checker says of arguments that no overload takes."""
    types = [kind_name(kind) for kind in given]
    shown = f"{types[0]}.({', '.join(types[1:])})" if member else f"({', '.join(types)})"
    return f"found no matching overload for '{name}' applied to '{shown}'"


Key = tuple[str, bool, int]
"""Name, is it a member function, number of arguments with the target."""


@dataclass(frozen=True, slots=True)
class Library:
    """Functions, type names and constants that an environment may include."""

    name: str
    functions: Mapping[str, tuple[Overload, ...]]
    members: Mapping[str, tuple[Overload, ...]]
    types: tuple[str, ...] = ()


def tabulate(libraries: Iterable[Library]) -> dict[Key, Function]:
    """The functions of several libraries by name, style and arity; overloads of one name add up."""
    table: dict[Key, list[Overload]] = {}
    for library in libraries:
        for member, named in ((False, library.functions), (True, library.members)):
            for name, overloads in named.items():
                for overload in overloads:
                    table.setdefault((name, member, len(overload.args)), []).append(overload)
    return {key: Function(key[0], tuple(overloads)) for key, overloads in table.items()}
