"""Delivers a leg's events on the next turn of the media loop, in order.

An observer is thus never called from inside its own call to a leg, and a leg
may report things before it has an observer.
"""

import asyncio
import logging
import time
from collections import deque

from .leg import Ended, Leg, LegEvent, LegObserver

__all__ = ["LegEvents"]

log = logging.getLogger(__name__)


class LegEvents:
    """The queue between one leg and whoever observes it. Media thread only."""

    def __init__(self, leg: Leg, loop: asyncio.AbstractEventLoop) -> None:
        self._leg = leg
        self._loop = loop
        self._observer: LegObserver | None = None
        self._events: deque[LegEvent] = deque()
        self._scheduled = False

    def observe(self, observer: LegObserver) -> None:
        """Deliver to this observer, what has gathered already included."""
        self._observer = observer
        self._schedule()

    def emit(self, event: LegEvent) -> None:
        """Tell the observer, soon."""
        self._events.append(event)
        self._schedule()

    def _schedule(self) -> None:
        if self._events and not self._scheduled and self._observer is not None:
            self._scheduled = True
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        self._scheduled = False
        observer = self._observer
        while self._events and observer is not None:
            event = self._events.popleft()
            try:
                observer(self._leg, event, time.monotonic())
            except Exception:
                log.exception("the observer of leg %s failed on %s", self._leg.id, event)
            if isinstance(event, Ended):
                self._observer = None  # the call holds the leg; the leg lets go of the call
