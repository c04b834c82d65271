"""Kyverno's cluster tests against a fresh cluster of ours: run, and compared with what must pass and what is known to differ.

    python -m tests.conformance.chainsaw [--area NAME] [--test SUBSTRING] [--update-floor]

The runner and the tests are data (CONFORMANCE_DIR/chainsaw.py and data/). `floor.txt` lists the tests that pass and must go on
passing; table `chainsaw` of known_gaps.toml lists those that fail, each with its reason. Every test that ran is in one of them.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.binaries import provide
from deploy.local.console import Blocked, Say, say, silent
from deploy.local.control_plane import ControlPlane
from deploy.local.installation import ROOT, install, render
from deploy.local.operators import Operators, service_host

HERE = Path(__file__).resolve().parent
FLOOR = HERE / "floor.txt"
GAPS = HERE / "known_gaps.toml"
OVERLAY = ROOT / "deploy" / "overlays" / "conformance"
AREAS = (
    "filter",
    "autogen",
    "rangeoperators",
    "deferred",
    "globalcontext",
    "validate",
    "policy-validation",
    "webhooks",
    "webhook-configurations",
    "exceptions",
    "cleanup",
    "ttl",
    "rbac",
    "configs",
    "force-failure-policy-ignore",
    "tls-certificates",
)
"""The areas of `make conformance` without AREAS."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What tests want: `flags` of each operator, the highest environment level that runs here, `crds`, a folder of the data whose
    kinds are there before the tests begin, and whether the ServiceAccount admission plugin gives Pods a token volume.
    """

    flags: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    max_env: int = 3
    crds: str = ""
    service_accounts: bool = False


def _keys(algorithm: str) -> Profile:
    # Level 6 says "as Pods"; these tests look at Secrets and webhooks only, and their Pods need no node.
    return Profile({name: {"tlsKeyAlgorithm": algorithm} for name in ("admission", "cleanup")}, max_env=6)


STANDARD = Profile()
SAMPLES = Profile(crds="policies/.chainsaw/crds")
TOKENS = Profile(service_accounts=True)
TOKENS_SAMPLES = Profile(service_accounts=True, crds=SAMPLES.crds)
PROFILES: Mapping[str, Profile] = {
    "chainsaw/reports-exclude-result": Profile({"reports": {"allowedResults": "fail,warn,error,skip"}}),
    "chainsaw/force-failure-policy-ignore": Profile({"admission": {"forceFailurePolicyIgnore": "true"}}),
    "chainsaw/tls-certificates/ecdsa-self-signed": _keys("ECDSA"),
    "chainsaw/tls-certificates/ed25519-self-signed": _keys("Ed25519"),
    "chainsaw/mutate/policy/cornercases/foreach-remove-elements": TOKENS,
    "chainsaw/mutate/refactor/simple/remove-multiple-elements-in-descending-order": TOKENS,
    "policies/other/limit-hostpath-vols": TOKENS_SAMPLES,
    "policies/other/remove-serviceaccount-token": TOKENS_SAMPLES,
    "policies/pod-security/restricted/restrict-volume-types": TOKENS_SAMPLES,
    "policies": SAMPLES,
}
"""Beginning of a path, the longest one first -> its profile; others have `STANDARD`. Each profile has a cluster of its own."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one test: `status` passed, failed or skipped; `where` it failed first, and what was wrong there."""

    status: str
    where: str
    problems: Sequence[str]


def folder() -> Path:
    """The conformance data."""
    return Path(os.environ.get("CONFORMANCE_DIR") or ROOT.parent / "shared" / "conformance").resolve()


def floor() -> set[str]:
    """The tests that must pass."""
    return {line for line in FLOOR.read_text().splitlines() if line and not line.startswith("#")}


def known_gaps() -> Mapping[str, str]:
    """Test -> why it fails."""
    gaps: dict[str, str] = tomllib.loads(GAPS.read_text()).get("chainsaw", {})
    return gaps


@contextmanager
def fresh_cluster(profile: Profile = STANDARD, *, to: Say = silent) -> Iterator[ControlPlane]:
    """A cluster as the tests want it, with all operators, webhooks through the Service; ended at the end."""
    with tempfile.TemporaryDirectory(prefix="pyvern-conformance-") as directory:
        plane = ControlPlane(Path(directory), tools=provide(to=to), leashed=True)
        try:
            plane.start(service_accounts=profile.service_accounts, to=to)
            install(plane.kubectl, manifests=render(plane.kubectl, OVERLAY), to=to)
            if profile.crds:
                plane.kubectl("apply", "--server-side", "-f", str(folder() / "data" / profile.crds))
            operators = Operators(plane.kubectl, plane.processes, directory=plane.directory, host=service_host())
            for name in operators.names():
                operators.start(name, flags=profile.flags.get(name), to=to)
            yield plane
        finally:
            plane.processes.stop(plane.processes.names(), patience=1.0)


def profile_of(test: str) -> Profile:
    """What the test at this path wants."""
    path = test.removeprefix("kyverno/test/conformance/")
    return next((profile for start, profile in PROFILES.items() if f"{path}/".startswith(f"{start}/")), STANDARD)


def selected(areas: Iterable[str], parts: Iterable[str]) -> list[str]:
    """The tests of these areas, and those with one of these texts in their path."""
    areas, parts = set(areas), tuple(parts)
    with (folder() / "data" / "manifest.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["test"] == "chainsaw"]
    named = [(f"{row['repo']}/{row['path']}".removesuffix("/chainsaw-test.yaml"), row["area"]) for row in rows]
    return [test for test, area in named if area in areas or any(part in test for part in parts)]


def clusters(tests: Iterable[str]) -> list[tuple[Profile, list[str]]]:
    """The tests by the cluster they run on: those that want the same, and of Kyverno's own those of one area.

    Areas leave things behind that disturb others (conformance README).
    """
    groups: list[tuple[str, Profile, list[str]]] = []
    for test in tests:
        area = test.split("/")[4] if test.startswith("kyverno/") else ""
        profile = profile_of(test)
        same = next((group for known, wanted, group in groups if (known, wanted) == (area, profile)), None)
        if same is None:
            groups.append((area, profile, [test]))
        else:
            same.append(test)
    return [(profile, group) for _, profile, group in groups]


def run(plane: ControlPlane, *, tests: Iterable[str], extra: Iterable[str] = (), quiet: bool = False) -> dict[str, Outcome]:
    """Run the tests with one of these texts in their path. The runner's own lines go to stdout."""
    report = plane.directory / "chainsaw.json"
    command = [sys.executable, str(folder() / "chainsaw.py"), "--kubeconfig", str(plane.kubeconfig), "--json", str(report)]
    command += [argument for test in tests for argument in ("--test", test)]
    path = f"{plane.tools['kubectl'].parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [*command, *extra, str(folder() / "data")],
        env={**os.environ, "PATH": path},
        check=False,
        stdout=subprocess.PIPE if quiet else None,
        text=True,
    )
    if not report.is_file():
        raise Blocked("no conformance test ran", "check the names of areas and tests", detail=done.stdout or "")
    found = json.loads(report.read_text())["tests"]
    return {test["test"]: Outcome(test["result"], test["where"], test["problems"]) for test in found}


def differences(outcomes: Mapping[str, Outcome], *, must: set[str], gaps: Mapping[str, str]) -> list[str]:
    """One line for each test that neither passes as `must` says nor fails as `gaps` says."""
    lines = []
    for test, outcome in sorted(outcomes.items()):
        if outcome.status == "failed" and test in must:
            lines.append(f"passed before: {test}: {outcome.where}: {'; '.join(outcome.problems[:2])}")
        elif outcome.status == "failed" and test not in gaps:
            lines.append(f"fails for no known reason: {test}: {outcome.where}: {'; '.join(outcome.problems[:2])}")
        elif outcome.status == "passed" and test in gaps:
            lines.append(f"passes, but is called a known gap: {test}")
        elif outcome.status == "passed" and test not in must:
            lines.append(f"passes, but is not in floor.txt (ARGS=--update-floor adds it): {test}")
    return lines


def raise_floor(outcomes: Mapping[str, Outcome]) -> int:
    """Add what passed to floor.txt; returns how many are new."""
    before = floor()
    after = before | {test for test, outcome in outcomes.items() if outcome.status == "passed"}
    head = [line for line in FLOOR.read_text().splitlines() if line.startswith("#")]
    FLOOR.write_text("\n".join([*head, *sorted(after)]) + "\n")
    return len(after - before)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.chainsaw", description="Kyverno's cluster tests, here")
    parser.add_argument("--area", action="append", default=[], help=f"repeatable; default: {' '.join(AREAS)}")
    parser.add_argument("--test", action="append", default=[], help="a part of the path, repeatable")
    parser.add_argument("--update-floor", action="store_true", help="add what passes to floor.txt")
    parser.add_argument("--timeout-scale", default="1", help="for slow machines")
    options = parser.parse_args(arguments)
    if not (folder() / "chainsaw.py").is_file():
        say(f"error: no conformance data in {folder()}: set CONFORMANCE_DIR")
        return 1
    areas = options.area or ([] if options.test else AREAS)
    try:
        outcomes: dict[str, Outcome] = {}
        tests = selected(areas, options.test)
        if not tests:
            raise Blocked("no conformance test is selected", "check the names of areas and tests")
        for profile, group in clusters(tests):
            with fresh_cluster(profile, to=say) as plane:
                extra = ["--timeout-scale", options.timeout_scale, "--max-env", str(profile.max_env)]
                outcomes |= {test: found for test, found in run(plane, tests=group, extra=extra).items() if test in group}
    except Blocked as blocked:
        say(f"error: {blocked}")
        return 1
    if options.update_floor:
        say(f"{raise_floor(outcomes)} new tests in floor.txt")
    lines = differences(outcomes, must=floor(), gaps=known_gaps())
    say("\n".join(lines) or "as expected: everything passes that must, and the rest has its known reason")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
