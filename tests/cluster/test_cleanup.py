"""The cleanup operator on a real API server: what it deletes and when, what it refuses, what it leaves behind."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator

import pytest

from deploy.local.api import Api
from deploy.local.control_plane import ControlPlane
from deploy.local.operators import Operators, Running
from tests.cluster.calls import HOOKS, PODS, denied, pod, until
from tests.cluster.cleaning import LONG_AGO, POLICIES, cleanup_policy, gone, may_clean_up, overdue

pytestmark = pytest.mark.cluster
EVENTS = "/apis/events.k8s.io/v1/namespaces/default/events"
FLAGS = {"ttlReconciliationInterval": "1s"}
CONFIG = "/api/v1/namespaces/kyverno/configmaps/kyverno"


@pytest.fixture(scope="module")
def api(control_plane: ControlPlane) -> Iterator[Api]:
    """Pods may be cleaned up."""
    with may_clean_up(control_plane.api, "pods"):
        yield control_plane.api


@pytest.fixture(scope="module")
def missed(api: Api) -> Iterator[str]:
    """A Pod that should have been deleted on New Year, while nobody led; its policy is there before the operator is."""
    api.ask(PODS, method="POST", body=pod("overdue"))
    overdue(api, cleanup_policy("yearly", target="overdue"))
    yield "overdue"
    api.ask(f"{POLICIES}/yearly", method="DELETE")


@pytest.fixture(scope="module")
def cleanup(missed: str, operators: Operators) -> Iterator[Running]:
    yield operators.start("cleanup", flags=FLAGS)
    operators.stop("cleanup")


def test_a_run_that_was_missed_happens_once_and_is_recorded(api: Api, missed: str, cleanup: Running) -> None:
    until(gone(api, f"{PODS}/{missed}"))
    stored = until(lambda: (lambda p: p if p["status"]["lastExecutionTime"] > LONG_AGO else None)(api.ask(f"{POLICIES}/yearly")))
    notes = until(lambda: [e["note"] for e in api.ask(EVENTS)["items"] if e["reportingController"] == "kyverno-cleanup"])
    assert notes == ["successfully cleaned up the target resource Pod/default/overdue"]
    api.ask(PODS, method="POST", body=pod(missed))
    time.sleep(2)
    assert api.ask(f"{POLICIES}/yearly")["status"] == stored["status"]
    assert api.find(f"{PODS}/{missed}") is not None


def test_an_object_with_a_time_to_live_goes_when_it_is_over(api: Api, cleanup: Running) -> None:
    api.ask(PODS, method="POST", body=pod("passing", **{"cleanup.kyverno.io/ttl": "2s"}))
    api.ask(PODS, method="POST", body=pod("staying", **{"cleanup.kyverno.io/ttl": "2ay"}))
    until(gone(api, f"{PODS}/passing"), timeout=20)
    assert api.find(f"{PODS}/staying") is not None


def test_policies_that_nobody_may_carry_out_are_refused_with_the_missing_verbs(api: Api, cleanup: Running) -> None:
    until(lambda: api.find(f"{HOOKS}/kyverno-cleanup-validating-webhook-cfg"))
    time.sleep(0.3)  # the API server takes the configuration from its own watch
    answer = denied(api, POLICIES, cleanup_policy("secrets", kind="Secret"))
    assert "cleanup controller has no permission to delete kind Secret" in answer
    assert "cleanup controller has no permission to list kind Secret" in answer


def test_policies_that_make_no_sense_are_refused_with_the_place(api: Api, cleanup: Running) -> None:
    until(lambda: api.find(f"{HOOKS}/kyverno-cleanup-validating-webhook-cfg"))
    time.sleep(0.3)
    assert "spec.schedule" in denied(api, POLICIES, cleanup_policy("never", schedule="0 0 30 2 *"))


def test_an_invalid_time_to_live_is_warned_about(control_plane: ControlPlane, api: Api, cleanup: Running) -> None:
    until(lambda: api.find(f"{HOOKS}/kyverno-ttl-validating-webhook-cfg"))
    time.sleep(0.3)
    said = control_plane.kubectl("run", "odd", "--image=x", "-l", "cleanup.kyverno.io/ttl=2ay", "--dry-run=server", "-v=0")
    assert "odd created" in said  # let in; the text of the warning is tested in tests/controllers


def test_webhooks_that_the_config_map_spoils_stay_and_are_told_once(
    api: Api, control_plane: ControlPlane, cleanup: Running
) -> None:
    def asks(labels: str | None) -> None:
        patch = {"data": {"webhookLabels": labels}}
        api.ask(CONFIG, method="PATCH", body=patch, content_type="application/merge-patch+json")

    path = f"{HOOKS}/kyverno-ttl-validating-webhook-cfg"
    before = until(lambda: api.find(path))["webhooks"]
    log = control_plane.processes.log(cleanup.name)
    asks('{"no label": "at all"}')
    until(lambda: "webhooks stay as they were, what the ConfigMap asks of them is refused" in log.read_text())
    asks('{"fine": "again"}')
    until(lambda: api.ask(path)["metadata"]["labels"].get("fine") == "again")
    assert api.ask(path)["webhooks"] == before
    assert log.read_text().count("webhooks stay as they were") == 1
    assert "webhooks could not be written" not in log.read_text()
    asks(None)


def test_deletions_are_counted(api: Api, cleanup: Running) -> None:
    def metrics() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{cleanup.metrics_port}/metrics", timeout=5) as answer:
            return str(answer.read().decode())

    text = until(lambda: (lambda m: m if "kyverno_ttl_controller_deletedobjects_total{" in m else None)(metrics()))
    assert "kyverno_cleanup_controller_deletedobjects_total{" in text
    assert 'resource_kind="Pod"' in text


def test_one_replica_leads(api: Api, cleanup: Running) -> None:
    lease = api.ask("/apis/coordination.k8s.io/v1/namespaces/kyverno/leases/kyverno-cleanup-controller")
    assert lease["spec"]["holderIdentity"] == "kyverno-cleanup-controller-cleanup"
