"""Our operators as local processes, each under its own ServiceAccount with only the rights that the manifests give it.

What a process is told (module, flags, environment, ServiceAccount) is read from its Deployment in the cluster, so that the
shipped manifests are what is run; only ports and paths of this machine are put in their place.
"""

from __future__ import annotations

import json
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local.console import Blocked, Say, silent, step
from deploy.local.installation import NAMESPACE, ROOT
from deploy.local.kubectl import Kubectl, KubectlFailed
from deploy.local.processes import SPARE_ADDRESS, Processes, free_ports, host_address

TOKEN_HOURS = 48
READY_TIMEOUT = 60.0
STOP_PATIENCE = 20.0
PORT_FLAGS = ("webhookServerPort", "cleanupServerPort")


@dataclass(frozen=True, slots=True)
class Running:
    """A started operator. `port`: webhooks and health (TLS); `metrics_port`: metrics (plain HTTP); both on 127.0.0.1 too."""

    name: str
    port: int
    metrics_port: int
    kubeconfig: Path


@dataclass(frozen=True, slots=True)
class _Launched:
    """A process that has been started and may not be ready; `probe` is where it says so."""

    running: Running
    probe: str


class Operators:
    """Starts and stops operators for one cluster.

    `host`: with None the webhooks call a URL, on `server_ip`; with an address of this machine that is not loopback they call the
    Service, and its EndpointSlices hold that address. Ports are chosen freely.
    """

    def __init__(
        self,
        kubectl: Kubectl,
        processes: Processes,
        *,
        directory: Path,
        host: str | None = None,
        server_ip: str = "127.0.0.1",
    ) -> None:
        self._kubectl = kubectl
        self._processes = processes
        self._directory = directory
        self._host = host
        self._server_ip = server_ip

    def names(self) -> list[str]:
        """The operators whose Deployments are applied, such as `admission`."""
        found = self._kubectl.json("get", "deployments", "-n", NAMESPACE, "-l", "app.kubernetes.io/part-of=kyverno")["items"]
        return sorted(item["metadata"]["name"].removeprefix("kyverno-").removesuffix("-controller") for item in found)

    def start(
        self,
        operator: str,
        *,
        name: str = "",
        flags: Mapping[str, str] | None = None,
        again: Running | None = None,
        to: Say = silent,
    ) -> Running:
        """Start one replica of `operator` as process `name` (default: `operator`) and wait until it is ready.

        `flags` replace or add to those of its Deployment; `again` is one that was stopped and whose ports it takes. Errors:
        Blocked, with the end of its log.
        """
        name = name or operator
        with step(name, to=to):
            launched = self._launch(operator, name, flags or {}, again)
            self._await(launched)
        return launched.running

    def start_all(self, operators: Sequence[str], *, to: Say = silent) -> list[Running]:
        """Start one replica of each, all at the same time, and wait until the last one is ready. Errors: Blocked, as `start`."""
        with step(f"{len(operators)} operators", to=to):
            launched = [self._launch(operator, operator, {}) for operator in operators]
            for one in launched:
                self._await(one)
        return [one.running for one in launched]

    def _launch(self, operator: str, name: str, flags: Mapping[str, str], again: Running | None = None) -> _Launched:
        # INVARIANT (main thread): a leashed process ends with the thread that started it, so nothing is launched from a pool
        if self._processes.pid(name) is not None:
            raise Blocked(f"{name} is running already", "run `make down` first, or choose another name")
        ports = (again.port, again.metrics_port) if again else free_ports(2, address="0.0.0.0" if self._host else "127.0.0.1")
        port, metrics_port = ports
        running = Running(name, port, metrics_port, self._directory / f"kubeconfig-{name}")
        try:
            deployment = self._kubectl.json("get", "deployment", f"kyverno-{operator}-controller", "-n", NAMESPACE)
            pod = deployment["spec"]["template"]["spec"]
            account = pod["serviceAccountName"]
            self._kubectl.identity(account, namespace=NAMESPACE, hours=TOKEN_HOURS, file=running.kubeconfig)
            environment = self._environment(deployment, running)
            if self._host and "KYVERNO_SVC" in environment:
                self._expose(environment["KYVERNO_SVC"], running)
        except KubectlFailed as failed:
            raise Blocked(f"cannot prepare {name}", "are the manifests applied?", detail=failed.message) from failed
        container = pod["containers"][0]
        command = [sys.executable, *container["command"][1:], *self._arguments(container["args"], running, flags)]
        self._processes.start(name, command, environment=environment, cwd=ROOT)
        return _Launched(
            running, f"https://127.0.0.1:{port}" if _serves(container["args"]) else f"http://127.0.0.1:{metrics_port}"
        )

    def _await(self, launched: _Launched) -> None:
        self._processes.wait(launched.running.name, lambda: _ready(launched.probe), timeout=READY_TIMEOUT)

    def stop(self, name: str, *, patience: float = STOP_PATIENCE) -> None:
        """End the process `name` and forget its address. It may take `patience` seconds to drain."""
        self._processes.stop([name], patience=patience)
        (self._directory / f"kubeconfig-{name}").unlink(missing_ok=True)
        if self._host:
            self._kubectl("delete", "endpointslice", "-n", NAMESPACE, f"local-{name}", "--ignore-not-found", "--wait=false")

    def _arguments(self, shipped: list[str], running: Running, flags: Mapping[str, str]) -> list[str]:
        ours = dict(argument.removeprefix("--").split("=", 1) for argument in shipped)
        ours.update({flag: str(running.port) for flag in PORT_FLAGS if flag in ours})
        ours["metricsPort"] = str(running.metrics_port)
        if not self._host and _serves(shipped):
            ours["serverIP"] = f"{self._server_ip}:{running.port}"
        return [f"--{flag}={value}" for flag, value in {**ours, **flags}.items()]

    def _environment(self, deployment: Any, running: Running) -> dict[str, str]:
        fields = {
            "metadata.namespace": deployment["metadata"]["namespace"],
            "metadata.name": f"{deployment['metadata']['name']}-{running.name}",
        }
        shipped = deployment["spec"]["template"]["spec"]["containers"][0].get("env", [])
        return {
            **{entry["name"]: entry.get("value") or fields[entry["valueFrom"]["fieldRef"]["fieldPath"]] for entry in shipped},
            "TUF_ROOT": str(self._directory / "sigstore"),
            "KUBECONFIG": str(running.kubeconfig),
            "PYTHONUNBUFFERED": "1",
        }

    def _expose(self, service: str, running: Running) -> None:
        """Let the Service (which has no selector here) lead to this process."""
        endpoint_slice = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": f"local-{running.name}",
                "namespace": NAMESPACE,
                "labels": {"kubernetes.io/service-name": service, "endpointslice.kubernetes.io/managed-by": "make-up"},
            },
            "addressType": "IPv4",
            "ports": [{"name": "https", "port": running.port, "protocol": "TCP"}],
            "endpoints": [{"addresses": [self._host], "conditions": {"ready": True}}],
        }
        self._kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(endpoint_slice))


def service_host() -> str:
    """The address under which the API server reaches this machine through a Service. Errors: Blocked when there is none."""
    address = host_address()
    if address is None:
        raise Blocked(
            "this machine has only loopback addresses, which EndpointSlices refuse",
            f"run `ip addr add {SPARE_ADDRESS}/32 dev lo`",
        )
    return address


def _serves(arguments: list[str]) -> bool:
    """Has the operator webhooks? One without them has its probes on the metrics port."""
    return any(argument.removeprefix("--").partition("=")[0] in PORT_FLAGS for argument in arguments)


def _ready(server: str) -> bool:
    trusting = ssl._create_unverified_context()  # its certificate comes from a CA of its own; this asks for health only
    try:
        with urllib.request.urlopen(f"{server}/health/readiness", context=trusting, timeout=2) as answer:
            return int(answer.status) == 200
    except (urllib.error.URLError, OSError):
        return False
