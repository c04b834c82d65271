"""`pyvern docs`: the reference of all commands, made from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator

import click

from cli.errors import UsageError

PROGRAM = "pyvern"
NOTE = "<!-- Made by `pyvern docs -o docs/cli.md`; a test says when it is out of date. -->"


@click.command(name="docs")
@click.option("-o", "--output", metavar="FILE", default="", help="File to write instead of standard output.")
def command(output: str) -> None:
    """Print the reference of all commands as Markdown."""
    text = reference()
    if not output:
        click.echo(text, nl=False)
        return
    try:
        with open(output, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"{output}: {(error.strerror or str(error)).lower()}") from None


def reference() -> str:
    """The whole page."""
    from cli.main import COMMANDS, program

    context = click.Context(program, info_name=PROGRAM)
    lines = [
        NOTE,
        "",
        "# Command line",
        "",
        f"`{PROGRAM}` is also a kubectl plugin: `kubectl {PROGRAM} apply …`. Exit status: 0 when all is well, 1 for any error,",
        "or what a command says below. Colours appear on a terminal only; `NO_COLOR` turns them off.",
        "",
        "| command | |",
        "|---|---|",
        *(f"| [`{name}`](#{PROGRAM}-{name}) | {text} |" for name, (_, text) in sorted(COMMANDS.items())),
        "",
    ]
    for name in program.list_commands(context):
        found = program.get_command(context, name)
        if found is not None:
            lines += _pages(found, name, context, 2)
    return "\n".join(lines).rstrip() + "\n"


def _pages(found: click.Command, name: str, parent: click.Context, level: int) -> Iterator[str]:
    context = click.Context(found, info_name=name, parent=parent)
    yield f"{'#' * level} {context.command_path}"
    yield ""
    yield from _help(found.help or "")
    if not isinstance(found, click.Group):
        yield "```"
        yield " ".join((context.command_path, *found.collect_usage_pieces(context)))
        yield "```"
        yield ""
    yield from _options(found, context)
    if isinstance(found, click.Group):
        for sub in found.list_commands(context):
            inner = found.get_command(context, sub)
            if inner is not None and inner.name == sub:  # other names of a command are left out
                yield from _pages(inner, sub, context, level + 1)


def _help(text: str) -> Iterator[str]:
    """The help text; what click is told not to wrap becomes a code block."""
    import inspect

    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if paragraph.startswith("\b"):
            lines = paragraph.split("\n")[1:]
            code = any(line.startswith(PROGRAM) for line in lines)
            yield from (["```sh", *lines, "```"] if code else lines)
        else:
            yield paragraph
        yield ""


def _options(found: click.Command, context: click.Context) -> Iterator[str]:
    rows = []
    for parameter in found.get_params(context):
        record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
        if record is not None and not record[0].endswith("--help"):
            rows.append(f"| `{_cell(record[0])}` | {_cell(record[1])} |")
    if rows:
        yield "| option | |"
        yield "|---|---|"
        yield from rows
        yield ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
