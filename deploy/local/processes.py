"""Long-running local processes: started in the background, known by a pid file each, ended exactly.

Below the directory of a cluster: `pids/NAME` (the pid), `commands/NAME` (the command line, as JSON) and `logs/NAME.log`.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from deploy.local.console import Blocked

TAIL_LINES = 15
PORT_TAKEN = ("address already in use", "failed to create listener")
SPARE_ADDRESS = "192.0.2.2"  # reserved for documentation; for a machine or network namespace with nothing but loopback
_PR_SET_PDEATHSIG = 1


def free_ports(count: int, *, address: str = "127.0.0.1") -> list[int]:
    """`count` different TCP ports that nobody listens on at the moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for opened in sockets:
            opened.bind((address, 0))
        return [opened.getsockname()[1] for opened in sockets]
    finally:
        for opened in sockets:
            opened.close()


def host_address() -> str | None:
    """An IPv4 address of this machine that is not loopback, or None. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(("192.0.2.1", 9))
        address = str(probe.getsockname()[0])
        if not address.startswith("127."):
            return address
    with socket.socket() as probe, contextlib.suppress(OSError):
        probe.bind((SPARE_ADDRESS, 0))
        return SPARE_ADDRESS
    return None


class Processes:
    """The processes of one cluster directory.

    `leashed`: they end with the process that started them, however that ends (Linux); for tests.
    """

    def __init__(self, directory: Path, *, leashed: bool = False) -> None:
        self._pids = directory / "pids"
        self._commands = directory / "commands"
        self._logs = directory / "logs"
        self._leashed = leashed
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def tail(self, name: str, lines: int = TAIL_LINES) -> str:
        """The end of the log of `name`, indented."""
        try:
            text = self.log(name).read_text(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])

    def names(self) -> list[str]:
        """All that were started and not stopped, alive or not."""
        return sorted(file.name for file in self._pids.glob("*")) if self._pids.is_dir() else []

    def start(
        self, name: str, command: Sequence[str], *, environment: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        """Start `command` in the background. Errors: Blocked when the program cannot be executed."""
        for folder in (self._pids, self._commands, self._logs):
            folder.mkdir(parents=True, exist_ok=True)
        with self.log(name).open("ab") as log:
            try:
                child = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **(environment or {})},
                    cwd=cwd,
                    start_new_session=True,
                    preexec_fn=_leash() if self._leashed else None,
                )
            except OSError as error:
                raise Blocked(f"cannot start {command[0]}", f"{error.strerror}") from error
        self._children[name] = child
        (self._commands / name).write_text(json.dumps(list(command)))
        (self._pids / name).write_text(f"{child.pid}\n")

    def pid(self, name: str) -> int | None:
        """The pid of `name` while it runs, else None."""
        # INVARIANT (ours only): a pid counts only while its command line is the recorded one
        child = self._children.get(name)
        if child is not None:  # nobody else has its pid while it is not waited for; its command line is empty for a moment
            return child.pid if child.poll() is None else None
        try:
            pid = int((self._pids / name).read_text())
            command = json.loads((self._commands / name).read_text())
        except (FileNotFoundError, ValueError):
            return None
        return pid if _runs(pid, command) else None

    def wait(self, name: str, ready: Callable[[], bool], *, timeout: float, what: str = "ready") -> None:
        """Until `ready()`. Errors: Blocked with the end of the log, when the process ends or the time is over."""
        deadline = time.monotonic() + timeout
        while not ready():
            log = self.log(name)
            if self.pid(name) is None:
                tail = self.tail(name)
                if any(text in tail for text in PORT_TAKEN):
                    raise Blocked(
                        f"{name} found its port taken", "another program was faster; run the command again", detail=tail
                    )
                raise Blocked(f"{name} ended before it was {what}", f"the reason is in {log}", detail=tail)
            if time.monotonic() > deadline:
                raise Blocked(f"{name} is not {what} after {timeout:.0f} s", f"look into {log}", detail=self.tail(name))
            time.sleep(0.05)

    def stop(self, names: Iterable[str], *, patience: float) -> list[str]:
        """End these processes: SIGTERM, then after `patience` seconds SIGKILL. Returns the names of those that were running."""
        running = {name: pid for name in names if (pid := self.pid(name)) is not None}
        for sign, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 5.0)):
            for name, pid in running.items():
                if self.pid(name) == pid:
                    _signal(pid, sign)
            deadline = time.monotonic() + seconds
            while any(self.pid(name) == pid for name, pid in running.items()) and time.monotonic() < deadline:
                time.sleep(0.02)
        if left := [f"{name} ({pid})" for name, pid in running.items() if self.pid(name) == pid]:
            raise Blocked(f"cannot end {', '.join(left)}", "end the process by hand")
        for name in names:
            (self._pids / name).unlink(missing_ok=True)
            (self._commands / name).unlink(missing_ok=True)
            if child := self._children.pop(name, None):
                child.wait()
        return list(running)


def _runs(pid: int, command: Sequence[str]) -> bool:
    """Whether `pid` is a running process with exactly this command line (a zombie has none)."""
    if sys.platform == "linux":
        try:
            raw = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False
        return raw.split(b"\0")[:-1] == [os.fsencode(part) for part in command]
    found = subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return found.stdout.split() == " ".join(command).split()


def _signal(pid: int, sign: signal.Signals) -> None:
    try:
        os.kill(pid, sign)
    except ProcessLookupError:
        return


def _leash() -> Callable[[], None] | None:
    """What the child does before exec: ask Linux for SIGKILL when its parent ends."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    return ask
