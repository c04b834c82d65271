"""`pyvern create`: files for tests, values, users, exceptions, roles, from flags (features.md 5.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import click

from cli.errors import UsageError
from cli.flags import path_list

CLI_VERSION = "cli.kyverno.io/v1alpha1"
ALL_VERBS = ["create", "get", "list", "patch", "update", "watch", "delete", "deletecollection"]

F = Callable[..., None]


@click.group(name="create", context_settings={"max_content_width": 120})
def command() -> None:
    """Create files for tests, values, user info, exceptions and roles."""


def _output(function: F) -> F:
    return click.option("-o", "--output", metavar="FILE", default="", help="File to write instead of standard output.")(function)


def _texts(*names: str, help: str, metavar: str = "TEXT", split: bool = False) -> Callable[[F], F]:
    return click.option(*names, multiple=True, metavar=metavar, help=help, callback=path_list if split else None)


@command.command(name="test")
@click.option("-n", "--name", default="test-name", show_default=True, help="Name of the test.")
@_texts("-p", "--policy", "policies", help="Policy file.", metavar="PATH", split=True)
@_texts("-r", "--resource", "resources", help="Resource file.", metavar="PATH", split=True)
@click.option("-f", "--values", "values", metavar="FILE", default="", help="Values file.")
@_texts("--pass", "passed", help="Expected pass: POLICY,RULE,RESOURCE[,NAMESPACE[,KIND]].", metavar="ROW")
@_texts("--fail", "failed", help="Expected fail, in the same form.", metavar="ROW")
@_texts("--skip", "skipped", help="Expected skip, in the same form.", metavar="ROW")
@_output
def test(
    name: str,
    policies: tuple[str, ...],
    resources: tuple[str, ...],
    values: str,
    passed: tuple[str, ...],
    failed: tuple[str, ...],
    skipped: tuple[str, ...],
    output: str,
) -> None:
    """Create a test file.

    \b
    pyvern create test -p policy.yaml -r resource.yaml -f values.yaml --pass policy,rule,name,namespace,Pod
    """
    rows = [_row(row, "pass") for row in passed] + [_row(row, "fail") for row in failed]
    rows += [_row(row, "skip") for row in skipped]
    document: dict[str, Any] = {"apiVersion": CLI_VERSION, "kind": "Test", "metadata": {"name": name}}
    document |= _given(policies=list(policies), resources=list(resources), variables=values)
    _write({**document, "results": rows}, output)


def _row(text: str, result: str) -> dict[str, Any]:
    parts = text.split(",")
    if not 3 <= len(parts) <= 5 or not all(parts[:3]):
        raise UsageError(f"--{result}: `{text}`: policy, rule, resource and perhaps namespace and kind are expected")
    policy, rule, resource, namespace, kind = [*parts, "", ""][:5]
    named = f"{namespace}/{resource}" if namespace else resource
    return {"policy": policy, "rule": rule, "resources": [named], **_given(kind=kind), "result": result}


@command.command(name="values")
@_texts("-g", "--global", "global_values", help="Value of all policies: KEY=VALUE.", metavar="KEY=VALUE", split=True)
@_texts("-n", "--ns-selector", "namespaces", help="Labels of a namespace: NAME,LABEL=VALUE...", metavar="LABELS")
@_texts("--resource", "resources", help="Values of a resource: POLICY,RESOURCE,KEY=VALUE...", metavar="VALUES")
@_texts("--rule", "rules", help="Values of a rule: POLICY,RULE,KEY=VALUE...", metavar="VALUES")
@_output
def values(
    global_values: tuple[str, ...], namespaces: tuple[str, ...], resources: tuple[str, ...], rules: tuple[str, ...], output: str
) -> None:
    """Create a values file.

    \b
    pyvern create values -g request.mode=dev -n prod,env=prod --rule policy,rule,env=demo --resource policy,name,env=demo
    """
    policies: dict[str, dict[str, Any]] = {}
    for key, texts in (("resources", resources), ("rules", rules)):
        for text in texts:
            parts = text.split(",")
            if len(parts) < 3 or not all(parts):
                raise UsageError(f"--{key[:-1]}: `{text}`: policy, name and values are expected")
            policy, name, *pairs = parts
            entry = policies.setdefault(policy, {"name": policy})
            entry.setdefault(key, []).append({"name": name, "values": _pairs(pairs, f"--{key[:-1]}")})
    selectors = []
    for text in namespaces:
        name, *pairs = text.split(",")
        selectors.append({"name": name, "labels": _pairs(pairs, "--ns-selector")})
    document: dict[str, Any] = {"apiVersion": CLI_VERSION, "kind": "Values"}
    document |= _given(
        globalValues=_pairs(global_values, "--global"), policies=list(policies.values()), namespaceSelector=selectors
    )
    _write(document, output)


def _pairs(texts: Iterable[str], flag: str) -> dict[str, str]:
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise UsageError(f"{flag}: `{text}`: KEY=VALUE is expected")
        pairs[key] = value
    return pairs


@command.command(name="user-info")
@click.option("-u", "--username", default="", help="Name of the user.")
@_texts("-g", "--group", "groups", help="Group of the user.", metavar="NAME", split=True)
@_texts("-r", "--role", "roles", help="Role of the user, as namespace:name.", metavar="NAME", split=True)
@_texts("-c", "--cluster-role", "cluster_roles", help="Cluster role of the user.", metavar="NAME", split=True)
@_output
def user_info(
    username: str, groups: tuple[str, ...], roles: tuple[str, ...], cluster_roles: tuple[str, ...], output: str
) -> None:
    """Create a user info file.

    \b
    pyvern create user-info -u ann@example.com -g developers -c admin
    """
    document: dict[str, Any] = {"apiVersion": CLI_VERSION, "kind": "UserInfo"}
    document |= _given(roles=list(roles), clusterRoles=list(cluster_roles))
    _write({**document, "userInfo": _given(username=username, groups=list(groups))}, output)


command.add_command(user_info, "userinfo")


@command.command(name="metrics-config")
@click.option("-n", "--name", default="kyverno-metrics", show_default=True, help="Name of the ConfigMap.")
@click.option("--namespace", default="kyverno", show_default=True, help="Its namespace.")
@_texts("-i", "--include", "included", help="Namespace with metrics.", metavar="NAME", split=True)
@_texts("-e", "--exclude", "excluded", help="Namespace without metrics.", metavar="NAME", split=True)
@_output
def metrics_config(name: str, namespace: str, included: tuple[str, ...], excluded: tuple[str, ...], output: str) -> None:
    """Create the ConfigMap that says which namespaces have metrics.

    \b
    pyvern create metrics-config -i shop -i billing -e scratch
    """
    import json

    namespaces = json.dumps({"include": list(included), "exclude": list(excluded)}, separators=(",", ":"))
    metadata = {"name": name, "namespace": namespace}
    _write({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"namespaces": namespaces}}, output)


@command.command(name="exception")
@click.argument("name")
@click.option("--namespace", default="", help="Namespace of the exception.")
@_texts("--policy-rules", "references", help="Excepted rules: POLICY,RULE...", metavar="RULES")
@_texts("--any", "any_of", help="Filter, any of which matches: kind=Pod,name=test-*,namespace=x.", metavar="FILTER")
@_texts("--all", "all_of", help="Filter, all of which match.", metavar="FILTER")
@click.option("-b", "--background", type=bool, default=True, show_default=True, help="Does it count in background scans too?")
@_output
def exception(
    name: str,
    namespace: str,
    references: tuple[str, ...],
    any_of: tuple[str, ...],
    all_of: tuple[str, ...],
    background: bool,
    output: str,
) -> None:
    """Create a policy exception.

    \b
    pyvern create exception NAME --namespace ns --policy-rules policy,rule-1,rule-2 --any "kind=Pod,name=test-*"
    """
    exceptions = []
    for text in references:
        policy, *rules = text.split(",")
        if not policy or not all(rules) or not rules:
            raise UsageError(f"--policy-rules: `{text}`: a policy and its rules are expected")
        exceptions.append({"policyName": policy, "ruleNames": rules})
    if not exceptions:
        raise UsageError("--policy-rules is required")
    if bool(any_of) == bool(all_of):
        raise UsageError("either --any or --all is required")
    key = "any" if any_of else "all"
    blocks = [{"resources": _filter(text, f"--{key}")} for text in any_of or all_of]
    document = {
        "apiVersion": "kyverno.io/v2",
        "kind": "PolicyException",
        "metadata": {"name": name, **_given(namespace=namespace)},
        "spec": {"background": background, "match": {key: blocks}, "exceptions": exceptions},
    }
    _write(document, output)


_FILTER_FIELDS = {"kind": "kinds", "name": "names", "namespace": "namespaces", "operation": "operations"}


def _filter(text: str, flag: str) -> dict[str, list[str]]:
    block: dict[str, list[str]] = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        field = _FILTER_FIELDS.get(key.strip().removesuffix("s"))
        if field is None or not equals or not value:
            raise UsageError(f"{flag}: `{part}`: {', '.join(f'{name}=VALUE' for name in _FILTER_FIELDS)} are expected")
        block.setdefault(field, []).append(value)
    return block


@command.command(name="cluster-role")
@click.argument("name")
@click.option("-g", "--api-groups", "groups", required=True, help='API groups, with commas; "" is the core group.')
@_texts("--verbs", "verbs", help="Verbs, with commas; all for every verb.", metavar="VERBS", split=True)
@_texts("--resources", "resources", help="Resources, with commas.", metavar="RESOURCES", split=True)
@_texts(
    "--controllers",
    "controllers",
    help="Controllers that get the rights [default: background-controller].",
    metavar="NAMES",
    split=True,
)
@_output
def cluster_role(
    name: str, groups: str, verbs: tuple[str, ...], resources: tuple[str, ...], controllers: tuple[str, ...], output: str
) -> None:
    """Create a cluster role that adds rights to controllers by aggregation.

    \b
    pyvern create cluster-role NAME -g apps --resources deployments --verbs get,list,update
    """
    if not verbs or not resources:
        raise UsageError("--verbs and --resources are required")
    rule = {
        "apiGroups": groups.split(","),
        "resources": list(resources),
        "verbs": ALL_VERBS if "all" in verbs else list(verbs),
    }
    _write(aggregated_role(name, controllers or ("background-controller",), [rule]), output)


def aggregated_role(name: str, controllers: Iterable[str], rules: list[dict[str, Any]]) -> dict[str, Any]:
    """A ClusterRole whose label adds it to the roles of controllers."""
    labels = {f"rbac.kyverno.io/aggregate-to-{controller}": "true" for controller in controllers}
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name, "labels": labels},
        "rules": rules,
    }


def _given(**fields: Any) -> dict[str, Any]:
    """The fields that say something."""
    return {key: value for key, value in fields.items() if value not in ("", [], {}, None)}


def _write(document: dict[str, Any], output: str) -> None:
    import yaml

    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, default_flow_style=False)
    if not output:
        click.echo(text, nl=False)
        return
    try:
        with open(output, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"{output}: {(error.strerror or str(error)).lower()}") from None
