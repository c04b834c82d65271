"""`apply --generate-exceptions`: a PolicyException for every failure, so that what is there may stay for a while."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from cli.evaluation import Answer
from cli.outcome import status_of
from cli.render import KYVERNO_KINDS
from cli.resources import name_of, namespace_of
from engine import Object, Policy, Result, Rule, Status, kind_of

API_VERSION = "kyverno.io/v2beta1"
TTL_LABEL = "cleanup.kyverno.io/ttl"
LONGEST_NAME = 253
_UNFIT = re.compile(r"[^a-z0-9.-]+")


def generated_exceptions(answers: Iterable[Answer], ttl: str) -> Iterator[Object]:
    """One exception for each object and written rule that fails; the cleanup operator deletes it after `ttl` (`720h`).

    It names the written rule and all that autogen made of it, and the object by kind, namespace and name. Of native admission
    policies, which know no exceptions, there is none.
    """
    seen: set[str] = set()
    names: set[tuple[str, str]] = set()
    for answer in answers:
        if answer.policy.identity.kind not in KYVERNO_KINDS:
            continue
        for result in answer.results:
            if status_of(answer.policy, result) is Status.FAIL:
                exception = _exception(answer.policy, result, answer.object, ttl)
                key = json.dumps(exception["spec"], sort_keys=True)
                if key not in seen:
                    seen.add(key)
                    metadata = exception["metadata"]
                    if (namespace_of(answer.object), metadata["name"]) in names:  # a Pod and a Deployment of one name
                        metadata["name"] = _named(metadata["name"], kind_of(answer.object).kind)
                    names.add((namespace_of(answer.object), metadata["name"]))
                    yield exception


def _exception(policy: Policy, result: Result, object_: Object, ttl: str) -> Object:
    written = _written(result.rule)
    name, namespace, gvk = name_of(object_), namespace_of(object_), kind_of(object_)
    resources: dict[str, Any] = {"kinds": ["/".join(gvk) if gvk.group else gvk.kind], "names": [name]}
    metadata: dict[str, Any] = {"name": _named(policy.identity.name, written, namespace, name), "labels": {TTL_LABEL: ttl}}
    if namespace:
        resources["namespaces"] = [namespace]
        metadata["namespace"] = namespace
    rules = [rule.name for rule in policy.rules if _written(rule) == written]
    spec: dict[str, Any] = {
        "exceptions": [{"policyName": policy.identity.key, "ruleNames": rules}],
        "match": {"any": [{"resources": resources}]},
    }
    controls = [_control(control, object_) for control in json.loads(result.properties.get("controlsJSON") or "[]")]
    if controls:
        spec["podSecurity"] = controls
    return {"apiVersion": API_VERSION, "kind": "PolicyException", "metadata": metadata, "spec": spec}


def _written(rule: Rule) -> str:
    return rule.origin or rule.name


def _control(control: dict[str, Any], object_: Object) -> dict[str, Any]:
    """The control as exceptions name it. Results tell full image names, exceptions are compared with what the object says."""
    full = control.get("Images")
    if not full:
        return {"controlName": control["Name"]}
    written = [image for image in _images(object_) if any(_is_short_for(image, name) for name in full)]
    return {"controlName": control["Name"], "images": list(dict.fromkeys(written)) or full}


def _images(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, member in value.items():
            if key == "image" and isinstance(member, str):
                yield member
            else:
                yield from _images(member)
    elif isinstance(value, list):
        for member in value:
            yield from _images(member)


def _is_short_for(image: str, full: str) -> bool:
    """`nginx` for `docker.io/nginx:latest`: without the usual registry, tag, or both."""
    return any(text == full or f"docker.io/{text}" == full for text in (image, f"{image}:latest"))


def _named(*parts: str) -> str:
    """`policy-rule-namespace-name` as an object may be called."""
    return _UNFIT.sub("-", "-".join(filter(None, parts)).lower())[:LONGEST_NAME].strip(".-")
