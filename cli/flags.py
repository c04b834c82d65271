"""Flags as Go's command lines read them: lists by repeating or with commas, and `--flag=true`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import click

from cli.errors import UsageError

PAYLOADS = "JSON, HTTP and Envoy payloads are for policies of the group policies.kyverno.io, which are not evaluated yet"
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


def refused(**reasons: str) -> Callable[[Any], Any]:
    """Options of Kyverno's that cannot be served: asked for, they are an error that says why. `json="…"` is `--json`."""

    def decorate(function: Any) -> Any:
        for name, reason in reasons.items():
            flag = f"--{name.replace('_', '-')}"
            function = click.option(
                flag, name, hidden=True, expose_value=False, multiple=True, callback=partial(_refuse, flag, reason)
            )(function)
        return function

    return decorate


def _refuse(flag: str, reason: str, _context: click.Context, _parameter: click.Parameter, value: tuple[str, ...]) -> None:
    if value:
        raise UsageError(f"{flag}: {reason}")


_IGNORED_SWITCHES = frozenset({"--continue-on-fail", "--continue-on-error", "--show-performance"})
