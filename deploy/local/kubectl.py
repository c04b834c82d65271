"""kubectl with one kubeconfig, and kubeconfigs for other identities of the same cluster."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CLUSTER_NAME = "pyvern"


class KubectlFailed(Exception):
    """kubectl ended with an error. Fields: `command` (its arguments) and `message` (its stderr)."""

    def __init__(self, command: tuple[str, ...], message: str) -> None:
        super().__init__(f"kubectl {' '.join(command)}: {message}")
        self.command = command
        self.message = message


@dataclass(frozen=True, slots=True)
class Kubectl:
    """Calling it gives what kubectl prints. Errors: KubectlFailed."""

    path: Path
    kubeconfig: Path

    def __call__(self, *arguments: str, stdin: str | None = None, timeout: float = 120) -> str:
        environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
        try:
            done = subprocess.run(
                [str(self.path), *arguments],
                input=stdin,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=timeout,
            )
        except subprocess.TimeoutExpired as error:
            raise KubectlFailed(arguments, f"no answer within {timeout:.0f} s") from error
        if done.returncode:
            raise KubectlFailed(arguments, done.stderr.strip())
        return done.stdout

    def json(self, *arguments: str) -> Any:
        """The parsed answer of `kubectl ARGUMENTS -o json`."""
        return json.loads(self(*arguments, "-o", "json"))

    def identity(self, service_account: str, *, namespace: str, hours: int, file: Path) -> Kubectl:
        """The same cluster as a ServiceAccount: a fresh token that lasts `hours`, in the new kubeconfig `file`."""
        token = self("create", "token", service_account, "-n", namespace, f"--duration={hours}h").strip()
        view = json.loads(self("config", "view", "--minify", "--flatten", "--raw", "-o", "json"))
        write_kubeconfig(file, cluster=view["clusters"][0]["cluster"], user=service_account, token=token)
        return Kubectl(self.path, file)


def write_kubeconfig(file: Path, *, cluster: dict[str, str], user: str, token: str) -> None:
    """A kubeconfig with one context (JSON, which is YAML); readable by its owner only, replaced as a whole."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CLUSTER_NAME, "cluster": cluster}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": f"{user}@{CLUSTER_NAME}", "context": {"cluster": CLUSTER_NAME, "user": user}}],
        "current-context": f"{user}@{CLUSTER_NAME}",
    }
    write_secret(file, json.dumps(document, indent=1))


def write_secret(file: Path, text: str) -> None:
    """Replace `file` by `text` in one step, readable by its owner only."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.new")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as opened:
        opened.write(text)
    temporary.replace(file)
