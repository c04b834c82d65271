"""A token bucket: how often something may happen."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Pace:
    """`rate` times a second on average, up to `burst` at once."""

    rate: float
    burst: float
    level: float = 0.0
    at: float = 0.0

    def delay(self, now: float) -> float:
        """Takes one token; seconds to wait until it is there."""
        if not self.at:
            self.level = self.burst
        self.level = min(self.burst, self.level + (now - self.at) * self.rate) - 1
        self.at = now
        return max(0.0, -self.level / self.rate)
