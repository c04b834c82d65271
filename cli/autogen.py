"""`pyvern autogen show`: the rules that are generated for pod controllers (features.md 2.11)."""

from __future__ import annotations

import json
import sys

import click


@click.group(name="autogen", context_settings={"max_content_width": 120})
def command() -> None:
    """Rules that are generated for pod controllers."""


@command.command(name="show")
@click.argument("policies", nargs=-1, required=True, metavar="POLICY...")
@click.option("--rule", "rules", multiple=True, metavar="NAME", help="Rules generated from this rule only; may be repeated.")
@click.option("-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True, help="Form of the rules.")
def show(policies: tuple[str, ...], rules: tuple[str, ...], output: str) -> None:
    """Print the generated rules of policies, as status.autogen.rules shows them in a cluster."""
    import yaml

    from cli.errors import InputError
    from cli.policies import load_policies

    loaded = load_policies(policies)
    shown = []
    for item in loaded.items:
        policy = item.policy
        origins = {rule.name: rule.origin for rule in policy.rules if rule.origin}
        documents = [rule for rule in policy.autogen if not rules or origins.get(str(rule.get("name"))) in rules]
        shown.append((policy.identity.key, documents))
    if output == "json":
        click.echo(json.dumps([{"policy": name, "rules": documents} for name, documents in shown], indent=2, ensure_ascii=False))
    else:
        for name, documents in shown:
            click.echo(f"# policy {name}: {len(documents)} generated rule{'' if len(documents) == 1 else 's'}")
            if documents:
                click.echo(yaml.dump(documents, Dumper=_plain_dumper(), sort_keys=False, allow_unicode=True), nl=False)
    nothing = [InputError(path, "no policy in it") for path in loaded.empty]
    faults = [*loaded.errors, *(item.error for item in loaded.invalid), *nothing]
    for fault in faults:
        click.echo(f"Error: {fault}", err=True)
    if faults:
        sys.exit(1)


def _plain_dumper() -> type:
    """YAML without anchors: rules share parts, their readers should not have to look them up."""
    import yaml

    class Plain(yaml.SafeDumper):
        def ignore_aliases(self, data: object) -> bool:
            return True

    return Plain
