"""`pyvern cleanup --dry-run`: what would be deleted now and at the next run, from files and from a real API server."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local.control_plane import ControlPlane
from tests.cli.program import pyvern

AGE = "{{ time_diff('{{ target.metadata.creationTimestamp }}', '{{ time_now_utc() }}') }}"


def ago(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - seconds))


def policy(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "kyverno.io/v2",
        "kind": "ClusterCleanupPolicy",
        "metadata": {"name": "old"},
        "spec": {"schedule": "0 0 1 1 *", "match": {"any": [{"resources": {"kinds": ["ConfigMap"]}}]}, **spec},
    }


def config_map(name: str, *, created: str = "", **labels: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "blue", "labels": labels, **({"creationTimestamp": created} if created else {})}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def written(file: Path, *documents: dict[str, Any]) -> Path:
    file.write_text("\n---\n".join(map(json.dumps, documents)))
    return file


def answer(*arguments: object) -> dict[str, Any]:
    """The JSON answer, object name -> its row."""
    ran = pyvern("cleanup", "--dry-run", *arguments, "-o", "json")
    found = json.loads(ran.out)
    return {**found, "rows": {(item["object"]["name"], item["by"]): item for item in found["items"]}, "status": ran.status}


def test_a_policy_is_asked_at_its_next_run_too(tmp_path: Path) -> None:
    conditions = {"all": [{"key": AGE, "operator": "GreaterThan", "value": "24h"}]}
    given = written(tmp_path / "p.json", policy(conditions=conditions))
    objects = written(tmp_path / "r.json", config_map("old", created=ago(90_000)), config_map("young", created=ago(60)))
    found = answer(given, "-r", objects)
    rows = found["rows"]
    by = "ClusterCleanupPolicy old"
    assert (rows["old", by]["now"], rows["young", by]["now"]) == (True, False)
    assert rows["young", by]["next"].endswith("-01-01T00:00:00Z")
    assert found["status"] == 0


def test_labels_say_when_an_object_goes(tmp_path: Path) -> None:
    objects = written(
        tmp_path / "r.json",
        config_map("over", created=ago(7200), **{"cleanup.kyverno.io/ttl": "1h"}),
        config_map("later", created="2026-01-01T00:00:00Z", **{"cleanup.kyverno.io/ttl": "2999-01-01"}),
    )
    rows = answer("-r", objects)["rows"]
    assert rows["over", "label"]["now"]
    assert (rows["later", "label"]["now"], rows["later", "label"]["next"]) == (False, "2999-01-01T00:00:00Z")


def test_a_label_that_means_nothing_is_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    odd = config_map("odd", **{"cleanup.kyverno.io/ttl": "2ay"})
    fine = config_map("fine", **{"cleanup.kyverno.io/ttl": "2020-01-01"})
    ran = pyvern("cleanup", "--dry-run", "-r", written(tmp_path / "r.json", odd, fine))
    assert ran.status == 1
    assert "ConfigMap blue/fine   label   yes   now" in ran.out
    assert "ConfigMap blue/odd: metadata.labels[cleanup.kyverno.io/ttl]: `2ay` is no time to live" in ran.err


def test_a_policy_that_only_reports_says_so(tmp_path: Path) -> None:
    given = policy()
    given["metadata"]["annotations"] = {"cleanup.pyvern.io/dry-run": "true"}
    paths = written(tmp_path / "p.json", given), "-r", written(tmp_path / "r.json", config_map("x"))
    assert "only reports" in answer(*paths)["rows"]["x", "ClusterCleanupPolicy old"]["note"]


def test_nothing_to_delete_is_said(tmp_path: Path) -> None:
    ran = pyvern("cleanup", "--dry-run", "-r", written(tmp_path / "r.json", config_map("x")))
    assert (ran.status, ran.out) == (0, "nothing would be deleted\n")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "say --dry-run"),
        (("--dry-run", "p.yaml"), "where are the objects?"),
        (("--dry-run", "-r", "a.yaml", "--cluster"), "exclude each other"),
        (("--dry-run", "-r", "no-such-file.yaml"), "no-such-file.yaml: no such file or folder"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(arguments: tuple[str, ...], complaint: str) -> None:
    ran = pyvern("cleanup", *arguments)
    assert ran.status == 1
    assert complaint in ran.err


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    name = f"t-{uuid.uuid4().hex[:8]}"
    control_plane.api.ask("/api/v1/namespaces", method="POST", body={"metadata": {"name": name}})
    yield name
    control_plane.api.ask(f"/api/v1/namespaces/{name}", method="DELETE")


@pytest.mark.cluster
def test_a_cluster_is_asked_for_policies_objects_and_rights(
    control_plane: ControlPlane, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.pathsep.join((str(control_plane.tools["kubectl"].parent), os.environ["PATH"])))
    api = control_plane.api
    for name in ("doomed", "labelled"):
        document = config_map(name, **({"cleanup.kyverno.io/ttl": "1s"} if name == "labelled" else {}))
        document["metadata"]["namespace"] = namespace
        api.ask(f"/api/v1/namespaces/{namespace}/configmaps", method="POST", body=document)
    path = "/apis/kyverno.io/v2/clustercleanuppolicies"
    ours = {"kinds": ["ConfigMap"], "names": ["doomed"], "namespaces": [namespace]}
    match = {"any": [{"resources": ours}, {"resources": {"kinds": ["ComponentStatus"], "names": ["etcd-0"]}}]}
    api.ask(path, method="POST", body=policy(match=match))
    try:
        found = answer("--kubeconfig", control_plane.kubeconfig)
        row = found["rows"]["doomed", "ClusterCleanupPolicy old"]
        assert (row["now"], row["note"]) == (True, "the cleanup operator may not delete configmaps")
        row = found["rows"]["etcd-0", "ClusterCleanupPolicy old"]
        assert (row["now"], row["note"]) == (True, "the API server deletes no objects of this kind")
        assert found["rows"]["labelled", "label"]["object"]["namespace"] == namespace
        assert found["problems"] == []
    finally:
        api.ask(f"{path}/old", method="DELETE")
