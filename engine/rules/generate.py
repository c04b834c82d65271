"""generate: the objects that a trigger wants to exist, from inline data or as copies of others (spec 2.8).

A check renders the objects and their labels; creating, comparing and deleting them is the shell's work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from engine.clauses.conditions import compile_conditions
from engine.clauses.context import compile_context
from engine.clauses.template import Template, compile_template
from engine.errors import EvaluationError, InvalidPolicy, LookupFailed, Unknown
from engine.facts import Lookup, resource, resources
from engine.lang.selector import InvalidSelector, Selector, compile_selector
from engine.policy import Check, PolicyIdentity
from engine.request import Object, Request, kind_of
from engine.result import Outcome, Status
from engine.rules.foreach import bind_element, compile_elements
from engine.scope import Scope

Render = Callable[[Scope], list[Object]]

PREFIX = "generate.kyverno.io/"
MANAGED_BY = {"app.kubernetes.io/managed-by": "kyverno"}
_NOT_CLONED = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "selfLink", "generation")


def compile_check(spec: Any, *, rule: str, message: Template | None, path: str, policy: PolicyIdentity) -> Check:
    """Compiles the value of `generate`; the check passes with `generated` and without a message, as Kyverno's does.

    Raises `InvalidPolicy`. A clone source that does not exist is an error of the rule; the lookups are those of
    `facts.resource` and `facts.resources`. `message` is not used.
    """
    if spec.get("foreach"):
        parts: list[Render] = [_Foreach(entry, f"{path}.foreach[{index}]", policy) for index, entry in enumerate(spec["foreach"])]
    else:
        parts = [_compile_target(spec, path, policy)]

    def generate(scope: Scope) -> Outcome:
        labels = _labels(policy, rule, scope.request)
        documents = _together([partial(part, scope) for part in parts])
        return Outcome(Status.PASS, "", generated=tuple(_labelled(document, labels) for document in documents))

    return generate


class _Foreach:
    """One foreach entry: a target for every element that meets the preconditions."""

    def __init__(self, entry: Mapping[str, Any], path: str, policy: PolicyIdentity) -> None:
        self.elements = compile_elements(entry.get("list") or "", path=f"{path}.list")
        context, preconditions = entry.get("context"), entry.get("preconditions")
        self.context = compile_context(context, path=f"{path}.context", policy_namespace=policy.namespace) if context else None
        self.preconditions = (
            compile_conditions(preconditions, path=f"{path}.preconditions") if preconditions is not None else None
        )
        self.render = _compile_target(entry, path, policy)

    def __call__(self, scope: Scope) -> list[Object]:
        elements = enumerate(self.elements(scope))
        return _together([partial(self._of, scope, e, i) for i, e in elements if e is not None])

    def _of(self, scope: Scope, element: Any, index: int) -> list[Object]:
        inner = scope.child()
        bind_element(inner, element, index, 0)
        if self.context is not None:
            self.context(inner)
        if self.preconditions is not None and not self.preconditions(inner)[0]:
            return []
        return self.render(inner)


def _together(steps: list[Callable[[], list[Object]]]) -> list[Object]:
    """All steps' documents; what the steps do not know is asked for at once."""
    documents: list[Object] = []
    missing: set[Lookup] = set()
    for step in steps:
        try:
            documents += step()
        except Unknown as unknown:
            missing |= unknown.lookups
    if missing:
        raise Unknown(missing)
    return documents


def _compile_target(spec: Mapping[str, Any], path: str, policy: PolicyIdentity) -> Render:
    source = next((source for source in SOURCES if spec.get(source)), "data")
    return SOURCES[source](spec, path, policy)


class _Text:
    """A field of a target: a text with variables."""

    def __init__(self, value: Any, path: str, field: str) -> None:
        self.field = field
        self.template = compile_template(value or "", path=f"{path}.{field}", at=f"/generate/{field.replace('.', '/')}")

    def __call__(self, scope: Scope) -> str:
        value = self.template(scope)
        if not isinstance(value, str):
            raise EvaluationError(f"generate: {self.field} must be a string, got {type(value).__name__}")
        return value


class _Place:
    """What the target is called: apiVersion, kind, namespace, name."""

    def __init__(self, spec: Mapping[str, Any], path: str) -> None:
        self.fields = [_Text(spec.get(field), path, field) for field in ("apiVersion", "kind", "namespace", "name")]

    def __call__(self, scope: Scope) -> tuple[str, str, str, str]:
        api_version, kind, namespace, name = (field(scope) for field in self.fields)
        if not (api_version and kind and name):
            raise EvaluationError("generate: the target needs an apiVersion, a kind and a name")
        return api_version, kind, namespace, name


def _data(spec: Mapping[str, Any], path: str, policy: PolicyIdentity) -> Render:
    place = _Place(spec, path)
    data = compile_template(spec.get("data") or {}, path=f"{path}.data", at="/generate/data")

    def render(scope: Scope) -> list[Object]:
        api_version, kind, namespace, name = place(scope)
        body = data(scope)
        if not isinstance(body, dict):
            raise EvaluationError("generate: data must be a map")
        metadata = body.get("metadata")
        metadata = {**(metadata if isinstance(metadata, dict) else {}), "name": name}
        if namespace:
            metadata["namespace"] = namespace
        return [{**body, "apiVersion": api_version, "kind": kind, "metadata": metadata}]

    return render


def _clone(spec: Mapping[str, Any], path: str, policy: PolicyIdentity) -> Render:
    place = _Place(spec, path)
    source_namespace = _Text(spec["clone"].get("namespace") or policy.namespace, path, "clone.namespace")
    source_name = _Text(spec["clone"].get("name"), path, "clone.name")

    def render(scope: Scope) -> list[Object]:
        api_version, kind, namespace, name = place(scope)
        where, what = source_namespace(scope), source_name(scope)
        lookup = resource(api_version, kind, namespace=where, name=what, policy_namespace=policy.namespace)
        found = _looked_up(scope, lookup, f"clone source {api_version}/{kind} {where}/{what}")
        if found is None:
            raise EvaluationError(f"clone source {api_version}/{kind} {where}/{what} not found")
        return [_copy(found, namespace, name)]

    return render


def _clone_list(spec: Mapping[str, Any], path: str, policy: PolicyIdentity) -> Render:
    clone_list = spec["cloneList"]
    target_namespace = _Text(spec.get("namespace"), path, "namespace")
    source_namespace = _Text(clone_list.get("namespace") or policy.namespace, path, "cloneList.namespace")
    kinds = [_split_kind(kind, f"{path}.cloneList.kinds[{index}]") for index, kind in enumerate(clone_list["kinds"])]
    template = compile_template(
        clone_list.get("selector") or {}, path=f"{path}.cloneList.selector", at="/generate/cloneList/selector"
    )
    try:
        fixed = compile_selector(template.value) if template.constant else None
    except InvalidSelector as error:
        raise InvalidPolicy(f"{path}.cloneList.selector", str(error)) from error

    def render(scope: Scope) -> list[Object]:
        namespace, where, chosen = target_namespace(scope), source_namespace(scope), template(scope)
        selects = fixed or _selector(chosen)

        def copies(api_version: str, kind: str) -> list[Object]:
            lookup = resources(api_version, kind, namespace=where, selector=chosen, policy_namespace=policy.namespace)
            found = _looked_up(scope, lookup, f"clone sources {api_version}/{kind} in {where}") or ()
            selected = (one for one in found if selects((one.get("metadata") or {}).get("labels") or {}))
            return [_copy(one, namespace, str(one["metadata"]["name"])) for one in selected]

        return _together([partial(copies, api_version, kind) for api_version, kind in kinds])

    return render


def _selector(document: Any) -> Selector:
    try:
        return compile_selector(document)
    except InvalidSelector as error:
        raise EvaluationError(f"generate: cloneList.selector: {error}") from error


SOURCES: dict[str, Callable[[Mapping[str, Any], str, PolicyIdentity], Render]] = {
    "clone": _clone,
    "cloneList": _clone_list,
    "data": _data,
}


def _split_kind(text: str, path: str) -> tuple[str, str]:
    """apiVersion and kind of `v1/Secret` or `apps/v1/Deployment`."""
    api_version, _, kind = text.rpartition("/")
    if not (api_version and kind) or api_version.count("/") > 1:
        raise InvalidPolicy(path, f"`{text}` must be of the form group/version/kind or version/kind")
    return api_version, kind


def _looked_up(scope: Scope, lookup: Lookup, what: str) -> Any:
    try:
        return scope.fact(lookup)
    except LookupFailed as error:
        raise EvaluationError(f"failed to get {what}: {error.reason}") from error


def _copy(source: Object, namespace: str, name: str) -> Object:
    """The source under another name: without what the API server keeps, owners only where they can be (spec 2.8)."""
    metadata = {key: value for key, value in source["metadata"].items() if key not in _NOT_CLONED}
    from_namespace = metadata.pop("namespace", "")
    if from_namespace != namespace:
        metadata.pop("ownerReferences", None)
    group, version, kind = kind_of(source)
    own = {key: value for key, value in (metadata.get("labels") or {}).items() if not key.startswith(PREFIX)}
    labels = {
        **own,
        f"{PREFIX}source-uid": str(source["metadata"].get("uid") or ""),
        f"{PREFIX}source-namespace": from_namespace,
        f"{PREFIX}source-kind": kind,
        f"{PREFIX}source-version": version,
        f"{PREFIX}source-group": group,
    }
    metadata = {**metadata, "name": name, "labels": labels}
    if namespace:
        metadata["namespace"] = namespace
    return {**source, "metadata": metadata}


def _labels(policy: PolicyIdentity, rule: str, request: Request) -> Object:
    """Whose the downstream is: the policy's, the rule's and the trigger's."""
    subject = request.subject
    group, version, kind = kind_of(subject) if subject.get("kind") else request.kind
    metadata = subject.get("metadata") or {}
    within = metadata.get("namespace") or ("" if kind == "Namespace" else request.namespace)
    named = {
        "policy-name": policy.name,
        "policy-namespace": policy.namespace,
        "rule-name": rule,
        "trigger-uid": str(metadata.get("uid") or ""),
        "trigger-namespace": within,
        "trigger-kind": kind,
        "trigger-version": version,
        "trigger-group": group,
    }
    return {**MANAGED_BY, **{f"{PREFIX}{name}": value for name, value in named.items()}}


def _labelled(document: Object, labels: Object) -> Object:
    metadata = document["metadata"]
    return {**document, "metadata": {**metadata, "labels": {**(metadata.get("labels") or {}), **labels}}}
