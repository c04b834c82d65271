"""AdmissionReviews: what is accepted as one, what becomes of it, what is answered."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from controllers.admission.reviewer import Bucket, bucket_of, timeout_of
from controllers.cluster import requests, review
from controllers.cluster.discovery import Discovery, Resource
from engine.request import GroupVersionKind
from engine.result import Verdict

PODS = Discovery.of(
    [
        Resource("", "v1", "Pod", "pods", "", namespaced=True, preferred=True),
        Resource("", "v1", "Pod", "pods", "exec", namespaced=True, preferred=True),
    ]
)


def bytes_of(**changes: Any) -> bytes:
    request: dict[str, Any] = {
        "uid": "u-1",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "operation": "CREATE",
        "namespace": "blue",
        "userInfo": {"username": "ann", "groups": ["devs"]},
        "object": {"metadata": {"name": "nginx"}},
        "oldObject": None,
        **changes,
    }
    return orjson.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})


def request(**changes: Any) -> Any:
    return requests.request_of(review.parse(bytes_of(**changes)), PODS, now=7)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"kind":"Pod","apiVersion":"v1"}',
        b'{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1","request":{}}',
        b'{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}',
        b'{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":1}}',
        bytes_of(object=[1]),
        bytes_of(object={"metadata": "text"}),
        bytes_of(object={"metadata": {"name": 5}}),
        bytes_of(object={"metadata": {"labels": ["a"]}}),
        bytes_of(oldObject={"metadata": {"annotations": {"a": {}}}}),
        bytes_of(userInfo={"username": 7}),
        bytes_of(userInfo={"groups": "devs"}),
        bytes_of(userInfo={"groups": ["devs", {}]}),
        bytes_of(namespace=[]),
        bytes_of(subResource=5),
        bytes_of(kind={"kind": 7}),
        bytes_of(resource={"resource": []}),
        bytes_of(userInfo=None),
        b"\xff\xfe",
    ],
)
def test_what_is_no_review_is_refused(body: bytes) -> None:
    with pytest.raises(review.Malformed):
        review.parse(body)


def test_a_review_becomes_a_request() -> None:
    found = request(dryRun=True)
    assert found.kind == GroupVersionKind("", "v1", "Pod")
    assert (found.operation, found.namespace, found.name, found.uid) == ("CREATE", "blue", "nginx", "u-1")
    assert (found.user.username, found.user.groups, found.dry_run, found.now) == ("ann", ("devs",), True, 7)


def test_a_request_to_a_subresource_is_of_its_parents_kind() -> None:
    options = {"group": "", "version": "v1", "kind": "PodExecOptions"}
    found = request(kind=options, subResource="exec", operation="CONNECT")
    assert (found.kind.kind, found.subresource) == ("Pod", "exec")


def test_a_subresource_of_an_unknown_resource_is_no_guess() -> None:
    with pytest.raises(requests.UnknownResource):
        request(resource={"group": "x", "version": "v1", "resource": "foos"}, subResource="status")


def test_a_namespace_lies_in_no_namespace() -> None:
    kind = {"group": "", "version": "v1", "kind": "Namespace"}
    found = request(kind=kind, namespace="blue", name="blue", object={"metadata": {"name": "blue"}})
    assert (found.namespace, found.name) == ("", "blue")


def test_generated_names_count_as_names() -> None:
    assert request(object={"metadata": {"generateName": "web-"}}).name == "web-"


def test_roles_are_visible_to_expressions() -> None:
    document = review.parse(bytes_of())
    asker = requests.Asker(("blue:admin",), ("view",))
    found = requests.request_of(document, PODS, asker=asker, now=0)
    assert (found.document["roles"], found.document["clusterRoles"]) == (["blue:admin"], ["view"])
    assert "roles" not in document


def test_an_answer_says_no_with_its_message() -> None:
    answer = orjson.loads(review.denied("u-1", "because", ["careful"]))
    assert answer["response"] == {
        "uid": "u-1",
        "allowed": False,
        "status": {"status": "Failure", "message": "because"},
        "warnings": ["careful"],
    }


def test_a_patch_is_base64() -> None:
    patch = ({"op": "add", "path": "/a", "value": 1},)
    response = orjson.loads(review.answer("u", Verdict(allowed=True, patch=patch)))["response"]
    assert response["patchType"] == "JSONPatch"
    assert orjson.loads(base64.b64decode(response["patch"])) == list(patch)


@pytest.mark.parametrize(
    ("path", "bucket"),
    [
        ("", Bucket()),
        ("fail", Bucket("Fail")),
        ("ignore", Bucket("Ignore")),
        ("fail/finegrained/p", Bucket("Fail", "p")),
        ("ignore/finegrained/ns/p", Bucket("Ignore", "ns/p")),
        ("fail/other", None),
        ("fail/finegrained", None),
        ("fail/finegrained/a/b/c", None),
        ("nonsense", None),
    ],
)
def test_paths_name_policies(path: str, bucket: Bucket | None) -> None:
    assert bucket_of(path) == bucket


@pytest.mark.parametrize(("query", "seconds"), [("timeout=5s", 5), ("", 10), ("timeout=x", 10), ("timeout=0s", 10)])
def test_the_deadline_is_the_api_servers(query: str, seconds: float) -> None:
    assert timeout_of(query) == seconds


def test_the_log_shows_requests_without_the_contents_of_secrets() -> None:
    metadata = {"name": "s", "annotations": {"copy": "hush"}}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": {"a": "hush"}}
    inside = {"apiVersion": "v1", "kind": "List", "items": [secret], "spec": {"image": "nginx"}}
    for kind, document in (("Secret", secret), ("List", inside)):
        text = review.shown({"uid": "1", "kind": {"kind": kind}, "object": document, "oldObject": document})
        assert "hush" not in text
        assert '"name":"s"' in text
    assert "nginx" in text
