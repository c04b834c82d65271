"""`python -m deploy.local COMMAND`: what the Makefile calls."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.local.binaries import BUNDLES, REGISTRY, can_provide, provide
from deploy.local.console import Blocked, say

ROOT = Path(__file__).resolve().parents[2]
OK, FAILED, INTERRUPTED = 0, 1, 130


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except Blocked as blocked:
        print(f"error: {blocked}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def _tools(options: argparse.Namespace) -> int:
    bundle = BUNDLES[options.bundle]
    if options.if_possible and (reason := can_provide(bundle)):
        say(f"no {options.bundle}, so tests that need it are skipped: {reason}")
        return OK
    try:
        found = provide(bundle)
    except Blocked as blocked:
        if bundle is not REGISTRY or not options.if_possible:
            raise
        say(f"no {options.bundle}, so tests that need it are skipped: {blocked}")
        return OK
    if not options.if_possible:
        for name, path in found.items():
            say(f"  {name:<28} {path}")
    return OK


def _up(options: argparse.Namespace) -> int:
    from deploy.local.lifecycle import Wish, up  # here, because it needs packages of the venv, which building does not

    wish = Wish(
        kubeconfig=options.kubeconfig,
        server_ip=options.server_ip,
        service=options.service,
        service_accounts=options.service_accounts,
        overlay=options.overlay,
    )
    plane = up(options.directory, wish=wish)
    say("ready. Use it:" if plane.processes.names() else "Look at it:")
    say(f"    export KUBECONFIG={plane.kubeconfig} PATH={plane.tools['kubectl'].parent}:$PATH\n    kubectl get cpol")
    say(f"logs are in {plane.directory / 'logs'}; stop it with `make down`")
    return OK


def _down(options: argparse.Namespace) -> int:
    from deploy.local.lifecycle import down

    down(options.directory)
    return OK


def _status(options: argparse.Namespace) -> int:
    from deploy.local.lifecycle import status

    return OK if status(options.directory) else FAILED


def _demo(options: argparse.Namespace) -> int:
    from deploy.local.demo import demo

    demo(options.directory, wait=options.wait)
    return OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description="a local control plane with our operators")
    parser.add_argument(
        "--directory", type=Path, default=Path(__file__).resolve().parents[2] / ".cluster", help="default: .cluster"
    )
    commands = parser.add_subparsers(required=True)
    tools = commands.add_parser("tools", help="find or build the programs, and print where they are")
    tools.add_argument("bundle", nargs="?", choices=sorted(BUNDLES), default="control-plane")
    tools.add_argument("--if-possible", action="store_true", help="print no paths; without Go, say so and succeed")
    tools.set_defaults(run=_tools)
    up = commands.add_parser("up", help="start control plane and operators, apply the manifests")
    up.add_argument("--kubeconfig", type=Path, help="use this cluster instead of a local control plane")
    up.add_argument(
        "--server-ip", default="127.0.0.1", help="address of this machine that the API server of --kubeconfig can call"
    )
    up.add_argument("--service", action="store_true", help="webhooks through the Service instead of a URL")
    up.add_argument("--service-accounts", action="store_true", help="turn the ServiceAccount admission plugin on")
    up.add_argument("--overlay", type=Path, default=ROOT / "deploy" / "overlays" / "local", help="the manifests to apply")
    up.set_defaults(run=_up)
    commands.add_parser("down", help="stop them").set_defaults(run=_down)
    commands.add_parser("status", help="tell what runs").set_defaults(run=_status)
    demo = commands.add_parser("demo", help="show policies at work")
    demo.add_argument("--wait", action="store_true", help="stay until scheduled deletions have happened")
    demo.set_defaults(run=_demo)
    return parser


if __name__ == "__main__":
    sys.exit(main())
