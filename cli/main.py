"""`pyvern` and `kubectl pyvern`: the table of commands. A command's module is imported when it is called, not before."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

import click

from cli.errors import InputError, UsageError
from cli.streams import discard, use_streams

COMMANDS: dict[str, tuple[str, str]] = {
    "apply": ("cli.apply", "Apply policies to resources from files."),
    "autogen": ("cli.autogen", "Show the rules that are generated for pod controllers."),
    "cleanup": ("cli.cleanup", "Show what cleanup policies and time-to-live labels would delete."),
    "completion": ("cli.completion", "Print the shell's completion script."),
    "create": ("cli.create", "Create files for tests, values, users, exceptions and roles."),
    "docs": ("cli.docs", "Print the reference of all commands."),
    "exceptions": ("cli.exceptions", "List PolicyExceptions: when they end, what still needs them."),
    "explain": ("cli.explain", "Say why rules matched, were skipped, passed or failed."),
    "impact": ("cli.impact.command", "Say what policies would do to a cluster before they are applied."),
    "jp": ("cli.jp", "Evaluate and parse JMESPath, list its functions."),
    "lint": ("cli.lint", "Find faults, dead rules and old forms in policies."),
    "report": ("cli.report_table", "Show policy reports of a cluster or a file, also as a page."),
    "schema": ("cli.schema", "Write JSON schemas of all kinds for editors."),
    "test": ("cli.test", "Run tests of policies."),
    "version": ("cli.version", "Print the version."),
}
"""Name -> (module with a click command `command`, help in one line)."""
NOT_THERE: dict[str, str] = {
    "fix": "`pyvern lint` names deprecated forms, they are not rewritten",
    "migrate": "stored objects are not rewritten; `kubectl get … -o yaml | kubectl replace -f -` does it for a kind",
    "oci": "policies are not pushed to or pulled from image registries",
}
"""Commands of Kyverno's without an equal here -> what to do."""


class Commands(click.Group):
    """The commands of the table."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if cmd_name in NOT_THERE:
            raise UsageError(f"there is no command `{cmd_name}`: {NOT_THERE[cmd_name]}")
        if entry is None:
            return None
        command: click.Command = import_module(entry[0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def program() -> None:
    """A Kubernetes policy engine: apply, test and write policies without a cluster."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script. Ends the process: 0, or 1 for any error, or what the command says."""
    use_streams()
    try:
        try:
            _run(arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        discard(sys.stdout)
        sys.exit(1)
    except OSError as error:
        # what opens a file handles its errors, so this is most likely the output: a full disk
        discard(sys.stdout)
        sys.stderr.write(f"Error: {error.filename or 'output'}: {(error.strerror or str(error)).lower()}\n")
        sys.exit(1)


def _run(arguments: Sequence[str] | None) -> None:
    try:
        status = program(args=list(arguments) if arguments is not None else None, prog_name="pyvern", standalone_mode=False)
    except click.exceptions.Exit as ended:
        sys.exit(ended.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.exceptions.NoArgsIsHelpError as asked:
        sys.stdout.write(f"{asked.format_message()}\n")
    except click.ClickException as error:
        sys.stderr.write(f"Error: {error.format_message()}\n")
        context = error.ctx if isinstance(error, click.UsageError) else None
        if context is not None:
            sys.stderr.write(f"See `{context.command_path} --help`.\n")
        sys.exit(1)
    except (InputError, UsageError) as error:
        sys.stderr.write(f"Error: {error}\n")
        sys.exit(1)
    else:
        if isinstance(status, int) and status:
            sys.exit(status)  # click catches Exit itself and gives its status back


if __name__ == "__main__":
    main()
