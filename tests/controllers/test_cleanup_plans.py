"""What the cleanup controller decides: schedules, times to live, and what its webhooks answer."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from typing import Any

import orjson
import pytest

from controllers.cleanup import flags
from controllers.cleanup.lives import Lives
from controllers.cleanup.plan import Plan, Planned
from controllers.cleanup.reviewer import Reviewer, ttl_warnings
from controllers.cleanup.schedules import PLURALS
from controllers.cluster import moments
from controllers.cluster.client import Client
from controllers.cluster.credentials import Credentials
from controllers.cluster.discovery import Discovery, Resource
from controllers.cluster.watch import Changed, Event, Listed

Document = dict[str, Any]
VERBS = frozenset({"list", "watch", "delete"})
PODS = Resource("", "v1", "Pod", "pods", "", True, True, VERBS)
NODES = Resource("", "v1", "Node", "nodes", "", False, True, VERBS)
BINDINGS = Resource("", "v1", "Binding", "bindings", "", True, True, frozenset({"create"}))
LOGS = Resource("", "v1", "Pod", "pods", "log", True, True, frozenset({"get"}))
SERVED = Discovery.of([PODS, LOGS, NODES, BINDINGS])
NOON = 1_893_499_200 * moments.SECOND  # 2030-01-01T12:00:00Z
MINUTE = 60 * moments.SECOND
NOWHERE = Credentials("http://127.0.0.1:1")
"""Of a client that has nothing to ask."""


def cleanup_policy(name: str = "p", *, namespace: str = "", kinds: tuple[str, ...] = ("Pod",), **spec: Any) -> Document:
    metadata = {"name": name, "uid": f"uid-{name}", "creationTimestamp": "2030-01-01T11:59:30Z"}
    return {
        "apiVersion": "kyverno.io/v2",
        "kind": "CleanupPolicy" if namespace else "ClusterCleanupPolicy",
        "metadata": {**metadata, "namespace": namespace} if namespace else metadata,
        "spec": {"schedule": "* * * * *", "match": {"any": [{"resources": {"kinds": list(kinds)}}]}, **spec},
    }


# Schedules


def listed(plan: Plan, *documents: Document, now: int = NOON) -> None:
    plan.take(PLURALS[0], Listed(documents), now)


def due(plan: Plan, now: int) -> list[str]:
    return [one.policy.identity.name for one in plan.due(now)]


def test_runs_are_counted_from_the_last_one_or_from_creation() -> None:
    plan = Plan()
    fresh, ran = cleanup_policy("fresh"), cleanup_policy("ran")
    ran["status"] = {"lastExecutionTime": "2030-01-01T12:00:00Z"}
    listed(plan, fresh, ran)
    assert {p.policy.identity.name: p.due - NOON for p in plan.planned.values()} == {"fresh": 0, "ran": MINUTE}
    assert plan.next() == NOON


def test_what_was_missed_runs_once() -> None:
    plan = Plan()
    document = cleanup_policy()
    document["status"] = {"lastExecutionTime": "2029-12-01T00:00:00Z"}
    listed(plan, document)
    assert [due(plan, NOON), due(plan, NOON)] == [["p"], []]


def test_after_a_leap_of_the_clock_a_policy_runs_once_and_then_at_its_next_time() -> None:
    plan = Plan()
    document = cleanup_policy(schedule="0 * * * *")
    document["status"] = {"lastExecutionTime": "2030-01-01T12:00:00Z"}
    listed(plan, document)
    (planned,) = plan.due(NOON + 30 * 60 * MINUTE + 5)  # thirty hours later
    planned.last = NOON + 30 * 60 * MINUTE + 5
    plan.count(planned, planned.last)
    assert planned.due == NOON + 31 * 60 * MINUTE
    assert due(plan, planned.last) == []


def test_policies_that_are_gone_or_broken_do_not_run() -> None:
    plan = Plan()
    listed(plan, cleanup_policy("gone"), cleanup_policy("broken"), cleanup_policy("good"))
    listed(plan, cleanup_policy("broken", schedule="every now and then"), cleanup_policy("good"))
    assert due(plan, NOON) == ["good"]


def test_after_the_clock_went_back_schedules_are_counted_anew() -> None:
    plan = Plan()
    document = cleanup_policy(schedule="0 * * * *")
    document["status"] = {"lastExecutionTime": "2030-01-01T12:00:00Z"}
    listed(plan, document)
    assert [due(plan, NOON - minutes * MINUTE) for minutes in (0, 90, 60)] == [[], [], ["p"]]


def test_a_run_that_is_going_on_is_not_started_again() -> None:
    plan = Plan()
    listed(plan, cleanup_policy())
    (planned,) = plan.due(NOON)
    planned.running = True
    plan.put_off(planned, NOON + MINUTE)
    assert due(plan, NOON + 2 * MINUTE) == []


def test_a_status_write_does_not_change_the_plan() -> None:
    plan = Plan()
    document = cleanup_policy()
    listed(plan, document)
    (before,) = plan.planned.values()
    plan.take(PLURALS[0], Changed("MODIFIED", {**document, "status": {"lastExecutionTime": "2030-01-01T12:00:00Z"}}), NOON)
    assert list(plan.planned.values()) == [before]


def test_a_policy_that_is_edited_all_the_time_leaves_nothing_behind() -> None:
    plan = Plan()
    listed(plan, cleanup_policy("still", schedule="0 0 1 1 *"))
    for minute in range(500):
        plan.take(PLURALS[0], Changed("MODIFIED", cleanup_policy(schedule=f"{minute % 60} 0 1 1 *")), NOON)
    assert sum(isinstance(one, Planned) for one in gc.get_objects()) < 200
    assert due(plan, NOON + 366 * 24 * 60 * MINUTE) == ["still", "p"]


# Time to live


def labelled(name: str, ttl: str, **metadata: Any) -> Document:
    created = {"creationTimestamp": "2030-01-01T12:00:00Z", "labels": {"cleanup.kyverno.io/ttl": ttl}}
    return {"metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}", **created, **metadata}}


def taken(*events: Event) -> Lives:
    lives = Lives()
    for event in events:
        lives.take(("", "pods"), PODS, event)
    return lives


def over(lives: Lives, now: int) -> list[str]:
    return [one.metadata["name"] for _, one in lives.due(now)]


def test_objects_are_due_when_their_time_is_up() -> None:
    objects = (labelled("soon", "10s"), labelled("later", "2m"), labelled("never", "10ay"), labelled("past", "2029-01-01"))
    lives = taken(Listed(objects))
    assert [over(lives, NOON + after) for after in (0, 10 * moments.SECOND, 2 * MINUTE)] == [["past"], ["soon"], ["later"]]


def test_a_changed_label_changes_the_time_and_a_removed_one_ends_it() -> None:
    lives = taken(
        Listed((labelled("changed", "10s"), labelled("removed", "10s"), labelled("dying", "10s"))),
        Changed("MODIFIED", labelled("changed", "1h")),
        Changed("DELETED", labelled("removed", "10s")),  # a watch by label calls the end of the label so
        Changed("MODIFIED", labelled("dying", "10s", deletionTimestamp="2030-01-01T12:00:01Z")),
    )
    assert [over(lives, NOON + MINUTE), over(lives, NOON + 61 * MINUTE)] == [[], ["changed"]]


def test_an_object_that_changes_often_is_due_once_and_as_it_was_last() -> None:
    lives = taken(*(Changed("MODIFIED", labelled("busy", "10s", resourceVersion=str(version))) for version in range(5)))
    assert [one.metadata["resourceVersion"] for _, one in lives.due(NOON + MINUTE)] == ["4"]


def test_labels_that_change_all_the_time_take_no_memory() -> None:
    lives = taken(Listed(tuple(labelled(f"quiet-{number}", f"{number}m") for number in range(10))))
    tracemalloc.start()
    for version in range(5_000):
        lives.take(("", "pods"), PODS, Changed("MODIFIED", labelled("busy", f"{1000 + version}m")))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 300_000
    assert over(lives, NOON + 30_000 * MINUTE) == [*(f"quiet-{number}" for number in range(10)), "busy"]


def test_objects_of_a_kind_that_is_no_longer_served_are_forgotten() -> None:
    lives = taken(Listed((labelled("a", "10s"),)))
    lives.forget(("", "pods"))
    assert over(lives, NOON + MINUTE) == []


def test_invalid_labels_and_annotations_are_warned_about() -> None:
    wrong = labelled("x", "10ay", annotations={"cleanup.kyverno.io/propagation-policy": "Sideways"})["metadata"]
    first, second = ttl_warnings(wrong)
    assert first.startswith(
        "cleanup.kyverno.io/ttl label value cannot be parsed as any recognizable format (`10ay` is no duration"
    )
    assert "`Sideways` is none of Foreground, Background, Orphan" in second
    assert list(ttl_warnings(labelled("x", "1d12h")["metadata"])) == []


# Reviews


def reviewed(document: Document, credentials: Credentials = NOWHERE) -> Document:
    request = {"uid": "u", "kind": {}, "resource": {}, "operation": "CREATE", "userInfo": {}, "object": document}
    body = orjson.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})

    async def ask() -> tuple[int, bytes]:
        async with Client(credentials) as client:
            return await Reviewer(client, discovery=lambda: SERVED, ready=lambda: True).respond("POST", "/validate", "", body)

    status, answer = asyncio.run(ask())
    assert status == 200
    response: Document = orjson.loads(answer)["response"]
    return response


def test_a_policy_that_may_do_what_it_wants_is_let_in(credentials: Credentials) -> None:
    assert reviewed(cleanup_policy(), credentials) == {"uid": "u", "allowed": True}


def test_missing_rights_are_named(powerless: Credentials) -> None:
    answer = reviewed(cleanup_policy(), powerless)
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


@pytest.mark.parametrize(
    ("kind", "namespace", "warning"),
    [
        ("Pod/log", "", "kind Pod/log: subresources are not deleted"),
        ("Binding", "", "kind Binding: the API server does not list and delete objects of this kind"),
        ("Node", "default", "kind Node: objects of this kind are in no namespace, a CleanupPolicy deletes in its own only"),
    ],
)
def test_kinds_of_which_nothing_will_be_deleted_are_warned_about(kind: str, namespace: str, warning: str) -> None:
    assert reviewed(cleanup_policy(kinds=(kind,), namespace=namespace)) == {"uid": "u", "allowed": True, "warnings": [warning]}


def test_other_paths_and_other_bytes() -> None:
    def status(method: str, path: str) -> int:
        reviewer = Reviewer(Client(NOWHERE), discovery=lambda: SERVED, ready=lambda: False)
        return asyncio.run(reviewer.respond(method, path, "", b"{}"))[0]

    assert [status("GET", f"/health/{probe}") for probe in ("liveness", "readiness")] == [200, 503]
    assert [status("POST", "/validate"), status("GET", "/validate"), status("POST", "/else")] == [400, 405, 404]


def test_flags_of_kyvernos_manifests_are_read() -> None:
    given = "--caSecretName=c --tlsSecretName=t --cleanupServerPort=9543 --ttlReconciliationInterval=30s --enableTracing=false"
    read = flags.read(given.split())
    assert (read.caSecretName, read.cleanupServerPort, read.ttlReconciliationInterval) == ("c", 9543, 30.0)
    with pytest.raises(SystemExit):
        flags.read(["--unheardOf"])
