"""EphemeralReports on the real API server: merged into reports, adopted, dropped."""

from __future__ import annotations

import asyncio
import time

from controllers.cluster.client import Client
from controllers.cluster.ephemeral_reports import (
    NAME_ANNOTATION,
    NAMESPACE_ANNOTATION,
    RESOURCE,
    Draft,
    EphemeralReports,
    content_hash,
)
from controllers.reports import collect
from engine import GroupVersionResource, Object
from engine.report import Subject
from tests.controllers.line import until
from tests.controllers.scanning import Place, pod, running


def row(name: str, rule: str = "team", result: str = "fail", seconds: int = 5) -> Object:
    stamp = {"seconds": seconds, "nanos": 0}
    return {"source": "kyverno", "policy": name, "rule": rule, "result": result, "scored": True, "timestamp": stamp}


def draft(document: Object, *rows: Object, uid: bool = True) -> Draft:
    metadata = document["metadata"]
    subject = Subject("v1", "Pod", metadata["name"], metadata["namespace"], metadata["uid"] if uid else "")
    pods = GroupVersionResource("", "v1", "pods")
    return Draft("request", subject, pods, rows, (), "admission", content_hash(document))


async def write(place: Place, *drafts: Draft) -> None:
    """Stores what admission reviews found."""
    counted: list[bool] = []
    async with Client(place.credentials) as client:
        writer = EphemeralReports(client, limit=1000, delay=0.0, counted=counted.append)
        for one in drafts:
            writer.put(one)
        task = asyncio.create_task(writer.run(8))
        await until(lambda: len(counted) == len(drafts))
        task.cancel()
    assert not any(counted), "dropped"


def test_rows_of_admission_reviews_join_the_scans_and_their_report_goes(place: Place) -> None:
    async def run() -> None:
        stored = place.pod("x")
        policies = place.policy(), place.policy("admission", background=False)
        async with running(place, *policies, collecting=True, hold=0.0) as cluster:
            await cluster.settled({"x": {"teams": "fail"}})
            await write(place, draft(stored, row("admission"), row("gone"), row("teams", result="pass", seconds=2**40)))
            await cluster.settled({"x": {"teams": "fail", "admission": "fail"}})
            await until(lambda: not place.all(place.ephr))
            cluster.enforce(place.policy())
            cluster.aggregator.prune(lambda subject: False)
            await cluster.settled({"x": {"teams": "fail"}})

    asyncio.run(run())


def test_rows_of_a_rule_that_is_gone_go_while_its_policy_stays(place: Place) -> None:
    async def run() -> None:
        stored = place.pod("x")
        async with running(place, place.policy("admission", background=False), kinds={}, collecting=True, hold=0.0) as cluster:
            cluster.aggregator.prune(lambda subject: False)
            await write(place, draft(stored, row("admission")))
            await cluster.settled({"x": {"admission": "fail"}})
            cluster.enforce(place.policy("admission", "app", background=False))
            cluster.aggregator.prune(lambda subject: False)
            await cluster.settled({})

    asyncio.run(run())


def test_a_review_of_a_former_state_goes_when_the_object_changes(place: Place) -> None:
    async def run() -> None:
        stored = place.pod("x")
        policies = place.policy(), *(place.policy(name, background=False) for name in ("former", "latest"))
        async with running(place, *policies, collecting=True, hold=0.0) as cluster:
            await write(place, draft(stored, row("former"), row("latest", seconds=int(time.time()))))
            await cluster.settled({"x": {"teams": "fail", "former": "fail", "latest": "fail"}})
            place.merge(f"{place.pods}/x/status", {"status": {"phase": "Running"}})
            place.label("x", team="a")
            await cluster.settled({"x": {"teams": "pass", "latest": "fail"}})

    asyncio.run(run())


def test_a_row_from_a_clock_that_was_ahead_gives_way_to_one_of_now(place: Place) -> None:
    async def run() -> None:
        stored = place.pod("x")
        async with running(place, place.policy("admission", background=False), collecting=True, hold=0.0) as cluster:
            await write(place, draft(stored, row("admission", seconds=int(time.time()) + 7200)))
            await cluster.settled({"x": {"admission": "fail"}})
            await write(place, draft(stored, row("admission", result="pass", seconds=int(time.time()))))
            await cluster.settled({"x": {"admission": "pass"}})
            await write(place, draft(stored, row("admission", seconds=1)))
            await until(lambda: not place.all(place.ephr))
            await cluster.settled({"x": {"admission": "pass"}})

    asyncio.run(run())


def test_a_report_without_uid_finds_its_object_by_name_and_is_adopted(place: Place) -> None:
    async def run() -> None:
        stored = place.pod("x")
        policy = place.policy("admission", background=False)
        async with running(place, policy, kinds={}, collecting=True, hold=5.0) as cluster:
            await write(place, draft(stored, row("admission"), uid=False))
            owners: list[Object] = []

            def adopted() -> bool:
                owners[:] = [owner for report in place.all(place.ephr) for owner in report["metadata"].get("ownerReferences", ())]
                return bool(owners)

            await until(adopted)
            assert owners[0]["uid"] == stored["metadata"]["uid"]
            await cluster.settled({"x": {"admission": "fail"}})
            await until(lambda: not place.all(place.ephr))

    asyncio.run(run())


def test_a_report_whose_object_never_appeared_is_dropped_in_the_end(place: Place) -> None:
    async def run() -> None:
        never = {**pod(), "metadata": {"name": "never", "namespace": place.namespace, "uid": "u"}}
        await write(place, draft(never, row("admission")))
        assert len(place.all(place.ephr)) == 1
        policy = place.policy("admission", background=False)
        async with running(place, policy, kinds={}, collecting=True, patience=1.0) as cluster:
            await until(lambda: not place.all(place.ephr))
            assert place.reports() == {}
            assert cluster.writes() == 0

    asyncio.run(run())


def test_reports_that_make_no_sense_go_and_do_no_harm(place: Place) -> None:
    """Names that lead elsewhere, another kind or namespace than the object's, rows without result."""

    async def run() -> None:
        metadata = place.pod("x")["metadata"]
        about = {f"{RESOURCE}.version": "v1", f"{RESOURCE}.gvr": "pods.v1", f"{RESOURCE}.kind": "Pod"}
        mine = {**about, f"{RESOURCE}.uid": metadata["uid"]}
        fine = {NAME_ANNOTATION: "x", NAMESPACE_ANNOTATION: place.namespace}
        nonsense: list[tuple[Object, Object, list[Object]]] = [
            ({}, {}, [row("admission")]),
            (mine, fine, [{"policy": "admission", "rule": "team"}]),
            (about, {NAME_ANNOTATION: "../../secrets/x"}, [row("admission")]),
            (about, {NAME_ANNOTATION: "?watch=1"}, [row("admission")]),
            (about, {NAME_ANNOTATION: ".."}, [row("admission")]),
            ({**mine, f"{RESOURCE}.gvr": "foos.v1"}, fine, [row("admission")]),
            ({**mine, f"{RESOURCE}.uid": "ABC"}, fine, [row("admission")]),
        ]
        labels = {"app.kubernetes.io/managed-by": "kyverno"}
        owner = {"apiVersion": "", "kind": "", "name": "", "uid": ""}
        policies = place.policy(), place.policy("admission", background=False)
        async with running(place, *policies, collecting=True, hold=0.0, patience=1.0) as cluster:
            await cluster.settled({"x": {"teams": "fail"}})
            for more, notes, rows in nonsense:
                document = {
                    "apiVersion": "reports.kyverno.io/v1",
                    "kind": "EphemeralReport",
                    "metadata": {"generateName": "n-", "labels": {**labels, **more}, "annotations": notes},
                    "spec": {"owner": owner, "results": rows},
                }
                place.api.ask(place.ephr, method="POST", body=document)
            await until(lambda: not place.all(place.ephr))
            await cluster.settled({"x": {"teams": "fail"}})
            elsewhere = {**mine, f"{RESOURCE}.kind": "Foo"}
            document["metadata"] = {"generateName": "n-", "labels": {**labels, **elsewhere}}
            document["metadata"]["annotations"] = {NAME_ANNOTATION: "x", NAMESPACE_ANNOTATION: "default"}
            place.api.ask(place.ephr, method="POST", body=document)
            await cluster.settled({"x": {"teams": "fail", "admission": "fail"}})
            (report,) = place.all(place.polr)
            assert report["scope"]["kind"] == "Pod"

    asyncio.run(run())


def test_ephemeral_reports_left_behind_by_a_crash_are_merged_few_at_a_time(place: Place) -> None:
    async def run() -> None:
        count = collect.OUTSTANDING + 20
        async with Client(place.credentials) as client:
            bodies = ({**pod(), "metadata": {"name": f"x{number}"}} for number in range(count))
            pods = await asyncio.gather(*(client.create(place.pods, body) for body in bodies))
        await write(place, *(draft(stored, row("admission")) for stored in pods))
        async with running(place, place.policy("admission", background=False), collecting=True, hold=0.0) as cluster:
            most = 0

            def done() -> bool:
                nonlocal most
                most = max(most, len(cluster.collector._tasks))
                return cluster.counts.count("created") == count and not cluster.collector._tasks

            await until(done, timeout=60)
            assert 0 < most <= collect.OUTSTANDING
            assert place.all(place.ephr) == []
            assert len(place.reports()) == count

    asyncio.run(run())


def test_the_end_waits_for_what_is_being_written(place: Place) -> None:
    async def run() -> None:
        documents = [{**pod(), "metadata": {"name": f"x{n}", "namespace": place.namespace, "uid": f"u{n}"}} for n in range(8)]
        async with Client(place.credentials) as client:
            writer = EphemeralReports(client, limit=1000)
            task = asyncio.create_task(writer.run(8))
            for document in documents:
                writer.put(draft(document, row("admission")))
            await writer.flush(30.0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert len(place.all(place.ephr)) == 8

    asyncio.run(run())


def test_drafts_about_one_object_are_written_once_and_a_full_cluster_gets_no_more(place: Place) -> None:
    async def run() -> None:
        stored, other = place.pod("x"), place.pod("y")
        dropped: list[bool] = []
        async with Client(place.credentials) as client:
            writer = EphemeralReports(client, limit=1, delay=0.0, counted=dropped.append)
            writer.put(draft(stored, row("a", seconds=1), row("b")))
            writer.put(draft(stored, row("a", result="pass", seconds=2)))
            task = asyncio.create_task(writer.run(1))
            await until(lambda: dropped == [False])
            writer.put(draft(other, row("a")))
            await until(lambda: dropped == [False, True])
            task.cancel()
        (report,) = place.all(place.ephr)
        assert [(one["policy"], one["result"]) for one in report["spec"]["results"]] == [("a", "pass"), ("b", "fail")]
        labels = report["metadata"]["labels"]
        assert labels["audit.kyverno.io/source"] == "admission"
        assert labels["audit.kyverno.io/resource.uid"] == stored["metadata"]["uid"]
        assert labels["audit.kyverno.io/resource.gvr"] == "pods.v1"
        assert report["metadata"]["name"].startswith("request-")

    asyncio.run(run())
