"""CEL as the API server's admission policies speak it: the environment, and where its variables come from (spec 2.6).

`object`, `oldObject`, `request`, `namespaceObject`, `authorizer`, `params` and `variables.<name>` are read lazily from a
`Scope`; whatever an expression does not name is never asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.errors import InvalidPolicy
from engine.facts import Lookup, resource
from engine.lang import go_json
from engine.lang.cel import DYN, CelError, Environment, Program, Struct, located
from engine.lang.cel.library.authorizer import AUTHORIZER, RESOURCE_CHECK, Access, Authorizer, Decision, ResourceCheck
from engine.lang.errors import ExpressionError, ExpressionSyntaxError, UnknownKey
from engine.request import Request, User
from engine.scope import Scope

REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"

_KIND = Struct("kubernetes.GroupVersionKind", {"group": "string", "version": "string", "kind": "string"})
_RESOURCE = Struct("kubernetes.GroupVersionResource", {"group": "string", "version": "string", "resource": "string"})
_USER = Struct("kubernetes.UserInfo", {"username": "string", "uid": "string", "groups": "list", "extra": "map"})
_REQUEST = Struct(
    "kubernetes.AdmissionRequest",
    {
        "uid": "string",
        "kind": _KIND,
        "resource": _RESOURCE,
        "subResource": "string",
        "requestKind": _KIND,
        "requestResource": _RESOURCE,
        "requestSubResource": "string",
        "name": "string",
        "namespace": "string",
        "operation": "string",
        "userInfo": _USER,
        "dryRun": "bool",
        "options": DYN,
    },
)

ENVIRONMENT = Environment(
    {
        "object": DYN,
        "oldObject": DYN,
        "request": _REQUEST,
        "namespaceObject": DYN,
        "authorizer": AUTHORIZER,
        "authorizer.requestResource": RESOURCE_CHECK,
    }
)
"""What every admission expression may use."""

WITH_PARAMS = ENVIRONMENT.extended({"params": DYN})
"""The same where the policy has a parameter kind."""


def compile_cel(text: Any, environment: Environment, *, path: str, kinds: Sequence[str] = ()) -> Program:
    """The program of an expression. Raises `InvalidPolicy` at `path`; `kinds` are the types its value may have."""
    if not isinstance(text, str) or not text.strip():
        raise InvalidPolicy(path, "Required value: expression is not specified")
    try:
        program = environment.compile(text)
    except ExpressionSyntaxError as error:
        raise InvalidPolicy(path, f"Invalid value: compilation failed: {located(error)}") from error
    if kinds and program.result_kind not in (*kinds, DYN):
        raise InvalidPolicy(path, f"Invalid value: must evaluate to {' or '.join(kinds)}")
    return program


class Variables:
    """Composed variables (`variables.<name>`), each compiled with those before it. `environment` knows them all."""

    __slots__ = ("environment", "programs")

    def __init__(self, entries: Sequence[Mapping[str, Any]], environment: Environment, *, path: str) -> None:
        self.programs: dict[str, Program] = {}
        self.environment = environment.extended({"variables": Struct("kubernetes.variables")})
        for index, entry in enumerate(entries):
            where = f"{path}[{index}]"
            name = entry.get("name")
            if not isinstance(name, str) or not name.isidentifier():
                raise InvalidPolicy(f"{where}.name", f"Invalid value: `{name}`: name is not a valid CEL identifier")
            if name in self.programs:
                raise InvalidPolicy(f"{where}.name", f"Duplicate value: `{name}`")
            program = compile_cel(entry.get("expression"), self.environment, path=f"{where}.expression")
            self.programs[name] = program
            known = {known: other.result_kind for known, other in self.programs.items()}
            composed = Struct("kubernetes.variables", {**known})
            self.environment = self.environment.extended({"variables": composed, f"variables.{name}": program.result_kind})


class Bindings:
    """The variables of one evaluation, read from `scope`. Composed variables are evaluated once, when first read."""

    __slots__ = ("known", "params", "scope", "variables")

    def __init__(self, scope: Scope, *, variables: Variables | None = None, params: Any = None) -> None:
        self.scope = scope
        self.variables = variables
        self.params = params
        self.known: dict[str, Any] = {}

    def field(self, name: str) -> Any:
        """The value of a root variable."""
        if name == "object":
            return self.scope.request.object
        if name in self.known:
            return self.known[name]
        loader = _LOADERS.get(name)
        value = self.known[name] = self.composed(name) if loader is None else loader(self)
        return value

    def composed(self, name: str) -> Any:
        """The value of `variables.<name>`."""
        short = name.removeprefix("variables.")
        program = self.variables.programs.get(short) if self.variables is not None else None
        if program is None:
            raise UnknownKey(name)
        try:
            return program(self)
        except CelError as error:
            raise CelError(f'composited variable "{short}" fails to evaluate: {error}') from None

    def all_composed(self) -> dict[str, Any]:
        """`variables` as a map."""
        programs = self.variables.programs if self.variables is not None else {}
        return {name: self.field(f"variables.{name}") for name in programs}


def _request(bindings: Bindings) -> dict[str, Any]:
    return request_view(bindings.scope.request)


def request_view(request: Request) -> dict[str, Any]:
    """`request` as expressions see it: the AdmissionRequest without its objects, made up where none came."""
    kind = request.kind._asdict()
    view: dict[str, Any] = {"kind": kind, "requestKind": kind, "operation": request.operation}
    view["userInfo"] = _user_info(request.user)
    if request.resource is not None:
        view["resource"] = view["requestResource"] = request.resource._asdict()
    optional = {
        "uid": request.uid,
        "name": request.name,
        "namespace": request.namespace,
        "subResource": request.subresource,
        "requestSubResource": request.subresource,
    }
    view.update({name: value for name, value in optional.items() if value})
    view["dryRun"] = request.dry_run
    view.update({name: value for name, value in request.document.items() if name in _REQUEST.fields and value is not None})
    return view


def _user_info(user: User | None) -> dict[str, Any]:
    return {} if user is None else {"username": user.username, "groups": list(user.groups)}


def _namespace_object(bindings: Bindings) -> Any:
    request = bindings.scope.request
    namespace = request.namespace
    if not namespace or (request.kind.group == "" and request.kind.kind == "Namespace"):
        return None
    if "resource" not in bindings.scope.facts.absent:
        found = bindings.scope.fact(resource("v1", "Namespace", namespace="", name=namespace))
        if found is not None:
            return found
    # without a cluster a namespace is what is known of it: its name, and the labels that a values file gives
    metadata: dict[str, Any] = {"name": namespace}
    if request.namespace_labels:
        metadata["labels"] = dict(request.namespace_labels)
    return {"metadata": metadata}


def _authorizer(bindings: Bindings) -> Authorizer:
    return Authorizer(_decider(bindings.scope))


def _request_resource(bindings: Bindings) -> ResourceCheck:
    request = bindings.scope.request
    resource_of = request.resource
    access = Access(
        group=request.kind.group,
        resource=resource_of.resource if resource_of is not None else "",
        subresource=request.subresource,
        namespace=request.namespace,
        name=request.name,
    )
    return ResourceCheck(_decider(bindings.scope), access)


def _decider(scope: Scope) -> Callable[[Access], Decision]:
    def decide(access: Access) -> Decision:
        review = access_review(access, request_view(scope.request)["userInfo"])
        status = scope.fact(Lookup("apiCall", REVIEWS, "POST", go_json.dumps(review))).get("status") or {}
        return Decision(bool(status.get("allowed")), str(status.get("reason") or ""), str(status.get("evaluationError") or ""))

    return decide


def access_review(access: Access, user: Mapping[str, Any]) -> dict[str, Any]:
    """The SubjectAccessReview that asks the API server for a decision about `user` (userInfo) or a service account."""
    spec: dict[str, Any]
    if access.service_account is not None:
        namespace, name = access.service_account
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
        spec = {"user": f"system:serviceaccount:{namespace}:{name}", "groups": groups}
    else:
        shown = {"user": user.get("username"), "groups": user.get("groups"), "uid": user.get("uid"), "extra": user.get("extra")}
        spec = {name: value for name, value in shown.items() if value}
    if access.path:
        spec["nonResourceAttributes"] = {"path": access.path, "verb": access.verb}
    else:
        attributes = {
            "group": access.group,
            "resource": access.resource,
            "subresource": access.subresource,
            "namespace": access.namespace,
            "name": access.name,
            "verb": access.verb,
        }
        spec["resourceAttributes"] = {name: value for name, value in attributes.items() if value}
        selectors = {"fieldSelector": access.field_selector, "labelSelector": access.label_selector}
        spec["resourceAttributes"].update({name: {"rawSelector": value} for name, value in selectors.items() if value})
    return {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}


_LOADERS: dict[str, Callable[[Bindings], Any]] = {
    "oldObject": lambda bindings: bindings.scope.request.old_object,
    "request": _request,
    "namespaceObject": _namespace_object,
    "authorizer": _authorizer,
    "authorizer.requestResource": _request_resource,
    "params": lambda bindings: bindings.params,
    "variables": Bindings.all_composed,
}


class Conditions:
    """Match conditions: named expressions that must all be true (celPreconditions, webhook match conditions)."""

    __slots__ = ("entries",)

    def __init__(self, entries: Sequence[Mapping[str, Any]], environment: Environment, *, path: str) -> None:
        self.entries = [
            compile_cel(entry.get("expression"), environment, path=f"{path}[{index}].expression", kinds=("bool",))
            for index, entry in enumerate(entries)
        ]

    def __call__(self, bindings: Bindings) -> bool:
        """Are all true? One that is false decides, whatever errors others have; otherwise raises `CelError` with the errors."""
        errors = []
        for program in self.entries:
            try:
                if program(bindings) is False:
                    return False
            except ExpressionError as error:
                errors.append(failure(program, error))
        if errors:
            raise CelError(errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]")
        return True


def failure(program: Program, error: Exception) -> str:
    """How an evaluation error is reported."""
    return f"expression '{program.text}' resulted in error: {error}"
