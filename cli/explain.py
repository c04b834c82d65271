"""`pyvern explain`: why the rules of a policy matched, were skipped, passed or failed for a resource."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from cli.errors import InputError, UsageError
from cli.flags import path_list

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

    from cli.evaluation import World
    from cli.policies import LoadedPolicy
    from cli.resources import Resource
    from cli.yaml_load import Document
    from engine.explain import Explanation, Step

SHOWN = 120
"""Characters of a value in the tree; `-o json` has all of it."""
STYLES = {"pass": "green", "fail": "bold red", "error": "bold red", "warn": "yellow", "skip": "yellow"}
NOT_MATCHED = "not matched"


@click.command(name="explain", context_settings={"max_content_width": 120})
@click.argument("policies", nargs=-1, metavar="POLICY...")
@click.option(
    "-r", "--resource", "resources", metavar="PATH", callback=path_list, multiple=True, help="Resource files or folders."
)
@click.option("-e", "--exception", "exceptions", metavar="PATH", callback=path_list, multiple=True, help="PolicyException files.")
@click.option("-f", "--values-file", metavar="FILE", default="", help="File of kind Values with variables.")
@click.option("-s", "--set", "settings", metavar="KEY=VALUE", callback=path_list, multiple=True, help="Variables.")
@click.option("-u", "--userinfo", "user_info", metavar="FILE", default="", help="File of kind UserInfo: who asks.")
@click.option("--operation", type=click.Choice(["CREATE", "UPDATE", "DELETE"]), help="What is done to the resource.")
@click.option("--rule", "rules", multiple=True, metavar="NAME", help="Explain this rule only; may be repeated.")
@click.option("-a", "--all", "everything", is_flag=True, help="Show generated rules that do not match too.")
@click.option(
    "-o", "--output", type=click.Choice(["tree", "json"]), default="tree", show_default=True, help="Form of the answer."
)
def command(
    policies: tuple[str, ...],
    resources: tuple[str, ...],
    exceptions: tuple[str, ...],
    values_file: str,
    settings: tuple[str, ...],
    user_info: str,
    operation: str | None,
    rules: tuple[str, ...],
    everything: bool,
    output: str,
) -> None:
    """Say why rules matched, were skipped, passed or failed: every step with the values it saw.

    \b
    pyvern explain policy.yaml -r pod.yaml
    pyvern explain policy.yaml -r pod.yaml --rule check-team -o json
    """
    if not policies or not resources:
        raise UsageError("a policy and a resource are required: pyvern explain POLICY... -r RESOURCE")
    if values_file and settings:
        raise UsageError("pass the values either using set flag or values_file flag")
    given = _Given(policies, resources, exceptions, values_file, settings, user_info, operation or "")
    loaded, objects, world, faults = _loaded(given)
    for fault in faults:
        click.echo(f"Error: {fault}", err=True)
    answers = [
        (item, resource, explanation)
        for resource in objects
        for item in loaded
        for explanation in _explained(item, resource, world)
        if _wanted(explanation, rules, everything=everything)
    ]
    unknown = [name for name in rules if not any(name in (answer.rule, answer.origin) for _, _, answer in answers)]
    if unknown:
        raise UsageError(f"no policy has a rule `{unknown[0]}`")
    if output == "json":
        _print_json(answers)
    else:
        _print_trees(answers)
    if faults:
        sys.exit(1)


class _Given(NamedTuple):
    """The arguments that say what is asked."""

    policies: tuple[str, ...]
    resources: tuple[str, ...]
    exceptions: tuple[str, ...]
    values_file: str
    settings: tuple[str, ...]
    user_info: str
    operation: str


def _loaded(given: _Given) -> tuple[list[LoadedPolicy], list[Resource], World, list[InputError]]:
    """Policies, resources, what is known beside them, and what could not be read."""
    from cli.evaluation import World
    from cli.fake_cluster import FakeCluster
    from cli.offline_facts import OfflineFacts, entries_of
    from cli.policies import load_exceptions, load_policies
    from cli.resources import load_resources
    from cli.values import NO_VALUES, Values, load_user, load_values, values_of_flags

    policies, resources = load_policies(given.policies), load_resources(given.resources)
    exceptions, faults = load_exceptions(given.exceptions)
    values = NO_VALUES
    if given.values_file:
        values = load_values(given.values_file)
    elif given.settings:
        values = Values(flags=values_of_flags(given.settings))
    known = [item.object for item in resources.items]
    cluster = FakeCluster(known)
    world = World(
        policies=[item.policy for item in policies.items],
        exceptions=exceptions,
        facts=OfflineFacts(stored=cluster, cluster=cluster, namespaces=values.namespaces, entries=entries_of(known, cluster)),
        values=values,
        user=load_user(given.user_info) if given.user_info else None,
        operation=given.operation,
    )
    faults = [*policies.errors, *(item.error for item in policies.invalid), *resources.errors, *faults]
    return policies.items, resources.items, world, faults


def _explained(item: LoadedPolicy, resource: Resource, world: World) -> tuple[Explanation, ...]:
    from cli.evaluation import Evaluator
    from engine import Effect, PolicySet, respond
    from engine.explain import explain

    policy = item.policy
    request = Evaluator(world).request(resource.object, policy.identity.name)
    among = PolicySet((policy,), world.exceptions)

    def ask(facts: Any) -> tuple[Explanation, ...]:
        respond(among, request, facts, effects=frozenset(Effect))  # raises for data that is still unknown
        return explain(policy, request, facts, exceptions=world.exceptions)

    return world.facts.settle(ask)


def _wanted(explanation: Explanation, rules: tuple[str, ...], *, everything: bool) -> bool:
    if rules and not {explanation.rule, explanation.origin} & set(rules):
        return False
    asked_for = everything or explanation.rule in rules
    return asked_for or not explanation.origin or explanation.outcome != NOT_MATCHED


Answers = list[tuple["LoadedPolicy", "Resource", "Explanation"]]


def _print_json(answers: Answers) -> None:
    import json

    rows = []
    for item, resource, explanation in answers:
        document = explanation.document()
        _place(document["steps"], item.document)
        rows.append({"file": item.document.file, "resource": _subject(resource), **document})
    click.echo(json.dumps(rows, indent=2, ensure_ascii=False))


def _place(steps: list[dict[str, Any]], document: Document) -> None:
    """Adds line and column to every step that stands in the policy."""
    from cli.positions import place_of

    for step in steps:
        if "path" in step:
            step["line"], step["column"] = place_of(document, step["path"])
        _place(step.get("steps", []), document)


def _subject(resource: Resource) -> str:
    return "/".join(filter(None, (resource.namespace, resource.kind.kind, resource.name)))


def _print_trees(answers: Answers) -> None:
    from cli.console import console

    printed = console()
    for number, (item, resource, explanation) in enumerate(answers):
        if number:
            printed.print()
        _print_tree(printed, item, resource, explanation)
    if not answers:
        printed.print("no rule to explain")


def _print_tree(printed: Console, item: LoadedPolicy, resource: Resource, explanation: Explanation) -> None:
    from rich.text import Text
    from rich.tree import Tree

    head = Text.assemble(
        (" / ".join(filter(None, (explanation.policy, explanation.rule))), "bold"),
        f" on {_subject(resource)}: ",
        (explanation.outcome, STYLES.get(explanation.outcome, "cyan")),
    )
    if explanation.origin:
        head.append(f" (generated from {explanation.origin})", "dim")
    tree = Tree(head, guide_style="dim")
    for step in explanation.steps:
        _grow(tree, step, item.document)
    printed.print(tree)
    if explanation.message:
        printed.print(Text(f"    {explanation.message}", STYLES.get(explanation.outcome, "")))


def _grow(tree: Tree, step: Step, document: Document, *, unwanted: bool = False) -> None:
    unwanted = unwanted or step.title in UNWANTED
    branch = tree.add(_line(step, document, unwanted=unwanted))
    for inner in step.steps:
        _grow(branch, inner, document, unwanted=unwanted)


UNWANTED = frozenset({"exclude", "deny"})
"""Steps that end well when they do not hold."""


def _line(step: Step, document: Document, *, unwanted: bool) -> Text:
    from rich.text import Text

    from engine.explain import ABSENT

    line = Text()
    if step.holds is not None:
        line.append("✓ " if step.holds else "✗ ", "green" if step.holds is not unwanted else "red")
    line.append(step.title, "bold" if step.steps else "")
    if step.wanted is not ABSENT and step.wanted != step.title:
        line.append(f" {_shown(step.wanted)}", "dim")
    if step.found is not ABSENT:
        line.append(" ← " if step.wanted is not ABSENT and step.holds is not None else " = ", "dim")
        line.append(_shown(step.found), "cyan")
    elif step.wanted is not ABSENT and step.holds is False and not step.note:
        line.append(" ← nothing", "dim")
    if step.note:
        line.append(f"  {step.note}", "yellow")
    if step.holds is unwanted and step.path and not any(inner.holds is unwanted for inner in step.steps):
        line.append(f"  {_place_text(document, step.path)}", "dim")
    return line


def _place_text(document: Document, path: str) -> str:
    from cli.positions import place_of

    line, column = place_of(document, path)
    return f"{document.file}:{line}:{column}"


def _shown(value: Any) -> str:
    import json

    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
