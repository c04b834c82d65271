"""Policies from files: compiled, or refused with the place of the fault."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from cli.documents import Loaded, load_path, load_paths, require_object
from cli.errors import InputError
from cli.positions import place_of
from cli.resources import name_of
from cli.yaml_load import Document
from engine import BINDINGS, FRONTENDS, InvalidPolicy, Policy, PolicyException, bind, compile_exception, compile_policy, kind_of

POLICY_GROUPS = frozenset({"kyverno.io", "policies.kyverno.io", "admissionregistration.k8s.io"})
KUSTOMIZE = "kustomize.config.k8s.io"
EXCEPTION = ("kyverno.io", "PolicyException")


class LoadedPolicy(NamedTuple):
    """A compiled policy and where it stands."""

    policy: Policy
    document: Document


class InvalidDocument(NamedTuple):
    """A policy that does not compile: its name and what is wrong with it."""

    name: str
    error: InputError


class Policies(NamedTuple):
    """The policies of some files.

    `errors`: files and documents that cannot be read. `invalid`: policies that do not compile. `exceptions`: PolicyExceptions
    that stand among them. `others`: documents that are no policies, such as the resources of a folder of examples. `bindings` are
    bound to the policies already. `empty`:
    paths that can be read and have no policy in them, not even an invalid one.
    """

    items: list[LoadedPolicy]
    errors: list[InputError]
    invalid: list[InvalidDocument]
    exceptions: list[Document]
    others: list[Document]
    bindings: list[Document]
    empty: tuple[str, ...] = ()


def load_policies(paths: Iterable[str]) -> Policies:
    """The policies of files and folders; of two with the same kind, namespace and name the first stays."""
    documents: list[Document] = []
    errors: list[InputError] = []
    empty = []
    for path in dict.fromkeys(paths):
        found = load_path(path, unique=True)
        if not found.errors and not any(map(_is_about_policies, found.documents)):
            empty.append(path)
        documents += found.documents
        errors += found.errors
    return from_documents(Loaded(documents, errors))._replace(empty=tuple(empty))


def _is_about_policies(document: Document) -> bool:
    """Is it a policy, a binding or an exception, or something that is none of them because it is broken?"""
    value = document.value
    if not isinstance(value, dict):
        return True
    gvk = kind_of(value)
    return (gvk.group, gvk.kind) in FRONTENDS or (gvk.group in POLICY_GROUPS and "Policy" in gvk.kind)


def from_documents(loaded: Loaded) -> Policies:
    items: dict[tuple[str, str, str], LoadedPolicy] = {}
    errors = list(loaded.errors)
    invalid: list[InvalidDocument] = []
    exceptions: list[Document] = []
    bindings: list[Document] = []
    others: list[Document] = []
    for document in loaded.documents:
        try:
            value = require_object(document)
        except InputError as error:
            errors.append(error)
            continue
        gvk = kind_of(value)
        if (gvk.group, gvk.kind) == EXCEPTION:
            exceptions.append(document)
        elif (gvk.group, gvk.kind) in BINDINGS:
            bindings.append(document)
        elif gvk.group == KUSTOMIZE:
            continue  # says how the files beside it are put together
        elif (gvk.group, gvk.kind) not in FRONTENDS:
            others.append(document)
        else:
            try:
                policy = compile_policy(value)
            except InvalidPolicy as fault:
                invalid.append(InvalidDocument(name_of(value), located(document, fault)))
                continue
            identity = policy.identity
            items.setdefault((identity.kind, identity.namespace, identity.name), LoadedPolicy(policy, document))
    return Policies(list(bound(items.values(), bindings, invalid)), errors, invalid, exceptions, others, bindings)


def bound(items: Iterable[LoadedPolicy], bindings: list[Document], invalid: list[InvalidDocument]) -> Iterator[LoadedPolicy]:
    """The policies with the bindings that name them; bindings that do not compile make them `invalid`."""
    documents = [document.value for document in bindings]
    for item in items:
        try:
            yield item._replace(policy=bind(item.policy, documents)) if documents else item
        except InvalidPolicy as fault:
            named = (d for d in bindings if (d.value.get("spec") or {}).get("policyName") == item.policy.identity.name)
            invalid.append(InvalidDocument(item.policy.identity.name, located(next(named, item.document), fault)))


def load_exceptions(paths: Iterable[str]) -> tuple[list[PolicyException], list[InputError]]:
    """The PolicyExceptions of files and folders."""
    loaded = load_paths(paths, unique=True)
    return exceptions_from(loaded.documents, loaded.errors)


def exceptions_from(
    documents: Iterable[Document], errors: Iterable[InputError] = ()
) -> tuple[list[PolicyException], list[InputError]]:
    exceptions: list[PolicyException] = []
    faults = list(errors)
    for document in documents:
        try:
            exceptions.append(compile_exception(require_object(document)))
        except InvalidPolicy as fault:
            faults.append(located(document, fault))
        except InputError as error:
            faults.append(error)
    return exceptions, faults


def is_policy_kind(document: Document) -> bool:
    """Is it a kind of policy, though perhaps one that cannot be evaluated here?"""
    value = document.value
    gvk = kind_of(value)
    return gvk.group in POLICY_GROUPS and ("Policy" in gvk.kind)


def located(document: Document, fault: InvalidPolicy) -> InputError:
    """A compiler's error with file, line and column."""
    line, column = place_of(document, fault.place)
    return InputError(document.file, fault.reason, line=line, column=column, path=document.path(fault.path))
