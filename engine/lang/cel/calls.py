"""Closures that call a function: directly where the static types settle the overload, by class of the values elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from engine.lang.cel.frame import Code, Frame, Run, charge
from engine.lang.cel.functions import Function, Overload
from engine.lang.cel.kinds import DYN


def call(function: Function, candidates: list[Overload], args: Sequence[Code]) -> Run:
    """The closure of a call. `candidates` are the overloads that the static types leave, at least one."""
    prepared = [_prepared(overload, args) for overload in candidates]
    if len(prepared) == 1 and _settled(prepared[0], args):
        return _direct(prepared[0], [code.run for code in args])
    apply = by_class(function, prepared)
    if len(args) == 1:
        only = args[0].run
        return lambda frame: apply(frame, only(frame))
    if len(args) == 2:
        first, second = args[0].run, args[1].run
        return lambda frame: apply(frame, first(frame), second(frame))
    runs = [code.run for code in args]
    return lambda frame: apply(frame, *[run(frame) for run in runs])


def by_class(function: Function, candidates: list[Overload]) -> Callable[..., Any]:
    """`apply(frame, *values)`: picks the overload for the values' classes, charges for it and calls it."""
    choose = function.dispatcher(candidates)

    def apply(frame: Frame, *values: Any) -> Any:
        overload = choose(values)
        if overload.cost is not None:
            charge(frame, overload.cost(*values))
        return overload.call(*values)

    return apply


def _prepared(overload: Overload, args: Sequence[Code]) -> Overload:
    if overload.prepare is None:
        return overload
    better = overload.prepare(*(code.constant for code in args))
    return overload if better is None else replace(overload, call=better)


def _settled(overload: Overload, args: Sequence[Code]) -> bool:
    return all(wanted in (DYN, code.kind) for wanted, code in zip(overload.args, args, strict=True))


def _direct(overload: Overload, runs: list[Run]) -> Run:
    target, cost = overload.call, overload.cost
    if cost is not None:

        def charged(frame: Frame) -> Any:
            values = [run(frame) for run in runs]
            charge(frame, cost(*values))
            return target(*values)

        return charged
    if not runs:
        return lambda _: target()
    if len(runs) == 1:
        (only,) = runs
        return lambda frame: target(only(frame))
    if len(runs) == 2:
        first, second = runs
        return lambda frame: target(first(frame), second(frame))
    return lambda frame: target(*[run(frame) for run in runs])
