"""The predefined variables of a request: request, serviceAccountName, serviceAccountNamespace, images (spec 2.10)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from engine.errors import EvaluationError
from engine.lang.errors import ExpressionError
from engine.lang.image_ref import InvalidImage, parse_image
from engine.lang.jmes import Expression, UnknownKey
from engine.request import Request
from engine.scope import Loader, Scope

POD_LISTS = ("initContainers", "containers", "ephemeralContainers")
POD_SPECS: dict[str, tuple[str, ...]] = {
    "Pod": ("spec",),
    **dict.fromkeys(
        ("DaemonSet", "Deployment", "Job", "ReplicaSet", "ReplicationController", "StatefulSet"), ("spec", "template", "spec")
    ),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
}
"""Where the pod spec of a kind stands: the kinds whose images are known without an extractor."""

_SERVICE_ACCOUNT = "system:serviceaccount:"


class Extractor:
    """One compiled entry of a rule's `imageExtractors`: where to find images in a kind, and how to call them."""

    __slots__ = ("expression", "group", "key", "steps", "value")

    def __init__(self, *, group: str, steps: tuple[str, ...], value: str, key: str, expression: Expression | None) -> None:
        self.group = group
        self.steps = steps
        self.value = value
        self.key = key
        self.expression = expression


def bind_request(scope: Scope) -> None:
    """Binds the predefined variables that this request has; those it has not stay unknown keys."""
    request = scope.request
    if request.document:
        scope.bind("request", request.document)
    else:
        scope.bind_lazily("request", lambda inner: request_document(inner.request))
    if request.user is not None:
        namespace, name = service_account(request.user.username)
        scope.bind("serviceAccountName", name)
        scope.bind("serviceAccountNamespace", namespace)
    if _pod_spec(request) is not None:
        scope.bind_lazily("images", _pod_images)
    if request.variables:
        _bind_given(scope, request.variables)


def with_rule_variables(scope: Scope, rule: str) -> Scope:
    """`scope`, or a child of it where the request brings variables for the written rule of that name."""
    given = scope.request.rule_variables.get(rule)
    if not given:
        return scope
    inner = scope.child()
    _bind_given(inner, given)
    return inner


def _bind_given(scope: Scope, variables: Mapping[str, Any]) -> None:
    for name, value in variables.items():
        if isinstance(value, dict):
            scope.bind_lazily(name, _merged_over(_below(scope, name), value))
        else:
            scope.loaders.pop(name, None)
            scope.bind(name, value)


def _below(scope: Scope, name: str) -> Loader:
    """What `name` shows in `scope` as it is bound now."""
    before = Scope(scope.request, facts=scope.facts, parent=scope.parent)
    if name in scope.values:
        before.bind(name, scope.values[name])
    elif name in scope.loaders:
        before.bind_lazily(name, scope.loaders[name])
    return lambda _: before.field(name)


def _merged_over(below: Loader, value: dict[str, Any]) -> Loader:
    def load(scope: Scope) -> Any:
        try:
            base = below(scope)
        except UnknownKey:
            return value
        return _merged(base, value)

    return load


def _merged(base: Any, value: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(value, dict)):
        return value
    return {**base, **{key: _merged(base.get(key), member) for key, member in value.items()}}


def request_document(request: Request) -> dict[str, Any]:
    """What `{{ request }}` shows of a request that came without an AdmissionRequest."""
    document: dict[str, Any] = {"operation": request.operation}
    optional: dict[str, Any] = {
        "namespace": request.namespace,
        "name": request.name,
        "object": request.object,
        "oldObject": request.old_object,
    }
    document.update({key: value for key, value in optional.items() if value})
    if request.user is not None:
        document["userInfo"] = {"username": request.user.username, "groups": list(request.user.groups)}
        document["roles"] = list(request.user.roles) or None
        document["clusterRoles"] = list(request.user.cluster_roles) or None
    return document


def service_account(username: str) -> tuple[str, str]:
    """Namespace and name of a service account's user name; two empty texts for anybody else."""
    if not username.startswith(_SERVICE_ACCOUNT):
        return "", ""
    namespace, colon, name = username[len(_SERVICE_ACCOUNT) :].partition(":")
    return (namespace, name) if colon else ("", "")


def _pod_spec(request: Request) -> Mapping[str, Any] | None:
    """The pod spec of the request's object if it may hold images."""
    steps = POD_SPECS.get(request.kind.kind)
    if steps is None:
        return None
    value: Any = request.subject
    for step in steps:
        if not isinstance(value, dict):
            return None
        value = value.get(step)
    if not isinstance(value, dict) or not any(value.get(name) for name in POD_LISTS):
        return None
    return value


def _pod_images(scope: Scope) -> dict[str, Any]:
    spec = _pod_spec(scope.request) or {}
    pointer = "/" + "/".join(POD_SPECS[scope.request.kind.kind])
    images: dict[str, Any] = {}
    for name in POD_LISTS:
        group = {}
        containers = spec.get(name)
        for index, container in enumerate(containers if isinstance(containers, list) else []):
            image = container.get("image") if isinstance(container, dict) else None
            if isinstance(image, str) and image:
                group[str(container.get("name", index))] = image_info(image, f"{pointer}/{name}/{index}/image")
        if group:
            images[name] = group
    return images


def image_info(image: str, pointer: str) -> dict[str, str]:
    """What `images.<group>.<name>` shows of one image; raises `EvaluationError` for a text that is no image reference."""
    try:
        parsed = parse_image(image)
    except InvalidImage as error:
        raise EvaluationError(str(error)) from error
    info = {
        "registry": parsed.registry,
        "name": parsed.name,
        "path": parsed.path,
        "tag": parsed.tag,
        "digest": parsed.digest,
        "reference": parsed.reference,
        "referenceWithTag": parsed.reference_with_tag,
        "jsonPointer": pointer,
    }
    return {key: value for key, value in info.items() if value}


def extracted_images(extractors: tuple[Extractor, ...]) -> Callable[[Scope], dict[str, Any]]:
    """A loader for `images` by a rule's own extractors."""

    def load(scope: Scope) -> dict[str, Any]:
        images: dict[str, dict[str, Any]] = {}
        for extractor in extractors:
            group = images.setdefault(extractor.group, {})
            for holder, field, pointer in _found(scope.request.subject, extractor.steps, extractor.value):
                image = holder.get(field)
                if not isinstance(image, str) or not image:
                    continue
                key = holder.get(extractor.key) if extractor.key else pointer
                if extractor.expression is not None:
                    try:
                        image = extractor.expression(image)
                    except ExpressionError as error:
                        raise EvaluationError(f"failed to extract image at {pointer}: {error}") from error
                group[str(key)] = image_info(str(image), pointer)
        return {name: group for name, group in images.items() if group}

    return load


def _found(value: Any, steps: tuple[str, ...], field: str, pointer: str = "") -> Iterator[tuple[dict[str, Any], str, str]]:
    """(object, name of its image field, pointer to the image) for every place that the steps lead to."""
    if not steps:
        if field and isinstance(value, dict):
            yield value, field, f"{pointer}/{field}"
        return
    step, rest = steps[0], steps[1:]
    if step == "*":
        members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for name, member in members:
            yield from _found(member, rest, field, f"{pointer}/{name}")
    elif isinstance(value, dict) and step in value:
        if not rest and not field:
            yield value, step, f"{pointer}/{step}"
        else:
            yield from _found(value[step], rest, field, f"{pointer}/{step}")
