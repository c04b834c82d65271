"""One run: load the policies, find those in force, look at everything."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable

from cli.errors import InputError
from cli.impact.command import Options
from cli.impact.comparison import Comparison, Excluded, unjudged
from cli.impact.findings import Impact, Report
from cli.impact.sides import NAME_LABEL, Setting, Side, key_of
from cli.impact.world import Live, Snapshot, World, documents_of, of_kind
from cli.live_cluster import matched
from cli.offline_facts import OfflineFacts, entries_of
from cli.policies import Policies, exceptions_from, is_policy_kind, load_exceptions, load_policies
from cli.remote import checked_out
from cli.resources import name_of
from cli.values import load_user
from controllers.cluster.settings import default_settings, read
from engine import InvalidPolicy, LookupFailed, Object, Policy, PolicyException, compile_filters, compile_stored
from engine.lang.selector import compile_selector

INSTALLATION = "kyverno"
"""The namespace of the installation and the name of its ConfigMap."""
STEP = 0.2


def report_of(options: Options) -> Report:
    """The answer. Raises `UsageError` where no cluster can be asked."""
    with checked_out(options.policies, options.git_branch) as paths:
        policies = load_policies(paths)
    world: World = (
        Snapshot(options.snapshot) if options.snapshot else Live(kubeconfig=options.kubeconfig, context=options.kube_context)
    )
    gathering = Gathering(world)
    given, faults = _exceptions(policies, options.exceptions)
    setting = Setting(
        kinds=world.kinds,
        namespace_labels={
            name_of(one): (one.get("metadata") or {}).get("labels") or {} for one in gathering.all("", "Namespace")
        },
        user=load_user(options.user_info) if options.user_info else None,
        now=time.time_ns(),
    )
    stored = gathering.exceptions()
    new = Side((item.policy for item in policies.items), (*stored, *given), setting)
    subjects: dict[str, set[int]] = {}
    impacts = {
        key_of(item.policy): Impact(item.policy, item.document.file, "new", options.limit, subjects=subjects)
        for item in policies.items
    }
    old = Side(gathering.in_force(impacts.values()), stored, setting)
    for key, impact in impacts.items():
        for text in unjudged(impact.policy, new):
            impact.note(text)
        if not setting.namespace_labels and any(rule.match.needs_namespace_labels for rule in impact.policy.rules):
            impact.note(f"there are no Namespaces in {world.source}: namespaceSelectors see their names and no other labels")
        if key in old.policies:
            impact.state = "replaces the one in force"
    facts = OfflineFacts(
        stored=world.cluster,
        cluster=world.cluster,
        entries=entries_of(gathering.all("kyverno.io", "GlobalContextEntry"), world.cluster),
    )
    comparison = Comparison(world, new, old, impacts, facts=facts, excluded=gathering.excluded(setting))
    resources = matched(policies.items, world.served)
    progress = Progress()
    comparison.run(resources, namespace=options.namespace, seen=progress.seen)
    progress.end()
    faults = [*policies.errors, *(entry.error for entry in policies.invalid), *_others(policies), *world.faults, *faults]
    return Report(
        source=world.source,
        impacts=list(impacts.values()),
        objects=comparison.objects,
        kinds=len(resources),
        unread={**gathering.unread, **comparison.unread},
        faults=list(map(str, faults)),
    )


class Gathering:
    """What is read before the objects. `unread`: what could not be, with the reason."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.unread: dict[str, str] = {}

    def all(self, group: str, kind: str) -> list[Object]:
        """All objects of a kind, none where they cannot be read."""
        try:
            return of_kind(self._world, group, kind)
        except LookupFailed as failed:
            self.unread[kind] = failed.reason
            return []

    def exceptions(self) -> list[PolicyException]:
        """The PolicyExceptions in force. One that does not compile does not count, there as here."""
        found = self.all("kyverno.io", "PolicyException")
        return exceptions_from(documents_of(found, self._world.source))[0]

    def in_force(self, impacts: Iterable[Impact]) -> Iterable[Policy]:
        """The policies that the given ones would replace."""
        for impact in impacts:
            identity = impact.policy.identity
            try:
                document = self._world.in_force(identity)
            except LookupFailed as failed:
                self.unread[f"{impact.title} in force"] = failed.reason
                continue
            if document is not None:
                try:
                    yield compile_stored(document)
                except InvalidPolicy as error:
                    impact.note(f"the policy in force does nothing: {error}")

    def excluded(self, setting: Setting) -> Excluded:
        """What the installation's ConfigMap takes out; its defaults where there is none."""
        defaults = default_settings(INSTALLATION)
        try:
            found = self._world.cluster.get("", "configmaps", INSTALLATION, INSTALLATION)
        except LookupFailed as failed:
            self.unread[f"ConfigMap {INSTALLATION}/{INSTALLATION}"] = failed.reason
            found = None
        settings, _ = read((found or {}).get("data") or {}, last=defaults, defaults=defaults)
        filters = compile_filters(settings.resource_filters)
        selects = compile_selector(settings.webhooks.namespace_selector or {})

        def namespace(name: str) -> bool:
            labels = {NAME_LABEL: name, **setting.namespace_labels.get(name, {})}
            return bool(name) and not selects(labels)

        return Excluded(lambda request: filters(request), namespace)


class Progress:
    """One line on a terminal that says how far it is."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._next = time.monotonic() + 3 * STEP
        self._width = 0

    def seen(self, objects: int, plural: str) -> None:
        if self._shown and time.monotonic() >= self._next:
            text = f"{objects:,} objects, {plural}"
            sys.stderr.write(f"\r{text:<{self._width}}")
            sys.stderr.flush()
            self._width = len(text)
            self._next = time.monotonic() + STEP

    def end(self) -> None:
        if self._width:
            sys.stderr.write(f"\r{'':<{self._width}}\r")


def _exceptions(policies: Policies, paths: tuple[str, ...]) -> tuple[list[PolicyException], list[InputError]]:
    """Those given as such, and those that stand among the policies."""
    among, faults = exceptions_from(policies.exceptions)
    given, more = load_exceptions(paths)
    return [*among, *given], [*faults, *more]


def _others(policies: Policies) -> Iterable[InputError]:
    """Documents among the policies that are kinds of policies nobody can ask here, and paths without any policy."""
    for document in policies.others:
        if is_policy_kind(document):
            kind = f"`{document.value['apiVersion']}, {document.value['kind']}`"
            yield InputError(document.file, f"policies of kind {kind} are not supported yet", line=document.line)
    if not policies.items and not policies.invalid:
        yield from (InputError(path, "no policy in it") for path in policies.empty)
