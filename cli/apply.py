"""`pyvern apply`: policies to resources from files or from a cluster (cli-format.md 7)."""

from __future__ import annotations

import gc
import sys
from dataclasses import dataclass

import click

from cli.errors import UsageError
from cli.flags import PAYLOADS, GoCommand, ignored, list_option, refused


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of one run."""

    policies: tuple[str, ...]
    resources: tuple[str, ...] = ()
    exceptions: tuple[str, ...] = ()
    target_resources: tuple[str, ...] = ()
    parameter_resources: tuple[str, ...] = ()
    crds: tuple[str, ...] = ()
    git_branch: str = ""
    username: str = ""
    password: str = ""
    values_file: str = ""
    settings: tuple[str, ...] = ()
    user_info: str = ""
    context_file: str = ""
    cluster: bool = False
    namespace: str = ""
    kubeconfig: str = ""
    kube_context: str = ""
    cluster_wide: bool = False
    registry: bool = False
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
    generate_exceptions: bool = False
    exception_ttl: str = "720h"
    colours: bool = False


@click.command(name="apply", cls=GoCommand, context_settings={"max_content_width": 120})
@click.argument("policies", nargs=-1)
@list_option(
    "-r", "--resource", "--resources", "resources", help="Resource files or folders, - for standard input; with --cluster: names."
)
@click.option(
    "-c",
    "--cluster",
    is_flag=True,
    help="Take resources, exceptions, bindings, targets and all other data from the cluster, through kubectl.",
)
@click.option("-n", "--namespace", metavar="NAME", default="", help="With --cluster: only resources of this namespace.")
@click.option("--kubeconfig", metavar="FILE", default="", help="With --cluster: kubectl's configuration.")
@click.option("--context", "kube_context", metavar="NAME", default="", help="With --cluster: which of its contexts.")
@click.option("--cluster-wide-resources", "cluster_wide", is_flag=True, help="With --cluster: only cluster-scoped kinds.")
@click.option("--registry", is_flag=True, help="Ask image registries for data of images (context.imageRegistry).")
@list_option("-e", "--exception", "--exceptions", "exceptions", help="PolicyException files or folders.")
@click.option("--exceptions-within-policies", is_flag=True, help="Take PolicyExceptions from the policy files.")
@click.option(
    "--exceptions-within-resources",
    "--exceptions-with-resources",
    "exceptions_within_resources",
    is_flag=True,
    help="Take PolicyExceptions from the resource files.",
)
@list_option(
    "--target-resource", "--target-resources", "target_resources", help="Existing objects that rules with targets change."
)
@list_option(
    "--parameter-resource", "--parameter-resources", "parameter_resources", help="Parameter objects of admission policies."
)
@list_option("--crd-paths", "crds", help="CustomResourceDefinitions of the resources.")
@click.option("-b", "--git-branch", metavar="BRANCH", default="", help="Branch of git URLs among the policies.")
@click.option("--username", metavar="NAME", default="", help="Who asks for git repositories over HTTP.")
@click.option("--password", metavar="PASSWORD", default="", help="The password, or token, of --username.")
@click.option("-f", "--values-file", metavar="FILE", default="", help="File of kind Values with variables.")
@list_option("-s", "--set", "settings", metavar="KEY=VALUE", help="Variables; not together with --values-file.")
@click.option("-u", "--userinfo", "user_info", metavar="FILE", default="", help="File of kind UserInfo: who asks.")
@click.option("--context-file", metavar="FILE", default="", help="File of kind Context: objects and images for CEL policies.")
@click.option("-i", "--stdin", is_flag=True, help="Print bare YAML of mutated resources, to be piped on.")
@click.option("-p", "--policy-report", is_flag=True, help="Print a report instead of text.")
@click.option(
    "--output-format", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True, help="Form of the report."
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    default="",
    help="File or folder for mutated and generated resources; sarif or junit: print the results in that format.",
)
@click.option("-t", "--table", is_flag=True, help="Print a table of the results.")
@click.option("--detailed-results", is_flag=True, help="Show messages in the table.")
@click.option("--audit-warn", is_flag=True, help="Failures of audit policies count as warnings.")
@click.option("--warn-exit-code", type=int, default=0, help="Exit status when there are warnings and no failures.")
@click.option("--warn-no-pass", type=int, default=0, help="Exit status when nothing passed.")
@click.option("--generate-exceptions", is_flag=True, help="Print a PolicyException for each failure instead of text.")
@click.option(
    "--generated-exception-ttl",
    "exception_ttl",
    metavar="DURATION",
    default="720h",
    show_default=True,
    help="After what time the cleanup operator deletes the generated exceptions.",
)
@click.option("--remove-color", is_flag=True, help="No colours, even on a terminal.")
@ignored("--continue-on-fail", "--continue-on-error", "--concurrent", "--batch-size", "--show-performance", "-v", "--v")
@refused(json=PAYLOADS, json_payload=PAYLOADS, http_payload=PAYLOADS, envoy_payload=PAYLOADS)
def command(policies: tuple[str, ...], remove_color: bool, **flags: object) -> None:
    """Apply policies to resources from files or from a cluster, and say what they find.

    POLICIES are files, folders, kustomize folders, URLs of files, git URLs or - for standard input.
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
    if options.generate_exceptions and not is_duration(options.exception_ttl):
        raise UsageError(f"--generated-exception-ttl: `{options.exception_ttl}` is no positive duration such as 720h")
    if options.crds and options.kubeconfig:
        raise UsageError("crd-paths and kubeconfig flags are mutually exclusive, please use only one of them")
    if not options.resources and not options.cluster:
        raise UsageError("resource file(s) or cluster required")


def is_duration(text: str) -> bool:
    """Is it a time to wait, in Go's words?"""
    from engine.lang.duration import parse_duration

    return (parse_duration(text) or 0) > 0
