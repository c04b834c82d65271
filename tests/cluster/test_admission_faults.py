"""The admission operator under bad input and faults: nothing hangs, and nothing is let through that Fail would block."""

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
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from deploy.local.api import Api, Refused
from deploy.local.control_plane import ControlPlane
from deploy.local.operators import Operators, Running
from tests.cluster.calls import (
    CPOL,
    MAPS,
    PODS,
    RESOURCE_HOOKS,
    TEAM,
    config_map,
    denied,
    insecure,
    pod,
    policy,
    post,
    probe,
    review,
    until,
)

pytestmark = pytest.mark.cluster
SECRETS = "/api/v1/namespaces/kyverno/secrets"
Run = Callable[..., Running]


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
