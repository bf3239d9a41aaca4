"""The media thread: sockets, engine, clock and barge-in, on a loop of its own.

Applications, tools, language models and storage run on another loop. The two
meet in two `Crossing`s and nowhere else.
"""

import asyncio
import concurrent.futures
import logging
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar

import uvloop

from trunkline.errors import UsageError
from trunkline.media.engine import Engine

from .clock import MediaClock
from .crossing import Crossing
from .watchdog import Watchdog
from .websocket import Watch

__all__ = ["MediaThread"]

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

WATCH_SECONDS = 0.05
SWITCH_SECONDS = 0.001
"""How long another thread may keep the interpreter while media waits for it.

Python's default of 5 ms is a quarter of a frame; an application that computes
would make every tick that late. 1 ms costs such an application about 1 %.
"""


class MediaThread:
    """Starts with `start`, ends with `stop`; owns its loop and the engine.

    ``app_loop`` is where `to_app` delivers. Everything that belongs to the
    media side is reached through `call` or `on_media`.
    """

    def __init__(
        self, engine: Engine, app_loop: asyncio.AbstractEventLoop, *, watch: bool = True
    ) -> None:
        self.engine = engine
        self.app_loop = app_loop
        self.loop = uvloop.new_event_loop()
        self.loop.set_exception_handler(_report)
        self.to_app = Crossing(app_loop, "to the application")
        self.to_media = Crossing(self.loop, "to the media thread")
        self.to_media.after_batch(self._after_batch)
        self.clock = MediaClock(self.loop, self._tick, idle=lambda: not len(engine))
        self.watchdog: Watchdog | None = None
        self._watch = watch
        self._thread = threading.Thread(target=self._run, name="media", daemon=True)
        self._socket_watch: Watch | None = None
        self._batched: list[Watch] = []
        self._closers: list[Callable[[], Awaitable[None]]] = []

    # -- life --------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread. Called from the application's thread, once."""
        if self._thread.is_alive():
            raise UsageError("the media thread runs already")
        if self._watch:
            self.watchdog = Watchdog(self.app_loop, threading.current_thread())
        if sys.getswitchinterval() > SWITCH_SECONDS:
            sys.setswitchinterval(SWITCH_SECONDS)
        self._thread.start()
        self.call(self.clock.start).result(timeout=10)

    async def stop(self) -> None:
        """Close what was opened here, then end the thread. Legal more than once."""
        if not self._thread.is_alive():
            return
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._close(), self.loop))
        self.loop.call_soon_threadsafe(self.loop.stop)
        await asyncio.to_thread(self._thread.join, 10)
        if not self._thread.is_alive():
            self.loop.close()

    def on_close(self, closer: Callable[[], Awaitable[None]]) -> None:
        """Have something closed, on the media loop, when the thread stops."""
        self._closers.append(closer)

    async def _close(self) -> None:
        for closer in reversed(self._closers):
            try:
                async with asyncio.timeout(5):
                    await closer()
            except Exception:
                log.exception("closing %r failed", closer)
        self.clock.stop()
        self.to_app.flush()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.call_soon(self._watch_application)
        self.loop.run_forever()

    def after_tick(self, watch: Watch) -> None:
        """Have the media of a watch's sockets sent together, at the end of a tick."""
        watch.batching = True
        self._batched.append(watch)

    @property
    def socket_watch(self) -> Watch:
        """Looks after the WebSockets that this process opens. Media thread only."""
        if self._socket_watch is None:
            self._socket_watch = Watch(self.loop)
            self.after_tick(self._socket_watch)
        return self._socket_watch

    # -- from other threads --------------------------------------------------------

    def now(self) -> float:
        """The media clock: monotonic seconds, the same on every thread."""
        return time.monotonic()

    def call(
        self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> concurrent.futures.Future[T]:
        """Run a function on the media thread; its result comes as a future."""
        future: concurrent.futures.Future[T] = concurrent.futures.Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(function(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
                future.set_exception(error)

        self.to_media.post(run)
        return future

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`call`, awaited on the application's loop.

        The answer comes back in the batch with the events, so that the application is
        woken once for all of them.
        """
        loop = asyncio.get_running_loop()
        if loop is not self.app_loop:
            return await asyncio.wrap_future(self.call(function, *args, **kwargs))
        answer: asyncio.Future[T] = loop.create_future()

        def work() -> None:
            if answer.cancelled():
                return
            try:
                result = function(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
                self.to_app.put(_refuse, answer, error)
            else:
                self.to_app.put(_answer, answer, result)

        self.to_media.post(work)
        return await answer

    async def run_async(self, work: Callable[[], Awaitable[T]]) -> T:
        """Await something on the media loop from the application's loop."""

        async def on_media_loop() -> T:
            return await work()

        return await asyncio.wrap_future(
            asyncio.run_coroutine_threadsafe(on_media_loop(), self.loop)
        )

    # -- on the media thread ---------------------------------------------------------

    def _tick(self, phase: int, now: float) -> None:
        try:
            self.engine.tick(phase, now)
        except Exception:
            # A bug must not end every call of the process; it is loud instead.
            log.exception("the media engine failed in phase %d", phase)
        for watch in self._batched:
            watch.flush()
        self.to_app.flush()

    def _after_batch(self) -> None:
        self.engine.kick(time.monotonic())
        for watch in self._batched:
            watch.flush()
        self.to_app.flush()

    def _watch_application(self) -> None:
        if self.watchdog is not None:
            self.watchdog.check(time.monotonic())
        self.loop.call_later(WATCH_SECONDS, self._watch_application)


def _answer(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _refuse(future: asyncio.Future[T], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What no callback took. A TLS handshake that a peer breaks off is weather, as in `QUIET`.

    Whoever connected is told of it as well. The exception that comes along is left alone:
    aiofastnet 1.2 sets its traceback to what `logging` cannot write.
    """
    message = str(context.get("message", ""))
    if message.startswith("SSL handshake failed"):
        log.debug("%s", message)
    else:
        loop.default_exception_handler(context)
