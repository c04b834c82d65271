"""`pyvern cleanup --dry-run`: what cleanup policies and time-to-live labels would delete (spec 2.13, 4.4)."""

from __future__ import annotations

import sys

import click

from cli.errors import UsageError
from cli.flags import GoCommand, list_option


@click.command(name="cleanup", cls=GoCommand, context_settings={"max_content_width": 120})
@click.argument("policies", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Required: this command only shows, the cleanup operator deletes.")
@list_option("-r", "--resource", "--resources", "resources", help="Resource files or folders; without them the cluster is read.")
@click.option("-c", "--cluster", is_flag=True, help="Read objects from the cluster, also where POLICIES are files.")
@click.option("-n", "--namespace", metavar="NAME", default="", help="With the cluster: only objects of this namespace.")
@click.option("--kubeconfig", metavar="FILE", default="", help="kubectl's configuration.")
@click.option("--context", "kube_context", metavar="NAME", default="", help="Which of its contexts.")
@click.option(
    "--operator-namespace", metavar="NAME", default="kyverno", show_default=True, help="Where the cleanup operator is installed."
)
@click.option(
    "-o", "--output", type=click.Choice(["table", "json", "yaml"]), default="table", show_default=True, help="Form of the answer."
)
def command(
    policies: tuple[str, ...],
    dry_run: bool,
    resources: tuple[str, ...],
    cluster: bool,
    namespace: str,
    kubeconfig: str,
    kube_context: str,
    operator_namespace: str,
    output: str,
) -> None:
    """Show what cleanup policies and labels `cleanup.kyverno.io/ttl` would delete, now and at the next run.

    POLICIES are files, folders or URLs; without them the policies of the cluster are asked. With -r everything comes from files.
    NOW says whether a run at this moment would delete the object, NEXT when it goes if nothing changes until then: the policy is
    asked again with the time of its next run. resourceFilters of the cluster's ConfigMap count, and objects that the operator's
    account may not delete are marked.

    Exit status: 0, whether anything would be deleted or not; 1 when a policy, an object or a kind could not be read or judged, so
    that the list may be incomplete.

    \b
    pyvern cleanup --dry-run
    pyvern cleanup --dry-run policy.yaml --cluster
    pyvern cleanup --dry-run policy.yaml -r pods.yaml -o json
    """
    if not dry_run:
        raise UsageError("say --dry-run: this command only shows what would be deleted, the cleanup operator deletes")
    if resources and cluster:
        raise UsageError("--resource and --cluster exclude each other: objects come from files or from the cluster")
    if policies and not resources and not cluster:
        raise UsageError("where are the objects? Say -r FILE or --cluster")
    from cli.doomed import Sources, doomed
    from cli.doomed_shown import WRITERS

    found = doomed(Sources(policies, resources, namespace, kubeconfig, kube_context, operator_namespace))
    click.echo(WRITERS[output](found), nl=False)
    for problem in found.problems if output == "table" else ():
        click.echo(f"Error: {problem}", err=True)
    if found.problems:
        sys.exit(1)
