"""`pyvern impact`: what policies would do to a cluster before they are applied."""

from __future__ import annotations

import gc
import sys
from dataclasses import dataclass
from typing import Any

import click

from cli.errors import InputError, UsageError
from cli.flags import GoCommand, list_option

FORMS = ("text", "table", "markdown", "json", "yaml")
SHOWN = 20
"""Findings of one kind that a person reads of one policy."""


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of one run. `limit`: findings shown of each kind, 0: all."""

    policies: tuple[str, ...]
    snapshot: tuple[str, ...]
    exceptions: tuple[str, ...]
    fail_on: frozenset[str]
    kubeconfig: str
    kube_context: str
    namespace: str
    user_info: str
    git_branch: str
    form: str
    limit: int
    partial: bool
    colours: bool


class Gate(GoCommand):
    """A command that a pipeline asks: whatever keeps it from answering ends with status 2, not with that of an answer."""

    def make_context(self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any) -> Any:
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.ClickException as error:
            raise refused(error.format_message()) from None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            raise refused(error.format_message()) from None
        except (InputError, UsageError) as error:
            raise refused(str(error)) from None


def refused(message: str) -> click.exceptions.Exit:
    """Says why there is no answer."""
    sys.stderr.write(f"Error: {message}\n")
    return click.exceptions.Exit(2)


@click.command(name="impact", cls=Gate, context_settings={"max_content_width": 120})
@click.argument("policies", nargs=-1, metavar="POLICY...")
@click.option("-c", "--cluster", is_flag=True, help="Compare with the cluster, through kubectl (the default).")
@list_option("--snapshot", help="Compare with these files or folders of YAML or JSON instead: no cluster is asked.")
@list_option("-e", "--exception", "--exceptions", "exceptions", help="PolicyExceptions that come with the policies.")
@click.option(
    "--fail-on",
    metavar="ACTION,...",
    default="",
    help="What ends with exit status 1: deny, audit, error, mutate, create, change, delete, all, none. [default: all but audit]",
)
@click.option("--kubeconfig", metavar="FILE", default="", help="kubectl's configuration.")
@click.option("--context", "kube_context", metavar="NAME", default="", help="Which of its contexts.")
@click.option("-n", "--namespace", metavar="NAME", default="", help="Look only at objects of this namespace.")
@click.option("-u", "--userinfo", "user_info", metavar="FILE", default="", help="File of kind UserInfo: who would ask.")
@click.option("-b", "--git-branch", metavar="BRANCH", default="", help="Branch of git URLs among the policies.")
@click.option("-o", "--output", "form", type=click.Choice(FORMS), default="text", show_default=True, help="Form of the answer.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=None,
    help=f"Objects shown of each kind, 0: all. [default: {SHOWN}; json, yaml: 0]",
)
@click.option("--allow-unread", "partial", is_flag=True, help="What may not be read does not end with exit status 2.")
@click.option("--remove-color", is_flag=True, help="No colours, even on a terminal.")
def command(**flags: Any) -> None:
    """Say what new or changed policies would deny, mutate, create, change and delete, before they are applied.

    POLICY is a file, a folder, a kustomize folder, the URL of a file, a git URL or - for standard input. Each policy is compared
    with the one of its name that is in force: only what would be new is told. Nothing is written.

    \b
    Exit status:
      0  nothing that --fail-on names would happen
      1  something would
      2  arguments, policies or files that cannot be used, or objects that could not be read

    \b
    pyvern impact policy.yaml                          # against the cluster of the current context
    kubectl get pods,deploy,ns,cpol,polex -A -o yaml > snapshot.yaml
    pyvern impact policies/ --snapshot snapshot.yaml --fail-on deny -o markdown
    """
    sys.exit(run(_options(**flags)))


def _options(cluster: bool, fail_on: str, limit: int | None, remove_color: bool, **flags: Any) -> Options:
    from cli.tables import colours_wanted

    if not flags["policies"]:
        raise UsageError("name the policies: files, folders, URLs or - for standard input")
    if cluster and flags["snapshot"]:
        raise UsageError("--cluster and --snapshot: choose one of them")
    for flag in ("kubeconfig", "kube_context"):
        if flags["snapshot"] and flags[flag]:
            raise UsageError(f"--{flag.removeprefix('kube_')} is for clusters, and --snapshot asks none")
    machine = flags["form"] in ("json", "yaml")
    return Options(
        fail_on=actions(fail_on),
        limit=limit if limit is not None else 0 if machine else SHOWN,
        colours=colours_wanted() and not remove_color,
        **flags,
    )


def actions(text: str) -> frozenset[str]:
    """The value of --fail-on. Raises `UsageError`."""
    from cli.impact.findings import DEFAULT_FAILING, FAILING

    words = [word.strip() for word in text.split(",") if word.strip()]
    known = {"all": frozenset(FAILING), "none": frozenset[str](), **{action: frozenset({action}) for action in FAILING}}
    for word in words:
        if word not in known:
            raise UsageError(f"--fail-on: `{word}` is none of {', '.join(known)}")
    return frozenset().union(*(known[word] for word in words)) if words else DEFAULT_FAILING


def run(options: Options) -> int:
    """Prints the answer; the exit status."""
    gc.disable()  # pages of documents, hardly any of it garbage
    try:
        from cli.impact import texts
        from cli.impact.running import report_of

        report = report_of(options)
        sys.stdout.write(texts.FORMS[options.form](report, options))
        return report.status(options.fail_on, partial=options.partial)
    finally:
        gc.enable()
