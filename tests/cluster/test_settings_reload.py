"""Every option of the ConfigMap `kyverno` works from the moment it is written, without a restart (spec 3.3).

Left out: defaultRegistry and enableDefaultRegistryMutation, which are about images; no rule reads them yet.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from controllers.cluster.settings import FIELDS, WEBHOOK_FIELDS
from deploy.local.api import Api, Refused
from deploy.local.control_plane import ControlPlane
from deploy.local.operators import Running
from tests.cluster.calls import CPOL, MAPS, RESOURCE_HOOKS, policy, ready, until

pytestmark = pytest.mark.cluster
Document = dict[str, Any]
CONFIG = "/api/v1/namespaces/kyverno/configmaps/kyverno"
EVENTS = "/apis/events.k8s.io/v1/namespaces/default/events"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
MERGE = "application/merge-patch+json"
NO_IMAGES_YET = {"defaultRegistry", "enableDefaultRegistryMutation"}


UPDATES = "/apis/kyverno.io/v2/namespaces/kyverno/updaterequests"


class Place(NamedTuple):
    """A cluster with policies about ConfigMaps: `probe` needs a team, `trigger` makes another one, `sized` reads a third."""

    api: Api

    def let_in(self, name: str) -> bool:
        """Would such a ConfigMap be let in?"""
        try:
            self.api.ask(f"{MAPS}?dryRun=All", method="POST", body={"metadata": {"name": name}})
        except Refused as refused:
            if "denied the request" not in str(refused):
                raise
            return False
        return True

    def hooks(self) -> Document:
        return dict(self.api.ask(RESOURCE_HOOKS))

    def praised(self) -> set[str]:
        """The policies with an event that a new, good ConfigMap has passed them."""
        made = self.api.ask(MAPS, method="POST", body={"metadata": {"generateName": "good-", "labels": {"team": "a"}}})
        name = made["metadata"]["name"]
        time.sleep(0.5)  # events are written after the answer
        found = [e for e in self.api.ask(EVENTS)["items"] if (e.get("related") or {}).get("name") == name]
        self.api.ask(f"{MAPS}/{name}", method="DELETE")
        return {e["regarding"]["name"] for e in found if e["reason"] == "PolicyApplied"}

    def held(self) -> bool:
        """Does the UpdateRequest of a trigger that comes by have to wait?"""
        before = self.updates()
        made = self.api.ask(MAPS, method="POST", body={"metadata": {"generateName": "trigger-"}})
        time.sleep(1)  # it is written after the answer
        self.api.ask(f"{MAPS}/{made['metadata']['name']}", method="DELETE")
        return self.updates() == before

    def updates(self) -> int:
        """How many are stored. The API server does not list a kind in the first moments of its life."""

        def listed() -> list[Document] | None:
            try:
                return [self.api.ask(UPDATES)]
            except Refused as refused:
                if refused.code != 429:
                    raise
                return None

        (collection,) = until(listed)
        return len(collection["items"])


def rule(name: str, names: list[str], **body: Any) -> Document:
    return {"name": name, "match": {"any": [{"resources": {"kinds": ["ConfigMap"], "names": names}}]}, **body}


def needs_team(action: str) -> Document:
    pattern = {"metadata": {"labels": {"team": "?*"}}}
    return {"validate": {"failureAction": action, "message": "no team", "pattern": pattern}}


GENERATED = {"apiVersion": "v1", "kind": "ConfigMap", "name": "made", "namespace": "default", "data": {"data": {"a": "b"}}}
BIG = {"name": "big", "apiCall": {"urlPath": f"{MAPS}/big", "jmesPath": "data.text"}}
SIZED = {"deny": {"conditions": {"all": [{"key": "{{ big }}", "operator": "Equals", "value": "nobody"}]}}}
POLICIES = [
    policy("reload", rules=[rule("team", ["probe", "good-*"], **needs_team("Enforce"))]),
    policy("audited", rules=[rule("team", ["good-*"], **needs_team("Audit"))]),
    policy("makes", rules=[rule("make", ["trigger-*"], generate=GENERATED)]),
    policy(
        "sizes", rules=[rule("size", ["sized"], context=[BIG], validate={"failureAction": "Enforce", "message": "no", **SIZED})]
    ),
]


@pytest.fixture(scope="module")
def place(control_plane: ControlPlane, admission: Running) -> Iterator[Place]:
    api = control_plane.api
    labels = {"rbac.kyverno.io/aggregate-to-background-controller": "true"}
    verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
    maps = {"apiGroups": [""], "resources": ["configmaps"], "verbs": verbs}
    me = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "kubernetes-admin"}
    only_here = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "exempt"}
    made = [
        (f"{RBAC}/clusterroles", {"metadata": {"name": "test:reload", "labels": labels}, "rules": [maps]}),
        (f"{RBAC}/namespaces/default/roles", {"metadata": {"name": "exempt"}, "rules": []}),
        (
            f"{RBAC}/namespaces/default/rolebindings",
            {"metadata": {"name": "exempt"}, "roleRef": only_here, "subjects": [me]},
        ),
        (MAPS, {"metadata": {"name": "big"}, "data": {"text": "x" * 1000}}),
        *((CPOL, document) for document in POLICIES),
    ]
    for path, document in made:
        api.ask(path, method="POST", body=document)
    for document in POLICIES:
        until(lambda name=document["metadata"]["name"]: ready(api.ask(f"{CPOL}/{name}")))  # type: ignore[misc]
    yield Place(api)
    for path, document in reversed(made):
        api.ask(f"{path}/{document['metadata']['name']}", method="DELETE")
    api.ask(UPDATES, method="DELETE")
    until(lambda: not api.ask(RESOURCE_HOOKS).get("webhooks"))


class Option(NamedTuple):
    """Data of the ConfigMap, and what shows that it counts; without it, the opposite shows that it no longer does."""

    data: dict[str, str]
    effect: Callable[[Place], bool]


def probe(place: Place) -> bool:
    return place.let_in("probe")


OPTIONS = {
    "resourceFilters": Option({"resourceFilters": "[ConfigMap,default,probe]"}, probe),
    "excludeGroups": Option({"excludeGroups": "system:masters"}, probe),
    "excludeUsernames": Option({"excludeUsernames": "kubernetes-*"}, probe),
    "excludeRoles": Option({"excludeRoles": "default:exempt"}, probe),
    "excludeClusterRoles": Option({"excludeClusterRoles": "cluster-admin"}, probe),
    "matchConditions": Option({"matchConditions": '[{"name": "most", "expression": "request.name != \'probe\'"}]'}, probe),
    "webhooks": Option({"webhooks": '{"namespaceSelector": {"matchLabels": {"watched": "yes"}}}'}, probe),
    "webhookLabels": Option({"webhookLabels": '{"a": "b"}'}, lambda p: p.hooks()["metadata"]["labels"].get("a") == "b"),
    "webhookAnnotations": Option(
        {"webhookAnnotations": '{"c": "d"}'}, lambda p: (p.hooks()["metadata"].get("annotations") or {}).get("c") == "d"
    ),
    "generateSuccessEvents": Option({"generateSuccessEvents": "true"}, lambda p: p.praised() == {"reload", "audited"}),
    "successEventActions": Option(
        {"generateSuccessEvents": "true", "successEventActions": "Audit"}, lambda p: p.praised() == {"audited"}
    ),
    "maxContextSize": Option({"maxContextSize": "100"}, lambda p: not p.let_in("sized")),
    "updateRequestThreshold": Option({"updateRequestThreshold": "0"}, Place.held),
}


def test_every_option_is_tried() -> None:
    keys = {key for _, key, _ in (*FIELDS, *WEBHOOK_FIELDS)} | {"webhooks"}
    assert set(OPTIONS) == keys - NO_IMAGES_YET


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_counts_while_it_is_there(place: Place, name: str) -> None:
    before = place.api.ask(CONFIG)["data"]
    option = OPTIONS[name]
    assert not option.effect(place)
    try:
        place.api.ask(CONFIG, method="PATCH", body={"data": option.data}, content_type=MERGE)
        until(lambda: option.effect(place))
    finally:
        place.api.ask(CONFIG, method="PATCH", body={"data": {key: before.get(key) for key in option.data}}, content_type=MERGE)
    until(lambda: not option.effect(place))
