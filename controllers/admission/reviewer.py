"""Answers HTTP requests of the API server: path -> what is asked, bytes -> bytes. Reads snapshots, waits only for lookups."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from typing import NamedTuple
from urllib.parse import parse_qs

from controllers.admission import managed, policy_review
from controllers.admission.follow_up import Passed
from controllers.admission.recorder import Record, Recorder
from controllers.cluster import requests, review
from controllers.cluster.bindings import Bindings
from controllers.cluster.client import ApiError, Client, Unreachable
from controllers.cluster.discovery import Discovery
from controllers.cluster.facts import World, settle
from controllers.cluster.namespaces import NO_LABELS, Namespaces
from controllers.cluster.policies import Policies
from controllers.cluster.settings import Settings
from engine import Effect, Facts, LookupFailed, Object, Policy, PolicySet, Request, Unknown, Verdict, mutate, validate

Reply = tuple[int, bytes]
Verb = Callable[..., Verdict]
Excluded = Callable[[Request], bool]
MARGIN = 0.75
"""Seconds before the API server's deadline at which we answer ourselves, so that the message says why."""
DEFAULT_TIMEOUT = 10.0
OK: Reply = (200, b"ok")
OWN_GROUPS = frozenset({"reports.kyverno.io", "wgpolicyk8s.io", "openreports.io"})
POLICIES = "kyverno.io"
logger = logging.getLogger("pyvern.admission")


class Bucket(NamedTuple):
    """Which policies a path asks: by failure policy, or one fine-grained policy by its key."""

    failure_policy: str = ""
    policy: str = ""


class Snapshot(NamedTuple):
    """Everything an answer depends on besides policies; replaced whole when something changes."""

    settings: Settings
    excluded: Excluded
    discovery: Discovery


class Options(NamedTuple):
    """Flags that answers depend on."""

    namespace: str
    force_ignore: bool = False
    protect_managed: bool = False
    exceptions_enabled: bool = False
    exception_namespace: str = ""
    background_account: str = ""
    reports_account: str = ""
    dump: bool = False


class Reviewer:
    """Answers every path of the webhook server. `snapshot` may be replaced at any time."""

    def __init__(
        self,
        *,
        policies: Policies,
        namespaces: Namespaces,
        bindings: Bindings,
        world: World,
        client: Client,
        recorder: Recorder,
        snapshot: Snapshot,
        options: Options,
        ready: Callable[[], bool],
        passed: Callable[[Passed], None] = lambda passed: None,
    ) -> None:
        self._policies = policies
        self._namespaces = namespaces
        self._bindings = bindings
        self._world = world
        self._client = client
        self._recorder = recorder
        self._options = options
        self._ready = ready
        self._passed = passed
        self.snapshot = snapshot
        self._among: dict[str, Callable[[Policy], bool]] = {
            name: partial(_shared, name, options.force_ignore) for name in ("Fail", "Ignore")
        }
        self._fixed: Mapping[str, Callable[[Object], Awaitable[bytes]]] = {
            "/policyvalidate": self._policy,
            "/policymutate": _let_pass,
            "/exceptionvalidate": self._exception,
            "/globalcontextvalidate": _global_context,
            "/verifymutate": _let_pass,
        }

    async def respond(self, method: str, path: str, query: str, body: bytes) -> Reply:
        """The HTTP answer. 400: no review; 404: no such path; 503: not ready; everything else is a review."""
        probe = PROBES.get(path)
        if probe is not None:
            return OK if probe == "live" or self._ready() else (503, b"not ready")
        if method != "POST":
            return 405, b'{"error":"POST an AdmissionReview"}'
        head, _, rest = path[1:].partition("/")
        verb = VERBS.get(head)
        try:
            if verb is not None:
                bucket = bucket_of(rest)
                return (404, _UNKNOWN_PATH) if bucket is None else await self._resource(verb, bucket, query, body)
            handler = self._fixed.get(path)
            if handler is None:
                return 404, _UNKNOWN_PATH
            return 200, await handler(review.parse(body))
        except review.Malformed as error:
            logger.warning("%s: %s", path, error)
            return 400, b'{"error":"the body is no AdmissionReview"}'
        except (ApiError, Unreachable) as error:
            logger.warning("%s: %s", path, error)
            return 500, b'{"error":"the API server could not be asked"}'

    async def _resource(self, verb: _Verb, bucket: Bucket, query: str, body: bytes) -> Reply:
        started = time.perf_counter()
        document = review.parse(body)
        if not self._policies.ready:
            return 503, b'{"error":"policies are not loaded yet"}'
        policies, snapshot = self._policies.snapshot, self.snapshot
        try:
            request = await self._request(document, snapshot)
        except requests.UnknownResource as error:
            return 200, self._undecided(document, bucket, f"the kind of {error} is unknown")
        if self._options.dump:
            logger.info("admission request: %s", review.shown(document))
        if self._options.protect_managed and managed.guards(request, namespace=self._options.namespace):
            return 200, review.denied(request.uid, managed.REASON)
        if request.kind.group in OWN_GROUPS or snapshot.excluded(request):
            return 200, review.allowed(request.uid)
        among = self._among.get(bucket.failure_policy) if not bucket.policy else partial(_named, bucket.policy)
        if request.operation == "DELETE" and request.kind.group == POLICIES:
            among = partial(_means, request.kind.kind, among)
        ask = partial(_ask, verb.verb, policies, request, among)
        begun, facts = time.perf_counter(), self._world.facts()
        try:
            verdict = ask(facts)
        except Unknown as unknown:
            try:
                verdict = await self._settled(ask, facts, unknown, query)
            except LookupFailed as error:
                return 200, self._undecided(document, bucket, str(error))
        ended = time.perf_counter()
        answer = review.answer(request.uid, verdict)
        self._recorder.put(Record(request, verdict, verb.webhook, ended - begun, time.perf_counter() - started))
        if verdict.allowed and verb.verb is validate and not request.dry_run:
            self._passed(Passed(policies, request, among or _every))
        return 200, answer

    async def _request(self, document: Object, snapshot: Snapshot) -> Request:
        namespace = document.get("namespace") or ""
        labels = self._namespaces.labels(namespace) if namespace else None
        if namespace and labels is None:
            labels = await self._ask_labels(namespace)
        asker = requests.NOBODY
        if self._policies.needs_roles or snapshot.settings.needs_roles:
            if not await self._bindings.synced(5):
                raise Unreachable("role bindings are not known yet")
            user = document["userInfo"]
            asker = requests.Asker(*self._bindings.of(user.get("username") or "", user.get("groups") or (), namespace))
        return requests.request_of(document, snapshot.discovery, asker=asker, namespace_labels=labels, now=time.time_ns())

    async def _ask_labels(self, namespace: str) -> Mapping[str, str] | None:
        """Labels of a namespace that the watch has not shown yet: a Pod may follow its namespace within milliseconds."""
        try:
            document = await self._client.call("GET", f"/api/v1/namespaces/{namespace}", timeout=3)
        except ApiError as error:
            if error.not_found:
                return NO_LABELS
            raise
        return document["metadata"].get("labels") or NO_LABELS

    async def _settled(self, ask: Callable[[Facts], Verdict], facts: Facts, unknown: Unknown, query: str) -> Verdict:
        """What is not known in time counts as failed, so that the rule that wanted it says so (and failurePolicy decides)."""
        world = self._world.within(timeout_of(query) - MARGIN)
        return await settle(ask, world, await world.learn(facts, unknown.lookups))

    def _undecided(self, document: Object, bucket: Bucket, reason: str) -> bytes:
        """No answer from the policies: Fail blocks, Ignore lets pass with a warning."""
        ignoring = self._options.force_ignore or bucket.failure_policy == "Ignore"
        logger.warning("request %s: %s", document["uid"], reason)
        return review.allowed(document["uid"], [reason]) if ignoring else review.denied(document["uid"], reason)

    async def _policy(self, document: Object) -> bytes:
        options = self._options
        return await policy_review.policy(
            document,
            self.snapshot.discovery,
            self._client,
            account=options.background_account,
            scanner=options.reports_account,
        )

    async def _exception(self, document: Object) -> bytes:
        return policy_review.exception(
            document, enabled=self._options.exceptions_enabled, namespace=self._options.exception_namespace
        )


def mutating(policies: PolicySet, request: Request, facts: Facts, *, among: Callable[[Policy], bool] | None = None) -> Verdict:
    """The answer of /mutate: the patch of mutate rules.

    verifyImages rules, which this version does not evaluate, count as rules that err, so that failurePolicy decides.
    """
    skipped = [
        policy
        for policy, rules in policies.select(request, UNSUPPORTED)
        if policy.admission and (among is None or among(policy)) and any(rule.match(request) for rule in rules)
    ]
    texts = tuple(f"policy {policy.identity.key}: verifyImages rules are not supported yet" for policy in skipped)
    if any(policy.webhook.failure_policy == "Fail" for policy in skipped):
        return Verdict(allowed=False, message="; ".join(texts), warnings=texts)
    verdict = mutate(policies, request, facts, among=among)
    return replace(verdict, warnings=(*texts, *verdict.warnings)) if texts else verdict


UNSUPPORTED = frozenset({Effect.VERIFY_IMAGES})


class _Verb(NamedTuple):
    verb: Verb
    webhook: str


VERBS: Mapping[str, _Verb] = {
    "validate": _Verb(validate, "ValidatingWebhookConfiguration"),
    "mutate": _Verb(mutating, "MutatingWebhookConfiguration"),
}
PROBES = {"/health/liveness": "live", "/health/readiness": "ready"}
BUCKETS = {"": Bucket(), "fail": Bucket("Fail"), "ignore": Bucket("Ignore")}
_UNKNOWN_PATH = b'{"error":"no such path"}'


def bucket_of(path: str) -> Bucket | None:
    """What follows /validate/ or /mutate/: nothing, `fail`, `ignore`, or these and `finegrained/[namespace/]policy`."""
    bucket = BUCKETS.get(path)
    if bucket is not None:
        return bucket
    head, _, rest = path.partition("/")
    word, _, key = rest.partition("/")
    shared = BUCKETS.get(head)
    if shared is None or word != "finegrained" or not key or key.count("/") > 1:
        return None
    return Bucket(shared.failure_policy, key)


def timeout_of(query: str) -> float:
    """Seconds the API server waits, from its `?timeout=10s`."""
    for value in parse_qs(query).get("timeout", ()):
        number = value.removesuffix("s")
        if number.isdigit() and int(number) > 0:
            return float(number)
    return DEFAULT_TIMEOUT


def _ask(verb: Verb, policies: PolicySet, request: Request, among: Callable[[Policy], bool] | None, facts: Facts) -> Verdict:
    return verb(policies, request, facts, among=among)


def _shared(failure_policy: str, force_ignore: bool, policy: Policy) -> bool:
    wanted = policy.webhook
    return (force_ignore or wanted.failure_policy == failure_policy) and not wanted.fine_grained


def _every(_: Policy) -> bool:
    return True


def _means(kind: str, among: Callable[[Policy], bool] | None, policy: Policy) -> bool:
    """Does the policy name this kind of policies? One for all kinds (`*`) would forbid its own end, and never go away again."""
    selectors = (selector.kind for rule in policy.rules for selector in rule.match.kinds)
    named = any(selector.strip("*") and fnmatchcase(kind, selector) for selector in selectors)
    return named and (among is None or among(policy))


def _named(key: str, policy: Policy) -> bool:
    return policy.identity.key == key


async def _let_pass(document: Object) -> bytes:
    return review.allowed(document["uid"])


async def _global_context(document: Object) -> bytes:
    return policy_review.global_context(document)
