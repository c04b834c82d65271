"""The admission operator on a real API server: denials, webhooks that follow policies, status, events, faults.

Policies here use only labels and patterns; what rules mean is tested elsewhere.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from deploy.local.api import Api, Refused
from deploy.local.control_plane import ControlPlane
from deploy.local.operators import Operators, Running

pytestmark = pytest.mark.cluster
Document = dict[str, Any]
Run = Callable[..., Running]
CPOL = "/apis/kyverno.io/v1/clusterpolicies"
PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"
SECRETS = "/api/v1/namespaces/kyverno/secrets"
HOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
RESOURCE_HOOKS = f"{HOOKS}/kyverno-resource-validating-webhook-cfg"
TEAM = "label 'team' is required"


def policy(
    name: str, *, kind: str = "Pod", action: str = "Enforce", rules: list[Document] | None = None, **spec: Any
) -> Document:
    rule = {
        "name": "check-team",
        "match": {"any": [{"resources": {"kinds": [kind]}}]},
        "validate": {"failureAction": action, "message": TEAM, "pattern": {"metadata": {"labels": {"team": "?*"}}}},
    }
    return {
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": name, "annotations": {"pod-policies.kyverno.io/autogen-controllers": "none"}},
        "spec": {"background": False, "rules": rules or [rule], **spec},
    }


def config_map(name: str, **data: str) -> Document:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def pod(name: str, **labels: str) -> Document:
    containers = [{"name": "c", "image": "nginx"}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": {"containers": containers}}


def until(what: Callable[[], Any], *, timeout: float = 10.0) -> Any:
    """The first true answer of `what`."""
    deadline = time.monotonic() + timeout
    while True:
        answer = what()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {timeout} s"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def api(control_plane: ControlPlane, admission: Running) -> Api:
    return control_plane.api


@pytest.fixture
def apply(api: Api) -> Iterator[Callable[[Document], Document]]:
    """Creates a policy and waits until it is ready and its webhook in use; deletes it at the end."""
    made: list[str] = []

    def create(document: Document) -> Document:
        name = document["metadata"]["name"]
        api.ask(CPOL, method="POST", body=document)
        made.append(name)
        ready = until(lambda: _ready(api.ask(f"{CPOL}/{name}")))
        time.sleep(0.3)  # the API server takes the configuration from its own watch
        return dict(ready)

    yield create
    for name in made:
        if api.find(f"{CPOL}/{name}") is not None:
            api.ask(f"{CPOL}/{name}", method="DELETE")
    if made:
        until(lambda: not api.ask(RESOURCE_HOOKS).get("webhooks"))
        time.sleep(0.3)


def _ready(document: Document) -> Document | None:
    conditions = (document.get("status") or {}).get("conditions") or []
    return document if any(c["type"] == "Ready" and c["status"] == "True" for c in conditions) else None


def denied(api: Api, path: str, document: Document) -> str:
    with pytest.raises(Refused) as refused:
        api.ask(path, method="POST", body=document)
    return str(refused.value)


def insecure() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def post(running: Running, path: str, body: bytes, *, timeout: float = 10) -> tuple[int, bytes]:
    request = urllib.request.Request(f"https://127.0.0.1:{running.port}{path}", data=body, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=timeout, context=insecure()) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def probe(running: Running, path: str = "/health/readiness") -> int:
    try:
        with urllib.request.urlopen(f"https://127.0.0.1:{running.port}{path}", timeout=5, context=insecure()) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (urllib.error.URLError, OSError):
        return 0


def review(name: str = "raw", *, labels: Document | None = None, padding: int = 0) -> bytes:
    document = {**pod(name, **(labels or {}))}
    document["metadata"]["annotations"] = {"padding": "x" * padding}
    request = {
        "uid": "7",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "operation": "CREATE",
        "namespace": "default",
        "name": name,
        "userInfo": {"username": "ann"},
        "object": document,
    }
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()


def test_a_bad_pod_is_denied_with_kyvernos_message_and_a_good_one_comes_in(api: Api, apply: Any) -> None:
    apply(policy("require-team"))
    assert denied(api, PODS, pod("bad", app="a")).endswith(
        'admission webhook "validate.kyverno.svc-fail" denied the request: \n\n'
        "resource Pod/default/bad was blocked due to the following policies \n\n"
        "require-team:\n"
        "  check-team: 'validation error: label ''team'' is required. rule check-team failed\n"
        "    at path /metadata/labels/team/'\n"
    )
    api.ask(PODS, method="POST", body=pod("good", team="a"))
    api.ask(f"{PODS}/good?gracePeriodSeconds=0", method="DELETE")


def test_status_tells_what_the_policy_holds(api: Api, apply: Any) -> None:
    status = apply(policy("counted"))["status"]
    assert status["rulecount"] == {"validate": 1, "mutate": 0, "generate": 0, "verifyimages": 0}
    (condition,) = status["conditions"]
    assert (condition["reason"], condition["message"]) == ("Succeeded", "Ready")
    version = api.ask(f"{CPOL}/counted")["metadata"]["resourceVersion"]
    time.sleep(1.0)
    assert api.ask(f"{CPOL}/counted")["metadata"]["resourceVersion"] == version, "the status is written once"


def test_webhooks_follow_policies_within_two_seconds(api: Api, apply: Any) -> None:
    begun = time.monotonic()
    apply(policy("first", kind="ConfigMap"))
    (hook,) = api.ask(RESOURCE_HOOKS)["webhooks"]
    assert [rule["resources"] for rule in hook["rules"]] == [["configmaps"]]
    assert time.monotonic() - begun < 2
    begun = time.monotonic()
    api.ask(f"{CPOL}/first", method="DELETE")
    until(lambda: not api.ask(RESOURCE_HOOKS).get("webhooks"), timeout=2)
    assert time.monotonic() - begun < 2


def test_a_webhook_somebody_changed_is_put_right(api: Api, apply: Any) -> None:
    apply(policy("guarded", kind="ConfigMap"))
    broken = api.ask(RESOURCE_HOOKS)
    broken["webhooks"][0]["failurePolicy"] = "Ignore"
    api.ask(RESOURCE_HOOKS, method="PUT", body=broken)
    until(lambda: api.ask(RESOURCE_HOOKS)["webhooks"][0]["failurePolicy"] == "Fail")
    api.ask(RESOURCE_HOOKS, method="DELETE")
    until(lambda: (api.find(RESOURCE_HOOKS) or {}).get("webhooks"))


def test_an_invalid_policy_is_denied_with_path_and_reason(api: Api, apply: Any) -> None:
    document = policy("invalid")
    document["spec"]["rules"].append(dict(document["spec"]["rules"][0]))
    assert "spec.rules[1].name" in denied(api, CPOL, document)


def test_conditions_the_api_server_cannot_compile_are_denied(api: Api, apply: Any) -> None:
    broken = {"matchConditions": [{"name": "c", "expression": "request.object.metadata.keys(@)"}]}
    assert "matchConditions" in denied(api, CPOL, policy("conditions", webhookConfiguration=broken))


def test_a_violation_becomes_an_event(api: Api, apply: Any) -> None:
    apply(policy("watched"))
    denied(api, PODS, pod("eventful"))
    (event,) = until(
        lambda: [
            item
            for item in api.ask("/apis/events.k8s.io/v1/namespaces/default/events")["items"]
            if item["regarding"].get("name") == "watched"
        ]
    )
    assert (event["type"], event["reason"], event["action"]) == ("Warning", "PolicyViolation", "Resource Blocked")
    assert event["reportingController"] == "kyverno-admission"
    assert event["related"]["name"] == "eventful"
    assert event["note"].startswith("Pod default/eventful: [check-team] fail (blocked); validation error: ")


def test_audit_lets_pass_and_says_so_when_asked(api: Api, apply: Any) -> None:
    apply(policy("audited", kind="ConfigMap", action="Audit", emitWarning=True))
    api.ask(MAPS, method="POST", body=config_map("audited"))
    api.ask(f"{MAPS}/audited", method="DELETE")


def test_metrics_count_what_was_answered(api: Api, apply: Any, admission: Running) -> None:
    apply(policy("measured"))
    denied(api, PODS, pod("measured"))

    def seen() -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{admission.metrics_port}/metrics", timeout=5) as response:
            text = response.read().decode()
        return "kyverno_admission_requests_total{" in text and 'policy_name="measured"' in text

    until(seen)


def test_five_hundred_rules_are_no_problem(api: Api, apply: Any) -> None:
    rule = policy("x")["spec"]["rules"][0]
    apply(policy("many", rules=[{**rule, "name": f"check-{number}"} for number in range(500)]))
    begun = time.monotonic()
    message = denied(api, PODS, pod("many"))
    assert time.monotonic() - begun < 3
    assert message.count("label ''team'' is required") == 500


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"kind":"Pod"}', b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}', b"\xff" * 99]
)
def test_what_is_no_review_gets_an_error_and_never_an_allowed(admission: Running, body: bytes) -> None:
    status, answer = post(admission, "/validate/fail", body)
    assert status == 400
    assert b"allowed" not in answer


def test_unknown_paths_and_methods_are_refused(admission: Running) -> None:
    assert post(admission, "/nowhere", review())[0] == 404
    assert post(admission, "/validate/fail/other", review())[0] == 404
    assert probe(admission, "/validate/fail") == 405
    assert probe(admission, "/health/liveness") == 200


def test_three_mebibytes_are_reviewed(api: Api, apply: Any, admission: Running) -> None:
    apply(policy("large"))
    status, answer = post(admission, "/validate/fail", review(padding=3 * 1024 * 1024))
    assert (status, json.loads(answer)["response"]["allowed"]) == (200, False)
    assert post(admission, "/validate/fail", review(padding=17 * 1024 * 1024))[0] == 413
    data = {f"k{number}": "x" * 100_000 for number in range(9)}
    api.ask(MAPS, method="POST", body=config_map("large", **data))
    api.ask(f"{MAPS}/large", method="DELETE")


def test_clients_that_hang_up_or_idle_disturb_nobody(api: Api, apply: Any, admission: Running) -> None:
    apply(policy("busy"))
    idle = [socket.create_connection(("127.0.0.1", admission.port)) for _ in range(1000)]
    for _ in range(50):
        with socket.create_connection(("127.0.0.1", admission.port)) as raw, insecure().wrap_socket(raw) as sock:
            sock.sendall(b"POST /validate/fail HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n{")
    begun = time.monotonic()
    assert TEAM.replace("'", "''") in denied(api, PODS, pod("busy"))
    assert time.monotonic() - begun < 2
    for client in idle:
        client.close()


def test_an_unknown_kind_in_a_policy_waits_for_its_definition(api: Api, apply: Any) -> None:
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    names = {"plural": "gadgets", "singular": "gadget", "kind": "Gadget"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "gadgets.test.pyvern.io"},
        "spec": {
            "group": "test.pyvern.io",
            "names": names,
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }
    apply(policy("gadgets", kind="Gadget"))
    assert not api.ask(RESOURCE_HOOKS).get("webhooks")
    api.ask(definitions, method="POST", body=definition)
    try:
        until(lambda: api.ask(RESOURCE_HOOKS).get("webhooks"), timeout=15)
        time.sleep(0.3)
        gadget = {"apiVersion": "test.pyvern.io/v1", "kind": "Gadget", "metadata": {"name": "g"}}
        assert "Gadget/default/g" in denied(api, "/apis/test.pyvern.io/v1/namespaces/default/gadgets", gadget)
    finally:
        api.ask(f"{definitions}/gadgets.test.pyvern.io", method="DELETE")


def test_nonsense_in_the_config_map_changes_nothing_and_filters_change_at_once(api: Api, apply: Any) -> None:
    path = "/api/v1/namespaces/kyverno/configmaps/kyverno"
    before = api.ask(path)["data"]
    merge = "application/merge-patch+json"
    apply(policy("filtered", kind="ConfigMap"))
    hooks = api.ask(RESOURCE_HOOKS)["webhooks"]
    try:
        nonsense = {"webhooks": "{", "resourceFilters": "all of it", "generateSuccessEvents": "maybe"}
        api.ask(path, method="PATCH", body={"data": nonsense}, content_type=merge)
        time.sleep(0.5)
        assert api.ask(RESOURCE_HOOKS)["webhooks"] == hooks
        denied(api, MAPS, config_map("filtered"))
        good = {**before, "resourceFilters": "[ConfigMap,default,filtered]"}
        api.ask(path, method="PATCH", body={"data": good}, content_type=merge)

        def admitted() -> bool:
            try:
                api.ask(MAPS, method="POST", body=config_map("filtered"))
            except Refused:
                return False
            return True

        until(admitted, timeout=2)
        denied(api, MAPS, config_map("other"))
    finally:
        api.ask(path, method="PATCH", body={"data": before}, content_type=merge)
        api.ask(f"{MAPS}/filtered", method="DELETE")


def test_deleted_certificates_come_back_and_are_served(api: Api, apply: Any, admission: Running) -> None:
    apply(policy("certified"))
    names = [f"kyverno-svc.kyverno.svc.kyverno-tls-{part}" for part in ("ca", "pair")]
    old = api.ask(f"{SECRETS}/{names[0]}")["data"]["tls.crt"]
    for name in names:
        api.ask(f"{SECRETS}/{name}", method="DELETE")
    until(lambda: all(api.find(f"{SECRETS}/{name}") for name in names))
    fresh = until(lambda: (api.find(f"{SECRETS}/{names[0]}") or {}).get("data", {}).get("tls.crt"))
    assert fresh != old
    until(lambda: api.ask(RESOURCE_HOOKS)["webhooks"][0]["clientConfig"]["caBundle"] == fresh)

    def trusted() -> bool:
        context = ssl.create_default_context(cadata=base64.b64decode(fresh).decode())
        context.check_hostname = False
        try:
            with socket.create_connection(("127.0.0.1", admission.port)) as raw, context.wrap_socket(raw):
                return True
        except ssl.SSLError:
            return False

    until(trusted)
    until(lambda: TEAM.replace("'", "''") in denied(api, PODS, pod("certified")))


def test_a_policy_deleted_under_fire_leaves_only_yes_or_no(api: Api, apply: Any) -> None:
    apply(policy("fleeting", kind="ConfigMap"))

    def fire(number: int) -> str:
        try:
            api.ask(f"{MAPS}?dryRun=All", method="POST", body=config_map(f"fleeting-{number}"))
        except Refused as refused:
            return "no" if "blocked due to" in str(refused) else str(refused)
        return "yes"

    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(fire, range(400))
        time.sleep(0.2)
        api.ask(f"{CPOL}/fleeting", method="DELETE")
        assert set(answers) == {"yes", "no"}


def test_a_replica_that_ends_answers_until_it_is_gone(api: Api, apply: Any, run_operator: Run, operators: Operators) -> None:
    apply(policy("drained", kind="ConfigMap"))
    second = run_operator("admission", name="second", flags={"shutdownDrain": "2s"})
    pid = operators._processes.pid("second")
    assert pid is not None
    os.kill(pid, signal.SIGTERM)
    until(lambda: probe(second) == 503, timeout=1.5)
    answers = []
    with suppress(urllib.error.URLError):  # refused at last: it was up to the API server to have gone elsewhere
        while probe(second) == 503:
            answers.append(post(second, "/validate/fail", review()))
    assert len(answers) > 3
    assert {status for status, _ in answers} == {200}
    until(lambda: operators._processes.pid("second") is None, timeout=10)
    assert api.ask(RESOURCE_HOOKS)["webhooks"], "another replica is there: the webhooks stay"
    denied(api, MAPS, config_map("drained"))


def test_requests_are_answered_from_the_snapshot_while_the_api_server_is_away(
    api: Api, apply: Any, admission: Running, control_plane: ControlPlane
) -> None:
    apply(policy("lonely"))
    pids = [control_plane.processes.pid(name) for name in ("kube-apiserver", "etcd")]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)  # type: ignore[arg-type]
    try:
        for _ in range(30):
            status, answer = post(admission, "/validate/fail", review())
            assert (status, json.loads(answer)["response"]["allowed"]) == (200, False)
            assert probe(admission) == 200
            time.sleep(1.0)
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)  # type: ignore[arg-type]
    until(lambda: api.find(f"{CPOL}/lonely"), timeout=30)
    apply(policy("reunited", kind="ConfigMap"))
    denied(api, MAPS, config_map("reunited"))


def test_a_restarted_etcd_changes_nothing(api: Api, apply: Any, control_plane: ControlPlane) -> None:
    apply(policy("lasting", kind="ConfigMap"))
    processes = control_plane.processes
    pid = processes.pid("etcd")
    assert pid is not None
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        command = file.read().decode().split("\0")[:-1]
    processes.stop(["etcd"], patience=5)
    time.sleep(1.0)
    processes.start("etcd", command)

    def answered() -> bool:
        try:
            return bool(api.find(f"{CPOL}/lasting"))
        except (Refused, OSError):
            return False

    until(answered, timeout=30)
    denied(api, MAPS, config_map("lasting"))
    apply(policy("after", kind="Secret"))
    (hook,) = api.ask(RESOURCE_HOOKS)["webhooks"]
    assert [rule["resources"] for rule in hook["rules"]] == [["configmaps", "secrets"]]
