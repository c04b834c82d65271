"""Reviews of our own kinds: what authors of policies, exceptions and global context entries are told (spec 3.4, 2.12, 2.14)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from controllers.admission.generate_targets import check_generate_targets
from controllers.admission.permissions import check_permissions, scan_warnings
from controllers.admission.policy_hints import hints
from controllers.admission.type_warnings import type_warnings
from controllers.cluster import review
from controllers.cluster.client import ApiError, Client
from controllers.cluster.context_entry import Unfit, interval, path_of, projections
from controllers.cluster.discovery import Discovery
from engine import InvalidPolicy, Policy, check_update, compile_exception, compile_policy, update_warnings

Object = dict[str, Any]
DRY_RUN = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"


async def policy(document: Object, discovery: Discovery, client: Client, *, account: str, scanner: str = "") -> bytes:
    """A ClusterPolicy or Policy: denied with path and reason when it does not compile, else let in with warnings.

    `account` is the user name of the background controller, which must be allowed what the policy asks of it; `scanner` that of
    the reports controller, whose missing rights are warned about.
    """
    uid, written = document["uid"], document.get("object")
    if not written:
        return review.allowed(uid)
    before = document.get("oldObject")
    warnings: tuple[str, ...] = ()
    fresh = not (before and before.get("spec") == written.get("spec"))
    try:
        compiled = compile_policy(written)
        check_scope(compiled, discovery)
        check_generate_targets(compiled, discovery)
        if before:
            warnings = update_warnings(before, written)
            check_update(before, written)
        await _check_conditions(compiled, client)
        if account and fresh:
            await check_permissions(compiled, discovery, client, account=account)
    except InvalidPolicy as error:
        return review.denied(uid, str(error), warnings)
    typed = await type_warnings(compiled, discovery, client)
    unread = await scan_warnings(compiled, discovery, client, account=scanner) if scanner and fresh else []
    return review.allowed(uid, [*compiled.warnings, *warnings, *hints(compiled, discovery), *typed, *unread])


def check_scope(compiled: Policy, discovery: Discovery) -> None:
    """A namespaced policy never sees cluster-scoped objects: a rule for them would silently do nothing. Raises InvalidPolicy."""
    if not compiled.identity.namespace:
        return
    for index, rule in enumerate(rule for rule in compiled.rules if not rule.origin):
        for selector in rule.match.kinds:
            found = discovery.find(selector) if selector.kind != "*" else ()
            if found and not any(resource.namespaced for resource in found):
                raise InvalidPolicy(
                    f"spec.rules[{index}].match", f"kind `{selector.text}` is cluster-scoped and needs a ClusterPolicy"
                )


async def _check_conditions(compiled: Policy, client: Client) -> None:
    """The API server itself compiles matchConditions: a dry run of a webhook that carries them shows what is wrong."""
    conditions = compiled.webhook.match_conditions
    if not conditions:
        return
    probe = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"generateName": "pyvern-probe-"},
        "webhooks": [
            {
                "name": "probe.pyvern.io",
                "clientConfig": {"url": "https://127.0.0.1/probe"},
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                "matchConditions": [dict(condition) for condition in conditions],
            }
        ],
    }
    try:
        await client.call("POST", DRY_RUN, params={"dryRun": "All"}, body=probe, timeout=5)
    except ApiError as error:
        if error.status == 422:
            reason = error.message.partition("is invalid: ")[2] or error.message
            raise InvalidPolicy("spec.webhookConfiguration.matchConditions", " ".join(reason.split())) from error
        raise


def exception(document: Object, *, enabled: bool, namespace: str) -> bytes:
    """A PolicyException: denied when it does not compile, let in with a warning where it will not count."""
    written = document.get("object")
    if written:
        try:
            compile_exception(written)
        except InvalidPolicy as error:
            return review.denied(document["uid"], str(error))
    return review.allowed(document["uid"], _exception_warnings(document, enabled=enabled, namespace=namespace))


def _exception_warnings(document: Mapping[str, Any], *, enabled: bool, namespace: str) -> Iterable[str]:
    if not enabled:
        return ("PolicyException resources would not be processed until it is enabled.",)
    if not namespace:
        return ("The exceptionNamespace flag is not set",)
    if namespace not in ("*", document.get("namespace")):
        return ("PolicyException resource namespace must match the defined namespace.",)
    return ()


def global_context(document: Object) -> bytes:
    """A GlobalContextEntry: denied when its parts contradict each other."""
    fault = next(_context_faults(document.get("object") or {}), None)
    return review.allowed(document["uid"]) if fault is None else review.denied(document["uid"], fault)


def _context_faults(entry: Mapping[str, Any]) -> Iterator[str]:
    spec = entry.get("spec") or {}
    call = spec.get("apiCall")
    if bool(call) == bool(spec.get("kubernetesResource")):
        yield "spec: exactly one of `kubernetesResource` and `apiCall` is required"
    if call:
        if bool(call.get("urlPath")) == bool(call.get("service")):
            yield "spec.apiCall: exactly one of `urlPath` and `service` is required"
        if call.get("data") and call.get("method") != "POST":
            yield "spec.apiCall.data: only allowed with method `POST`"
        try:
            interval(call)
        except Unfit as error:
            yield str(error)
    try:
        path_of(spec.get("kubernetesResource") or {})
        projections(spec)
    except Unfit as error:
        yield str(error)
    names = [projection.get("name") for projection in spec.get("projections") or ()]
    name = (entry.get("metadata") or {}).get("name")
    for index, projection in enumerate(names):
        if projection == name or projection in names[:index]:
            yield f"spec.projections[{index}].name: `{projection}` is taken"
