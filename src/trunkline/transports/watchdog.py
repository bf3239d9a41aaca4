"""Finds the application that blocks its event loop, and names it.

A tool that sleeps or computes for two seconds costs no frame (media has its own
thread) but it delays every other application of the process. The watchdog
pings the application's loop from the media thread; when the answer takes too
long it looks which task is running and where.
"""

import asyncio
import logging
import sys
import traceback
from collections import deque
from dataclasses import dataclass
from threading import Thread

__all__ = ["Blocked", "Watchdog"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Blocked:
    """One time that the application's loop did not answer."""

    task: str
    """The name of the task that was running: the application and its call."""
    where: str
    """File, line and function it was in when it was found."""
    seconds: float
    """How long the loop was blocked; while it still is, how long so far."""


class Watchdog:
    """Pings one loop; `check` is called regularly from another thread.

    ``limit_seconds`` is how long the loop may take to answer before it counts
    as blocked: 250 ms is far above a busy loop's own delay and below what a
    caller would notice.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, thread: Thread, limit_seconds: float = 0.25
    ) -> None:
        self._loop = loop
        self._thread = thread
        self._limit = limit_seconds
        self._asked: float | None = None
        self._found: Blocked | None = None
        self.blocked: deque[Blocked] = deque(maxlen=100)
        """The last times, oldest first."""
        self.times_blocked = 0

    def check(self, now: float) -> None:
        """Ping, or look what keeps the loop from answering. About every 50 ms."""
        if self._asked is None:
            self._asked = now
            try:
                self._loop.call_soon_threadsafe(self._answer)
            except RuntimeError:
                return  # closed: the process is ending
            return
        waited = now - self._asked
        if waited < self._limit:
            return
        if self._found is None:
            self._found = Blocked(self._task(), self._where(), waited)
            self.times_blocked += 1
            log.warning(
                "%s blocks the application loop (%.1f s so far) at %s; other calls' "
                "applications wait. Use await, or asyncio.to_thread for blocking work.",
                self._found.task, waited, self._found.where,
            )  # fmt: skip
        else:
            self._found = Blocked(self._found.task, self._found.where, waited)

    def _answer(self) -> None:
        """Runs on the watched loop."""
        found, self._found = self._found, None
        if found is not None:
            self.blocked.append(found)
            log.warning("%s blocked the application loop for %.1f s", found.task, found.seconds)
        self._asked = None

    def _task(self) -> str:
        try:
            task = asyncio.current_task(self._loop)
        except RuntimeError:
            task = None
        return task.get_name() if task is not None else "a callback"

    def _where(self) -> str:
        frame = sys._current_frames().get(self._thread.ident or 0)
        if frame is None:
            return "an unknown place"
        stack = traceback.extract_stack(frame)
        # The innermost place outside the standard library says more than the
        # sleep or the socket call it ended in.
        for entry in reversed(stack):
            if "asyncio" not in entry.filename and "/lib/python" not in entry.filename:
                return f"{entry.filename}:{entry.lineno} in {entry.name}"
        entry = stack[-1]
        return f"{entry.filename}:{entry.lineno} in {entry.name}"
