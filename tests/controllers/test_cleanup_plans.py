"""The cleanup controller without a cluster: schedules, times to live, and what its webhooks answer."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from controllers.cleanup import flags
from controllers.cleanup.reviewer import Reviewer, ttl_warnings
from controllers.cleanup.schedules import PLURALS, Schedules
from controllers.cleanup.ttl import TimeToLive
from controllers.cluster import moments
from controllers.cluster.client import Client
from controllers.cluster.discovery import Discovery, Resource
from controllers.cluster.metrics import Metrics
from controllers.cluster.watch import Changed, Listed

Document = dict[str, Any]
VERBS = frozenset({"list", "watch", "delete"})
PODS = Resource("", "v1", "Pod", "pods", "", True, True, VERBS)
NODES = Resource("", "v1", "Node", "nodes", "", False, True, VERBS)
BINDINGS = Resource("", "v1", "Binding", "bindings", "", True, True, frozenset({"create"}))
SERVED = Discovery.of([PODS, NODES, BINDINGS])
NOON = 1_893_499_200 * moments.SECOND  # 2030-01-01T12:00:00Z
MINUTE = 60 * moments.SECOND


def cleanup_policy(name: str = "p", *, namespace: str = "", kinds: tuple[str, ...] = ("Pod",), **spec: Any) -> Document:
    metadata = {"name": name, "uid": f"uid-{name}", "creationTimestamp": "2030-01-01T11:59:30Z"}
    return {
        "apiVersion": "kyverno.io/v2",
        "kind": "CleanupPolicy" if namespace else "ClusterCleanupPolicy",
        "metadata": {**metadata, "namespace": namespace} if namespace else metadata,
        "spec": {"schedule": "* * * * *", "match": {"any": [{"resources": {"kinds": list(kinds)}}]}, **spec},
    }


# Schedules


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> int:
        return self.now


def schedules(clock: Clock, client: Client | None = None, sweep: Any = None) -> Schedules:
    return Schedules(client, sweep, clock=clock)  # type: ignore[arg-type]  # the plan alone needs neither


def listed(plan: Schedules, *documents: Document) -> None:
    plan.handler(PLURALS[0])(Listed(documents))


def test_runs_are_counted_from_the_last_one_or_from_creation() -> None:
    plan = schedules(Clock())
    fresh, ran = cleanup_policy("fresh"), cleanup_policy("ran")
    ran["status"] = {"lastExecutionTime": "2030-01-01T12:00:00Z"}
    listed(plan, fresh, ran)
    assert {p.policy.identity.name: p.due - NOON for p in plan.planned.values()} == {"fresh": 0, "ran": MINUTE}


def test_what_was_missed_runs_once() -> None:
    clock = Clock()
    plan = schedules(clock)
    document = cleanup_policy()
    document["status"] = {"lastExecutionTime": "2029-12-01T00:00:00Z"}
    listed(plan, document)
    assert len(plan.due()) == 1
    assert plan.due() == []


def test_policies_that_are_gone_or_broken_do_not_run() -> None:
    plan = schedules(Clock())
    listed(plan, cleanup_policy("gone"), cleanup_policy("broken"), cleanup_policy("good"))
    listed(plan, cleanup_policy("broken", schedule="every now and then"), cleanup_policy("good"))
    assert [p.policy.identity.name for p in plan.due()] == ["good"]


def test_after_the_clock_went_back_schedules_are_counted_anew() -> None:
    clock = Clock()
    plan = schedules(clock)
    document = cleanup_policy(schedule="0 * * * *")
    document["status"] = {"lastExecutionTime": "2030-01-01T12:00:00Z"}
    listed(plan, document)
    clock.now = NOON - 90 * MINUTE  # 10:30
    assert plan.due() == []
    clock.now = NOON - 60 * MINUTE
    assert len(plan.due()) == 1


def test_a_status_write_does_not_change_the_plan() -> None:
    plan = schedules(Clock())
    document = cleanup_policy()
    listed(plan, document)
    (before,) = plan.planned.values()
    plan.handler(PLURALS[0])(Changed("MODIFIED", {**document, "status": {"lastExecutionTime": "2030-01-01T12:00:00Z"}}))
    assert list(plan.planned.values()) == [before]


# Time to live


def labelled(name: str, ttl: str, **metadata: Any) -> Document:
    created = {"creationTimestamp": "2030-01-01T12:00:00Z", "labels": {"cleanup.kyverno.io/ttl": ttl}}
    return {"metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}", **created, **metadata}}


def lives(clock: Clock, client: Client | None = None) -> TimeToLive:
    return TimeToLive(client, discovery=lambda: SERVED, metrics=Metrics(), interval=60, clock=clock)  # type: ignore[arg-type]


def due(ttl: TimeToLive) -> list[str]:
    return [one.metadata["name"] for _, one in ttl.due()]


def test_objects_are_due_when_their_time_is_up() -> None:
    clock = Clock()
    ttl = lives(clock)
    handle = ttl.handler(("", "pods"), PODS)
    handle(Listed((labelled("soon", "10s"), labelled("later", "2m"), labelled("never", "10ay"), labelled("past", "2029-01-01"))))
    assert due(ttl) == ["past"]
    clock.now += 10 * moments.SECOND
    assert due(ttl) == ["soon"]
    clock.now += 2 * MINUTE
    assert due(ttl) == ["later"]


def test_a_changed_label_changes_the_time_and_a_removed_one_ends_it() -> None:
    clock = Clock()
    ttl = lives(clock)
    handle = ttl.handler(("", "pods"), PODS)
    handle(Listed((labelled("changed", "10s"), labelled("removed", "10s"), labelled("dying", "10s"))))
    handle(Changed("MODIFIED", labelled("changed", "1h")))
    handle(Changed("DELETED", labelled("removed", "10s")))  # a watch by label calls the end of the label so
    handle(Changed("MODIFIED", labelled("dying", "10s", deletionTimestamp="2030-01-01T12:00:01Z")))
    clock.now += MINUTE
    assert due(ttl) == []
    clock.now += 60 * MINUTE
    assert due(ttl) == ["changed"]


def test_an_object_that_changes_often_is_due_once_and_as_it_was_last() -> None:
    clock = Clock()
    ttl = lives(clock)
    handle = ttl.handler(("", "pods"), PODS)
    for version in range(5):
        handle(Changed("MODIFIED", labelled("busy", "10s", resourceVersion=str(version))))
    clock.now += MINUTE
    assert [one.metadata["resourceVersion"] for _, one in ttl.due()] == ["4"]


def test_invalid_labels_and_annotations_are_warned_about() -> None:
    wrong = labelled("x", "10ay", annotations={"cleanup.kyverno.io/propagation-policy": "Sideways"})["metadata"]
    first, second = ttl_warnings(wrong)
    assert first.startswith(
        "cleanup.kyverno.io/ttl label value cannot be parsed as any recognizable format (`10ay` is no duration"
    )
    assert "`Sideways` is none of Foreground, Background, Orphan" in second
    assert list(ttl_warnings(labelled("x", "1d12h")["metadata"])) == []


# Reviews


class Rights(Client):
    """Answers SelfSubjectAccessReviews: yes, but for these verbs."""

    def __init__(self, *refused: str) -> None:
        self.refused = refused

    async def create(self, path: str, body: Any) -> Any:
        return {"status": {"allowed": body["spec"]["resourceAttributes"]["verb"] not in self.refused}}


def reviewed(document: Document, *refused: str) -> Document:
    request = {"uid": "u", "kind": {}, "resource": {}, "operation": "CREATE", "userInfo": {}, "object": document}
    body = orjson.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
    reviewer = Reviewer(Rights(*refused), discovery=lambda: SERVED, ready=lambda: True)
    status, answer = asyncio.run(reviewer.respond("POST", "/validate", "", body))
    assert status == 200
    response: Document = orjson.loads(answer)["response"]
    return response


def test_a_policy_that_may_do_what_it_wants_is_let_in() -> None:
    assert reviewed(cleanup_policy()) == {"uid": "u", "allowed": True}


def test_missing_rights_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controllers.cleanup.reviewer.AGGREGATION", 0.0)
    answer = reviewed(cleanup_policy(), "delete", "list")
    assert answer["status"]["message"] == (
        "cleanup controller has no permission to delete kind Pod; cleanup controller has no permission to list kind Pod"
    )


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ({"schedule": "* * *"}, "spec.schedule"),
        ({"context": [{"name": "x", "configMap": {"name": "a", "namespace": "b"}}]}, "spec.context[0].configMap"),
        ({"match": {"any": [{"resources": {"kinds": ["Pod"]}, "roles": ["admin"]}]}}, "spec.match.any[0].roles"),
    ],
)
def test_what_makes_no_sense_is_denied_with_its_place(spec: Document, complaint: str) -> None:
    answer = reviewed(cleanup_policy(**spec))
    assert answer["allowed"] is False
    assert complaint in answer["status"]["message"]


def test_unknown_kinds_are_warned_about() -> None:
    assert reviewed(cleanup_policy(kinds=("Unicorn",)))["warnings"] == ["unable to convert GVK to GVR for kinds Unicorn"]


def test_other_paths_and_other_bytes() -> None:
    reviewer = Reviewer(Rights(), discovery=lambda: SERVED, ready=lambda: False)

    def status(method: str, path: str) -> int:
        return asyncio.run(reviewer.respond(method, path, "", b"{}"))[0]

    assert [status("GET", f"/health/{probe}") for probe in ("liveness", "readiness")] == [200, 503]
    assert [status("POST", "/validate"), status("GET", "/validate"), status("POST", "/else")] == [400, 405, 404]


def test_flags_of_kyvernos_manifests_are_read() -> None:
    given = "--caSecretName=c --tlsSecretName=t --cleanupServerPort=9543 --ttlReconciliationInterval=30s --enableTracing=false"
    read = flags.read(given.split())
    assert (read.caSecretName, read.cleanupServerPort, read.ttlReconciliationInterval) == ("c", 9543, 30.0)
    with pytest.raises(SystemExit):
        flags.read(["--unheardOf"])
