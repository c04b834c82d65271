"""Clone sources that come late, and targets that are only a part of an object."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest

from deploy.local.api import Api
from tests.cluster.calls import Document, config_map, until
from tests.cluster.generating import Apply, background_policy, data, patch

pytestmark = pytest.mark.cluster


def cloning(name: str, maps: str, /, **clone: Any) -> Document:
    own = maps.split("/")[4]
    several = {"synchronize": True, "namespace": own, **clone}
    return background_policy(name, name, {"generate": several})


@pytest.fixture
def elsewhere(api: Api, maps: str) -> str:
    """The ConfigMaps of namespace `default`, where sources are."""
    return "/api/v1/namespaces/default/configmaps"


def test_a_new_source_of_a_list_reaches_the_downstreams(api: Api, apply: Apply, maps: str, elsewhere: str) -> None:
    selector = {"matchLabels": {"copy": "listed"}}
    apply(cloning("listed", maps, cloneList={"namespace": "default", "kinds": ["v1/ConfigMap"], "selector": selector}))
    sources = [config_map(f"listed-source-{number}", n=str(number)) for number in range(2)]
    for source in sources:
        source["metadata"]["labels"] = {"copy": "listed"}
    api.ask(elsewhere, method="POST", body=sources[0])
    try:
        api.ask(maps, method="POST", body=config_map("listed-in", a="1"))
        until(lambda: data(api, f"{maps}/listed-source-0") == {"n": "0"})
        api.ask(elsewhere, method="POST", body=sources[1])
        until(lambda: data(api, f"{maps}/listed-source-1") == {"n": "1"})
        patch(api, f"{elsewhere}/listed-source-1", {"data": {"n": "one"}})
        until(lambda: data(api, f"{maps}/listed-source-1") == {"n": "one"})
        patch(api, f"{elsewhere}/listed-source-0", {"metadata": {"labels": {"copy": "no"}}})
        until(lambda: data(api, f"{maps}/listed-source-0") is None)
        assert data(api, f"{maps}/listed-source-1") == {"n": "one"}
    finally:
        for source in sources:
            api.ask(f"{elsewhere}/{source['metadata']['name']}", method="DELETE")


def test_a_source_that_comes_after_the_trigger_is_copied(api: Api, apply: Apply, maps: str, elsewhere: str) -> None:
    clone = {"namespace": "default", "name": "awaited-source"}
    apply(cloning("awaited", maps, apiVersion="v1", kind="ConfigMap", name="awaited-copy", clone=clone))
    api.ask(maps, method="POST", body=config_map("awaited-in", a="1"))
    api.ask(elsewhere, method="POST", body=config_map("awaited-source", n="1"))
    try:
        until(lambda: data(api, f"{maps}/awaited-copy") == {"n": "1"}, timeout=20)
        patch(api, f"{elsewhere}/awaited-source", {"data": {"n": "2"}})
        until(lambda: data(api, f"{maps}/awaited-copy") == {"n": "2"})
    finally:
        api.ask(f"{elsewhere}/awaited-source", method="DELETE")
    until(lambda: data(api, f"{maps}/awaited-copy") is None)


def test_a_copy_of_a_copy_follows_its_source(api: Api, apply: Apply, maps: str, elsewhere: str) -> None:
    namespace = maps.split("/")[4]
    named = {"apiVersion": "v1", "kind": "ConfigMap"}
    apply(cloning("first", maps, **named, name="copy-1", clone={"namespace": "default", "name": "chain-source"}))
    apply(cloning("second", maps, **named, name="copy-2", clone={"namespace": namespace, "name": "copy-1"}))
    api.ask(elsewhere, method="POST", body=config_map("chain-source", n="1"))
    try:
        for name in ("second", "first"):
            api.ask(maps, method="POST", body=config_map(f"{name}-in", a="1"))
        until(lambda: data(api, f"{maps}/copy-2") == {"n": "1"}, timeout=20)
        patch(api, f"{elsewhere}/chain-source", {"data": {"n": "2"}})
        until(lambda: data(api, f"{maps}/copy-2") == {"n": "2"}, timeout=20)
    finally:
        api.ask(f"{elsewhere}/chain-source", method="DELETE")
    until(lambda: data(api, f"{maps}/copy-2") is None, timeout=20)


def test_edits_of_a_source_while_it_is_copied_are_not_lost(api: Api, apply: Apply, maps: str, elsewhere: str) -> None:
    clone = {"namespace": "default", "name": "busy-source"}
    name = "busy-copy-{{request.object.metadata.name}}"
    apply(cloning("busy", maps, apiVersion="v1", kind="ConfigMap", name=name, clone=clone))
    api.ask(elsewhere, method="POST", body=config_map("busy-source", n="0"))
    try:
        for number in range(1, 31):
            api.ask(maps, method="POST", body=config_map(f"busy-in-{number}", a="1"))
            patch(api, f"{elsewhere}/busy-source", {"data": {"n": str(number)}})
        copies = [f"{maps}/busy-copy-busy-in-{number}" for number in range(1, 31)]
        until(lambda: all(data(api, path) == {"n": "30"} for path in copies), timeout=30)
    finally:
        api.ask(f"{elsewhere}/busy-source", method="DELETE")


def test_a_source_of_one_mebibyte_is_copied(api: Api, apply: Apply, maps: str, elsewhere: str) -> None:
    clone = {"namespace": "default", "name": "large-source"}
    apply(cloning("large", maps, apiVersion="v1", kind="ConfigMap", name="large-copy", clone=clone))
    source = config_map("large-source")
    source["binaryData"] = {"blob": base64.b64encode(b"x" * 780_000).decode()}
    api.ask(elsewhere, method="POST", body=source)
    try:
        api.ask(maps, method="POST", body=config_map("large-in", a="1"))
        until(lambda: (api.find(f"{maps}/large-copy") or {}).get("binaryData") == source["binaryData"], timeout=20)
        patch(api, f"{elsewhere}/large-source", {"data": {"n": "2"}})
        until(lambda: data(api, f"{maps}/large-copy") == {"n": "2"})
    finally:
        api.ask(f"{elsewhere}/large-source", method="DELETE")


@pytest.mark.parametrize("exact", [True, False])
def test_the_scale_of_a_deployment_is_a_target(api: Api, apply: Apply, maps: str, role: Callable[..., str], exact: bool) -> None:
    name = f"scale-{exact}".lower()
    namespace = maps.split("/")[4]
    resources = {"apiGroups": ["apps"], "resources": ["deployments", "deployments/scale"], "verbs": ["get", "list", "update"]}
    role(f"test:{name}", resources)
    deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    pod = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "a"}}, "template": pod}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "scaled", "labels": {"app": "a"}}, "spec": spec}
    api.ask(deployments, method="POST", body=body)
    target = {"apiVersion": "apps/v1", "kind": "Deployment/scale", "namespace": namespace}
    target.update({"name": "scaled"} if exact else {"name": "sc*", "selector": {"matchLabels": {"app": "a"}}})
    apply(background_policy(name, name, {"mutate": {"targets": [target], "patchStrategicMerge": {"spec": {"replicas": 3}}}}))
    api.ask(maps, method="POST", body=config_map(f"{name}-in", a="1"))
    until(lambda: api.ask(f"{deployments}/scaled")["spec"]["replicas"] == 3)
