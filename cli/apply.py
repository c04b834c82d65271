"""`pyvern apply`: policies to resources from files (cli-format.md 7)."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import click

from cli.errors import InputError, UsageError
from cli.flags import path_list


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of one run."""

    policies: tuple[str, ...]
    resources: tuple[str, ...] = ()
    exceptions: tuple[str, ...] = ()
    target_resources: tuple[str, ...] = ()
    parameter_resources: tuple[str, ...] = ()
    crds: tuple[str, ...] = ()
    values_file: str = ""
    settings: tuple[str, ...] = ()
    user_info: str = ""
    context_file: str = ""
    stdin: bool = False
    policy_report: bool = False
    output_format: str = "yaml"
    output: str = ""
    table: bool = False
    detailed_results: bool = False
    audit_warn: bool = False
    warn_exit_code: int = 0
    warn_no_pass: int = 0
    exceptions_within_policies: bool = False
    exceptions_within_resources: bool = False
    colours: bool = False


@click.command(name="apply", context_settings={"max_content_width": 120})
@click.argument("policies", nargs=-1)
@click.option("-r", "--resource", "--resources", "resources", metavar="PATH", callback=path_list, multiple=True, help="Resource files or folders, - for standard input.")
@click.option("-e", "--exception", "--exceptions", "exceptions", metavar="PATH", callback=path_list, multiple=True, help="PolicyException files or folders.")
@click.option("--exceptions-within-policies", is_flag=True, help="Take PolicyExceptions from the policy files.")
@click.option("--exceptions-within-resources", "--exceptions-with-resources", "exceptions_within_resources", is_flag=True, help="Take PolicyExceptions from the resource files.")
@click.option("--target-resource", "--target-resources", "target_resources", metavar="PATH", callback=path_list, multiple=True, help="Existing objects that mutate rules with targets change.")
@click.option("--parameter-resource", "--parameter-resources", "parameter_resources", metavar="PATH", callback=path_list, multiple=True, help="Parameter objects of admission policies.")
@click.option("--crd-paths", "crds", metavar="PATH", callback=path_list, multiple=True, help="CustomResourceDefinitions of the resources.")
@click.option("-f", "--values-file", metavar="FILE", default="", help="File of kind Values with variables.")
@click.option("-s", "--set", "settings", metavar="KEY=VALUE", callback=path_list, multiple=True, help="Variables; not together with --values-file.")
@click.option("-u", "--userinfo", "user_info", metavar="FILE", default="", help="File of kind UserInfo: who asks.")
@click.option("--context-file", metavar="FILE", default="", help="File of kind Context: objects and images for CEL policies.")
@click.option("-i", "--stdin", is_flag=True, help="Print bare YAML of mutated resources, to be piped on.")
@click.option("-p", "--policy-report", is_flag=True, help="Print a report instead of text.")
@click.option("--output-format", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True, help="Form of the report.")
@click.option("-o", "--output", metavar="FILE", default="", help="File or folder for mutated and generated resources; sarif or junit: print the results in that format.")
@click.option("-t", "--table", is_flag=True, help="Print a table of the results.")
@click.option("--detailed-results", is_flag=True, help="Show messages in the table.")
@click.option("--audit-warn", is_flag=True, help="Failures of audit policies count as warnings.")
@click.option("--warn-exit-code", type=int, default=0, help="Exit status when there are warnings and no failures.")
@click.option("--warn-no-pass", type=int, default=0, help="Exit status when nothing passed.")
@click.option("--remove-color", is_flag=True, help="No colours, even on a terminal.")
@click.option("--continue-on-fail", is_flag=True, hidden=True)
def command(policies: tuple[str, ...], remove_color: bool, continue_on_fail: bool, **flags: object) -> None:
    """Apply policies to resources from files, and say what they find.

    POLICIES are files, folders or - for standard input.
    """
    from cli.tables import colours_wanted

    options = Options(policies=policies, colours=colours_wanted() and not remove_color, **flags)  # type: ignore[arg-type]
    sys.exit(run(options))


def run(options: Options) -> int:
    """Prints what the policies say; the exit status. Raises `UsageError` for arguments that do not go together."""
    check(options)
    gc.disable()  # big lists of documents and results, hardly any of it garbage
    try:
        from cli.applying import applied

        return applied(options)
    finally:
        gc.enable()


def check(options: Options) -> None:
    """Raises `UsageError`, in Kyverno's words (features.md 5.1)."""
    if not options.policies:
        raise UsageError("require policy")
    if options.values_file and options.settings:
        raise UsageError("pass the values either using set flag or values_file flag")
    if "-" in options.policies and "-" in options.resources:
        raise UsageError("a stdin pipe can be used for either policies or resources, not both")
    if not options.resources:
        raise UsageError("resource file(s) or cluster required")
