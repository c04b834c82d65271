"""etcd, kube-apiserver and kube-controller-manager in one directory: isolated from each other by data, ports and keys."""

from __future__ import annotations

import base64
import json
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

from deploy.local.api import Api
from deploy.local.certificates import write_keys
from deploy.local.console import Blocked, Say, silent, step
from deploy.local.kubectl import Kubectl, write_kubeconfig, write_secret
from deploy.local.processes import SPARE_ADDRESS, Processes, free_ports, host_address

ADMIN = "kubernetes-admin"  # conformance tests match on this name and on system:masters
SERVICE_RANGE = "10.97.0.0/16"
FIRST_SERVICE = "10.97.0.1"
FEATURES = {
    "feature-gates": "MutatingAdmissionPolicy=true",
    "runtime-config": "admissionregistration.k8s.io/v1beta1=true,admissionregistration.k8s.io/v1alpha1=true",
}
CONTROLLERS = "*,-nodeipam,-cloud-node-lifecycle,-service-lb-controller,-node-route-controller"
PLANE = ("kube-controller-manager", "kube-apiserver", "etcd")  # in the order of stopping
START_TIMEOUT = 90.0


class ControlPlane:
    """The control plane whose files are in `directory`: `kubeconfig`, `logs/`, `pids/`, `keys/`, `etcd/`.

    `tools`: the paths of etcd, kube-apiserver, kube-controller-manager and kubectl. Only `start` and `kubectl` need them.
    Each start makes a fresh, empty cluster.
    """

    def __init__(self, directory: Path, *, tools: Mapping[str, Path], leashed: bool = False) -> None:
        self.directory = directory.resolve()
        self.tools = tools
        self.processes = Processes(self.directory, leashed=leashed)
        self.kubeconfig = self.directory / "kubeconfig"

    @property
    def running(self) -> bool:
        return all(self.processes.pid(name) is not None for name in PLANE)

    @property
    def url(self) -> str:
        return str(self._cluster["clusters"][0]["cluster"]["server"])

    @property
    def ca(self) -> Path:
        return self.directory / "keys" / "ca.crt"

    @property
    def api(self) -> Api:
        """A client with all rights."""
        return Api(self.url, ca=self.ca, token=self._cluster["users"][0]["user"]["token"])

    @property
    def _cluster(self) -> dict[str, list[dict[str, dict[str, str]]]]:
        try:
            return json.loads(self.kubeconfig.read_text())  # type: ignore[no-any-return]
        except FileNotFoundError:
            raise Blocked(f"there is no cluster in {self.directory}", "run `make up`") from None

    def start(self, *, service_accounts: bool = False, to: Say = silent) -> None:
        """Start the three processes and wait until they serve. Errors: Blocked, with nothing left running.

        `service_accounts`: the ServiceAccount admission plugin. It is off by default: some conformance tests change their
        meaning with it.
        """
        try:
            self._start(service_accounts=service_accounts, to=to)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> list[str]:
        """End what runs of the control plane and forget its data. Returns the names of what was running."""
        stopped = self.processes.stop(PLANE, patience=1.0)  # not more: the data goes away with them
        for folder in ("etcd", "keys"):
            shutil.rmtree(self.directory / folder, ignore_errors=True)
        self.kubeconfig.unlink(missing_ok=True)
        return stopped

    @property
    def kubectl(self) -> Kubectl:
        """kubectl with all rights."""
        return Kubectl(self.tools["kubectl"], self.kubeconfig)

    def _start(self, *, service_accounts: bool, to: Say) -> None:
        shutil.rmtree(self.directory / "etcd", ignore_errors=True)
        shutil.rmtree(self.directory / "logs", ignore_errors=True)
        keys = self.directory / "keys"
        write_keys(keys, service_address=FIRST_SERVICE)
        client, peer, port = free_ports(3)
        token = secrets.token_urlsafe(32)
        write_secret(keys / "tokens.csv", f"{token},{ADMIN},{ADMIN},system:masters\n")
        server = {
            "server": f"https://127.0.0.1:{port}",
            "certificate-authority-data": base64.b64encode(self.ca.read_bytes()).decode(),
        }
        write_kubeconfig(self.kubeconfig, cluster=server, user=ADMIN, token=token)
        api = self.api
        with step("etcd", to=to):
            self._run("etcd", _etcd(self.directory / "etcd", client=client, peer=peer))
        with step("kube-apiserver", to=to):
            self._run("kube-apiserver", _apiserver(keys, etcd=client, port=port, service_accounts=service_accounts))
            self.processes.wait("kube-apiserver", lambda: api.find("/readyz") == "ok", timeout=START_TIMEOUT)
        with step("kube-controller-manager", to=to):
            self._run("kube-controller-manager", _controller_manager(keys, kubeconfig=self.kubeconfig))
            account = "/api/v1/namespaces/default/serviceaccounts/default"
            self.processes.wait("kube-controller-manager", lambda: api.find(account) is not None, timeout=START_TIMEOUT)

    def _run(self, name: str, flags: Mapping[str, str]) -> None:
        self.processes.start(name, [str(self.tools[name]), *(f"--{flag}={value}" for flag, value in flags.items())])


def _etcd(data: Path, *, client: int, peer: int) -> dict[str, str]:
    return {
        "name": "local",
        "data-dir": str(data),
        "listen-client-urls": f"http://127.0.0.1:{client}",
        "advertise-client-urls": f"http://127.0.0.1:{client}",
        "listen-peer-urls": f"http://127.0.0.1:{peer}",
        "initial-advertise-peer-urls": f"http://127.0.0.1:{peer}",
        "initial-cluster": f"local=http://127.0.0.1:{peer}",
        "unsafe-no-fsync": "true",
        "log-level": "warn",
    }


def _apiserver(keys: Path, *, etcd: int, port: int, service_accounts: bool) -> dict[str, str]:
    return {
        "etcd-servers": f"http://127.0.0.1:{etcd}",
        "bind-address": "127.0.0.1",
        "advertise-address": host_address() or SPARE_ADDRESS,  # loopback is refused
        "secure-port": str(port),
        "tls-cert-file": str(keys / "server.crt"),
        "tls-private-key-file": str(keys / "server.key"),
        "client-ca-file": str(keys / "ca.crt"),
        "token-auth-file": str(keys / "tokens.csv"),
        "authorization-mode": "Node,RBAC",
        "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
        "service-account-key-file": str(keys / "sa.pub"),
        "service-account-signing-key-file": str(keys / "sa.key"),
        "service-cluster-ip-range": SERVICE_RANGE,
        "allow-privileged": "true",
        "enable-aggregator-routing": "true",  # webhooks of kind service reach the addresses of its EndpointSlices
        "shutdown-delay-duration": "0s",
        **({} if service_accounts else {"disable-admission-plugins": "ServiceAccount"}),
        **FEATURES,
    }


def _controller_manager(keys: Path, *, kubeconfig: Path) -> dict[str, str]:
    return {
        "kubeconfig": str(kubeconfig),
        "secure-port": "0",
        "use-service-account-credentials": "false",
        "leader-elect": "false",
        "service-account-private-key-file": str(keys / "sa.key"),
        "root-ca-file": str(keys / "ca.crt"),
        "cluster-signing-cert-file": str(keys / "ca.crt"),
        "cluster-signing-key-file": str(keys / "ca.key"),
        "controllers": CONTROLLERS,
    }
