"""The work of `pyvern apply`: load, ask, print, count."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from cli import render, report, unknown_policies
from cli.apply import Options
from cli.definitions import load_definitions
from cli.errors import InputError
from cli.evaluation import Answer, Evaluator, World, these
from cli.fake_cluster import FakeCluster
from cli.formats import WRITERS, rows_of
from cli.offline_facts import Cluster, OfflineFacts, entries_of, registry_source
from cli.outcome import Counts, status_of
from cli.policies import EXCEPTION, Policies, exceptions_from, is_policy_kind, load_exceptions, load_policies
from cli.remote import Credentials, checked_out
from cli.resources import Resources, load_resources
from cli.values import NO_CONTEXT, NO_VALUES, Values, load_context, load_user, load_values, values_of_flags
from cli.yaml_load import Document
from engine import Effect, Object, Policy, PolicyException, yaml_text

VIOLATIONS = "exit as there are policy violations"
ERRORS = "exit as there are policy errors"
LONG_RUN = 1000
"""Objects from which on a person wants to see that something happens."""
NO_PASS = "exit as no objects satisfied policy"


class Given(NamedTuple):
    """Everything that a run was given. `faults` are files and documents that cannot be used, `warnings` what is left out."""

    policies: Policies
    resources: Resources
    world: World
    faults: list[InputError]
    warnings: list[str]


def applied(options: Options) -> int:
    """Applies the policies and prints what they say; the exit status."""
    given = _given(options)
    objects = [item.object for item in given.resources.items]
    machine = options.output if options.output in WRITERS else ""
    quiet = bool(options.stdin or options.policy_report or options.generate_exceptions or machine)
    _complain(given, named=quiet)
    if not quiet:
        _say(render.heading(rule_count(given.world.policies), len(objects), len(given.world.exceptions)))
        if given.policies.invalid:
            _say(render.invalid_policies(given.policies.invalid))
    evaluator = Evaluator(given.world)
    with progress(objects) as each:
        answers = [answer for object_ in each for answer in evaluator(object_)]
    if not machine and (options.output or not (options.policy_report or options.generate_exceptions)):
        _changed(answers, Sink(options.output, bare=options.stdin))
    for source in dict.fromkeys(given.world.facts.assuming().assumed):
        _warn(f"Warning: clone source {source} is not among the given resources; it is taken to be there, and empty")
    counts = _counts(answers, given.policies, options)
    if machine:
        rows = rows_of(answers, [] if options.cluster else given.resources.items, audit_warn=options.audit_warn)
        _say(WRITERS[machine](rows, given.policies.invalid, given.faults))
    elif options.generate_exceptions:
        from cli.generated_exceptions import generated_exceptions

        exceptions = generated_exceptions(answers, options.exception_ttl)
        sys.stdout.write("---\n".join(map(yaml_text, exceptions)))
    elif options.policy_report:
        sys.stdout.write(report.written(report.reports(answers, audit_warn=options.audit_warn), options.output_format))
    elif options.table:
        _say(render.table(answers, detailed=options.detailed_results, audit_warn=options.audit_warn, colours=options.colours))
    elif not options.stdin:
        _tell(answers, options)
        _say(f"\n{counts.line()}")
    return _status(counts, options, broken=bool(given.faults))


def _given(options: Options) -> Given:
    with checked_out(options.policies, options.git_branch, Credentials(options.username, options.password)) as paths:
        policies = load_policies(paths)
    context = load_context(options.context_file) if options.context_file else NO_CONTEXT
    kinds, unread = load_definitions(options.crds)
    targets, parameters = (
        load_resources(paths, kinds=kinds) for paths in (options.target_resources, options.parameter_resources)
    )
    beside = [*(item.object for item in (*targets.items, *parameters.items)), *context.resources]
    values = _values(options)
    existing = these([item.object for item in targets.items])
    found: list[Document] = []
    cluster: Cluster
    if options.cluster:
        from cli.cluster_policies import exceptions_in, targets_in, with_bindings
        from cli.live_cluster import LiveCluster, entry_objects, fetched_resources, with_namespace_labels

        live = cluster = LiveCluster(kubeconfig=options.kubeconfig, context=options.kube_context, given=beside)
        kinds = live.kinds
        policies = with_bindings(live, policies)
        existing = targets_in(live, [item.object for item in targets.items])
        found, unreadable = exceptions_in(live)
        unread += unreadable
        resources = fetched_resources(live, policies.items, options)
        values = with_namespace_labels(live, policies.items, resources, values)
        described = entry_objects(live, policies.items)
    else:
        resources = load_resources(options.resources, kinds=kinds)
        described = [item.object for item in resources.items]
        cluster = FakeCluster([*described, *beside], kinds=kinds)
    of_files, faults = _exceptions(options, policies, resources)
    stored, unusable = exceptions_from(found)
    by_name: dict[str, PolicyException] = {}
    for exception in (*of_files, *stored):
        by_name.setdefault(exception.identity.key, exception)
    exceptions = list(by_name.values())
    now = time.time_ns()
    over = [f"exception {one.identity.key} has expired and exempts nothing" for one in exceptions if one.expired(now)]
    world = World(
        policies=[item.policy for item in policies.items],
        exceptions=[one for one in exceptions if not one.expired(now)],
        now=now,
        facts=OfflineFacts(
            stored=cluster,
            cluster=cluster,
            namespaces=values.namespaces,
            entries=entries_of(described, cluster),
            images=context.images or None,
            registry=registry_source(options.registry),
        ),
        values=values,
        targets=existing,
        kinds=kinds,
        assume_sources=not options.cluster,
        user=load_user(options.user_info) if options.user_info else None,
    )
    unsupported, left_out = _others(policies)
    without, nothing = _empty(policies)
    faults = [*policies.errors, *unread, *unsupported, *nothing, *resources.errors, *targets.errors, *parameters.errors, *faults]
    faults += unusable
    strangers = [*unknown_policies.of_exceptions(of_files, policies), *unknown_policies.of_bindings(policies)]
    return Given(policies, resources, world, faults, [*resources.warnings, *left_out, *without, *strangers, *over])


def _empty(policies: Policies) -> tuple[list[str], list[InputError]]:
    """Paths without a policy: a warning for each, and a fault where nothing at all is left that could refuse anything."""
    faults = [InputError(path, "no policy in it") for path in policies.empty]
    if policies.items or policies.invalid:
        return [str(fault) for fault in faults], []
    return [], faults


def _others(policies: Policies) -> tuple[list[InputError], list[str]]:
    """Documents among the policies that are none: kinds of policies that cannot be asked are faults, the rest is left out."""
    faults, warnings = [], []
    for document in policies.others:
        kind = f"`{document.value['apiVersion']}, {document.value['kind']}`"
        if is_policy_kind(document):
            faults.append(InputError(document.file, f"policies of kind {kind} are not supported yet", line=document.line))
        else:
            warnings.append(f"{document.file}:{document.line}: {kind} is no policy, it is left out")
    return faults, warnings


def rule_count(policies: Iterable[Policy]) -> int:
    """What the heading counts: rules of Kyverno's policies with the generated ones, other policies as one."""
    return sum(len(policy.rules) if policy.identity.kind in render.KYVERNO_KINDS else 1 for policy in policies)


def _exceptions(options: Options, policies: Policies, resources: Resources) -> tuple[list[PolicyException], list[InputError]]:
    """The exceptions of files."""
    exceptions, faults = load_exceptions(options.exceptions)
    documents = [*policies.exceptions] if options.exceptions_within_policies else []
    if options.exceptions_within_resources:
        documents += [item.document for item in resources.items if (item.kind.group, item.kind.kind) == EXCEPTION]
    more, more_faults = exceptions_from(documents)
    return [*exceptions, *more], [*faults, *more_faults]


def _values(options: Options) -> Values:
    if options.values_file:
        return load_values(options.values_file)
    return Values(flags=values_of_flags(options.settings)) if options.settings else NO_VALUES


def _complain(given: Given, *, named: bool) -> None:
    """Says on standard error what cannot be used; with `named` also the invalid policies, which no block of text names then."""
    for fault in (*given.faults, *((error for _, error in given.policies.invalid) if named else ())):
        _warn(f"Error: {fault}")
    for warning in given.warnings:
        _warn(f"Warning: {warning}")


@contextmanager
def progress(objects: Sequence[Object]) -> Iterator[Iterable[Object]]:
    """The objects, with a bar on standard error where that is a terminal and the run is long."""
    if len(objects) < LONG_RUN or not sys.stderr.isatty():
        yield objects
        return
    import click

    with click.progressbar(objects, label="Applying policies", file=sys.stderr) as bar:
        yield bar


class Sink:
    """Where mutated and generated objects go: a file, a folder with a file for each, or standard output (`bare`: YAML alone)."""

    def __init__(self, path: str, *, bare: bool) -> None:
        self.path = path
        self.bare = bare
        self.begun: set[str] = set()

    def put(self, document: Object, heading: str, name: str) -> None:
        text = f"{yaml_text(document)}---\n"
        if self.path:
            self._write(text, name)
        else:
            sys.stdout.write(text if self.bare else f"\n{heading}\n{yaml_text(document)}\n---\n")

    def _write(self, text: str, name: str) -> None:
        path = self.path
        if path.endswith(os.sep) or os.path.isdir(path):
            os.makedirs(path, exist_ok=True)
            path = os.path.join(path, name.replace("/", "_").replace(os.sep, "_"))  # a name must not lead out of the folder
        with open(path, "a" if path in self.begun else "w", encoding="utf-8") as file:
            file.write(text)
        self.begun.add(path)


def _changed(answers: Sequence[Answer], sink: Sink) -> None:
    """Prints mutated objects, patched targets and generated objects, or writes them where `-o` says."""
    for answer in answers:
        if any(rule.effect is Effect.MUTATE for rule in answer.policy.rules) and any(
            result.rule.effect is Effect.MUTATE for result in answer.results
        ):
            sink.put(answer.patched, render.applied_to(answer), f"{_name(answer.object)}-mutated.yaml")
        for target in answer.targets:
            sink.put(target, render.patched_target(target), f"{_name(target)}-mutated.yaml")
        for result in answer.results:
            for document in result.generated:
                sink.put(document, render.applied_to(answer), f"{answer.policy.identity.name}-generated.yaml")


def _name(object_: Object) -> str:
    return str((object_.get("metadata") or {}).get("name") or "unnamed")


def _tell(answers: Sequence[Answer], options: Options) -> None:
    sys.stdout.write(render.mutations(answers) + render.generations(answers))
    for answer in answers:
        sys.stdout.write(render.failures(answer, audit_warn=options.audit_warn))


def _counts(answers: Sequence[Answer], policies: Policies, options: Options) -> Counts:
    counts = Counts(error=len(policies.invalid))
    for answer in answers:
        for result in answer.results:
            counts.add(status_of(answer.policy, result, audit_warn=options.audit_warn).value)
    return counts


def _status(counts: Counts, options: Options, *, broken: bool) -> int:
    if counts.fail:
        return _exit(VIOLATIONS, 1)
    if counts.error:
        return _exit(ERRORS, 1)
    if broken:
        return 1
    if counts.warn and options.warn_exit_code:
        return _exit(f"exit as warnings were found: {counts.warn}", options.warn_exit_code)
    if not counts.passed and options.warn_no_pass:
        return _exit(NO_PASS, options.warn_no_pass)
    return 0


def _exit(reason: str, status: int) -> int:
    _warn(f"Error: {reason}")
    return status


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _warn(text: str) -> None:
    sys.stderr.write(f"{text}\n")
