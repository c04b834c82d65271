"""validate.podSecurity: the recorded answers, and the behaviour they show."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest

from engine.errors import EvaluationError, InvalidPolicy
from engine.request import Request, kind_of
from engine.result import Outcome, Status
from engine.rules.pod_security import compile_check, compile_exclusions
from engine.scope import Scope
from tests.conformance.oracle import Case, cases, score

Json = dict[str, Any]
PATH = "spec.rules[0].validate.podSecurity"
GROUP = re.compile(r"\(Forbidden reason: .*?\](?=\)(?:\(Forbidden|$))\)")
SAFE: Json = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def ask(spec: Json, document: Json, *, rule: str = "r", extra: list[Json] | None = None) -> Outcome:
    check = compile_check(spec, rule=rule, message=None, path=PATH)
    request = Request(operation="CREATE", kind=kind_of(document), object=document)
    return check(Scope(request), compile_exclusions(extra, path="spec.podSecurity"))


def pod(*containers: Json, annotations: Json | None = None, **spec: Any) -> Json:
    metadata = {"name": "p", **({"annotations": annotations} if annotations else {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": list(containers), **spec}}


def container(name: str = "c", image: str = "nginx:1.25", **security: Any) -> Json:
    return {"name": name, "image": image, "securityContext": {**SAFE, **security}}


def answer(case: Case) -> Json:
    rule = case["rule"]
    try:
        outcome = ask(rule["validate"]["podSecurity"], case["pod"], rule=rule["name"])
    except InvalidPolicy as fault:
        return {"result": "invalid", "text": str(fault)}
    got: Json = {"result": str(outcome.status), "text": outcome.message}
    if outcome.properties:
        got["properties"] = dict(outcome.properties)
    return got


def unordered(answer: Json) -> Json:
    """The answer with everything whose order varies as sorted lists."""
    properties = dict(answer.get("properties") or {})
    if properties:
        properties["controls"] = sorted(properties["controls"].split(","))
        properties["controlsJSON"] = sorted(json.loads(properties["controlsJSON"]), key=lambda control: str(control["ID"]))
    head, _, groups = answer["text"].partition(": (Forbidden")
    return {**answer, "text": [head, *sorted(GROUP.findall(f"(Forbidden{groups}"))], "properties": properties}


def difference(case: Case) -> str | None:
    got = answer(case)
    wanted: Json = {key: case[key] for key in ("result", "text", "properties") if key in case}
    if "properties" not in wanted:
        got.pop("properties", None)  # recordings whose properties varied between runs have none
    if case.get("anyOrder"):
        got, wanted = unordered(got), unordered(wanted)
    return None if got == wanted else f"wanted {wanted}, got {got}"


def test_recorded_answers() -> None:
    score("podsecurity", cases("podsecurity"), difference)


def test_a_plain_pod_passes_baseline_and_not_restricted() -> None:
    plain = pod({"name": "c", "image": "nginx"})
    assert ask({"level": "baseline"}, plain).message == "Validation rule 'r' passed."
    assert ask({"level": "restricted"}, plain).status is Status.FAIL


@pytest.mark.parametrize(
    ("kind", "steps"),
    [
        ("Deployment", ["spec", "template"]),
        ("Job", ["spec", "template"]),
        ("CronJob", ["spec", "jobTemplate", "spec", "template"]),
    ],
)
def test_a_controller_is_judged_by_its_template(kind: str, steps: list[str]) -> None:
    document: Json = {"spec": {"hostNetwork": True, "containers": [container()]}}
    for step in reversed(steps):
        document = {step: document}
    outcome = ask({"level": "baseline", "version": "latest"}, {"apiVersion": "v1", "kind": kind, **document})
    assert f"[{'.'.join(steps)}.spec.hostNetwork is forbidden, forbidden values found: true]" in outcome.message


def test_other_kinds_are_an_error() -> None:
    with pytest.raises(EvaluationError, match="not `Service`"):
        ask({"level": "baseline"}, {"apiVersion": "v1", "kind": "Service", "spec": {}})


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (pod("c"), "spec.containers[0]"),  # type: ignore[arg-type]
        (pod(container(), securityContext=[]), "spec.securityContext"),
        (pod(container(), volumes={}), "spec.volumes"),
        (pod({"name": "c", "ports": [1]}), "spec.containers[0].ports[0]"),
        (pod({"name": "c", "securityContext": "x"}), "spec.containers[0].securityContext"),
    ],
)
def test_a_malformed_pod_is_an_error_with_its_path(document: Json, path: str) -> None:
    with pytest.raises(EvaluationError, match=re.escape(f"{path}: must be a ")):
        ask({"level": "restricted"}, document)


def test_absent_and_null_fields_are_the_same() -> None:
    empty = pod(container(privileged=None, procMount=None), volumes=None, securityContext=None, initContainers=None)
    assert ask({"level": "restricted"}, empty).status is Status.PASS


@pytest.mark.parametrize(
    ("version", "name", "allowed"),
    [
        ("v1.26", "net.ipv4.ip_local_reserved_ports", False),
        ("v1.27", "net.ipv4.ip_local_reserved_ports", True),
        ("v1.28", "net.ipv4.tcp_keepalive_time", False),
        ("v1.29", "net.ipv4.tcp_keepalive_time", True),
        ("v1.31", "net.ipv4.tcp_wmem", False),
        ("v1.32", "net.ipv4.tcp_wmem", True),
        ("latest", "net.ipv4.tcp_wmem", True),
    ],
)
def test_sysctls_became_safe_with_versions(version: str, name: str, allowed: bool) -> None:
    document = pod(container(), securityContext={"sysctls": [{"name": name, "value": "1"}]})
    assert (ask({"level": "baseline", "version": version}, document).status is Status.PASS) == allowed


@pytest.mark.parametrize(("version", "allowed"), [("v1.24", False), ("v1.25", True), ("latest", True)])
def test_windows_pods_need_no_linux_fields_from_1_25(version: str, allowed: bool) -> None:
    document = pod({"name": "c", "image": "x", "securityContext": {"runAsNonRoot": True}}, os={"name": "windows"})
    assert (ask({"level": "restricted", "version": version}, document).status is Status.PASS) == allowed


def test_wrong_seccomp_profiles_hide_missing_ones() -> None:
    document = pod(
        {"name": "a", "image": "x", "securityContext": {**SAFE, "seccompProfile": None}},
        container("b", seccompProfile={"type": "x"}),
    )
    message = ask({"level": "restricted"}, document).message
    assert "spec.containers[1].securityContext.seccompProfile.type is forbidden" in message
    assert "spec.containers[0]" not in message


def test_several_apparmor_profiles_are_named_in_the_plural() -> None:
    document = pod(container("a", appArmorProfile={"type": "X"}), container("b", appArmorProfile={"type": "Y"}))
    assert "(Forbidden reason: forbidden AppArmor profiles, " in ask({"level": "baseline"}, document).message


def test_an_exclusion_with_images_forgives_only_these_containers() -> None:
    document = pod(container("a", "ghcr.io/acme/a", privileged=True), container("b", "redis", privileged=True))
    outcome = ask({"level": "baseline", "exclude": [{"controlName": "Privileged Containers", "images": ["ghcr.io/*"]}]}, document)
    assert "[spec.containers[1].securityContext.privileged is forbidden, forbidden values found: true]" in outcome.message


def test_an_exclusion_of_values_needs_every_forbidden_value_among_them() -> None:
    field = "spec.containers[*].securityContext.capabilities.add"
    spec = {
        "level": "baseline",
        "exclude": [{"controlName": "Capabilities", "images": ["*"], "restrictedField": field, "values": ["NET_*"]}],
    }
    assert ask(spec, pod(container(capabilities={"add": ["NET_RAW", "NET_ADMIN"]}))).status is Status.PASS
    assert ask(spec, pod(container(capabilities={"add": ["NET_RAW", "SYS_TIME"]}))).status is Status.FAIL


def test_an_annotation_is_excluded_by_a_pattern_of_its_key() -> None:
    prefix = "container.apparmor.security.beta.kubernetes.io"
    field = f'metadata.annotations["{prefix}/*"]'
    spec = {"level": "baseline", "exclude": [{"controlName": "AppArmor", "restrictedField": field, "values": ["unconfined"]}]}
    assert ask(spec, pod(container(), annotations={f"{prefix}/c": "unconfined"})).status is Status.PASS
    assert ask(spec, pod(container(), annotations={f"{prefix}/c": "other"})).status is Status.FAIL


def test_exclusions_of_one_request_come_on_top_of_the_rule() -> None:
    document = pod(container(privileged=True), hostPID=True)
    spec = {"level": "baseline", "exclude": [{"controlName": "Host Namespaces"}]}
    assert ask(spec, document).status is Status.FAIL
    assert ask(spec, document, extra=[{"controlName": "Privileged Containers", "images": ["*"]}]).status is Status.PASS


def test_properties_name_controls_and_images() -> None:
    outcome = ask({"level": "baseline", "version": "v1.29"}, pod(container(privileged=True), container("b", privileged=True)))
    assert outcome.properties == {
        "standard": "baseline",
        "version": "v1.29",
        "controls": "privileged",
        "controlsJSON": '[{"ID":"privileged","Name":"Privileged Containers","Images":["docker.io/nginx:1.25"]}]',
    }


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ([{"controlName": "Seccomp", "restrictedField": "x"}], "spec.podSecurity[0].values: Forbidden: values is required"),
        (
            [{"controlName": "Seccomp", "values": ["x"]}],
            "spec.podSecurity[0].restrictedField: Forbidden: restrictedField is required",
        ),
        ([{"controlName": "Seccomp", "images": "x"}], "spec.podSecurity[0].images: must be a list of strings"),
        (["Seccomp"], "spec.podSecurity[0]: must be a map"),
        ({}, "spec.podSecurity: must be a list"),
    ],
)
def test_invalid_exclusions_are_named_by_path(entries: Any, text: str) -> None:
    with pytest.raises(InvalidPolicy) as fault:
        compile_exclusions(entries, path="spec.podSecurity")
    assert str(fault.value) == text


def test_the_pod_is_not_changed() -> None:
    document = pod(container(privileged=True), hostPID=True)
    before = copy.deepcopy(document)
    ask({"level": "restricted", "exclude": [{"controlName": "Seccomp"}]}, document)
    assert document == before
