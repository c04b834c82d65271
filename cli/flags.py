"""Flags as Go's command lines read them: lists by repeating or with commas, and `--flag=true`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

_WORDS = {"true": True, "false": False}


class GoCommand(click.Command):
    """A command whose switches may be given as `--switch=true` and `--switch=false`, as scripts for Kyverno do."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        switches = {name for option in self.params if getattr(option, "is_flag", False) for name in option.opts}
        return super().parse_args(ctx, list(filter(None, (_plain(argument, switches) for argument in args))))


def _plain(argument: str, switches: set[str]) -> str:
    name, equals, value = argument.partition("=")
    if not equals or name not in switches or value.lower() not in _WORDS:
        return argument
    return name if _WORDS[value.lower()] else ""


def path_list(_context: click.Context, _parameter: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """`-r a,b -r c` is a, b and c."""
    return tuple(part for item in value for part in item.split(",") if part)


def list_option(*names: str, metavar: str = "PATH", help: str) -> Callable[[Any], Any]:
    """An option that may come more than once, and hold several values."""
    return click.option(*names, metavar=metavar, callback=path_list, multiple=True, help=help)


def ignored(*names: str) -> Callable[[Any], Any]:
    """Options of Kyverno's that change nothing here: accepted, not shown."""

    def decorate(function: Any) -> Any:
        for name in names:
            function = click.option(name, hidden=True, expose_value=False, is_flag=name in _IGNORED_SWITCHES)(function)
        return function

    return decorate


_IGNORED_SWITCHES = frozenset({"--continue-on-fail", "--continue-on-error", "--show-performance"})
