"""Contexts on the request path: services, registries and the API server as policies ask them, good and bad.

The operator of these tests may call loopback (--httpBlocklist); reviews are posted to it straight, as the API server would.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from deploy.local.api import Api, Refused
from deploy.local.certificates import write_keys
from deploy.local.control_plane import ControlPlane
from deploy.local.operators import Operators, Running
from tests.cluster.calls import CPOL, HOOKS, MAPS, config_map, policy, post, review, until
from tests.registry import PASSWORD, USER, basic, by_password, registry
from tests.services import Service, service

pytestmark = pytest.mark.cluster
Document = dict[str, Any]
Apply = Callable[[Document], Document]
FLAGS = {"httpBlocklist": "10.255.0.0/16"}
SETTINGS = "/api/v1/namespaces/kyverno/configmaps/kyverno"
SECRETS = "/api/v1/namespaces/kyverno/secrets"
MERGE = "application/merge-patch+json"


@pytest.fixture(scope="module")
def reaching(control_plane: ControlPlane, operators: Operators) -> Iterator[Running]:
    """An admission operator that may call services on loopback."""
    yield operators.start("admission", name="reaching", flags=FLAGS)
    operators.stop("reaching")


@pytest.fixture(scope="module")
def served() -> Iterator[Service]:
    with service() as running:
        yield running


def asking(name: str, context: Document, *, key: str = "{{ found }}", equals: Any = "no", **spec: Any) -> Document:
    """Denies Pods for which `key` is `equals`."""
    rule = {
        "name": "ask",
        "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
        "context": [{"name": "found", **context}],
        "validate": {
            "failureAction": "Enforce",
            "message": "the answer was no",
            "deny": {"conditions": {"all": [{"key": key, "operator": "Equals", "value": equals}]}},
        },
    }
    return policy(name, rules=[rule], **spec)


def call(url: str, **more: Any) -> Document:
    return {"apiCall": {"service": {"url": url}, **more}}


def answered(running: Running, *, path: str = "fail", timeout: int = 10, name: str = "raw") -> tuple[bool, str, float]:
    """(allowed, message or warnings, seconds) of a Pod."""
    begun = time.monotonic()
    status, body = post(running, f"/validate/{path}?timeout={timeout}s", review(name), timeout=timeout)
    response = json.loads(body)["response"]
    assert status == 200
    told = (response.get("status") or {}).get("message") or "".join(response.get("warnings") or ())
    return response["allowed"], " ".join(told.split()), time.monotonic() - begun


def metric(running: Running, name: str) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{running.metrics_port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def test_a_service_decides_and_gets_no_token(apply: Apply, reaching: Running, served: Service) -> None:
    body = [{"key": "name", "value": "{{ request.object.metadata.name }}"}]
    context = call(f"{served.base}/echo", method="POST", data=body, jmesPath="parse_json(body).name")
    apply(asking("decides", context, equals="raw"))
    allowed, told, _ = answered(reaching)
    assert (allowed, "the answer was no" in told) == (False, True)
    assert answered(reaching, name="other")[0]
    method, path, headers, sent = served.calls[-1]
    assert (method, path, json.loads(sent)) == ("POST", "/echo", {"name": "other"})
    assert "Authorization" not in headers
    assert metric(reaching, 'pyvern_lookups_total{result="found",source="service"}') >= 2
    assert metric(reaching, "pyvern_lookup_seconds_count") >= 2


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/hang", "no answer within"),
        ("/trickle", "no answer within"),
        ("/large", "the answer is longer than 10000000 bytes"),
        ("/moved?to=http://169.254.169.254/", "redirects to another host are not followed"),
        ("/page", "the answer is no JSON"),
        ("/reset", "the server hung up without an answer"),
        ("/500", "HTTP 500 Internal Server Error"),
    ],
)
def test_a_bad_service_is_told_in_time_and_failure_policy_decides(
    apply: Apply, reaching: Running, served: Service, path: str, reason: str
) -> None:
    url = served.base + path
    apply(asking("bad", call(url)))
    apply(asking("bad-ignored", call(f"{url}{'&' if '?' in url else '?'}again"), failurePolicy="Ignore"))
    allowed, told, seconds = answered(reaching, timeout=3)
    assert not allowed
    assert seconds < 3
    for part in ("bad:", "ask:", "context entry found", url.partition("?")[0], reason):
        assert part in told
    allowed, _, seconds = answered(reaching, path="ignore", timeout=3)
    assert allowed
    assert seconds < 3


def test_a_default_answers_for_a_bad_service(apply: Apply, reaching: Running, served: Service) -> None:
    apply(asking("default", call(f"{served.base}/404", default="no")))
    assert "the answer was no" in answered(reaching)[1]


def test_addresses_that_are_refused(apply: Apply, admission: Running, reaching: Running, served: Service) -> None:
    before = len(served.calls)
    apply(asking("loopback", call(f"{served.base}/echo")))
    assert "not called: this address is in --httpBlocklist" in answered(admission)[1]
    assert len(served.calls) == before
    apply(asking("metadata", call("http://169.254.169.254/latest/meta-data/")))
    assert "link-local, metadata and multicast addresses are never called" in answered(reaching)[1]


def test_equal_questions_at_once_are_one_call(apply: Apply, reaching: Running, served: Service) -> None:
    apply(asking("shared", call(f"{served.base}/slow", jmesPath="slow"), equals=True))
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: answered(reaching)[0], range(40)))
    assert answers == [False] * 40
    assert served.count("/slow") < 10


def test_a_service_that_hangs_does_not_delay_others(apply: Apply, reaching: Running, served: Service) -> None:
    elsewhere = served.base.replace("127.0.0.1", "localhost")
    apply(asking("hangs", call(f"{served.base}/hang?{{{{ request.object.metadata.name }}}}"), key="{{ found }}"))
    document = asking("answers", call(f"{elsewhere}/echo", jmesPath="method"), equals="GET")
    document["spec"]["rules"][0]["match"] = {"any": [{"resources": {"kinds": ["Service"]}}]}
    apply(document)
    before = served.count("/hang")
    with ThreadPoolExecutor(50) as pool:
        hanging = [pool.submit(answered, reaching, timeout=8, name=f"pod-{number}") for number in range(50)]
        until(lambda: served.count("/hang") - before >= 30)
        request = json.loads(review())
        request["request"]["kind"] = {"group": "", "version": "v1", "kind": "Service"}
        request["request"]["resource"] = {"group": "", "version": "v1", "resource": "services"}
        request["request"]["object"] = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "raw"}, "spec": {}}
        _, body = post(reaching, "/validate/fail?timeout=8s", json.dumps(request).encode())
        assert "the answer was no" in json.loads(body)["response"]["status"]["message"]
        assert [answer.result()[0] for answer in hanging] == [False] * 50


def test_an_api_server_that_is_slow_does_not_make_us_late(apply: Apply, reaching: Running, control_plane: ControlPlane) -> None:
    path = "/api/v1/namespaces/default"
    apply(asking("api", {"apiCall": {"urlPath": path, "jmesPath": "metadata.name"}}, equals="default"))
    assert "the answer was no" in answered(reaching)[1]
    pid = control_plane.processes.pid("kube-apiserver")
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        allowed, told, seconds = answered(reaching, timeout=2)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert not allowed
    assert seconds < 2
    assert f"context entry found: apiCall {path}: no answer within" in told
    until(lambda: "the answer was no" in answered(reaching)[1], timeout=30)


@pytest.mark.parametrize(
    ("url_path", "reason"),
    [
        ("/api/v1/namespaces/default/pods/nobody", "not found"),
        ("/api/v1/nodes/nobody", "forbidden"),
        ("/healthz", "is no JSON"),
        ("/nowhere", "permission denied"),
    ],
)
def test_what_the_api_server_refuses_is_told(apply: Apply, reaching: Running, url_path: str, reason: str) -> None:
    apply(asking("refused", {"apiCall": {"urlPath": url_path}}))
    told = answered(reaching)[1]
    assert url_path in told
    assert reason in told


def test_a_post_to_the_api_server(apply: Apply, reaching: Running) -> None:
    resource = {"resource": "{{ request.object.metadata.name }}", "verb": "list"}
    data = [
        {"key": "apiVersion", "value": "authorization.k8s.io/v1"},
        {"key": "kind", "value": "SelfSubjectAccessReview"},
        {"key": "spec", "value": {"resourceAttributes": resource}},
    ]
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    context = {"apiCall": {"urlPath": path, "method": "POST", "data": data, "jmesPath": "status.allowed"}}
    apply(asking("posts", context, equals=False))
    assert "the answer was no" in answered(reaching, name="secrets")[1]
    assert answered(reaching, name="namespaces")[0]


def test_max_context_size_limits_what_an_entry_holds(apply: Apply, api: Api, reaching: Running) -> None:
    value = {"value": "{{ request.object.metadata.name }}" + "x" * 2000}
    apply(asking("large-entry", {"variable": value}))
    assert answered(reaching)[0]
    data = api.ask(SETTINGS)["data"]
    try:
        api.ask(SETTINGS, method="PATCH", body={"data": {"maxContextSize": "1Ki"}}, content_type=MERGE)
        until(lambda: "context size limit exceeded" in answered(reaching)[1])
    finally:
        api.ask(SETTINGS, method="PATCH", body={"data": {"maxContextSize": data.get("maxContextSize")}}, content_type=MERGE)
    until(lambda: answered(reaching)[0])


def test_a_namespaced_policy_stays_in_its_namespace(api: Api, admission: Running) -> None:
    policies = "/apis/kyverno.io/v1/namespaces/default/policies"
    until(lambda: api.find(f"{HOOKS}/kyverno-policy-validating-webhook-cfg"))
    time.sleep(0.3)  # the API server takes the configuration from its own watch
    for context in (
        {"apiCall": {"urlPath": "/api/v1/namespaces/kube-system/configmaps"}},
        {"configMap": {"name": "kyverno", "namespace": "kyverno"}},
    ):
        document = {**asking("curious", context, key="{{ found.data.any }}"), "kind": "Policy"}
        with pytest.raises(Refused, match="own namespace"):
            api.ask(policies, method="POST", body=document)


def test_images_of_a_registry_with_a_log_in(apply: Apply, api: Api, reaching: Running, tmp_path: Path) -> None:
    with registry(tmp_path, auth=by_password(tmp_path / "auth"), authorization=basic()) as stored:
        stored.push("app", "v1", config={"config": {"User": "root"}})
        secret = {"auths": {stored.host: {"username": USER, "password": PASSWORD}}}
        encoded = base64.b64encode(json.dumps(secret).encode()).decode()
        body = {"metadata": {"name": "regcred"}, "type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": encoded}}
        api.ask(SECRETS, method="POST", body=body)
        entry = {
            "reference": f"{stored.host}/app:v1",
            "jmesPath": "configData.config.User",
            "imageRegistryCredentials": {"allowInsecureRegistry": True, "secrets": ["regcred"]},
        }
        roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/kyverno"
        subject = {"kind": "ServiceAccount", "name": "kyverno-admission-controller", "namespace": "kyverno"}
        rule = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["regcred"], "verbs": ["get"]}
        binding = {
            "metadata": {"name": "test:regcred"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "test:regcred"},
            "subjects": [subject],
        }
        try:
            apply(asking("image", {"imageRegistry": entry}, equals="root"))
            assert 'Secret kyverno/regcred: secrets "regcred" is forbidden' in answered(reaching)[1]
            api.ask(f"{roles}/roles", method="POST", body={"metadata": {"name": "test:regcred"}, "rules": [rule]})
            api.ask(f"{roles}/rolebindings", method="POST", body=binding)
            until(lambda: "the answer was no" in answered(reaching)[1])
        finally:
            api.ask(f"{SECRETS}/regcred", method="DELETE")
            for kind in ("roles", "rolebindings"):
                if api.find(f"{roles}/{kind}/test:regcred") is not None:
                    api.ask(f"{roles}/{kind}/test:regcred", method="DELETE")


def test_scans_ask_services_too(api: Api, operators: Operators, served: Service) -> None:
    operators.start("reports", name="scanning", flags={**FLAGS, "backgroundScanInterval": "1h"})
    context = call(f"{served.base}/echo?scan={{{{ request.object.metadata.name }}}}", jmesPath="query.scan")
    document = asking("scanned", context, equals="looked-at", background=True)
    document["spec"]["rules"][0]["match"] = {"any": [{"resources": {"kinds": ["ConfigMap"], "names": ["looked-at"]}}]}
    document["spec"]["rules"][0]["validate"]["failureAction"] = "Audit"
    reports = "/apis/wgpolicyk8s.io/v1alpha2/namespaces/default/policyreports"
    try:
        api.ask(MAPS, method="POST", body=config_map("looked-at"))
        api.ask(CPOL, method="POST", body=document)

        def results() -> list[str]:
            items = api.ask(reports)["items"]
            return [row["result"] for item in items for row in item["results"] if row["policy"] == "scanned"]

        until(lambda: results() == ["fail"], timeout=20)
    finally:
        api.ask(f"{CPOL}/scanned", method="DELETE")
        api.ask(f"{MAPS}/looked-at", method="DELETE")
        operators.stop("scanning")
    assert served.count("/echo") > 0


def test_what_is_generated_may_come_from_a_service(api: Api, admission: Running, operators: Operators, served: Service) -> None:
    operators.start("background", name="generating", flags=FLAGS)
    target = {"apiVersion": "v1", "kind": "ConfigMap", "name": "told", "namespace": "default", "generateExisting": True}
    rule = {
        "name": "ask",
        "match": {"any": [{"resources": {"kinds": ["ConfigMap"], "names": ["to-be-told"]}}]},
        "context": [{"name": "found", **call(f"{served.base}/echo?told=yes", jmesPath="query.told")}],
        "generate": {**target, "data": {"data": {"told": "{{ found }}"}}},
    }
    try:
        api.ask(MAPS, method="POST", body=config_map("to-be-told"))
        api.ask(CPOL, method="POST", body=policy("tells", rules=[rule]))
        until(lambda: (api.find(f"{MAPS}/told") or {}).get("data") == {"told": "yes"}, timeout=30)
    finally:
        api.ask(f"{CPOL}/tells", method="DELETE")
        for name in ("to-be-told", "told"):
            if api.find(f"{MAPS}/{name}") is not None:
                api.ask(f"{MAPS}/{name}", method="DELETE")
        operators.stop("generating")


def test_what_is_cleaned_up_may_be_said_by_a_service(api: Api, operators: Operators, served: Service) -> None:
    policies = "/apis/kyverno.io/v2/clustercleanuppolicies"
    role = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
    document = {
        "apiVersion": "kyverno.io/v2",
        "kind": "ClusterCleanupPolicy",
        "metadata": {"name": "told-to"},
        "spec": {
            "schedule": "0 0 1 1 *",
            "match": {"any": [{"resources": {"kinds": ["ConfigMap"], "namespaces": ["default"]}}]},
            "context": [{"name": "found", **call(f"{served.base}/echo?gone=unwanted", jmesPath="query.gone")}],
            "conditions": {"all": [{"key": "{{ target.metadata.name }}", "operator": "Equals", "value": "{{ found }}"}]},
        },
    }
    labels = {"rbac.kyverno.io/aggregate-to-cleanup-controller": "true"}
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["delete", "list", "watch"]}]
    try:
        api.ask(role, method="POST", body={"metadata": {"name": "test:told", "labels": labels}, "rules": rules})
        for name in ("unwanted", "wanted"):
            api.ask(MAPS, method="POST", body=config_map(name))
        api.ask(policies, method="POST", body=document)
        missed = {"status": {"lastExecutionTime": "2020-01-01T00:00:00Z"}}
        api.ask(f"{policies}/told-to/status", method="PATCH", body=missed, content_type=MERGE)
        operators.start("cleanup", name="cleaning", flags=FLAGS)
        until(lambda: api.find(f"{MAPS}/unwanted") is None, timeout=30)
        assert api.find(f"{MAPS}/wanted") is not None
    finally:
        operators.stop("cleaning")
        for path in (f"{policies}/told-to", f"{role}/test:told", f"{MAPS}/unwanted", f"{MAPS}/wanted"):
            if api.find(path) is not None:
                api.ask(path, method="DELETE")


def test_certificates_of_services_are_verified(apply: Apply, reaching: Running, tmp_path: Path) -> None:
    write_keys(tmp_path, service_address="10.0.0.1")
    with service(tmp_path) as secure:
        apply(asking("untrusted", call(f"{secure.base}/echo", jmesPath="method"), equals="GET"))
        told = answered(reaching)[1]
        assert f"GET {secure.base}/echo: the certificate is not trusted" in told
        context = call(f"{secure.base}/echo", jmesPath="method")
        context["apiCall"]["service"]["caBundle"] = (tmp_path / "ca.crt").read_text()
        apply(asking("trusted", context, equals="GET"))
        told = answered(reaching)[1]
        assert "trusted: ask: the answer was no" in told
