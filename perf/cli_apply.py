"""How long does `pyvern apply -p` take for 2,000 Pods and the 17 Pod Security policies, and how much memory?

    python -m perf.cli_apply [PODS]

Then the same for one Pod, how long commands take to start (beside Python itself and `import click`, in the same run), and the
CLI tests of Kyverno's policies in one process, where CONFORMANCE_DIR has them.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
POLICIES = ROOT / "deploy" / "policies" / "pod-security" / "base"
PROGRAM = Path(sys.executable).parent / "pyvern"
POD = """---
apiVersion: v1
kind: Pod
metadata:
  name: pod-{number}
  namespace: team-{team}
  labels:
    app: load
    number: "{number}"
spec:
  containers:
  - name: main
    image: registry.example/app:{number}
    args: ["--port", "8080"]
    ports:
    - containerPort: 8080
    resources:
      limits: {{cpu: 500m, memory: 128Mi}}
    securityContext:
      allowPrivilegeEscalation: {bad}
      capabilities:
        drop: [ALL]
  - name: sidecar
    image: registry.example/sidecar:1
    securityContext:
      privileged: {bad}
  volumes:
  - name: tmp
    emptyDir: {{}}
"""


def measured(*command: str) -> tuple[float, float, int]:
    """(seconds, CPU seconds, peak memory in MiB) of one run of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    with open(os.devnull, "wb") as nowhere:
        process = subprocess.Popen(command, stdout=nowhere, stderr=nowhere)
        _, _, usage = os.wait4(process.pid, 0)
    elapsed = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return elapsed, cpu, usage.ru_maxrss // 1024


def shown(name: str, *arguments: str, runs: int = 3, program: str = str(PROGRAM)) -> None:
    elapsed, cpu, memory = min(measured(program, *arguments) for _ in range(runs))
    print(f"{name}: {elapsed:.2f} s, {cpu:.2f} s CPU, {memory} MiB")


def main() -> None:
    pods = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    with tempfile.TemporaryDirectory() as folder:
        for number, name in ((pods, "many.yaml"), (1, "one.yaml")):
            bad = ("false", "true")
            texts = (POD.format(number=i, team=i % 20, bad=bad[i % 2]) for i in range(number))
            Path(folder, name).write_text("".join(texts))
        for form in ("yaml", "json"):
            arguments = ("apply", str(POLICIES), "-r", f"{folder}/many.yaml", "-p", "--output-format", form)
            shown(f"apply -p, {pods} Pods, {form}", *arguments)
        shown("apply, 1 Pod", "apply", str(POLICIES), "-r", f"{folder}/one.yaml")
        one = str(POLICIES / "baseline" / "disallow-host-namespaces.yaml")
        starts = {
            "apply, 1 Pod, 1 policy": ("apply", one, "-r", f"{folder}/one.yaml"),
            "lint, 1 policy": ("lint", one),
            "jp query": ("jp", "query", "-i", f"{folder}/one.yaml", "metadata.name"),
            "test --help": ("test", "--help"),
            "version": ("version",),
        }
        for name, arguments in starts.items():
            shown(name, *arguments, runs=7)
    shown("python -c 'import click'", "-c", "import click", runs=7, program=sys.executable)
    shown("python -c pass", "-c", "pass", runs=7, program=sys.executable)
    conformance = Path(os.environ.get("CONFORMANCE_DIR", ROOT.parent / "shared" / "conformance")) / "data"
    if conformance.is_dir():
        shown("test, the tests of Kyverno's policies", "test", str(conformance / "policies"), runs=1)


if __name__ == "__main__":
    main()
