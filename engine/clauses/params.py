"""Parameter objects of admission policies: which objects a paramKind and a paramRef mean for a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.errors import EvaluationError, InvalidPolicy
from engine.facts import resource, resources
from engine.lang.selector import InvalidSelector, Selector, compile_selector
from engine.scope import Scope

Load = Callable[[Scope], list[Any]]


def compile_params(
    kind: Mapping[str, Any], reference: Mapping[str, Any], *, path: str, missing: str, policy_namespace: str = ""
) -> Load:
    """The parameter objects of a request; `path` is that of the paramRef.

    Without a namespace in `reference` they are looked for in the request's. Where there are none and parameterNotFoundAction
    is not Allow, loading raises `EvaluationError(missing)`. Raises `InvalidPolicy`.
    """
    api_version, name_of_kind = str(kind.get("apiVersion") or ""), str(kind.get("kind") or "")
    name = str(reference.get("name") or "")
    document = reference.get("selector")
    selector: Selector | None = None
    if bool(name) == (document is not None):
        raise InvalidPolicy(path, "exactly one of name and selector must be specified")
    if document is not None:
        try:
            selector = compile_selector(document)
        except InvalidSelector as error:
            raise InvalidPolicy(f"{path}.selector", str(error)) from error
    deny = reference.get("parameterNotFoundAction", "Deny") != "Allow"

    def load(scope: Scope) -> list[Any]:
        namespace = str(reference.get("namespace") or scope.request.namespace or "")
        found: list[Any]
        if selector is None:
            lookup = resource(api_version, name_of_kind, namespace=namespace, name=name, policy_namespace=policy_namespace)
            one = scope.fact(lookup)
            found = [] if one is None else [one]
        else:
            lookup = resources(
                api_version, name_of_kind, namespace=namespace, selector=document, policy_namespace=policy_namespace
            )
            found = [one for one in scope.fact(lookup) or () if selector((one.get("metadata") or {}).get("labels") or {})]
        if not found and deny:
            raise EvaluationError(missing)
        return found

    return load
