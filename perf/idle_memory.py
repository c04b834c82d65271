"""How much memory does an idle admission operator take, without policies and with the 17 Pod Security policies?

    python -m perf.idle_memory [--output perf/results/idle_memory.md]

Starts its own control plane and operator and ends them. The second table says which files and heaps the memory is.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import tempfile
import time
from collections import Counter
from pathlib import Path

from deploy.local.binaries import CONTROL_PLANE, provide
from deploy.local.console import say
from deploy.local.control_plane import ControlPlane
from deploy.local.installation import install, until
from deploy.local.operators import Operators
from perf.proc import machine, usage

HERE = Path(__file__).resolve().parent
ENFORCE = HERE.parent / "deploy" / "policies" / "pod-security" / "enforce"
POLICIES = 17
SETTLE = 4.0
"""Seconds until what a start or a change needed is given back."""
LARGEST = 8


def mappings(pid: int) -> Counter[str]:
    """Resident memory in kB by what is mapped: the names of files, `heap`, or `anonymous`."""
    held: Counter[str] = Counter()
    name = ""
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        head, *rest = line.split()
        if not head.endswith(":"):
            name = Path(rest[-1]).name.strip("[]") if len(rest) == 5 else "anonymous"
        elif head == "Rss:":
            held[name] += int(rest[0])
    return held


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=HERE / "results" / "idle_memory.md")
    output: Path = parser.parse_args().output
    with tempfile.TemporaryDirectory() as folder:
        plane = ControlPlane(Path(folder), tools=provide(CONTROL_PLANE), leashed=True)
        try:
            plane.start(to=say)
            install(plane.kubectl, to=say)
            operators = Operators(plane.kubectl, plane.processes, directory=Path(folder))
            running = operators.start("admission", to=say)
            pid = plane.processes.pid(running.name)
            assert pid is not None
            time.sleep(SETTLE)
            without = usage(pid)
            plane.kubectl("apply", "-k", str(ENFORCE))
            until(lambda: _ready(plane) == POLICIES, what="the policies are ready", timeout=30)
            time.sleep(SETTLE)
            loaded, held = usage(pid), mappings(pid)
            operators.stop(running.name)
        finally:
            plane.processes.stop(plane.processes.names(), patience=5)
            plane.stop()
    lines = [
        "# The idle admission operator",
        "",
        f"{machine()}; Python {platform.python_version()}; {datetime.datetime.now(datetime.UTC):%Y-%m-%d}; "
        "`python -m perf.idle_memory`.",
        "",
        "| | RSS MB | peak MB |",
        "|---|---|---|",
        f"| no policies | {without.rss:.1f} | {without.peak:.1f} |",
        f"| {POLICIES} policies | {loaded.rss:.1f} | {loaded.peak:.1f} |",
        "",
        "| resident, with policies | MB |",
        "|---|---|",
        *[f"| {name} | {size / 1024:.1f} |" for name, size in held.most_common(LARGEST)],
    ]
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("\n".join(lines) + "\n")
    say("\n".join(lines))


def _ready(plane: ControlPlane) -> int:
    policies = plane.kubectl.json("get", "clusterpolicies")["items"]
    conditions = (condition for policy in policies for condition in (policy.get("status") or {}).get("conditions") or ())
    return sum(1 for condition in conditions if condition["type"] == "Ready" and condition["status"] == "True")


if __name__ == "__main__":
    main()
