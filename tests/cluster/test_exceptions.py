"""PolicyExceptions on a real API server: while they are there, when they end, and when they go in the middle of requests."""

from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from deploy.local.api import Api, Refused
from deploy.local.control_plane import ControlPlane
from deploy.local.operators import Running
from tests.cluster.calls import CPOL, MAPS, RESOURCE_HOOKS, denied, policy, ready, until

pytestmark = pytest.mark.cluster
Document = dict[str, Any]
EXCEPTIONS = "/apis/kyverno.io/v2/namespaces/default/policyexceptions"
EVENTS = "/apis/events.k8s.io/v1/namespaces/default/events"
EXPIRES = "exceptions.pyvern.io/expires"


def exception(name: str, target: str, *, expires: str = "") -> Document:
    match = {"any": [{"resources": {"kinds": ["ConfigMap"], "names": [target]}}]}
    return {
        "apiVersion": "kyverno.io/v2",
        "kind": "PolicyException",
        "metadata": {"name": name, "annotations": {EXPIRES: expires} if expires else {}},
        "spec": {"match": match, "exceptions": [{"policyName": "needs-team", "ruleNames": ["check-team"]}]},
    }


def soon(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


@pytest.fixture(scope="module")
def api(control_plane: ControlPlane, admission: Running) -> Iterator[Api]:
    api = control_plane.api
    api.ask(CPOL, method="POST", body=policy("needs-team", kind="ConfigMap"))
    until(lambda: ready(api.ask(f"{CPOL}/needs-team")))
    until(lambda: refused(api, "first"))
    yield api
    api.ask(f"{CPOL}/needs-team", method="DELETE")
    until(lambda: not api.ask(RESOURCE_HOOKS).get("webhooks"))


def refused(api: Api, name: str) -> bool:
    """Would a ConfigMap of that name be refused?"""
    try:
        api.ask(f"{MAPS}?dryRun=All", method="POST", body={"metadata": {"name": name}})
    except Refused as answer:
        if "needs-team" not in str(answer):
            raise
        return True
    return False


def test_an_exception_counts_until_it_expires_and_its_end_is_told_once(api: Api, admission: Running) -> None:
    api.ask(EXCEPTIONS, method="POST", body=exception("short", "short", expires=soon(6)))
    until(lambda: not refused(api, "short"))
    until(lambda: refused(api, "short"), timeout=20)

    def told() -> list[Document]:
        return [event for event in api.ask(EVENTS)["items"] if event["reason"] == "ExceptionExpired"]

    (event,) = until(told)
    assert (event["regarding"]["name"], event["type"]) == ("short", "Warning")
    patch = {"metadata": {"labels": {"touched": "yes"}}}
    api.ask(f"{EXCEPTIONS}/short", method="PATCH", body=patch, content_type="application/merge-patch+json")
    time.sleep(1)
    assert len(told()) == 1
    with urllib.request.urlopen(f"http://127.0.0.1:{admission.metrics_port}/metrics", timeout=5) as answer:
        (line,) = [line for line in answer.read().decode().splitlines() if line.startswith("pyvern_exception_hits_total{")]
    assert 'exception_name="short"' in line
    api.ask(f"{EXCEPTIONS}/short", method="DELETE")


def test_an_expiry_that_is_no_date_is_refused_with_path_and_value(api: Api) -> None:
    answer = denied(api, EXCEPTIONS, exception("odd", "odd", expires="next week"))
    assert f"metadata.annotations[{EXPIRES}]: `next week` is neither a day" in answer


def test_exceptions_of_other_namespaces_do_not_count(api: Api) -> None:
    path = EXCEPTIONS.replace("/default/", "/kube-public/")
    api.ask(path, method="POST", body=exception("elsewhere", "elsewhere"))
    time.sleep(1)
    assert refused(api, "elsewhere")
    api.ask(f"{path}/elsewhere", method="DELETE")


def test_an_exception_that_is_deleted_in_mid_flight_leaves_only_whole_answers(api: Api) -> None:
    """Requests go on while it goes: each is let in or refused by the policy; none fails; after the last, all are refused."""
    api.ask(EXCEPTIONS, method="POST", body=exception("flying", "flying"))
    until(lambda: not refused(api, "flying"))
    answers: list[bool] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            answers.append(refused(api, "flying"))

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        try:
            until(lambda: len(answers) > 20 or any(one.done() for one in asking))
            api.ask(f"{EXCEPTIONS}/flying", method="DELETE")
            until(lambda: answers[-8:] == [True] * 8 or any(one.done() for one in asking))
        finally:
            stop.set()
        for one in asking:
            one.result()  # raises what a request met that was neither
    assert (answers[0], answers[-1]) == (False, True)
