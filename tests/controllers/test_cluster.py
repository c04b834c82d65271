"""The small parts of controllers/cluster: log-in, discovery, namespaces, bindings, metrics, facts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from controllers.cluster.bindings import Bindings
from controllers.cluster.client import ApiError, Client, segment
from controllers.cluster.credentials import Credentials, NoCredentials, from_kubeconfig, in_cluster
from controllers.cluster.facts import MAX_ROUNDS, World, settle
from controllers.cluster.metrics import InvalidExposure, Metrics, read_exposure
from controllers.cluster.namespaces import Namespaces
from controllers.cluster.watch import Changed, Listed, backoff
from deploy.local.control_plane import ControlPlane
from engine import Facts, Lookup, LookupFailed

KUBECONFIG = """
current-context: c
contexts: [{name: c, context: {cluster: k, user: u}}]
clusters: [{name: k, cluster: {server: "https://1.2.3.4:6443/"}}]
users: [{name: u, user: {%s}}]
"""


def kubeconfig(folder: Path, user: str) -> Path:
    file = folder / "kubeconfig"
    file.write_text(KUBECONFIG % user)
    return file


def test_a_token_logs_in(tmp_path: Path) -> None:
    credentials = from_kubeconfig(kubeconfig(tmp_path, "token: abc"))
    assert (credentials.server, credentials.authorization()) == ("https://1.2.3.4:6443", "Bearer abc")


@pytest.mark.parametrize(
    ("user", "complaint"),
    [("exec: {command: aws}", "logs in by `exec`"), ("auth-provider: {name: gcp}", "logs in by `auth-provider`")],
)
def test_log_ins_by_programs_are_refused_with_a_remedy(tmp_path: Path, user: str, complaint: str) -> None:
    with pytest.raises(NoCredentials, match=complaint):
        from_kubeconfig(kubeconfig(tmp_path, user))


def test_a_broken_kubeconfig_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    for text in ("[", "7", "current-context: nowhere"):
        broken.write_text(text)
        with pytest.raises(NoCredentials, match="broken"):
            from_kubeconfig(broken)
    with pytest.raises(NoCredentials, match="No such file"):
        from_kubeconfig(tmp_path / "absent")


def test_a_service_accounts_token_is_read_again_after_a_refusal(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("ca")
    (tmp_path / "token").write_text("one\n")
    credentials = in_cluster({"KUBERNETES_SERVICE_HOST": "fd00::1"}, tmp_path)
    assert (credentials.server, credentials.authorization()) == ("https://[fd00::1]:443", "Bearer one")
    (tmp_path / "token").write_text("two")
    assert credentials.authorization() == "Bearer one"
    credentials.forget_token()
    assert credentials.authorization() == "Bearer two"


def named(name: str, namespace: str = "", **rest: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, **({"namespace": namespace} if namespace else {})}, **rest}


def test_a_list_drops_namespaces_that_vanished() -> None:
    namespaces = Namespaces()
    namespaces.handle(Listed(({"metadata": {"name": "a", "labels": {"x": "1"}}}, named("b"))))
    namespaces.handle(Changed("ADDED", named("c")))
    namespaces.handle(Listed((named("c"),)))
    assert [namespaces.labels(name) for name in ("a", "b", "c")] == [None, None, {}]
    namespaces.handle(Changed("DELETED", named("c")))
    assert namespaces.labels("c") is None


def test_namespaces_that_changed_last_are_kept_whole() -> None:
    def whole(name: str, uid: str) -> dict[str, Any]:
        return {"metadata": {"name": name, "uid": uid}, "spec": {"finalizers": ["kubernetes"]}}

    namespaces = Namespaces(recent=2)
    for name in ("a", "b", "c"):
        namespaces.handle(Changed("ADDED", whole(name, f"uid-{name}")))
    assert namespaces.recent("a", "uid-a") is None
    assert namespaces.recent("c", "uid-c") == whole("c", "uid-c")
    assert namespaces.recent("c", "uid-of-an-earlier-one") is None
    namespaces.handle(Changed("DELETED", whole("c", "uid-c")))
    assert namespaces.recent("c", "uid-c") is None
    namespaces.handle(Listed((whole("b", "uid-b"),)))
    assert namespaces.recent("b", "uid-b") is None


def test_roles_come_from_bindings_of_users_groups_and_service_accounts() -> None:
    bindings = Bindings()
    in_namespaces, everywhere = (bindings._handler(index) for index in (0, 1))
    role, view = {"kind": "Role", "name": "edit"}, {"kind": "ClusterRole", "name": "view"}
    robot = {"kind": "ServiceAccount", "name": "robot"}
    in_namespaces(
        Listed(
            (
                named("one", "blue", roleRef=role, subjects=[{"kind": "User", "name": "ann"}, robot]),
                named("two", "blue", roleRef=view, subjects=[{"kind": "Group", "name": "devs"}]),
                named("three", "red", roleRef=view, subjects=[{"kind": "Group", "name": "devs"}]),
            )
        )
    )
    everywhere(
        Listed((named("four", roleRef={"kind": "ClusterRole", "name": "admin"}, subjects=[{"kind": "User", "name": "ann"}]),))
    )
    assert bindings.of("ann", (), "red") == (("blue:edit",), ("admin",))
    assert bindings.of("bob", ("devs",), "blue") == ((), ("view",))
    assert bindings.of("bob", ("devs",), "green") == ((), ())
    assert bindings.of("system:serviceaccount:blue:robot", (), "blue") == (("blue:edit",), ())
    in_namespaces(Changed("DELETED", named("one", "blue")))
    assert bindings.of("ann", (), "blue") == ((), ("admin",))


def test_waiting_grows_and_stays_bounded() -> None:
    assert backoff(0) <= 0.05
    assert all(0.1 <= backoff(attempt) <= 10.0 for attempt in range(1, 100))


def test_metrics_are_rendered_under_kyvernos_names() -> None:
    metrics = Metrics()
    labels = ("Pod", "blue", "create", "false", "ValidatingWebhookConfiguration")
    metrics.count("kyverno_admission_requests", labels)
    metrics.observe("kyverno_admission_review_duration_seconds", labels, 0.02)
    metrics.state("kyverno_info", [("0.1.0",)])
    text = metrics.render().decode()
    assert (
        'kyverno_admission_requests_total{request_allowed="false",request_webhook="ValidatingWebhookConfiguration",'
        'resource_kind="Pod",resource_request_operation="create"} 1.0' in text
    )
    assert 'le="0.025"' in text
    assert 'kyverno_info{version="0.1.0"} 1.0' in text
    assert "blue" not in text, "namespaces are no label unless asked for"


def test_the_metrics_config_map_switches_labels_buckets_and_namespaces() -> None:
    exposure = read_exposure(
        {
            "namespaces": '{"exclude":["noisy"]}',
            "metricsExposure": '{"kyverno_admission_requests_total":{"disabledLabelDimensions":["resource_kind"]},'
            '"kyverno_policy_results_total":{"enabled":false}}',
            "bucketBoundaries": "0.1, 1",
        }
    )
    metrics = Metrics(exposure)
    metrics.count("kyverno_admission_requests", ("Pod", "blue", "create", "true", "w"))
    metrics.count("kyverno_policy_results", ("x",) * 13)
    text = metrics.render().decode()
    assert 'resource_namespace="blue"' in text
    assert "resource_kind" not in text
    assert "kyverno_policy_results" not in text
    assert not exposure.counts("noisy")
    assert exposure.counts("blue")
    with pytest.raises(InvalidExposure):
        read_exposure({"namespaces": "{"})


def learnt(credentials: Credentials, ask: Callable[[Facts], Any]) -> Any:
    """The answer of `ask` in the world of the API server."""

    async def run() -> Any:
        async with Client(credentials) as client:
            return await settle(ask, World(client))

    return asyncio.run(run())


def test_a_question_is_asked_again_with_the_answers(
    control_plane: ControlPlane, credentials: Credentials, namespace: str
) -> None:
    stored = {"metadata": {"name": "settings"}, "data": {"a": "1"}, "binaryData": {"b": "Mg=="}}
    control_plane.api.ask(f"/api/v1/namespaces/{namespace}/configmaps", method="POST", body=stored)
    asked: list[Facts] = []

    def ask(facts: Facts) -> Any:
        asked.append(facts)
        return facts.answer(Lookup("configMap", f"{namespace}/settings"))["data"]

    assert learnt(credentials, ask) == {"a": "1", "b": "2"}
    assert [len(facts.answers) for facts in asked] == [0, 1]


@pytest.mark.parametrize(
    ("lookup", "reason"),
    [
        (Lookup("configMap", "blue/settings"), "not found"),
        (Lookup("configMap", "red/settings", namespace="blue"), "may not read"),
        (Lookup("apiCall", "/api/v1/namespaces/red/pods", namespace="blue"), "may not call"),
        (Lookup("apiCall", "/api/v1/namespaces/blue/../red/pods", namespace="blue"), "no plain path"),
        (Lookup("apiCall", "/api/v1/namespaces/blue/%2e%2e/red/pods", namespace="blue"), "no plain path"),
        (Lookup("apiCall", "/api/v1/namespaces/red/pods/x/proxy/namespaces/blue/", namespace="blue"), "may not call"),
        (Lookup("apiCall", "/api/v1/nodes/x/proxy/namespaces/blue/", namespace="blue"), "may not call"),
        (Lookup("imageData", "nginx"), "not available here"),
    ],
)
def test_what_cannot_or_must_not_be_read_is_a_failed_fact(credentials: Credentials, lookup: Lookup, reason: str) -> None:
    with pytest.raises(LookupFailed, match=reason):
        learnt(credentials, lambda facts: facts.answer(lookup))


def test_going_in_circles_ends(credentials: Credentials) -> None:
    asked: list[Facts] = []

    def ask(facts: Facts) -> Any:
        asked.append(facts)
        return facts.answer(Lookup("configMap", f"default/number-{len(facts.answers)}"))

    with pytest.raises(LookupFailed, match="in a row"):
        learnt(credentials, ask)
    assert len(asked) == MAX_ROUNDS


def test_redirects_of_the_api_server_are_not_followed(
    control_plane: ControlPlane, credentials: Credentials, namespace: str
) -> None:
    """Whoever serves an aggregated API or a proxied Pod would get our token."""
    pods = f"/api/v1/namespaces/{namespace}/pods"
    pod = {"metadata": {"name": "web"}, "spec": {"containers": [{"name": "c", "image": "c"}]}}
    control_plane.api.ask(pods, method="POST", body=pod)
    address = {"status": {"podIP": "10.9.8.7", "podIPs": [{"ip": "10.9.8.7"}]}}
    control_plane.api.ask(f"{pods}/web/status", method="PATCH", body=address, content_type="application/merge-patch+json")

    async def run() -> Any:
        async with Client(credentials) as client:
            return await client.get(f"{pods}/web/proxy")

    with pytest.raises(ApiError, match="redirects of the API server are not followed") as refused:
        asyncio.run(run())
    assert refused.value.status == 301


def test_no_more_than_the_beginning_of_a_long_error_is_read(
    control_plane: ControlPlane, credentials: Credentials, namespace: str
) -> None:
    """The API server repeats a wrong name in its answer, whole."""

    async def run() -> Any:
        async with Client(credentials) as client:
            body = {"metadata": {"name": "x" * 2_000_000}}
            return await client.create(f"/api/v1/namespaces/{namespace}/configmaps", body)

    with pytest.raises(ApiError) as refused:
        asyncio.run(run())
    assert refused.value.status == 422
    assert refused.value.message.startswith('{"kind":"Status"')
    assert len(refused.value.message) < 1000


@pytest.mark.parametrize("name", [".", "..", "a/b", "../x", "a%2fb", "a\nb"])
def test_a_name_is_no_path(name: str) -> None:
    with pytest.raises(ApiError, match="cannot be the name"):
        segment(name)


def test_names_with_signs_stay_one_segment() -> None:
    assert segment("system:node-proxier") == "system:node-proxier"
    assert segment("a?b#c d") == "a%3Fb%23c%20d"
