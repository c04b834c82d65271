"""Metrics under Kyverno's names (spec 6.2), counted in plain dictionaries and rendered when somebody scrapes.

prometheus_client's own `labels().inc()` costs some microseconds a call; a denied Pod with 17 policies makes 36 of them.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0)
POLICY = ("policy_validation_mode", "policy_type", "policy_background_mode", "policy_namespace", "policy_name")
RESULT = (
    *POLICY,
    "resource_kind",
    "resource_namespace",
    "resource_request_operation",
    "rule_name",
    "rule_result",
    "rule_type",
    "rule_execution_cause",
    "dry_run",
)
ADMISSION = ("resource_kind", "resource_namespace", "resource_request_operation", "request_allowed", "request_webhook")
CLEANUP = ("policy_type", "policy_namespace", "policy_name", "resource_kind", "resource_namespace", "deletion_propagation")
TTL = ("resource_group", "resource_version", "resource_resource", "resource_namespace")
QUERY = ("client_type", "operation", "resource_kind", "resource_namespace")
UNLABELLED = frozenset({"resource_namespace"})
"""Dimensions left out unless the ConfigMap names the metric: they grow with the cluster (design.md 10)."""


@dataclass(frozen=True, slots=True)
class Definition:
    """A metric: `type` is counter, gauge or histogram, `labels` its dimensions in the order of rows."""

    type: str
    labels: tuple[str, ...]
    help: str


METRICS: Mapping[str, Definition] = {
    "kyverno_policy_results": Definition("counter", RESULT, "results of rules"),
    "kyverno_policy_execution_duration_seconds": Definition(
        "histogram", RESULT, "time per rule; the rules of one request share its evaluation time equally"
    ),
    "kyverno_admission_requests": Definition("counter", ADMISSION, "admission requests answered"),
    "kyverno_admission_review_duration_seconds": Definition("histogram", ADMISSION, "time to answer an admission request"),
    "kyverno_policy_changes": Definition("counter", (*POLICY, "policy_change_type"), "policies created, updated, deleted"),
    "kyverno_policy_rule_info_total": Definition(
        "gauge", (*POLICY, "rule_name", "rule_type", "status_ready"), "rules of the policies in force"
    ),
    "kyverno_http_requests": Definition("counter", ("http_method", "http_url"), "requests to the webhook server"),
    "kyverno_http_requests_duration_seconds": Definition("histogram", ("http_method", "http_url"), "time per HTTP request"),
    "kyverno_controller_reconcile": Definition("counter", ("controller_name",), "reconciliations"),
    "kyverno_controller_requeue": Definition("counter", ("controller_name", "num_requeues"), "reconciliations tried again"),
    "kyverno_controller_drop": Definition("counter", ("controller_name",), "reconciliations given up"),
    "kyverno_breaker": Definition("counter", ("circuit_name",), "ephemeral reports that were to be written"),
    "kyverno_breaker_drops": Definition("counter", ("circuit_name",), "ephemeral reports that were dropped"),
    "pyvern_lookups": Definition(
        "counter", ("source", "result"), "data that policies asked for: found, failed, joined (asked already), kept"
    ),
    "pyvern_lookup_seconds": Definition("histogram", ("source",), "time until data that policies asked for was there"),
    "pyvern_exception_hits": Definition(
        "counter",
        ("exception_namespace", "exception_name", "policy_name", "rule_name", "rule_execution_cause"),
        "rules skipped, or checked for less, because of a PolicyException",
    ),
    "pyvern_reports": Definition("counter", ("what",), "reports created, updated, deleted, dropped, saved (said so already)"),
    "pyvern_reports_stored": Definition("gauge", (), "reports in the cluster"),
    "pyvern_reports_waiting": Definition("gauge", (), "objects whose results are not written yet"),
    "pyvern_replicas": Definition("gauge", (), "replicas that share the work"),
    "pyvern_scan_failures": Definition("counter", (), "objects whose scan failed by a fault of this program"),
    "pyvern_scan_objects": Definition("gauge", ("resource_group", "resource"), "objects that are followed"),
    "pyvern_scan_age_seconds": Definition("gauge", ("resource_group", "resource"), "time since all objects were looked at"),
    "pyvern_scan_kinds": Definition("gauge", ("state",), "resources followed, being listed, or failing"),
    "kyverno_client_queries": Definition("counter", QUERY, "requests to the API server"),
    "pyvern_scan_failing": Definition("gauge", ("resource_group", "resource", "reason"), "resources that cannot be read"),
    "kyverno_updaterequest": Definition("counter", (), "update requests stored"),
    "kyverno_cleanup_controller_deletedobjects": Definition("counter", CLEANUP, "objects deleted by cleanup policies"),
    "kyverno_cleanup_controller_errors": Definition("counter", CLEANUP, "objects that cleanup policies could not delete"),
    "kyverno_ttl_controller_info": Definition("gauge", TTL, "resources that are watched for the label with a time to live"),
    "kyverno_ttl_controller_deletedobjects": Definition("counter", TTL, "objects deleted because their time was up"),
    "kyverno_ttl_controller_errors": Definition("counter", TTL, "failed deletions of objects whose time was up"),
    "kyverno_events_dropped": Definition("counter", (), "events that were not written"),
    "kyverno_info": Definition("gauge", ("version",), "the running version"),
}


@dataclass(frozen=True, slots=True)
class Exposure:
    """What the ConfigMap `kyverno-metrics` changes: metrics switched off, labels left out, buckets, namespaces."""

    disabled: frozenset[str] = frozenset()
    left_out: Mapping[str, frozenset[str]] = field(default_factory=dict)
    buckets: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    default_buckets: tuple[float, ...] = BUCKETS
    include: frozenset[str] = frozenset()
    exclude: frozenset[str] = frozenset()

    def counts(self, namespace: str) -> bool:
        """Are requests of this namespace counted?"""
        return namespace not in self.exclude and (not self.include or not namespace or namespace in self.include)


class InvalidExposure(ValueError):
    """A key of the ConfigMap that cannot be understood."""


def read_exposure(data: Mapping[str, str]) -> Exposure:
    """The exposure that a ConfigMap's data states (spec 3.3). Raises `InvalidExposure`."""
    try:
        namespaces = orjson.loads(data.get("namespaces") or "{}")
        exposure = orjson.loads(data.get("metricsExposure") or "{}")
        boundaries = tuple(sorted(float(part) for part in (data.get("bucketBoundaries") or "").split(",") if part.strip()))
        return Exposure(
            disabled=frozenset(_base(name) for name, entry in exposure.items() if entry.get("enabled") is False),
            left_out={_base(name): frozenset(entry.get("disabledLabelDimensions") or ()) for name, entry in exposure.items()},
            buckets={
                _base(name): tuple(sorted(map(float, entry["bucketBoundaries"])))
                for name, entry in exposure.items()
                if entry.get("bucketBoundaries")
            },
            default_buckets=boundaries or BUCKETS,
            include=frozenset(namespaces.get("include") or ()),
            exclude=frozenset(namespaces.get("exclude") or ()),
        )
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise InvalidExposure(str(error)) from error


MAX_SERIES = 10_000
"""Of one metric: whoever makes up kinds, or policies by the thousand, must not fill the memory."""


def _base(name: str) -> str:
    return name if METRICS.get(name) else name.removesuffix("_total")


class HistogramCell:
    """How often values fell into each bucket, and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect.bisect_left(self.bounds, seconds)] += 1
        self.total += seconds


class _Series:
    """One metric: its kept labels and its values per label tuple."""

    __slots__ = ("buckets", "definition", "kept", "labels", "name", "values")

    def __init__(self, name: str, definition: Definition, exposure: Exposure) -> None:
        left_out = exposure.left_out.get(name, UNLABELLED)
        self.name = name
        self.definition = definition
        self.kept = tuple(index for index, label in enumerate(definition.labels) if label not in left_out)
        self.labels = tuple(definition.labels[index] for index in self.kept)
        self.buckets = exposure.buckets.get(name, exposure.default_buckets)
        self.values: dict[tuple[str, ...], Any] = {}

    def key(self, labels: Sequence[str]) -> tuple[str, ...]:
        return tuple([labels[index] for index in self.kept])

    def family(self) -> Metric:
        if self.definition.type == "counter":
            counter = CounterMetricFamily(self.name, self.definition.help, labels=self.labels)
            for key, cell in self.values.items():
                counter.add_metric(key, cell[0])
            return counter
        if self.definition.type == "gauge":
            gauge = GaugeMetricFamily(self.name, self.definition.help, labels=self.labels)
            for key, value in self.values.items():
                gauge.add_metric(key, value)
            return gauge
        histogram = HistogramMetricFamily(self.name, self.definition.help, labels=self.labels)
        bounds = [*(repr(bound) for bound in self.buckets), "+Inf"]
        for key, cell in self.values.items():
            running, rows = 0, []
            for bound, count in zip(bounds, cell.counts, strict=True):
                running += count
                rows.append((bound, running))
            histogram.add_metric(key, buckets=rows, sum_value=cell.total)
        return histogram


class Metrics(Collector):
    """All metrics of a process. Label values are given in the order of `METRICS[name].labels`."""

    def __init__(self, exposure: Exposure = Exposure()) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self.exposure = exposure
        self._series: dict[str, _Series] = {}
        self.epoch = 0
        self.expose(exposure)
        self._registry.register(self)

    def expose(self, exposure: Exposure) -> None:
        """Starts over with another exposure; what was counted is dropped, as labels may have changed.

        `epoch` goes up: cells that were handed out before count nothing any more.
        """
        self.epoch += 1
        self.exposure = exposure
        kept = {name: series for name, series in self._series.items() if series.definition.type == "gauge"}
        self._series = {
            name: kept.get(name) or _Series(name, definition, exposure)
            for name, definition in METRICS.items()
            if name not in exposure.disabled
        }

    def counter(self, name: str, labels: Sequence[str] = ()) -> list[float] | None:
        """The cell of one series, `[value]`, to add to; None where the metric is switched off or has MAX_SERIES series."""
        series = self._series.get(name)
        if series is None:
            return None
        key = series.key(labels)
        held: list[float] | None = series.values.get(key)
        if held is None and len(series.values) < MAX_SERIES:
            held = series.values[key] = [0]
        return held

    def histogram(self, name: str, labels: Sequence[str]) -> HistogramCell | None:
        """The cell of one series; None where the metric is switched off or has MAX_SERIES series."""
        series = self._series.get(name)
        if series is None:
            return None
        key = series.key(labels)
        held: HistogramCell | None = series.values.get(key)
        if held is None and len(series.values) < MAX_SERIES:
            held = series.values[key] = HistogramCell(series.buckets)
        return held

    def count(self, name: str, labels: Sequence[str] = (), amount: float = 1) -> None:
        cell = self.counter(name, labels)
        if cell is not None:
            cell[0] += amount

    def observe(self, name: str, labels: Sequence[str], seconds: float) -> None:
        cell = self.histogram(name, labels)
        if cell is not None:
            cell.observe(seconds)

    def gauge(self, name: str, values: Mapping[tuple[str, ...], float]) -> None:
        """Replaces a gauge's rows by label values -> value."""
        series = self._series.get(name)
        if series is not None:
            series.values = {series.key(labels): value for labels, value in values.items()}

    def state(self, name: str, rows: Iterable[Sequence[str]]) -> None:
        """Replaces a gauge's rows; each counts as 1."""
        series = self._series.get(name)
        if series is not None:
            series.values = {series.key(row): 1 for row in rows}

    def collect(self) -> Iterator[Metric]:
        return iter([series.family() for series in self._series.values() if series.values])

    def render(self, only: Container[str] = ()) -> bytes:
        """The text format of Prometheus; of the metrics `only` names, empty: of all."""
        return generate_latest(_Some(self._registry, only) if only else self._registry)


class _Some:
    """A registry's metrics with certain names, of samples (`pyvern_reports_total`) or of families."""

    def __init__(self, registry: CollectorRegistry, names: Container[str]) -> None:
        self._registry = registry
        self._names = names

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            if metric.name in self._names or any(sample.name in self._names for sample in metric.samples[:1]):
                yield metric


def breaker(metrics: Metrics, circuit: str) -> Callable[[bool], None]:
    """Counts what goes through a breaker and what it drops."""

    def count(dropped: bool) -> None:
        metrics.count("kyverno_breaker", (circuit,))
        if dropped:
            metrics.count("kyverno_breaker_drops", (circuit,))

    return count
