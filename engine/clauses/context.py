"""Context entries: named values of a rule, loaded when something asks for them (spec 2.10)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.clauses.pull_secrets import pull_secrets
from engine.clauses.template import Template, compile_template
from engine.clauses.url_path import url_path_problem
from engine.document.size import longer
from engine.errors import EvaluationError, InvalidPolicy, LookupFailed, NoContext
from engine.facts import Lookup, Source
from engine.held import Held
from engine.lang import go_json
from engine.lang.errors import ExpressionError, ExpressionSyntaxError, UnknownKey
from engine.lang.jmes import Document, Expression, compile_expression
from engine.scope import Loader, Scope

RESERVED = ("images", "request", "serviceAccountName", "serviceAccountNamespace", "element", "elementIndex")


@dataclass(frozen=True, slots=True)
class _Entry:
    """Where a context entry stands: what its compiler needs beside the body."""

    name: str
    path: str
    policy_namespace: str


def compile_context(entries: list[Any], *, path: str, policy_namespace: str = "") -> Callable[[Scope], None]:
    """Compiles context entries into a function that binds their names in a scope.

    An entry sees the entries before it, never itself or a later one: a later entry of the same name may use the earlier.
    Entries from outside are not bound where the request gives their name, and are missed (`Scope.missed`) by those who read
    them where their source is absent (`Facts.absent`). Raises `InvalidPolicy`; loading raises `EvaluationError`, or `Unknown`
    while data from outside is missing.
    """
    loaders = [_compile_entry(entry, f"{path}[{index}]", policy_namespace) for index, entry in enumerate(entries)]

    def bind(scope: Scope) -> None:
        seen = Scope(scope.request, facts=scope.facts, parent=scope.parent)
        seen.values.update(scope.values)
        seen.loaders.update(scope.loaders)
        for name, source, loader in loaders:
            if source is not None and scope.request.gives(name):
                continue
            if source is not None and source in scope.facts.absent:
                loader = _absent(name)
            before, seen = seen, seen.child()
            seen.bind_lazily(name, _from(before, loader))
            scope.bind_lazily(name, _read(seen, name))

    return bind


def _absent(name: str) -> Loader:
    """The loader of an entry that nothing here can answer. `||` may go on without it, the rule will not pass (evaluate.py)."""

    def load(scope: Scope) -> Any:
        scope.missed.append(name)
        raise UnknownKey(name)

    return load


def _from(scope: Scope, loader: Loader) -> Loader:
    return lambda _: loader(scope)


def _read(scope: Scope, name: str) -> Loader:
    return lambda _: scope.field(name)


def _compile_entry(entry: Mapping[str, Any], path: str, policy_namespace: str) -> tuple[str, Source | None, Loader]:
    name = entry.get("name")
    if not name or not isinstance(name, str):
        raise InvalidPolicy(path, "a name is required for context entries")
    for reserved in RESERVED:
        if name == reserved or name.startswith(f"{reserved}."):
            raise InvalidPolicy(path, f"entry name {name} is invalid as it conflicts with a pre-defined variable {reserved}")
    kinds = [kind for kind in SOURCES if entry.get(kind) is not None]
    if len(kinds) != 1:
        raise InvalidPolicy(path, f"exactly one of {', '.join(SOURCES)} is required for context entry {name}")
    (kind,) = kinds
    return name, _source(kind, entry[kind]), SOURCES[kind](entry[kind], _Entry(name, f"{path}.{kind}", policy_namespace))


def _source(kind: str, body: Mapping[str, Any]) -> Source | None:
    """Where the entry's data comes from; None for entries that need nothing from outside."""
    return "service" if kind == "apiCall" and body.get("service") else _FACT_SOURCES.get(kind)


def _variable(body: Mapping[str, Any], entry: _Entry) -> Loader:
    if body.get("value") is None and not body.get("jmesPath"):
        raise InvalidPolicy(entry.path, "a variable must define a value or a jmesPath expression")
    value = _Text(body["value"], entry, "value") if body.get("value") is not None else None
    query = _query(body, entry)
    default = _default(body, entry)
    grows = query is not None or (value is not None and not value.template.constant)

    def load(scope: Scope) -> Any:
        found = _found(scope)
        if grows and longer(found, scope.facts.max_size):
            raise EvaluationError(f"failed to add context entry for variable {entry.name}: context size limit exceeded")
        return found

    def _found(scope: Scope) -> Any:
        known = len(scope.missed)
        found = value(scope) if value is not None else None
        if query is not None:
            try:
                found = query(scope, found if value is not None else scope, found)
            except EvaluationError:
                if default is None:
                    raise
                return _instead(default, scope, known)
        if found is None:
            if default is None:
                raise EvaluationError(f"failed to add context entry for variable {entry.name} since it evaluated to nil")
            return _instead(default, scope, known)
        return found

    return load


def _config_map(body: Mapping[str, Any], entry: _Entry) -> Loader:
    if not body.get("name"):
        raise InvalidPolicy(entry.path, "a name is required for configMap context entry")
    name = _Text(body["name"], entry, "configMap.name")
    own = entry.policy_namespace
    namespace = _Text(body.get("namespace") or own or "default", entry, "configMap.namespace")
    if own and namespace.template.constant and namespace.template.value != own:
        raise InvalidPolicy(f"{entry.path}.namespace", f"a namespaced policy may only read its own namespace `{own}`")

    def load(scope: Scope) -> Any:
        where, what = namespace(scope), name(scope)
        if own and where != own:
            raise EvaluationError(
                f"context entry {entry.name}: a namespaced policy may only read its own namespace {own}, not {where}"
            )
        found = _looked_up(
            scope, Lookup("configMap", f"{where}/{what}", namespace=own), f"failed to get configmap {where}/{what}"
        )
        return {"data": found.get("data") or {}, "metadata": found.get("metadata") or {}}

    return load


def _api_call(body: Mapping[str, Any], entry: _Entry) -> Loader:
    service = body.get("service")
    if bool(service) == bool(body.get("urlPath")):
        raise InvalidPolicy(entry.path, "exactly one of urlPath and service is required for an API call")
    method = body.get("method") or "GET"
    if method not in ("GET", "POST"):
        raise InvalidPolicy(f"{entry.path}.method", f"unsupported method `{method}`")
    if body.get("data") and method != "POST":
        raise InvalidPolicy(entry.path, "data is only allowed with method POST")
    data = _Text({item["key"]: item.get("value") for item in body["data"]}, entry, "data") if body.get("data") else None
    query = _query(body, entry)
    default = _default(body, entry)
    if service:
        if not service.get("url"):
            raise InvalidPolicy(f"{entry.path}.service", "a url is required for a service call")
        target = _Text(service["url"], entry, "service.url")
        headers = _Text([[h["key"], h.get("value") or ""] for h in service.get("headers") or []], entry, "service.headers")
        ca_bundle = (("caBundle", str(service["caBundle"])),) if service.get("caBundle") else ()
    else:
        target, headers, ca_bundle = _Text(body["urlPath"], entry, "urlPath"), None, ()
        if target.template.constant:
            problem = url_path_problem(str(target.template.value), entry.policy_namespace)
            if problem:
                raise InvalidPolicy(f"{entry.path}.urlPath", problem)

    def fetch(scope: Scope) -> Any:
        key = str(target(scope))
        payload = go_json.dumps(data(scope)) if data is not None else ""
        if headers is None:
            problem = url_path_problem(key, entry.policy_namespace)
            if problem:
                raise EvaluationError(f"context entry {entry.name}: {problem}")
            lookup = Lookup("apiCall", key, method, payload, namespace=entry.policy_namespace)
        else:
            pairs = sorted((f"header:{name}", str(value)) for name, value in headers(scope))
            lookup = Lookup("service", key, method, payload, (*ca_bundle, *pairs), entry.policy_namespace)
        return _looked_up(scope, lookup, f"failed to fetch data for APICall context entry {entry.name}")

    return _called(entry.name, fetch, query, default)


def _global_reference(body: Mapping[str, Any], entry: _Entry) -> Loader:
    if not body.get("name"):
        raise InvalidPolicy(entry.path, "a name is required for a global reference")
    name = _Text(body["name"], entry, "globalReference.name")

    def fetch(scope: Scope) -> Any:
        key = str(name(scope))
        lookup = Lookup("globalReference", key, namespace=entry.policy_namespace)
        return _looked_up(scope, lookup, f"failed to fetch data for global reference {key}")

    return _called(entry.name, fetch, _query(body, entry), _default(body, entry))


def _image_registry(body: Mapping[str, Any], entry: _Entry) -> Loader:
    if not body.get("reference"):
        raise InvalidPolicy(entry.path, "a reference is required for imageRegistry context entry")
    reference = _Text(body["reference"], entry, "imageRegistry.reference")
    credentials = body.get("imageRegistryCredentials") or {}
    options = tuple(sorted((name, go_json.dumps(value)) for name, value in credentials.items()))

    def fetch(scope: Scope) -> Any:
        key = str(reference(scope))
        mine = pull_secrets(scope.request)
        named = (("pullSecrets", go_json.dumps(mine)),) if mine else ()
        lookup = Lookup("imageData", key, options=(*options, *named), namespace=entry.policy_namespace)
        return _looked_up(scope, lookup, f"failed to fetch image data for context entry {entry.name}")

    return _called(entry.name, fetch, _query(body, entry), None)


SOURCES: dict[str, Callable[[Mapping[str, Any], _Entry], Loader]] = {
    "variable": _variable,
    "configMap": _config_map,
    "apiCall": _api_call,
    "imageRegistry": _image_registry,
    "globalReference": _global_reference,
}
_FACT_SOURCES: dict[str, Source] = {
    "configMap": "configMap",
    "apiCall": "apiCall",
    "imageRegistry": "imageData",
    "globalReference": "globalReference",
}


def _called(
    name: str, fetch: Loader, query: Callable[[Scope, Any, Any], Any] | None, default: Callable[[Scope], Any] | None
) -> Loader:
    """Fetch, then the entry's jmesPath on what came; `default` answers for errors and null (spec 2.10).

    What is kept in memory (`Held`) has limits of its own; what else came may be as long as any variable.
    """

    def load(scope: Scope) -> Any:
        known = len(scope.missed)
        try:
            answer = found = fetch(scope)
            if query is not None:
                found = query(scope, answer, _OUTSIDE)
        except EvaluationError:
            if default is None:
                raise
            return _instead(default, scope, known)
        if found.__class__ is Held:
            found = found.value
        elif answer.__class__ is not Held and longer(found, scope.facts.max_size):
            raise EvaluationError(f"failed to add context entry {name}: context size limit exceeded")
        return default(scope) if found is None and default is not None else found

    return load


class _Text:
    """A JSON value of an entry with variables; what cannot be resolved names the entry."""

    __slots__ = ("label", "template", "written")

    def __init__(self, value: Any, entry: _Entry, field: str) -> None:
        self.template: Template = compile_template(value, path=f"{entry.path}.{field.rpartition('.')[2]}")
        self.label = entry.name
        self.written = value if isinstance(value, str) else go_json.dumps(value)

    def __call__(self, scope: Scope) -> Any:
        try:
            return self.template(scope)
        except EvaluationError as error:
            raise EvaluationError(
                f"failed to substitute variables in context entry {self.label} {self.written}: {error}"
            ) from error


def _instead(default: Callable[[Scope], Any], scope: Scope, known: int) -> Any:
    """The entry's `default`: its author said what holds where there is nothing, so nothing is missed (`known`: before it)."""
    del scope.missed[known:]
    return default(scope)


def _default(body: Mapping[str, Any], entry: _Entry) -> _Text | None:
    return _Text(body["default"], entry, "default") if body.get("default") is not None else None


def _query(body: Mapping[str, Any], entry: _Entry) -> Callable[[Scope, Any, Any], Any] | None:
    """The entry's jmesPath as a function of (scope, what it reads, what the error shows); None without one."""
    written = body.get("jmesPath")
    if not written:
        return None
    text = _Text(written, entry, "jmesPath")
    fixed = None
    if text.template.constant:
        try:
            fixed = compile_expression(text.template.value)
        except ExpressionSyntaxError as error:
            raise InvalidPolicy(f"{entry.path}.jmesPath", f"failed to parse JMESPath {written}: {error.reason}") from error

    def query(scope: Scope, value: Any, shown: Any) -> Any:
        try:
            expression = fixed if fixed is not None else compile_expression(str(text(scope)))
            return _searched(expression, value, scope)
        except ExpressionSyntaxError as error:
            raise EvaluationError(f"failed to parse JMESPath {written}: {error.reason}") from error
        except ExpressionError as error:
            if shown is _OUTSIDE:
                why = f"failed to apply JMESPath {written} for context entry {entry.name}: {error.discreet}"
                raise EvaluationError(why) from error
            of = "<nil>" if shown is None else go_json.dumps(shown)
            raise EvaluationError(
                f"failed to apply jmespath {written} to variable {of}: JMESPath query failed: {error}"
            ) from error

    return query


_OUTSIDE = object()
"""Stands for a value that messages do not show: megabytes, or what who reads the message may not see."""


def _searched(expression: Expression, value: Any, scope: Scope) -> Any:
    """The expression on a Root, a plain value or one that is kept; the time is the request's."""
    kept = value.__class__ is Held
    if kept and expression.steady:
        return value.searched(expression)
    if isinstance(value, Scope):
        return expression(value)
    return expression(Document(value.value if kept else value, now=scope.request.now, seed=scope.request.seed))


def _looked_up(scope: Scope, lookup: Lookup, failure: str) -> Any:
    try:
        return scope.held(lookup)
    except LookupFailed as error:
        raise NoContext(f"{failure}: {error.reason}") from error
