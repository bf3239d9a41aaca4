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


IDLE = ("asyncio/runners.py", "selectors.py", "uvloop/__init__.py")
"""Where a loop's thread is while the loop waits for something to do."""


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
        self.times_starved = 0
        """Times that the loop was idle and still did not answer: the machine is too busy."""

    def check(self, now: float) -> None:
        """Ping, or look what keeps the loop from answering. About every 50 ms."""
        if self._asked is None:
            self._asked = now
            try:
                self._loop.call_soon_threadsafe(self._answer)
            except RuntimeError:
                self._asked = None  # closed: the process is ending, and nobody waits
            return
        waited = now - self._asked
        if waited < self._limit:
            return
        if self._found is None:
            stack = self._stack()
            if not stack or stack[-1].filename.endswith(IDLE):
                # The loop waits, and nobody wakes it: the whole process has no CPU.
                self.times_starved += 1
                self._asked = now
                return
            self._found = Blocked(self._task(), _place(stack), waited)
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

    def _stack(self) -> traceback.StackSummary:
        """Where the watched thread is now, innermost last."""
        frame = sys._current_frames().get(self._thread.ident or 0)
        return traceback.extract_stack(frame) if frame is not None else traceback.StackSummary()


def _place(stack: traceback.StackSummary) -> str:
    """The innermost place outside the standard library: it says more than a sleep."""
    entry = stack[-1]
    for candidate in reversed(stack):
        if "asyncio" not in candidate.filename and "/lib/python" not in candidate.filename:
            entry = candidate
            break
    return f"{entry.filename}:{entry.lineno} in {entry.name}"
