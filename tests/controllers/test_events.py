"""Events: Kyverno's reasons, actions and texts, and a queue that never grows."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from controllers.cluster.client import Client
from controllers.cluster.credentials import Credentials
from controllers.cluster.events import Event, Events, Reference, of_results, shorten
from controllers.cluster.pace import Pace
from controllers.cluster.settings import Settings
from deploy.local.control_plane import ControlPlane
from engine import GroupVersionKind, PolicySet, Request, compile_policy, validate
from tests.controllers.line import line, until

QUIET = Settings()


def results(*actions: str, labels: dict[str, str] | None = None) -> tuple[Request, Any]:
    rules = [
        {
            "name": f"check-{number}",
            "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
            "validate": {"failureAction": action, "message": "m", "pattern": {"metadata": {"labels": {"team": "?*"}}}},
        }
        for number, action in enumerate(actions)
    ]
    document = {
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": "p", "uid": "pu"},
        "spec": {"background": False, "rules": rules},
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "nginx", "namespace": "blue", "uid": "u", "labels": labels or {}},
    }
    request = Request(operation="CREATE", kind=GroupVersionKind("", "v1", "Pod"), object=pod, namespace="blue", name="nginx")
    return request, validate(PolicySet([compile_policy(document)]), request)


def test_a_blocked_request_has_events_on_its_policy_only() -> None:
    request, verdict = results("Enforce")
    (event,) = of_results(request, verdict.results, blocked=True, settings=QUIET)
    assert (event.type, event.reason, event.action) == ("Warning", "PolicyViolation", "Resource Blocked")
    assert event.note == f"Pod blue/nginx: [check-0] fail (blocked); {verdict.results[0].message}"
    assert (event.regarding.kind, event.regarding.name) == ("ClusterPolicy", "p")
    assert event.related == Reference("v1", "Pod", "nginx", "blue", "u")


def test_an_audited_violation_is_told_to_the_policy_and_to_the_object() -> None:
    request, verdict = results("Audit")
    on_policy, on_object = of_results(request, verdict.results, blocked=False, settings=QUIET)
    assert on_policy.note == f"Pod blue/nginx: [check-0] fail; {verdict.results[0].message}"
    assert on_policy.action == on_object.action == "Resource Passed"
    assert on_object.note == f"policy p/check-0 fail: {verdict.results[0].message}"
    assert on_object.regarding.kind == "Pod"


def test_success_is_told_once_a_policy_and_only_when_asked() -> None:
    request, verdict = results("Enforce", "Audit", labels={"team": "a"})
    assert list(of_results(request, verdict.results, blocked=False, settings=QUIET)) == []
    (event,) = of_results(request, verdict.results, blocked=False, settings=replace(QUIET, generate_success_events=True))
    assert (event.type, event.reason, event.note) == ("Normal", "PolicyApplied", "Pod blue/nginx: pass")


def test_events_on_cluster_scoped_objects_are_in_namespace_default() -> None:
    body = Event("Normal", "PolicyApplied", "None", Reference("v1", "Namespace", "blue"), "n").document("pod-0")
    assert body["metadata"]["namespace"] == "default"
    assert body["metadata"]["name"].startswith("blue.")
    assert (body["reportingController"], body["reportingInstance"]) == ("kyverno-admission", "kyverno-admission-pod-0")


def test_notes_are_cut_at_1024_bytes_between_characters() -> None:
    assert shorten("ü" * 500) == "ü" * 500
    cut = shorten("ü" * 600)
    assert len(cut.encode()) <= 1024
    assert cut.endswith("ü...")


def test_the_queue_is_bounded_and_drops_are_counted(credentials: Credentials) -> None:
    dropped: list[int] = []
    omit = frozenset({"PolicySkipped"})
    events = Events(Client(credentials), instance="i", omit=omit, capacity=3, dropped=lambda: dropped.append(1))
    about = Reference("v1", "Pod", "p", "blue")
    events.put(Event("Normal", "PolicySkipped", "None", about, "omitted"))
    for _ in range(5):
        events.put(Event("Warning", "PolicyViolation", "None", about, "n"))
    assert events.full
    assert len(dropped) == 2


def test_the_pace_is_a_rate_with_a_burst() -> None:
    pace = Pace(rate=10, burst=2)
    assert [round(pace.delay(100.0), 2) for _ in range(4)] == [0.0, 0.0, 0.1, 0.2]
    assert pace.delay(200.0) == 0.0


def violation(namespace: str) -> Event:
    return Event("Warning", "PolicyViolation", "None", Reference("v1", "Pod", "p", namespace), "n")


def test_an_event_outlives_a_lost_connection(control_plane: ControlPlane, credentials: Credentials, namespace: str) -> None:
    dropped: list[int] = []

    async def run() -> None:
        async with line(credentials) as (network, client):
            network.cut()
            events = Events(client, instance="i", dropped=lambda: dropped.append(1))
            task = asyncio.create_task(events.run(writers=1))
            events.put(violation(namespace))
            await until(lambda: network.tried > 0)
            network.mend()
            await until(lambda: stored(control_plane, namespace))
            task.cancel()

    asyncio.run(run())
    (event,) = stored(control_plane, namespace)
    assert (event["reason"], event["note"], event["reportingInstance"]) == ("PolicyViolation", "n", "kyverno-admission-i")
    assert dropped == []


def test_writing_gives_up_after_three_tries(control_plane: ControlPlane, credentials: Credentials, namespace: str) -> None:
    dropped: list[int] = []

    async def run() -> int:
        async with line(credentials) as (network, client):
            network.cut()
            events = Events(client, instance="i", dropped=lambda: dropped.append(1))
            task = asyncio.create_task(events.run(writers=1))
            events.put(violation(namespace))
            await until(lambda: dropped)
            task.cancel()
            return network.tried

    assert asyncio.run(run()) == 3
    assert stored(control_plane, namespace) == []


def stored(control_plane: ControlPlane, namespace: str) -> list[dict[str, Any]]:
    return list(control_plane.api.ask(f"/apis/events.k8s.io/v1/namespaces/{namespace}/events")["items"])
