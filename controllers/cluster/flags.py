"""Command lines of the controllers: Kyverno's flags (spec 6.1), and the environment they read."""

from __future__ import annotations

import argparse
import os
import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from controllers.cluster.failure import CannotStart
from engine import Effect

Parse = Callable[[str], Any]
UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def boolean(text: str) -> bool:
    """Go's strconv.ParseBool."""
    try:
        return {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}[text.lower()]
    except KeyError:
        raise argparse.ArgumentTypeError(f"`{text}` is neither true nor false") from None


def positive(text: str) -> int:
    """A whole number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"`{text}` is not a positive number")
    return int(text)


def port(text: str) -> int:
    """A TCP port; 0: any that is free."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"`{text}` is no port")
    return int(text)


def seconds(text: str) -> float:
    """A Go duration such as `1m30s`, in seconds."""
    total, number, rest = 0.0, "", text
    while rest:
        if rest[0].isdigit() or rest[0] == ".":
            number, rest = number + rest[0], rest[1:]
            continue
        unit = next((unit for unit in UNITS if rest.startswith(unit)), None)
        if unit is None or not number:
            raise argparse.ArgumentTypeError(f"`{text}` is no duration")
        total, number, rest = total + float(number) * UNITS[unit], "", rest[len(unit) :]
    if number and number.strip("0"):
        raise argparse.ArgumentTypeError(f"`{text}` has no unit")
    return total


def interval(text: str) -> float:
    """A Go duration longer than nothing, in seconds."""
    found = seconds(text)
    if not found:
        raise argparse.ArgumentTypeError(f"`{text}` is not a positive duration")
    return found


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


REPORTING = "validate,mutate,mutateExisting,generate,imageVerify"
RESULTS = "pass,fail,error,warn,skip"
_EFFECTS = dict(
    zip(
        REPORTING.split(","),
        (Effect.VALIDATE, Effect.MUTATE, Effect.MUTATE_EXISTING, Effect.GENERATE, Effect.VERIFY_IMAGES),
        strict=True,
    )
)


def effects(text: str) -> frozenset[Effect]:
    """Types of rules, as --enableReporting names them."""
    return frozenset(_EFFECTS[word] for word in _words(text, _EFFECTS))


def results(text: str) -> frozenset[str]:
    """Results of rules: pass, fail and so on."""
    return frozenset(_words(text, RESULTS.split(",")))


def _words(text: str, known: Collection[str]) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    for word in words:
        if word not in known:
            raise argparse.ArgumentTypeError(f"`{word}` is none of {', '.join(known)}")
    return words


class Flag(NamedTuple):
    """A flag that has an effect: `parse` makes its value of a text and raises ArgumentTypeError."""

    name: str
    parse: Parse
    default: Any
    help: str


COMMON: Mapping[str, Parse] = {
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
    "crdWatcher": boolean,
    "enableConfigMapCaching": boolean,
    "enableDeferredLoading": boolean,
    "registryCredentialHelpers": str,
    "imageVerifyCacheEnabled": boolean,
    "imageVerifyCacheMaxSize": int,
    "imageVerifyCacheTTLDuration": seconds,
    "enableTuf": boolean,
    "tufMirror": str,
    "tufRoot": str,
    "tufRootRaw": str,
    "enableCosignLogging": boolean,
}
"""Flags of all controllers that manifests carry and that change nothing here (yet): checked for their form only."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Who and where this process is."""

    namespace: str = "kyverno"
    pod: str = field(default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}")
    deployment: str = ""
    service: str = ""
    role: str = ""
    service_account: str = ""
    config: str = "kyverno"
    metrics_config: str = "kyverno-metrics"
    scan_interval: float = 3600.0
    """Seconds between two comparisons of everything that the background controller keeps."""

    @classmethod
    def read(cls, environment: Mapping[str, str], *, controller: str) -> Environment:
        """From the variables that Kyverno's manifests set; what is missing follows from the controller's name, `admission`.

        Raises `CannotStart` for a BACKGROUND_SCAN_INTERVAL that is no duration.
        """
        defaults = {
            "deployment": f"kyverno-{controller}-controller",
            "service": "kyverno-svc" if controller == "admission" else f"kyverno-{controller}-controller",
            "role": f"kyverno:{controller}-controller",
            "service_account": f"kyverno-{controller}-controller",
        }
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
        try:
            interval = seconds(environment.get("BACKGROUND_SCAN_INTERVAL") or "1h")
        except argparse.ArgumentTypeError as error:
            raise CannotStart(f"BACKGROUND_SCAN_INTERVAL: {error}") from None
        given = {name: environment[key] for name, key in named.items() if environment.get(key)}
        return cls(**{**defaults, **given}, scan_interval=interval)


def parser(program: str, flags: Sequence[Flag], accepted: Mapping[str, Parse]) -> argparse.ArgumentParser:
    """All flags; those in `accepted` have no effect. Booleans may stand alone: `--disableMetrics` is `--disableMetrics=true`."""
    made = argparse.ArgumentParser(prog=f"python -m {program}", allow_abbrev=False)
    for flag in flags:
        alone: dict[str, Any] = {"nargs": "?", "const": True} if flag.parse is boolean else {}
        made.add_argument(f"--{flag.name}", type=flag.parse, default=flag.default, help=flag.help, metavar="", **alone)
    for name, parse in accepted.items():
        alone = {"nargs": "?", "const": True} if parse is boolean else {}
        made.add_argument(f"--{name}", type=parse, help=argparse.SUPPRESS, metavar="", **alone)
    return made


def read(made: argparse.ArgumentParser, arguments: Sequence[str]) -> argparse.Namespace:
    """The flags; unknown ones end the process with a message, as Kyverno does. One dash counts as two."""
    return made.parse_args([f"-{a}" if a.startswith("-") and not a.startswith("--") and len(a) > 2 else a for a in arguments])
