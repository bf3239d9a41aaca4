"""A media thread and a leg without threads or sockets, for tests of calls."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from trunkline.media.engine import PHASES, Engine
from trunkline.media.g711 import Law
from trunkline.media.lane import Lane, StreamInlet
from trunkline.transports.leg import (
    Answered,
    Ended,
    HoldChanged,
    Leg,
    LegEvent,
    LegObserver,
    Party,
    TransferObserver,
)


class Street:
    """A `Crossing` that delivers at once, or (``later``) when the loop turns."""

    def __init__(self, later: bool = False) -> None:
        self._later = later

    def put(self, callback: Callable[..., Any], *args: Any) -> None:
        if self._later:
            asyncio.get_running_loop().call_soon(callback, *args)
        else:
            callback(*args)

    post = put

    def flush(self) -> None:
        pass


class FakeMedia:
    """Stands in for `MediaThread`; media and application share the test's thread."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.to_app = Street(later=True)
        self.to_media = Street()
        self.time = 0.0
        self.loop = self
        self.later: list[tuple[float, Callable[..., Any], tuple[Any, ...]]] = []

    def now(self) -> float:
        return self.time

    def call_soon(self, function: Callable[..., Any], *args: Any) -> None:
        asyncio.get_running_loop().call_soon(function, *args)

    def call_later(self, seconds: float, function: Callable[..., Any], *args: Any) -> None:
        self.later.append((seconds, function, args))

    async def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    def tick(self, times: int = 1) -> None:
        """Frames of real engine time."""
        for _ in range(times):
            self.time += 0.02
            for phase in range(PHASES):
                self.engine.tick(phase, self.time)


class Outlet:
    """Keeps what leaves a lane."""

    encoding: Law | None = None
    lead_frames = 0
    continuous = False
    marks = False
    busy = False

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, payload: bytes, now: float, *, silence: bool) -> None:
        self.sent.append(payload)

    def mark(self, generation: int, samples: int) -> None:
        pass

    def cleared(self) -> None:
        pass

    def second(self, now: float) -> None:
        pass


class FakeLeg:
    """A leg that does what it is told and notes it."""

    transport = "sip"

    def __init__(
        self,
        media: FakeMedia,
        *,
        direction: Any = "inbound",
        callee: str = "100",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.id = "leg"
        self.direction = direction
        self.party = Party("alice", callee, headers or {})
        self.outlet = Outlet()
        self.inlet = StreamInlet(8000, Law.ULAW)
        self.made = Lane("leg", rate_hz=8000, inlet=self.inlet, outlet=self.outlet, far_buffer_ms=0)
        self.lane: Lane | None = None
        self.media = media
        self.observer: LegObserver | None = None
        self.did: list[tuple[Any, ...]] = []
        self.ends_at_once = True

    def tell(self, event: LegEvent) -> None:
        """Report something, as a transport does: on the next turn of the loop."""
        assert self.observer is not None
        self.observer(self, event, self.media.now())

    def ring(self) -> None:
        self.did.append(("ring",))

    def early_media(self) -> None:
        self.did.append(("early_media",))

    def answer(self) -> None:
        self.did.append(("answer",))
        self.lane = self.made
        self.media.engine.open(self.lane)
        self.tell(Answered())

    def reject(self, code: int, reason: str = "") -> None:
        self.did.append(("reject", code))
        self.tell(Ended("rejected", "us", code))

    def hangup(self, reason: str = "hangup") -> None:
        self.did.append(("hangup", reason))
        if self.ends_at_once:
            self.tell(Ended(reason, "us"))

    takes_keys = True

    def send_dtmf(self, digits: str, duration_ms: int = 100) -> None:
        self.did.append(("dtmf", digits))

    def statistics(self) -> Mapping[str, float]:
        return {"received": 1.0}


class HoldingLeg(FakeLeg):
    """A leg that can hold; says what it is told to say to that, or that it is done."""

    def __init__(self, media: FakeMedia) -> None:
        super().__init__(media)
        self.answers: list[LegEvent] = []

    def hold(self, *, silent: bool = False) -> None:
        self.did.append(("hold", silent))
        self.tell(self.answers.pop() if self.answers else HoldChanged(True))

    def resume(self) -> None:
        self.did.append(("resume",))
        self.tell(self.answers.pop() if self.answers else HoldChanged(False))


class HandingLeg(FakeLeg):
    """A leg that can be transferred; keeps who wants to know what comes of it."""

    def __init__(self, media: FakeMedia, **options: Any) -> None:
        super().__init__(media, **options)
        self.told: list[TransferObserver] = []
        self.refuses: Exception | None = None

    def transfer(
        self, target: str, told: TransferObserver, *, replaces: str = "", silent: bool = False
    ) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.did.append(("transfer", target, replaces, silent))
        self.told.append(told)

    def place(self) -> tuple[str, str]:
        return "sip:there@127.0.0.1", "call;to-tag=1;from-tag=2"


class FakeRequest:
    """A far end's request for a transfer; notes what it is answered."""

    def __init__(self, target: str = "sip:carol@127.0.0.1", replaces: str = "") -> None:
        self.target = target
        self.referred_by = "<sip:bob@x>"
        self.replaces = replaces
        self.said: list[Any] = []
        self.decided = False

    def accept(self) -> bool:
        self.said.append("accepted")
        return not self.decided

    def refuse(self, code: int = 603) -> bool:
        self.said.append(("refused", code))
        return True

    def report(self, code: int, reason: str = "") -> None:
        self.said.append(code)


def leg_of(leg: FakeLeg) -> Leg:
    return leg


async def turn(times: int = 5) -> None:
    """Let what is queued on the loop happen."""
    for _ in range(times):
        await asyncio.sleep(0)
