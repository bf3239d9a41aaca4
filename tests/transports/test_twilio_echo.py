"""Echo on a media stream: it comes back through the provider's queue, and is taken out."""

import asyncio
import base64
import json
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.media import ChainStages
from trunkline.media.g711 import Law, decode, encode

from .test_twilio import run, serving, until

RATE, FRAME = 8000, 160
Pcm = NDArray[np.int16]
ECHO_ALONE = ChainStages(echo="kalman", noise="off")


def speech(seconds: float, seed: int) -> Pcm:
    """Syllables of noise with pauses between the words."""
    rng = np.random.default_rng(seed)
    count = int(seconds * RATE)
    syllables = np.abs(np.sin(np.arange(count) * 2 * np.pi * 3 / RATE))
    words = np.repeat(rng.random(count // 2000 + 1) > 0.2, 2000)[:count]
    return np.clip(rng.normal(size=count) * 3000 * syllables * words, -30_000, 30_000).astype(
        np.int16
    )


class Provider:
    """Plays its queue frame by frame to a telephone that sends 12 dB less of it back."""

    def __init__(self, peer: Any, late_frames: int = 14) -> None:
        self._peer = peer
        self._queue: deque[Pcm] = deque()
        self._way = deque([np.zeros(FRAME, np.int16)] * late_frames)
        self.most_queued = 0

    async def read(self) -> None:
        """Take in what has been sent."""
        while True:
            message = await self._next()
            if message is None:
                break
            if message["event"] == "media":
                payload = base64.b64decode(message["media"]["payload"])
                self._queue.append(decode(payload, Law.ULAW))
        self.most_queued = max(self.most_queued, len(self._queue))

    async def _next(self) -> dict[str, Any] | None:
        try:
            async with asyncio.timeout(0.001):
                found: dict[str, Any] = json.loads(await self._peer.recv())
                return found
        except TimeoutError:
            return None

    def tick(self) -> bytes:
        played = self._queue.popleft() if self._queue else np.zeros(FRAME, np.int16)
        self._way.append(played)
        return bytes(encode((self._way.popleft() * 0.25).astype(np.int16), Law.ULAW))


def test_the_echo_of_a_stream_is_found_behind_the_providers_queue_and_taken_out() -> None:
    async def body() -> None:
        async with serving() as world, world.call() as (peer, encoder):
            lane, engine = world.lane, world.engine
            engine.set_chain(lane, ECHO_ALONE)
            heard: list[Pcm] = []
            came: list[Pcm] = []

            class Tap:
                def frame(self, frame: Pcm | None, sent: Pcm | None, now: float) -> None:
                    if frame is not None:
                        heard.append(frame.copy())

                def late(self, frame: Pcm, now: float) -> None:
                    heard.append(frame.copy())

            lane.taps.append(Tap())
            engine.push(lane, speech(7, seed=3), 0)
            provider = Provider(peer)
            for _ in range(300):
                payload = provider.tick()
                came.append(decode(payload, Law.ULAW))
                await peer.send(encoder.media(payload).decode())
                await until(lambda: len(lane.inlet.frames) > 0)  # type: ignore[union-attr]
                world.tick()
                await provider.read()
            assert provider.most_queued >= 3  # sent ahead: what is heard is older than that
            left, echo = (np.concatenate(some[150:]).astype(float) for some in (heard, came))
            assert 10 * np.log10((echo**2).mean() / (left**2).mean()) > 20
            figures = world.leg.statistics()
            assert figures["erle_db"] > 15
            assert 100 <= figures["echo_delay_ms"] <= 330
            engine.close(lane)

    run(body)


def test_a_stream_keeps_the_figures_of_its_chain_after_the_end() -> None:
    async def body() -> None:
        async with serving() as world, world.call():
            world.engine.set_chain(world.lane, ECHO_ALONE)
            world.leg.hangup()
            assert world.leg.statistics()["chain_frames"] == 0
            assert len(world.engine.chains) == 0

    run(body)
