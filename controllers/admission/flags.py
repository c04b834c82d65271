"""The command line of the admission controller: Kyverno's flags (spec 6.1), and the environment it reads."""

from __future__ import annotations

import argparse
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Parse = Callable[[str], Any]
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def boolean(text: str) -> bool:
    """Go's strconv.ParseBool."""
    try:
        return {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}[text.lower()]
    except KeyError:
        raise argparse.ArgumentTypeError(f"`{text}` is neither true nor false") from None


def seconds(text: str) -> float:
    """A Go duration such as `1m30s`, in seconds."""
    total, number, rest = 0.0, "", text
    while rest:
        if rest[0].isdigit() or rest[0] == ".":
            number, rest = number + rest[0], rest[1:]
            continue
        unit = next((unit for unit in ("ms", "s", "m", "h") if rest.startswith(unit)), None)
        if unit is None or not number:
            raise argparse.ArgumentTypeError(f"`{text}` is no duration")
        total, number, rest = total + float(number) * UNITS[unit], "", rest[len(unit) :]
    if number and number.strip("0"):
        raise argparse.ArgumentTypeError(f"`{text}` has no unit")
    return total


def algorithm(text: str) -> str:
    """The name of a key algorithm, in our spelling."""
    names = {"rsa": "RSA", "ecdsa": "ECDSA", "ed25519": "Ed25519"}
    try:
        return names[text.lower()]
    except KeyError:
        raise argparse.ArgumentTypeError(f"`{text}` is none of RSA, ECDSA, Ed25519") from None


def logging_format(text: str) -> str:
    """text or json."""
    if text not in ("text", "json"):
        raise argparse.ArgumentTypeError(f"`{text}` is neither text nor json")
    return text


class Flag(NamedTuple):
    name: str
    parse: Parse
    default: Any
    help: str


FLAGS: Sequence[Flag] = (
    Flag("kubeconfig", str, "", "kubeconfig file; without it the Pod's ServiceAccount, $KUBECONFIG or ~/.kube/config"),
    Flag("caSecretName", str, "kyverno-svc.kyverno.svc.kyverno-tls-ca", "Secret of the certificate authority"),
    Flag("tlsSecretName", str, "kyverno-svc.kyverno.svc.kyverno-tls-pair", "Secret of the serving certificate"),
    Flag("tlsKeyAlgorithm", algorithm, "ECDSA", "keys of new certificates: RSA, ECDSA, Ed25519"),
    Flag("disableCertManagerController", boolean, False, "never renew certificates"),
    Flag("serverIP", str, "", "webhooks call https://serverIP instead of the Service; may carry a port"),
    Flag("servicePort", int, 443, "port of the Service"),
    Flag("webhookServerHost", str, "", "address to listen on; all by default"),
    Flag("webhookServerPort", int, 9443, "port to listen on"),
    Flag("webhookTimeout", int, 10, "timeoutSeconds of webhooks"),
    Flag("autoUpdateWebhooks", boolean, True, "compute webhook rules from the policies; otherwise everything is sent"),
    Flag("forceFailurePolicyIgnore", boolean, False, "no webhook ever blocks when we do not answer"),
    Flag("excludeBootstrapResources", boolean, False, "Fail webhooks leave nodes and certificate requests out"),
    Flag("admissionReports", boolean, True, "reports on admission requests"),
    Flag("protectManagedResources", boolean, False, "only we may change what we manage"),
    Flag("enablePolicyException", boolean, False, "PolicyExceptions count"),
    Flag("exceptionNamespace", str, "", "their namespace; * for all"),
    Flag("metricsPort", int, 8000, "port of /metrics"),
    Flag("metricsHost", str, "", "address of /metrics"),
    Flag("disableMetrics", boolean, False, "no /metrics"),
    Flag("omitEvents", str, "", "event reasons that are not written, comma-separated"),
    Flag("maxQueuedEvents", int, 1000, "events waiting to be written; more are dropped"),
    Flag("eventsRateLimitQPS", int, 50, "events written per second"),
    Flag("eventsRateLimitBurst", int, 100, "events written at once"),
    Flag("maxAPICallResponseLength", int, 10_000_000, "longest answer of an API call in a policy, in bytes"),
    Flag("apiCallTimeout", seconds, 30.0, "patience with API calls of policies"),
    Flag("leaderElectionRetryPeriod", seconds, 2.0, "time between two tries to lead"),
    Flag("resyncPeriod", seconds, 900.0, "time between two full comparisons of webhook configurations"),
    Flag("shutdownDrain", seconds, 5.0, "time between failing readiness and refusing requests"),
    Flag("loggingFormat", logging_format, "text", "text or json"),
    Flag("v", int, 2, "verbosity; 4 and above also logs debug messages"),
    Flag("dumpPayload", boolean, False, "log admission requests"),
)
ACCEPTED: Mapping[str, Parse] = {
    "loggingtsFormat": str,
    "disableLogColor": boolean,
    "autoMemLimitEnabled": boolean,
    "autoMemLimitRatio": float,
    "profile": boolean,
    "profilePort": int,
    "profileAddress": str,
    "enableTracing": boolean,
    "tracingAddress": str,
    "tracingPort": int,
    "tracingCreds": str,
    "otelConfig": str,
    "otelCollector": str,
    "transportCreds": str,
    "metricsCASecretName": str,
    "metricsTLSSecretName": str,
    "metricsKeyAlgorithm": str,
    "metricsRenewBefore": seconds,
    "metricsServerIP": str,
    "exemplarFilter": str,
    "clientRateLimitQPS": float,
    "clientRateLimitBurst": int,
    "crdWatcher": boolean,
    "enableConfigMapCaching": boolean,
    "enableDeferredLoading": boolean,
    "enableReporting": str,
    "allowedResults": str,
    "openreportsEnabled": boolean,
    "maxGlobalContextEntries": int,
    "allowHTTPInNamespacedPolicies": boolean,
    "httpBlocklist": str,
    "httpAllowlist": str,
    "imagePullSecrets": str,
    "registryCredentialHelpers": str,
    "allowInsecureRegistry": boolean,
    "imageVerifyCacheEnabled": boolean,
    "imageVerifyCacheMaxSize": int,
    "imageVerifyCacheTTLDuration": seconds,
    "enableTuf": boolean,
    "tufMirror": str,
    "tufRoot": str,
    "tufRootRaw": str,
    "enableCosignLogging": boolean,
    "webhookRegistrationTimeout": seconds,
    "renewBefore": seconds,
    "maxAdmissionReports": int,
    "maxAuditWorkers": int,
    "maxAuditCapacity": int,
    "backgroundServiceAccountName": str,
    "reportsServiceAccountName": str,
    "generateValidatingAdmissionPolicy": boolean,
    "generateMutatingAdmissionPolicy": boolean,
    "dumpPatches": boolean,
    "controllerRuntimeMetricsAddress": str,
}
"""Kyverno's flags that manifests carry and that change nothing here (yet): checked for their form, otherwise without effect."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Who and where this process is."""

    namespace: str = "kyverno"
    pod: str = field(default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}")
    deployment: str = "kyverno-admission-controller"
    service: str = "kyverno-svc"
    role: str = "kyverno:admission-controller"
    service_account: str = "kyverno-admission-controller"
    config: str = "kyverno"
    metrics_config: str = "kyverno-metrics"

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Environment:
        """From the variables that Kyverno's manifests set."""
        named = {
            "namespace": "KYVERNO_NAMESPACE",
            "pod": "KYVERNO_POD_NAME",
            "deployment": "KYVERNO_DEPLOYMENT",
            "service": "KYVERNO_SVC",
            "role": "KYVERNO_ROLE_NAME",
            "service_account": "KYVERNO_SERVICEACCOUNT_NAME",
            "config": "INIT_CONFIG",
            "metrics_config": "METRICS_CONFIG",
        }
        return cls(**{name: environment[key] for name, key in named.items() if environment.get(key)})


def parser() -> argparse.ArgumentParser:
    """All flags. Booleans may stand alone: `--disableMetrics` is `--disableMetrics=true`."""
    made = argparse.ArgumentParser(prog="python -m controllers.admission", allow_abbrev=False, description=__doc__)
    for flag in FLAGS:
        alone: dict[str, Any] = {"nargs": "?", "const": True} if flag.parse is boolean else {}
        made.add_argument(f"--{flag.name}", type=flag.parse, default=flag.default, help=flag.help, metavar="", **alone)
    for name, parse in ACCEPTED.items():
        alone = {"nargs": "?", "const": True} if parse is boolean else {}
        made.add_argument(f"--{name}", type=parse, help=argparse.SUPPRESS, metavar="", **alone)
    return made


def read(arguments: Sequence[str]) -> argparse.Namespace:
    """The flags; unknown ones end the process with a message, as Kyverno does. One dash counts as two."""
    return parser().parse_args([f"-{a}" if a.startswith("-") and not a.startswith("--") and len(a) > 2 else a for a in arguments])
