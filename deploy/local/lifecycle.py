"""Up, down and status of the cluster that a developer works with; its directory is `.cluster`."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from deploy.local.binaries import provide
from deploy.local.console import Blocked, Say, say
from deploy.local.control_plane import PLANE, ControlPlane
from deploy.local.installation import NAMESPACE, OVERLAY, ROOT, install, render
from deploy.local.kubectl import CLUSTER_NAME, Kubectl, KubectlFailed, write_secret
from deploy.local.operators import Operators, service_host
from deploy.local.processes import Processes

LOOPBACK = "127.0.0.1"
DIRECTORY = ROOT / ".cluster"
IMAGE_OVERLAY = ROOT / "deploy" / "overlays" / "default"
IMAGE_HINT = f"""\
The manifests are applied. The operators run there as Pods and need an image that the cluster can pull:
    docker build -t REGISTRY/pyvern:dev . && docker push REGISTRY/pyvern:dev
    kubectl set image -n {NAMESPACE} deployment/kyverno-admission-controller '*=REGISTRY/pyvern:dev'
If the API server can reach this machine, they can run here instead: make up KUBECONFIG=... SERVER_IP=<address of this machine>"""


@dataclass(frozen=True, slots=True)
class Wish:
    """How the cluster should be.

    `kubeconfig`: a cluster of the user's own instead of a local control plane. `server_ip`: the address or host name under which
    its API server reaches this machine. `service`: webhooks of kind Service instead of a URL. `service_accounts`: the
    ServiceAccount admission plugin is on. `overlay`: the manifests.
    """

    kubeconfig: Path | None = None
    server_ip: str = LOOPBACK
    service: bool = False
    service_accounts: bool = False
    overlay: Path = OVERLAY


DEFAULT = Wish()


def up(directory: Path = DIRECTORY, *, wish: Wish = DEFAULT, leashed: bool = False, to: Say = say) -> ControlPlane:
    """Control plane, manifests, operators; what runs already is kept, the operators are started anew. Errors: Blocked.

    `leashed`: the processes end with this one.
    """
    plane = ControlPlane(directory, tools=provide(to=to), leashed=leashed)
    if wish.kubeconfig is not None:
        return _adopt(plane, wish.kubeconfig, wish, to=to)
    with ThreadPoolExecutor(2) as pool:  # rendering takes seconds of its own, and so does an orderly end
        manifests = pool.submit(render, plane.kubectl, wish.overlay)
        if plane.running:
            to("the control plane is running; the operators start anew")
        else:
            down(directory, to=to)  # what a crash may have left
            to(f"starting a fresh control plane in {directory}")
            plane.start(service_accounts=wish.service_accounts, to=to)
        _forget_dead(plane, to=to)
        ended = pool.submit(_stop_operators, plane.processes)
        install(plane.kubectl, manifests=manifests.result(), to=to)
        ended.result()
    _start_operators(plane, wish, to=to)
    return plane


def down(directory: Path = DIRECTORY, *, to: Say = say) -> None:
    """End exactly the processes that `up` started there, also after a crash."""
    plane = ControlPlane(directory, tools={})
    stopped = _stop_operators(plane.processes)
    stopped += plane.stop()
    stopped += plane.processes.stop(plane.processes.names(), patience=5.0)
    for file in directory.glob("kubeconfig-*"):
        file.unlink()
    if stopped:
        to(f"stopped {', '.join(stopped)}")


def status(directory: Path = DIRECTORY, *, to: Say = say) -> bool:
    """Tell what runs. True when all that was started is alive."""
    processes = Processes(directory)
    names = processes.names()
    for name in names:
        pid = processes.pid(name)
        state = f"running, pid {pid}" if pid else f"dead; the end of {processes.log(name)}:\n{processes.tail(name, 5)}"
        to(f"  {name:<28} {state}")
    if not names:
        to("nothing is running; start it with `make up`")
    return bool(names) and all(processes.pid(name) for name in names)


def _stop_operators(processes: Processes) -> list[str]:
    return processes.stop([name for name in processes.names() if name not in PLANE], patience=20.0)


def _forget_dead(plane: ControlPlane, *, to: Say) -> None:
    """Webhooks of an operator that was killed may block whatever is applied; it makes them again when it is back."""
    dead = [name for name in plane.processes.names() if plane.processes.pid(name) is None]
    if dead:
        kinds = "validatingwebhookconfigurations,mutatingwebhookconfigurations"
        to(f"{', '.join(dead)} had ended; webhooks are set up anew")
        plane.kubectl("delete", kinds, "-l", "webhook.kyverno.io/managed-by=kyverno")


def _start_operators(plane: ControlPlane, wish: Wish, *, to: Say) -> None:
    host = service_host() if wish.service else None
    operators = Operators(plane.kubectl, plane.processes, directory=plane.directory, host=host, server_ip=wish.server_ip)
    operators.start_all(operators.names(), to=to)


def _adopt(plane: ControlPlane, kubeconfig: Path, wish: Wish, *, to: Say) -> ControlPlane:
    """Use a cluster of the user's own: manifests always, operators here only when its API server can call this machine."""
    if plane.running:
        raise Blocked("a local control plane is running", "run `make down` first")
    source = Kubectl(plane.tools["kubectl"], kubeconfig)
    try:
        view = source("config", "view", "--minify", "--flatten", "--raw", "-o", "json")
        source("get", "--raw", "/readyz", timeout=20)
    except KubectlFailed as failed:
        raise Blocked(f"the cluster of {kubeconfig} does not answer", "check the file", detail=failed.message) from failed
    write_secret(plane.kubeconfig, view)
    if wish.server_ip != LOOPBACK or _ours(view):
        to(f"using the cluster of {kubeconfig}; its API server calls this machine")
        install(plane.kubectl, manifests=render(plane.kubectl, wish.overlay), to=to)
        _stop_operators(plane.processes)
        _start_operators(plane, wish, to=to)
    else:
        to(f"using the cluster of {kubeconfig}")
        install(plane.kubectl, manifests=render(plane.kubectl, IMAGE_OVERLAY), to=to)
        to(IMAGE_HINT)
    return plane


def _ours(view: str) -> bool:
    """Whether a kubeconfig leads to one of our control planes, which can call 127.0.0.1."""
    cluster = json.loads(view)["clusters"][0]
    return str(cluster["name"]) == CLUSTER_NAME and "//127.0.0.1:" in cluster["cluster"]["server"]
