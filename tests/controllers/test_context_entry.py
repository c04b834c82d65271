"""GlobalContextEntries: their specs and their statuses."""

from __future__ import annotations

import asyncio
import re
import uuid
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from controllers.cluster.client import MERGE_PATCH, Client
from controllers.cluster.context_entry import ContextEntry, State, Unfit, interval, path_of, projections
from controllers.cluster.credentials import Credentials
from controllers.cluster.events import Events
from controllers.cluster.global_context import ENTRIES, GlobalContext, status
from controllers.cluster.watch import Changed, Listed
from deploy.local.control_plane import ControlPlane
from engine import Held, Lookup, LookupFailed
from tests.controllers.line import until

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
WAS = "2026-01-02T03:00:00Z"
CALLED = datetime(2026, 1, 2, 3, 0, 0, tzinfo=UTC).timestamp()


def condition(truth: str, message: str = "Ready", since: str = WAS) -> dict[str, str]:
    reason = "Succeeded" if truth == "True" else "Failed"
    return {"type": "Ready", "status": truth, "reason": reason, "message": message, "lastTransitionTime": since}


def test_nothing_is_said_before_anything_is_known() -> None:
    assert status(State(), {}, NOW) is None


def test_a_condition_is_dated_when_it_turns() -> None:
    held = {"ready": True, "conditions": [condition("True")]}
    assert status(State(True, "Ready"), held, NOW) == held
    turned = status(State(False, "gone"), held, NOW)
    assert turned == {"ready": False, "conditions": [condition("False", "gone", "2026-01-02T03:04:05Z")]}


@pytest.mark.parametrize(
    ("later", "told"), [(3, WAS), (60, "2026-01-02T03:01:00Z")], ids=["a refresh alone may wait", "and is told in the end"]
)
def test_refreshes(later: float, told: str) -> None:
    held = {"ready": True, "conditions": [condition("True")], "lastRefreshTime": WAS}
    found = status(State(True, "Ready", CALLED + later), held, NOW)
    assert found is not None
    assert found["lastRefreshTime"] == told


@pytest.mark.parametrize(("written", "seconds"), [(None, 600), ("90s", 90), ("1h", 3600), ("10ns", 1), ("1m30s", 90)])
def test_intervals(written: str | None, seconds: float) -> None:
    assert interval({"refreshInterval": written}) == seconds


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"projections": [{"name": "a", "jmesPath": "b"}, {"name": "c", "jmesPath": "["}]}, "spec.projections[1].jmesPath: "),
        ({"projections": [{"name": "a", "jmesPath": "no_such_function(@)"}]}, "spec.projections[0].jmesPath: "),
    ],
)
def test_projections_that_do_not_compile_are_named(spec: dict[str, Any], text: str) -> None:
    with pytest.raises(Unfit, match=text.replace("[", r"\[")):
        projections(spec)


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ({"version": "v1", "resource": "pods"}, "/api/v1/pods"),
        (
            {"group": "apps", "version": "v1", "resource": "deployments", "namespace": "a"},
            "/apis/apps/v1/namespaces/a/deployments",
        ),
        ({"group": "apis/apps", "version": "v1", "resource": "deployments"}, "/apis/apps/v1/deployments"),
    ],
)
def test_paths_of_kinds(source: dict[str, str], path: str) -> None:
    assert path_of(source) == path


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("resource", "../secrets"),
        ("resource", "pods?watch=1"),
        ("resource", "pods/log"),
        ("namespace", "a/../b"),
        ("group", "x#"),
    ],
)
def test_paths_that_lead_elsewhere_are_refused_with_their_place(field: str, value: str) -> None:
    with pytest.raises(Unfit, match=re.escape(f"spec.kubernetesResource.{field}: `{value}` is no {field}")):
        path_of({"version": "v1", "resource": "pods", field: value})


CLIENT = Client(Credentials(server="http://127.0.0.1:1"))


def found(answer: Any, projection: str, *, source: dict[str, Any] | None = None) -> tuple[ContextEntry, str]:
    """An entry whose calls are answered so, once it was tried, and why its projection has no value."""

    async def call(_: Lookup) -> Any:
        return answer

    async def run() -> tuple[ContextEntry, str]:
        spec = {"apiCall": source or {"urlPath": "/things"}, "projections": [{"name": "p", "jmesPath": projection}]}
        document = {"metadata": {"name": "things"}, "spec": spec}
        entry = ContextEntry(document, client=CLIENT, call=call, changed=lambda entry, before: None)
        task = asyncio.create_task(entry.run())
        await asyncio.wait({task, asyncio.ensure_future(entry.tried.wait())}, return_when=asyncio.FIRST_COMPLETED)
        value = entry.value("p")
        assert not task.done()
        task.cancel()
        return entry, value.reason if isinstance(value, LookupFailed) else ""

    return asyncio.run(run())


def nested(depth: int) -> Any:
    return orjson.loads(b"[" * depth + b"]" * depth)


@pytest.mark.parametrize("source", [{"urlPath": "/things"}, {"service": {"url": "http://example.com"}}], ids=["api", "service"])
def test_answers_that_are_nested_deeply_are_an_error_of_the_entry(source: dict[str, Any]) -> None:
    answer = {"items": [{"metadata": {"name": "x"}, "spec": nested(1000)}]}
    _, reason = found(answer, "to_string(items)", source=source)
    assert reason == "failed to apply projection p: the data is nested too deeply"
    entry, reason = found(answer, "length(items)", source=source)
    assert (entry.state.ready, reason) == (True, "")


def test_errors_of_projections_do_not_show_the_data() -> None:
    entry, reason = found(["hush"] * 100_000 + [1], "max(@)")
    assert reason == entry.state.message
    assert reason == "failed to apply projection p: an argument of an invalid type, expected: array[number], array[string]"


def test_a_leader_who_is_back_corrects_what_another_has_written(credentials: Credentials, control_plane: ControlPlane) -> None:
    api, name = control_plane.api, f"e-{uuid.uuid4().hex[:8]}"
    path = f"{ENTRIES}/{name}"
    leading = [True]

    def wrong() -> None:
        body = {"status": {"ready": False, "conditions": [condition("False", "the other one could not")]}}
        api.ask(f"{path}/status", method="PATCH", body=body, content_type=MERGE_PATCH)

    async def call(_: Lookup) -> Any:
        return [1]

    async def run() -> None:
        async with Client(credentials) as client:
            events = Events(client, instance="x")
            task = asyncio.create_task(GlobalContext(client, call=call, events=events, leading=lambda: leading[0]).run())
            await until(lambda: api.ask(path).get("status", {}).get("ready") is True)
            leading[0] = False
            wrong()
            await asyncio.sleep(1)
            leading[0] = True
            await until(lambda: api.ask(path)["status"]["ready"] is True)
            task.cancel()
            await asyncio.wait([task])

    body = {"apiVersion": "kyverno.io/v2", "kind": "GlobalContextEntry", "metadata": {"name": name}}
    api.ask(ENTRIES, method="POST", body={**body, "spec": {"apiCall": {"urlPath": "/things"}}})
    try:
        asyncio.run(run())
    finally:
        api.ask(path, method="DELETE")


def test_an_entry_that_was_one_too_many_is_kept_when_there_is_room() -> None:
    def named(name: str) -> dict[str, Any]:
        return {"metadata": {"name": name}, "spec": {"apiCall": {"urlPath": f"/{name}"}}}

    async def answered(context: GlobalContext) -> set[str]:
        asked = await asyncio.gather(*map(context.answer, "abc"), return_exceptions=True)
        return {one.value for one in asked if isinstance(one, Held)}

    async def run() -> None:
        async def call(lookup: Lookup) -> Any:
            return lookup.key

        context = GlobalContext(CLIENT, call=call, events=Events(CLIENT, instance="x"), limit=2)
        context.handle(Listed((named("a"), named("b"), named("c"))))
        assert await answered(context) == {"/a", "/b"}
        context.handle(Changed("DELETED", named("a")))
        assert await answered(context) == {"/b", "/c"}
        context.handle(Listed((named("c"),)))
        assert await answered(context) == {"/c"}
        context.handle(Listed(()))

    asyncio.run(run())
