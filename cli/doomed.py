"""Objects that a cleanup would delete: judged as the cleanup operator judges them, from files or through kubectl."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

import orjson

from cli.documents import Loaded
from cli.evaluation import Evaluator, World
from cli.fake_cluster import FakeCluster
from cli.kinds import BUILT_IN, Kinds, resource_of
from cli.live_cluster import LiveCluster, entry_objects, matched, with_namespace_labels
from cli.offline_facts import OfflineFacts, entries_of
from cli.policies import LoadedPolicy, from_documents, load_policies
from cli.resources import Resource, Resources, load_resources, name_of, namespace_of
from cli.values import NO_VALUES
from cli.yaml_load import Document
from controllers.cluster import moments
from controllers.cluster.flags import Environment
from engine import LookupFailed, Object, Request, Status, compile_filters, kind_of, ttl_due

LABEL = "cleanup.kyverno.io/ttl"
PROPAGATION = "cleanup.kyverno.io/propagation-policy"
DRY_RUN = "cleanup.pyvern.io/dry-run"
KINDS = frozenset({"ClusterCleanupPolicy", "CleanupPolicy"})
REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
CLUSTER = "cluster"


class Sources(NamedTuple):
    """Where policies and objects come from: paths, or the cluster where there are none."""

    policies: Sequence[str] = ()
    resources: Sequence[str] = ()
    namespace: str = ""
    kubeconfig: str = ""
    context: str = ""
    operator_namespace: str = "kyverno"


@dataclass(frozen=True, slots=True)
class Doomed:
    """An object that would be deleted. `by` is a policy (`ClusterCleanupPolicy old-pods`) or `label`.

    `now`: at this moment; `next`: when it goes if nothing changes (Unix nanoseconds), None when it would not. `note` says what
    keeps the operator from it.
    """

    by: str
    object: Object
    now: bool
    next: int | None
    propagation: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """All of them, the next first; `problems`: what could not be read or judged."""

    items: tuple[Doomed, ...]
    problems: tuple[str, ...]
    asked: int
    """When, in Unix nanoseconds."""


class _World(NamedTuple):
    """What is judged, and what is known beside it."""

    policies: Sequence[LoadedPolicy]
    objects: Sequence[Object]
    labelled: Sequence[Object]
    excluded: Callable[[Request], bool]
    denied: Callable[[Object], str]
    world: World
    problems: list[str]


def doomed(sources: Sources) -> Answer:
    """What would be deleted. Raises `UsageError` where there is no cluster to ask."""
    given = _from_files(sources) if sources.resources else _from_cluster(sources)
    now = given.world.now
    items = [*_by_policies(given, now), *_by_labels(given, now)]
    items.sort(key=lambda one: (one.next or 0, one.by, one.object["kind"], namespace_of(one.object), name_of(one.object)))
    return Answer(tuple(items), tuple(given.problems), now)


def _by_policies(given: _World, now: int) -> Iterator[Doomed]:
    for policy, document in given.policies:
        assert policy.cleanup is not None, "only cleanup policies are taken"
        following = max(now, policy.cleanup.schedule.next(min(_last(document.value) or now, now)))
        at = {moment: Evaluator(replace(given.world, policies=[policy], now=moment)) for moment in (now, following)}
        dry = "the policy only reports (its annotation)" if policy.identity.annotations.get(DRY_RUN) == "true" else ""
        for object_ in given.objects:
            if given.excluded(at[now].request(object_, "")):
                continue
            wanted = {moment: _wanted(evaluator, object_, given.problems) for moment, evaluator in at.items()}
            if any(wanted.values()):
                yield Doomed(
                    f"{policy.identity.kind} {policy.identity.key}",
                    object_,
                    wanted[now],
                    following if wanted[following] else None,
                    policy.cleanup.propagation,
                    dry or given.denied(object_),
                )


def _wanted(evaluator: Evaluator, object_: Object, problems: list[str]) -> bool:
    """Does the policy want it gone? The evaluation shows that as a failure of the object."""
    results = [result for answer in evaluator(object_) for result in answer.results]
    for result in results:
        if result.status is Status.ERROR:
            problem = f"{result.rule.policy.kind} {result.rule.policy.key}: {shown(object_)}: {result.message}"
            if problem not in problems:
                problems.append(problem)
    return any(result.status is Status.FAIL for result in results)


def _by_labels(given: _World, now: int) -> Iterator[Doomed]:
    for object_ in given.labelled:
        metadata = object_["metadata"]
        value = (metadata.get("labels") or {}).get(LABEL)
        if value is None:
            continue
        due = ttl_due(value, moments.parse(metadata.get("creationTimestamp") or "") or now)
        if due is None:
            given.problems.append(f"{shown(object_)}: metadata.labels[{LABEL}]: `{value}` is no time to live; it is ignored")
            continue
        propagation = (metadata.get("annotations") or {}).get(PROPAGATION) or ""
        yield Doomed("label", object_, due <= now, max(due, now), propagation, given.denied(object_))


def _last(document: Object) -> int | None:
    """When the policy ran last, or was made; None for one that is not in a cluster yet."""
    ran = (document.get("status") or {}).get("lastExecutionTime") or document["metadata"].get("creationTimestamp") or ""
    return moments.parse(ran)


def shown(object_: Object) -> str:
    """`Pod blue/web`, `Namespace blue`."""
    namespace = namespace_of(object_)
    return f"{object_['kind']} {namespace}/{name_of(object_)}" if namespace else f"{object_['kind']} {name_of(object_)}"


# From files


def _from_files(sources: Sources) -> _World:
    resources = load_resources(sources.resources, once=True)
    policies, problems = _policies(sources.policies)
    problems += [*map(str, resources.errors), *resources.warnings]
    objects = [item.object for item in resources.items]
    world = _judging(policies, FakeCluster(objects), objects, BUILT_IN)
    return _World(policies, objects, objects, lambda _: False, lambda _: "", world, problems)


def _policies(paths: Sequence[str]) -> tuple[list[LoadedPolicy], list[str]]:
    loaded = load_policies(paths)
    return _cleanup_only(loaded.items), [*map(str, loaded.errors), *(str(one.error) for one in loaded.invalid)]


def _cleanup_only(items: Iterable[LoadedPolicy]) -> list[LoadedPolicy]:
    return [item for item in items if item.policy.identity.kind in KINDS]


def _judging(
    policies: Sequence[LoadedPolicy], cluster: FakeCluster | LiveCluster, described: Sequence[Object], kinds: Kinds
) -> World:
    facts = OfflineFacts(stored=cluster, cluster=cluster, namespaces={}, entries=entries_of(described, cluster), images=None)
    return World(policies=[item.policy for item in policies], facts=facts, kinds=kinds, now=time.time_ns())


# From a cluster


def _from_cluster(sources: Sources) -> _World:
    live = LiveCluster(kubeconfig=sources.kubeconfig, context=sources.context)
    policies, problems = _policies(sources.policies) if sources.policies else _policies_of(live)
    objects: list[Object] = []
    for wanted in matched(policies, live.served):
        try:
            objects += live.fetch(wanted, sources.namespace)
        except LookupFailed as failed:
            problems.append(failed.reason)
    labelled, unread = live.labelled(LABEL, sources.namespace)
    problems += unread
    resources = Resources([Resource(one, Document(one, CLUSTER, 0, "")) for one in objects], [], [])
    values = with_namespace_labels(live, policies, resources, NO_VALUES)
    world = replace(_judging(policies, live, entry_objects(live, policies), live.kinds), values=values)
    excluded = _filters(live, sources.operator_namespace, problems)
    return _World(
        policies, _staying(objects), _staying(labelled), excluded, _rights(live, sources.operator_namespace), world, problems
    )


def _staying(objects: Iterable[Object]) -> list[Object]:
    return [one for one in objects if one["metadata"].get("deletionTimestamp") is None]


def _policies_of(live: LiveCluster) -> tuple[list[LoadedPolicy], list[str]]:
    documents: list[Document] = []
    problems: list[str] = []
    for served in live.served:
        if served.kind.group == "kyverno.io" and served.kind.kind in KINDS:
            try:
                documents += [Document(one, CLUSTER, 0, orjson.dumps(one).decode()) for one in live.fetch(served)]
            except LookupFailed as failed:
                problems.append(failed.reason)
    loaded = from_documents(Loaded(documents, []))
    return _cleanup_only(loaded.items), [*problems, *(f"{one.name}: {one.error}" for one in loaded.invalid)]


def _filters(live: LiveCluster, namespace: str, problems: list[str]) -> Callable[[Request], bool]:
    """resourceFilters of the operator's ConfigMap."""
    name = Environment().config
    try:
        config = live.get("", "configmaps", namespace, name)
    except LookupFailed as failed:
        problems.append(f"resourceFilters are not known: {failed.reason}")
        return lambda _: False
    return compile_filters(((config or {}).get("data") or {}).get("resourceFilters") or "").excludes


def _rights(live: LiveCluster, namespace: str) -> Callable[[Object], str]:
    """Says of an object why the operator's account could not delete it; empty when it may, or when nobody tells us."""
    account = f"system:serviceaccount:{namespace}:kyverno-cleanup-controller"

    @cache
    def may(group: str, plural: str, where: str) -> bool:
        attributes = {"verb": "delete", "group": group, "resource": plural, "namespace": where}
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
        spec: dict[str, Any] = {"user": account, "groups": groups, "resourceAttributes": attributes}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        try:
            answer = live.answer(REVIEWS, "POST", orjson.dumps(review).decode())
        except LookupFailed:
            return True
        return bool(answer["status"].get("allowed"))

    fixed = {one.kind for one in live.served if not one.deletable}

    def denied(object_: Object) -> str:
        kind = kind_of(object_)
        if kind in fixed:
            return "the API server deletes no objects of this kind"
        plural = resource_of(kind, live.kinds).plural
        where = namespace_of(object_)
        allowed = may(kind.group, plural, "") or (where and may(kind.group, plural, where))
        return "" if allowed else f"the cleanup operator may not delete {plural}"

    return denied


__all__ = ["Answer", "Doomed", "Sources", "doomed", "shown"]
