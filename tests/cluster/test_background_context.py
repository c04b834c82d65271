"""What the background operator reads and is kept from: GlobalContextEntries of kinds and services, exceptions and their hits."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from aiohttp import web

from deploy.local.api import Api
from deploy.local.operators import Operators, Running
from tests.cluster.calls import CPOL, Document, config_map, until
from tests.cluster.generating import NAMESPACES, Apply, background_policy, data, generating
from tests.cluster.reported import metrics
from tests.conftest import EXCEPTIONS
from tests.services import Service, service

pytestmark = pytest.mark.cluster
ENTRIES = "/apis/kyverno.io/v2/globalcontextentries"
POLEX = "/apis/kyverno.io/v2/namespaces/default/policyexceptions"
MAPS = f"{NAMESPACES}/default/configmaps"
HIT = re.compile(r'pyvern_exception_hits_total\{exception_name="(\S+?)",.*rule_execution_cause="(\S+?)".*\} (\S+)')


async def _teams(_: web.Request) -> web.StreamResponse:
    return web.json_response({"teams": ["red", "blue"]})


@pytest.fixture(scope="module")
def served() -> Iterator[Service]:
    with service(paths={"/teams": _teams}) as running:
        yield running


@pytest.fixture(scope="module")
def background(operators: Operators, admission: Running) -> Iterator[Running]:
    """It may call services on loopback."""
    yield operators.start("background", flags={**EXCEPTIONS, "httpBlocklist": "10.255.0.0/16"})
    operators.stop("background")


@pytest.fixture
def entry(api: Api) -> Iterator[None]:
    """Nothing of its own; entries that the test makes go with it."""
    yield
    for item in api.ask(ENTRIES)["items"]:
        api.ask(f"{ENTRIES}/{item['metadata']['name']}", method="DELETE")


def make_entry(api: Api, name: str, projected: str, **spec: Document) -> None:
    metadata = {"name": name}
    body = {"apiVersion": "kyverno.io/v2", "kind": "GlobalContextEntry", "metadata": metadata}
    projections = [{"name": "names", "jmesPath": projected}]
    api.ask(ENTRIES, method="POST", body={**body, "spec": {**spec, "projections": projections}})


def hits(running: Running) -> dict[tuple[str, str], float]:
    """(exception, cause) -> how often it counted."""
    return {(name, cause): float(value) for name, cause, value in HIT.findall(metrics(running))}


def exception(name: str, policy: str, match: str) -> Document:
    """Whatever the policy does about ConfigMaps of these names."""
    return {
        "apiVersion": "kyverno.io/v2",
        "kind": "PolicyException",
        "metadata": {"name": name},
        "spec": {
            "match": {"any": [{"resources": {"kinds": ["ConfigMap"], "names": [match]}}]},
            "exceptions": [{"policyName": policy, "ruleNames": ["*"]}],
        },
    }


def test_what_is_generated_comes_from_global_entries(
    api: Api, apply: Apply, background: Running, maps: str, entry: None, served: Service
) -> None:
    """One entry holds objects, the other the answer of a service, which is asked once for all."""
    place = {"version": "v1", "resource": "configmaps", "namespace": maps.split("/")[4]}
    make_entry(api, "kept-maps", "[?data.a].metadata.name", kubernetesResource=place)
    call = {"service": {"url": f"{served.base}/teams"}, "refreshInterval": "1h"}
    make_entry(api, "kept-teams", "teams", apiCall=call)
    document = generating("reads", data={"data": {"maps": "{{ join(',', maps) }}", "teams": "{{ join(',', teams) }}"}})
    (rule,) = document["spec"]["rules"]
    names = {"maps": "kept-maps.names", "teams": "kept-teams.names"}
    rule["context"] = [{"name": name, "globalReference": {"name": source}} for name, source in names.items()]
    apply(document)
    for number in range(3):
        api.ask(maps, method="POST", body=config_map(f"reads-in-{number}", a="1"))
    expected = {"maps": "reads-in-0,reads-in-1,reads-in-2", "teams": "red,blue"}
    until(lambda: data(api, f"{maps}/reads-made-reads-in-2") == expected, timeout=30)
    assert served.count("/teams") == 1, "by the first question for it"


def test_hits_of_exceptions_are_counted_where_they_keep_a_rule_from_its_work(
    api: Api, apply: Apply, background: Running, admission: Running, maps: str
) -> None:
    """Triggers that come by stop at admission, those that were there before in the background."""
    name = "{{ request.object.metadata.name }}"
    target = {"apiVersion": "v1", "kind": "ConfigMap", "namespace": maps.split("/")[4], "name": name}
    patch = {"metadata": {"labels": {"seen": "yes"}}}
    mutate = {"mutateExistingOnPolicyUpdate": True, "targets": [target], "patchStrategicMerge": patch}
    api.ask(POLEX, method="POST", body=exception("e-making", "making", "hits-in-spared*"))
    api.ask(POLEX, method="POST", body=exception("e-marking", "marking", "hits-in-spared*"))
    try:
        for name in ("spared", "other"):
            api.ask(maps, method="POST", body=config_map(f"hits-in-{name}", a="1"))
        apply(generating("making", trigger="hits", generateExisting=True))
        until(lambda: data(api, f"{maps}/making-made-hits-in-other"))
        until(lambda: hits(background).get(("e-making", "background_scan")))
        assert data(api, f"{maps}/making-made-hits-in-spared") is None
        api.ask(maps, method="POST", body=config_map("hits-in-spared-too", a="1"))
        until(lambda: hits(admission).get(("e-making", "admission_request")))
        apply(background_policy("marking", "hits", {"mutate": mutate}))
        until(lambda: hits(background).get(("e-marking", "background_scan")))
        until(lambda: "seen" in (api.ask(f"{maps}/hits-in-other")["metadata"].get("labels") or {}))
        time.sleep(0.5)
        assert "seen" not in (api.ask(f"{maps}/hits-in-spared")["metadata"].get("labels") or {})
    finally:
        for name in ("e-making", "e-marking"):
            api.ask(f"{POLEX}/{name}", method="DELETE")
    assert api.find(f"{CPOL}/marking") is not None
