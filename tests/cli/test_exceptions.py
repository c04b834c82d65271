"""`pyvern exceptions`, and how `apply` takes exceptions that are over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import pyvern

EXPIRES = "exceptions.pyvern.io/expires"


def exception(name: str, *, namespace: str = "blue", expires: str = "", policy: str = "p", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "kyverno.io/v2",
        "kind": "PolicyException",
        "metadata": {"name": name, "namespace": namespace, "annotations": {EXPIRES: expires} if expires else {}},
        "spec": {
            "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
            "exceptions": [{"policyName": policy, "ruleNames": ["r"]}],
            **spec,
        },
    }


def report(*rows: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "wgpolicyk8s.io/v1alpha2",
        "kind": "PolicyReport",
        "metadata": {"name": "x", "namespace": "blue"},
        "scope": {"apiVersion": "v1", "kind": "Pod", "name": "web", "namespace": "blue"},
        "results": list(rows),
    }


def skipped(names: str, message: str = "") -> dict[str, Any]:
    return {"policy": "p", "rule": "r", "result": "skip", "message": message, "properties": {"exceptions": names}}


def written(file: Path, *documents: dict[str, Any]) -> Path:
    file.write_text("\n---\n".join(map(json.dumps, documents)))
    return file


def rows(*arguments: object) -> dict[str, dict[str, Any]]:
    found = json.loads(pyvern("exceptions", *arguments, "-o", "json").out)["items"]
    return {f"{item['namespace']}/{item['name']}": item for item in found}


def test_reports_tell_what_is_used(tmp_path: Path) -> None:
    files = written(tmp_path / "e.json", exception("needed"), exception("left"), exception("asked", background=False))
    reports = written(tmp_path / "r.json", report(skipped("needed")))
    found = rows(files, "--reports", reports)
    assert {name: (one["used"], one["objects"]) for name, one in found.items()} == {
        "blue/needed": (1, ["Pod blue/web"]),
        "blue/left": (0, []),
        "blue/asked": (None, []),
    }
    assert list(rows(files, "--reports", reports, "--unused")) == ["blue/left"]


def test_of_two_with_one_name_the_message_tells_which(tmp_path: Path) -> None:
    files = written(tmp_path / "e.json", exception("twin"), exception("twin", namespace="red"))
    reports = written(tmp_path / "r.json", report(skipped("twin", "rule is skipped due to policy exceptionsred/twin")))
    assert {name: one["used"] for name, one in rows(files, "--reports", reports).items()} == {"blue/twin": 0, "red/twin": 1}


def test_those_that_are_over_are_shown(tmp_path: Path) -> None:
    files = written(tmp_path / "e.json", exception("over", expires="2020-01-01"), exception("on", expires="2999-01-01T00:00:00Z"))
    assert list(rows(files, "--expired")) == ["blue/over"]
    lines = pyvern("exceptions", files).out.splitlines()
    assert lines[0].split() == ["NAMESPACE", "NAME", "POLICIES", "EXPIRES", "USED", "STATE"]
    assert lines[2].split() == ["blue", "over", "p", "2020-01-01T00:00:00Z", "?", "expired"]


def test_one_that_does_not_compile_is_shown_and_makes_the_status_1(tmp_path: Path) -> None:
    ran = pyvern("exceptions", written(tmp_path / "e.json", exception("odd", expires="soon")))
    assert ran.status == 1
    assert f"metadata.annotations[{EXPIRES}]: `soon` is neither a day" in ran.out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [(("--unused",), "--unused needs reports"), (("--unused", "--reports", "{empty}"), "there are no reports")],
)
def test_what_cannot_be_told_is_said(tmp_path: Path, arguments: tuple[str, ...], complaint: str) -> None:
    file, empty = written(tmp_path / "e.json", exception("a")), written(tmp_path / "empty.json", report())
    ran = pyvern("exceptions", file, *(text.format(empty=empty) for text in arguments))
    assert ran.status == 1
    assert complaint in ran.err


def test_apply_ignores_an_exception_that_is_over_and_says_so(tmp_path: Path) -> None:
    rule = {"name": "r", "match": {"any": [{"resources": {"kinds": ["Pod"]}}]}, "validate": {"message": "no", "deny": {}}}
    policy = {"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "p"}, "spec": {"rules": [rule]}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "blue"}, "spec": {"containers": []}}
    paths = written(tmp_path / "p.json", policy), "-r", written(tmp_path / "pod.json", pod), "-e"
    over = pyvern("apply", *paths, written(tmp_path / "over.json", exception("e", expires="2020-01-01")))
    assert "exception blue/e has expired and exempts nothing" in over.out + over.err
    assert "pass: 0, fail: 1, warn: 0, error: 0, skip: 0" in over.out
    on = pyvern("apply", *paths, written(tmp_path / "on.json", exception("e", expires="2999-01-01")))
    assert "pass: 0, fail: 0, warn: 0, error: 0, skip: 1" in on.out
