"""A node in threads of its own, for tests that meet it from outside.

with RunningNode(board, tmp_path) as node:
    node.sip_port, node.run(node.board.dial(...)), node.ended
"""

import asyncio
import itertools
import os
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec

from trunkline.calls.call import Call
from trunkline.calls.events import CallEnded
from trunkline.calls.record import CallRecord
from trunkline.calls.records import RecordStore
from trunkline.calls.switchboard import Switchboard
from trunkline.server.node import Node
from trunkline.settings import (
    Media,
    Outbound,
    Protection,
    Quality,
    Recording,
    Records,
    Settings,
    Sip,
    Streams,
)
from trunkline.transports.sip import SipEndpoint

T = TypeVar("T")

# A range of its own for every node of every test process: 1,000 ports are 500 calls.
# Processes that run side by side have the same parent, and every other range.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_FIRST = 20_000 + os.getppid() % 7 * 137 * 2 + _WORKER * 1_000
_RANGES = itertools.cycle(range(_FIRST, 59_000, 1_000 * _WORKERS))


def until(condition: Callable[[], T], seconds: float = 5.0, what: str = "") -> T:
    """Wait for something to become true; fails the test when it does not."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, what or f"not within {seconds} s: {condition}"
        time.sleep(0.005)


def settled(count: Callable[[], int], enough: int, quiet_seconds: float = 1.0) -> int:
    """A count when it is enough, or has not moved for a while."""
    last, since = count(), time.monotonic()
    while last < enough and time.monotonic() - since < quiet_seconds:
        time.sleep(0.02)
        if (now := count()) != last:
            last, since = now, time.monotonic()
    return last


def assert_explained(missing: int, quality: Mapping[str, float | None]) -> None:
    """Frames that did not come back whole are ones the node says it had to mend.

    However busy the machine is, a frame is played as it was sent, or counted as late,
    or counted as mended (concealed, added, left out) with the neighbour it is blended
    with. A bug that spoils audio without an excuse shows here, on any machine.
    """
    mended = sum(quality[f"{how}_frames"] or 0 for how in ("concealed", "inserted", "dropped"))
    assert missing <= 2 * mended + (quality["late"] or 0), (missing, dict(quality))


class RunningNode:
    """A node with an application loop in a thread; made, entered and left by a test."""

    def __init__(
        self,
        board: Switchboard,
        folder: Path,
        *,
        sip: Sip | None = None,
        media: Media | None = None,
        outbound: Outbound | None = None,
        protection: Protection | None = None,
        record: bool = False,
        streams: bool = False,
        quality: Quality | None = None,
        drain_seconds: float = 0.0,
    ) -> None:
        self.board = board
        self.folder = folder
        # T1 of 100 ms: 64 times that, the patience of RFC 3261, is 6.4 s.
        sip = msgspec.structs.replace(sip or Sip(t1_ms=100), port=0)
        first = next(_RANGES)
        media = msgspec.structs.replace(media or Media(), first_port=first, last_port=first + 998)
        self.settings = Settings(
            sip=sip,
            media=media,
            outbound=outbound or Outbound(),
            quality=quality or Quality(),
            protection=protection or Protection(),
            records=Records(path=folder / "calls.db"),
            recording=Recording(enabled=record, folder=folder / "recordings"),
            streams=Streams(port=0),
        )
        self._streams = streams
        self.settings = msgspec.structs.replace(
            self.settings,
            node=msgspec.structs.replace(self.settings.node, drain_seconds=drain_seconds),
        )
        self.calls: list[Call] = []
        """Every call there ever was."""
        self.events: list[Any] = []
        """Everything calls told, in order."""
        self.node: Node
        self.loop: asyncio.AbstractEventLoop
        self._up = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._main, name="application")

    def call_started(self, call: Call, app: str) -> None:
        """See ``switchboard.Listener``."""
        self.calls.append(call)
        call.observe(self.events.append)

    # -- life ----------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._up.wait(20), "the node does not start"
        if self._error is not None:
            raise self._error
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the node, and wait; legal more than once."""
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self.node.stop)
        self._thread.join(30)
        assert not self._thread.is_alive(), "the node does not end"
        if self._error is not None:
            raise self._error

    def _main(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._error = error
        finally:
            self._up.set()

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.node = Node(self.settings, self.board, streams=self._streams, listeners=[self])
        running = asyncio.create_task(self.node.run())
        ready = asyncio.create_task(self.node.ready.wait())
        await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        self._up.set()
        await running

    # -- reaching in -------------------------------------------------------------------

    def run(self, work: Coroutine[Any, Any, T], seconds: float = 30.0) -> T:
        """Await something on the application's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(seconds)

    def on_media(self, function: Callable[[], T]) -> T:
        """Do something on the media thread."""
        return self.node.media.call(function).result(10)

    @property
    def sip_port(self) -> int:
        return self.node.ports.sip

    @property
    def endpoint(self) -> SipEndpoint:
        assert self.node.sip is not None
        return self.node.sip

    @property
    def ended(self) -> list[CallEnded]:
        """How calls ended."""
        return [event for event in self.events if isinstance(event, CallEnded)]

    @property
    def open_ports(self) -> int:
        """Pairs of RTP ports in use."""
        return self.endpoint._ports.open_pairs

    @property
    def lanes(self) -> int:
        """Calls with media."""
        return len(self.node.media.engine)

    @property
    def sessions(self) -> int:
        """Live SIP sessions."""
        return self.endpoint.agent.live["sessions"]

    def assert_clean(self, seconds: float = 8.0) -> None:
        """Nothing is left of any call: no leg, port, lane, jitter row or session."""
        media = self.node.media

        def left() -> dict[str, int]:
            return {
                "calls": len(self.board.calls),
                "legs": len(self.endpoint.legs),
                "sessions": self.sessions,
                "ports": self.open_ports,
                "lanes": len(media.engine),
                "rows": len(media.engine.jitter),
            }

        self.on_media(media.to_app.flush)  # what came in until now is known from here on
        self.run(asyncio.sleep(0))
        deadline = time.monotonic() + seconds
        while any(left().values()):
            assert time.monotonic() < deadline, f"left behind: {left()}"
            time.sleep(0.01)
        assert media.engine.faults == 0
        assert media.to_app.failed == media.to_media.failed == 0

    def records(self) -> list[CallRecord]:
        """The detail records, oldest first; the node may still be running."""
        if self._thread.is_alive() and self.node.keeper._records is not None:
            assert self.node.keeper._records.flush()
        found = RecordStore(self.settings.records.path).list(limit=10_000)
        return sorted(found, key=lambda record: record.started_at)
