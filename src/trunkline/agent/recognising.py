"""The recogniser of one call, in order, whatever the caller does.

A `Recognition` knows one utterance at a time, and a caller may go on speaking while the
text of the last one is still being worked out. `Recogniser` keeps what comes meanwhile
and hands it over when the text is there, so that nothing said is lost.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from trunkline.speech import Grammar, Pcm, Recognition, Transcript

from .foreign import is_cancelled

__all__ = ["Recogniser"]

log = logging.getLogger(__name__)

NOTHING = Transcript("", 0.0, True, 0)
"""What is understood of an utterance that the engine failed on."""

BACKLOG = 600
"""Pieces of 100 ms kept while a text is awaited: a minute. More are dropped, and counted."""


class Recogniser:
    """One call's recogniser. All methods belong to the application's loop.

    ``failed`` is told of engine errors; the transcript is then empty. ``group`` owns
    the tasks that wait for texts, which therefore outlive a reply that was cancelled.
    """

    def __init__(
        self,
        recognition: Recognition,
        group: asyncio.TaskGroup,
        failed: Callable[[BaseException], None],
        *,
        timeout_seconds: float = 5.0,
    ) -> None:
        self._recognition = recognition
        self._group = group
        self._failed = failed
        self._timeout_seconds = timeout_seconds
        self._busy = False
        self._backlog: deque[Callable[[], None]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self.dropped = 0
        """Pieces of audio that did not fit while a text was awaited."""

    def start(self, grammar: Grammar | None) -> None:
        """A new utterance begins."""
        self._when_free(lambda: self._recognition.start(grammar))

    def feed(self, pcm: Pcm) -> None:
        """More of it."""
        if not self._busy:
            try:
                self._recognition.feed(pcm)
            except Exception as error:  # noqa: BLE001 - an engine is anybody's code
                self._failed(error)
        elif len(self._backlog) >= BACKLOG:
            self.dropped += 1
        else:
            self._backlog.append(lambda: self._recognition.feed(pcm))

    def finish(self) -> asyncio.Future[Transcript]:
        """It is complete; its text comes. The future never fails."""
        future = asyncio.get_running_loop().create_future()
        self._when_free(lambda: self._begin(future))
        return future

    def close(self) -> None:
        """The call is over: stop waiting for texts."""
        self._backlog.clear()
        for task in self._tasks:
            task.cancel()

    def _when_free(self, action: Callable[[], None]) -> None:
        if self._busy:
            self._backlog.append(action)
        else:
            self._guarded(action)

    def _begin(self, future: asyncio.Future[Transcript]) -> None:
        self._busy = True
        task = self._group.create_task(self._finish(future), name="recognise")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish(self, future: asyncio.Future[Transcript]) -> None:
        transcript = NOTHING
        try:
            async with asyncio.timeout(self._timeout_seconds):
                transcript = await self._recognition.finish()
        except (Exception, asyncio.CancelledError) as error:
            if is_cancelled():
                raise
            self._failed(error)
        finally:
            self._busy = False
            if not future.done():
                future.set_result(transcript)
        while self._backlog and not self._busy:
            self._guarded(self._backlog.popleft())

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - an engine is anybody's code
            self._failed(error)
