"""The programs of the control plane: found, or built from Go modules whose hashes are pinned in `tools/go.sum`.

Order: $KUBEBUILDER_ASSETS, the cache ($PYVERN_CACHE or ~/.cache/pyvern/bin/VERSION), PATH if the version fits, a build into the
cache.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.console import Blocked, Say, Ticker, say

HERE = Path(__file__).resolve().parent
OLDEST_GO = (1, 24)
USUAL_GO = Path("/usr/local/go/bin/go")
OFFLINE = re.compile(r"dial tcp|no such host|i/o timeout|connection refused|module lookup disabled|TLS handshake timeout")
BUILD_HINT = "about 10 minutes on 2 cores the first time"


@dataclass(frozen=True, slots=True)
class Bundle:
    """Programs that one go.mod pins. `versions`: program -> (arguments that ask for its version, pattern of a fitting answer)."""

    folder: Path
    module: str  # whose version names the cache folder
    versions: Mapping[str, tuple[Sequence[str], str]]
    built_as: Mapping[str, str]  # program -> the name that `go install` gives it, where that differs
    stamp: Callable[[str], str]

    @property
    def version(self) -> str:
        found = re.search(
            rf"^\s*(?:require )?{re.escape(self.module)} v(\S+)", (self.folder / "go.mod").read_text(), re.MULTILINE
        )
        if found is None:
            raise Blocked(f"{self.folder / 'go.mod'} does not require {self.module}", "restore the file")
        return found[1]


def _kubernetes_stamp(version: str) -> str:
    major, minor, _ = version.split(".", 2)
    package = "k8s.io/component-base/version"
    values = {
        f"{package}.gitVersion": f"v{version}",
        f"{package}.gitMajor": major,
        f"{package}.gitMinor": minor,
        f"{package}.gitTreeState": "clean",
        "k8s.io/client-go/pkg/version.gitVersion": f"v{version}",
    }
    return " ".join(["-s -w", *(f"-X {name}={value}" for name, value in values.items())])


CONTROL_PLANE = Bundle(
    folder=HERE / "tools",
    module="k8s.io/kubernetes",
    versions={
        "etcd": (["--version"], r"etcd Version: 3\.[5-9]\."),
        "kube-apiserver": (["--version"], r"Kubernetes v1\.34\."),
        "kube-controller-manager": (["--version"], r"Kubernetes v1\.34\."),
        "kubectl": (["version", "--client"], r"Client Version: v1\.34\."),
    },
    built_as={"etcd": "server"},
    stamp=_kubernetes_stamp,
)
LOAD = Bundle(
    folder=HERE / "perf-tools",
    module="go.k6.io/k6",
    versions={"k6": (["version"], r"k6\S* v"), "kwok": (["--version"], r"kwok version")},
    built_as={},
    stamp=lambda version: "-s -w",
)
REGISTRY = Bundle(
    folder=HERE / "registry-tools",
    module="github.com/distribution/distribution/v3",
    versions={"registry": (["--version"], r"registry \S*distribution/v3 v3\.")},
    built_as={},
    stamp=lambda version: f"-s -w -X github.com/distribution/distribution/v3/version.version=v{version}",
)
BUNDLES = {"control-plane": CONTROL_PLANE, "load": LOAD, "registry": REGISTRY}


def cache(bundle: Bundle) -> Path:
    """The folder for what is built from `bundle`; outside the checkout, one per version."""
    root = Path(os.environ.get("PYVERN_CACHE") or Path.home() / ".cache" / "pyvern")
    folder = bundle.version if bundle is CONTROL_PLANE else f"{bundle.folder.name}-{bundle.version}"
    return root / "bin" / folder


def find(bundle: Bundle) -> dict[str, Path]:
    """The programs of `bundle` that are there already, by name."""
    found = {}
    for name in bundle.versions:
        if path := _find(bundle, name):
            found[name] = path
    return found


def provide(bundle: Bundle = CONTROL_PLANE, *, to: Say = say) -> dict[str, Path]:
    """All programs of `bundle`; what is missing is built. Errors: Blocked without Go, network or disk."""
    found = find(bundle)
    if len(found) < len(bundle.versions):
        build(bundle, to=to)
        found = find(bundle)
    return found


def can_provide(bundle: Bundle = CONTROL_PLANE) -> str:
    """Why `provide` cannot even try, in one line; empty when it can."""
    if len(find(bundle)) == len(bundle.versions):
        return ""
    try:
        _go()
    except Blocked as blocked:
        return str(blocked)
    return ""


def build(bundle: Bundle, *, to: Say = say) -> None:
    """Build all programs of `bundle` into the cache."""
    go = _go()
    target = cache(bundle)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _alone(target.parent, to=to):
        if all((target / name).is_file() for name in bundle.versions):
            return  # another process built them while this one waited
        to(f"building {', '.join(bundle.versions)} {bundle.version} from Go modules ({BUILD_HINT}); once only, kept in {target}")
        started = time.monotonic()
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".building-") as folder:
            _install(go, bundle, Path(folder))
            target.mkdir(exist_ok=True)
            for name in bundle.versions:
                os.replace(Path(folder) / bundle.built_as.get(name, name), target / name)
        to(f"built in {time.monotonic() - started:.0f} s")


def _find(bundle: Bundle, name: str) -> Path | None:
    if assets := os.environ.get("KUBEBUILDER_ASSETS"):
        path = Path(assets) / name
        if os.access(path, os.X_OK):
            return path
    path = cache(bundle) / name
    if os.access(path, os.X_OK):
        return path
    on_path = shutil.which(name)
    return Path(on_path) if on_path and _version_fits(bundle, name, on_path) else None


def _version_fits(bundle: Bundle, name: str, path: str) -> bool:
    arguments, wanted = bundle.versions[name]
    try:
        answer = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return re.search(wanted, answer.stdout) is not None


def _go() -> str:
    """The go command. Errors: Blocked when there is none or it is too old."""
    wanted = ".".join(map(str, OLDEST_GO))
    go = shutil.which("go") or (str(USUAL_GO) if USUAL_GO.exists() else None)
    if go is None:
        raise Blocked(
            "no Go found to build the control plane with",
            f"install Go >= {wanted} (https://go.dev/dl) or set KUBEBUILDER_ASSETS to a folder with its binaries",
        )
    answer = subprocess.run([go, "version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"go(\d+)\.(\d+)", answer)
    if found is None or (int(found[1]), int(found[2])) < OLDEST_GO:
        raise Blocked(
            f"{go} is too old ({answer.strip() or 'it tells no version'})", f"install Go >= {wanted} (https://go.dev/dl)"
        )
    return go


@contextmanager
def _alone(folder: Path, *, to: Say) -> Iterator[None]:
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            to("another build is running; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(go: str, bundle: Bundle, target: Path) -> None:
    command = [go, "install", "-v", "-trimpath", "-ldflags", bundle.stamp(bundle.version), "tool"]
    environment = {**os.environ, "GOBIN": str(target), "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    environment.pop("GOOS", None)
    environment.pop("GOARCH", None)
    child = subprocess.Popen(command, cwd=bundle.folder, env=environment, stderr=subprocess.PIPE, text=True)
    count = {"modules downloaded": 0, "packages compiled": 0}
    problems: list[str] = []

    def read() -> None:
        assert child.stderr is not None
        for line in child.stderr:
            if line.startswith("go: downloading"):
                count["modules downloaded"] += 1
            elif re.fullmatch(r"[\w.~-]+(/[\w.~-]+)*\n", line):
                count["packages compiled"] += 1
            else:
                problems.append(line.rstrip())

    reader = threading.Thread(target=read)
    reader.start()
    ticker = Ticker()
    started = time.monotonic()
    try:
        while child.poll() is None:
            minutes, seconds = divmod(int(time.monotonic() - started), 60)
            ticker.show(f"  {minutes}:{seconds:02d} " + ", ".join(f"{number} {what}" for what, number in count.items() if number))
            time.sleep(0.5)
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait()
        reader.join()
        ticker.done()
    if child.returncode:
        raise _failure(problems, folder=bundle.folder)


def _failure(problems: list[str], *, folder: Path) -> Blocked:
    detail = "\n".join(f"    {line}" for line in problems[-15:])
    if any(OFFLINE.search(line) for line in problems):
        remedy = "check the network, or set GOPROXY to a module proxy that you reach"
        return Blocked("the Go modules cannot be downloaded", remedy, detail=detail)
    if any("no space left" in line for line in problems):
        return Blocked("the disk is full", "the build needs about 6 GB (go env GOCACHE GOMODCACHE)", detail=detail)
    return Blocked(f"building in {folder} failed", "the compiler says why", detail=detail)
