"""Work in order: one key after the other for each subject, subjects side by side, failures again after a while."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

IN_A_ROW = 8
"""Keys of one subject that are worked on before others have their turn: what they read and report is shared then."""
Work = Callable[[str], Awaitable[float | None]]
"""Does what a key stands for; the answer is the number of seconds after which it must be tried again, None when it is done."""


class Queue:
    """Keys that wait. A key waits once, however often it is put; put while it is worked on, it is worked on again."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._subjects: dict[str, deque[str]] = {}
        self._subject_of: dict[str, str] = {}
        self._ready: deque[str] = deque()
        self._running: set[str] = set()
        self._again: set[str] = set()
        self._timers: dict[str, tuple[asyncio.TimerHandle, str]] = {}
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._subject_of) + len(self._timers)

    def attends(self, subject: str) -> bool:
        """Does anything of `subject` wait, or is it worked on?"""
        return subject in self._subjects or any(one == subject for _, one in self._timers.values())

    def put(self, key: str, subject: str) -> None:
        """`key` is to be worked on, after everything of `subject` that waits."""
        self._stop_timer(key)
        if key in self._running:
            self._again.add(key)
        elif key not in self._subject_of:
            self._subject_of[key] = subject
            waiting = self._subjects.get(subject)
            if waiting is None:
                self._subjects[subject] = deque([key])
                self._offer(subject)
            else:
                waiting.append(key)

    def drop(self, key: str) -> None:
        """`key` is not to be worked on any more."""
        self._again.discard(key)
        self._stop_timer(key)
        subject = self._subject_of.get(key)
        if subject is not None and key not in self._running:
            del self._subject_of[key]
            self._subjects[subject].remove(key)

    def hurry(self) -> None:
        """What waits for another try is tried now: the world has changed."""
        for key, (_, subject) in tuple(self._timers.items()):
            self.put(key, subject)

    def clear(self) -> None:
        """Forgets everything that waits."""
        for key in tuple(self._timers):
            self._stop_timer(key)
        self._subjects.clear()
        self._subject_of.clear()
        self._ready.clear()
        self._again.clear()
        self._running.clear()

    async def run(self, workers: int) -> None:
        """Works until cancelled. What the work raises ends it."""
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._serve())

    def _offer(self, subject: str) -> None:
        self._ready.append(subject)
        self._filled.set()

    async def _serve(self) -> None:
        while True:
            while not self._ready:
                self._filled.clear()
                await self._filled.wait()
            subject = self._ready.popleft()
            waiting = self._subjects[subject]
            for _ in range(min(IN_A_ROW, len(waiting))):
                if waiting:
                    await self._one(waiting.popleft(), subject)
            if waiting:
                self._offer(subject)
            else:
                del self._subjects[subject]

    async def _one(self, key: str, subject: str) -> None:
        self._running.add(key)
        try:
            delay = await self._work(key)
        finally:
            self._running.discard(key)
            self._subject_of.pop(key, None)
        if key in self._again:
            self._again.discard(key)
            self._put_back(key, subject)
        elif delay is not None:
            self._timers[key] = asyncio.get_running_loop().call_later(delay, self.put, key, subject), subject

    def _put_back(self, key: str, subject: str) -> None:
        self._subject_of[key] = subject
        self._subjects[subject].append(key)

    def _stop_timer(self, key: str) -> None:
        timer, _ = self._timers.pop(key, (None, ""))
        if timer is not None:
            timer.cancel()
