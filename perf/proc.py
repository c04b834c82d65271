"""What the kernel counts of a process."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """`cpu`: seconds of user and system time so far; `rss`, `peak`: resident memory in MB, now and at most."""

    cpu: float
    rss: float
    peak: float


def usage(pid: int) -> Usage:
    """The figures of a running process and of nothing it started."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    memory = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(("VmRSS", "VmHWM"))
    )

    def megabytes(name: str) -> float:
        return int(memory[name].split()[0]) / 1024

    return Usage(cpu=(int(fields[11]) + int(fields[12])) / TICKS, rss=megabytes("VmRSS"), peak=megabytes("VmHWM"))


def machine() -> str:
    """One line about this machine: processor, cores, memory."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown processor")
    total = int(Path("/proc/meminfo").read_text().split()[1]) / 1024 / 1024
    return f"{model}, {os.cpu_count()} cores, {total:.0f} GiB"
