"""An hour's call in virtual time, recorded as a node records it, with marks to be found again.

Two engines: the node's, on the clock that counts, and the far end's, whose clock is fast
or slow. Both sides talk (noise of speech's level and rhythm) and give a chirp now and
then. The node stalls: it does nothing for up to a second, reads its packets late and
leaves out ticks. What is measured is where the chirps are in the file.
"""

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trunkline.calls.keeper import RecordingTap
from trunkline.calls.recorder import Recorder
from trunkline.media.engine import Engine
from trunkline.media.jitter import JitterBank, JitterSettings
from trunkline.media.lane import Frame, Heard, Lane
from trunkline.media.testing import Link, LinkSettings, RtpEnd, VirtualTime
from trunkline.media.wav import parse_wav

__all__ = ["Drift", "recorded_drift"]

Pcm = NDArray[np.int16]

RATE = 8000
FRAME = 160
CHIRP_SECONDS = 0.1
SEARCH_SECONDS = 0.6


@dataclass(frozen=True)
class Drift:
    """Where chirps are in the file, less when they left or came, in milliseconds."""

    at_seconds: NDArray[np.float64]
    heard_ms: NDArray[np.float64]
    """From leaving the far end: network, jitter buffer, and whatever the file adds."""
    sent_ms: NDArray[np.float64]
    """From leaving us."""
    length_error_ms: float
    """The file's length less that of the call."""
    stalls: int
    stalled_seconds: float

    @property
    def heard_an_hour_ms(self) -> float:
        """How far what is heard has moved in an hour, by a straight line through all of it."""
        return slope(self.at_seconds, self.heard_ms)

    @property
    def sent_an_hour_ms(self) -> float:
        """How far our side has moved in an hour."""
        return slope(self.at_seconds, self.sent_ms)

    @property
    def between_an_hour_ms(self) -> float:
        """How far the sides have moved against each other in an hour."""
        return slope(self.at_seconds, self.heard_ms - self.sent_ms)


def slope(at: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    return float(np.polyfit(at, values, 1)[0]) * 3600


def chirp(low: float, high: float) -> Pcm:
    """A tone that rises from one pitch to another: found to the sample, whatever else there is."""
    times = np.arange(round(CHIRP_SECONDS * RATE)) / RATE
    phase = 2 * np.pi * (low * times + (high - low) * times**2 / (2 * CHIRP_SECONDS))
    return (12_000 * np.sin(phase)).astype(np.int16)


CHIRPS = (chirp(700, 2600), chirp(3100, 1100))
"""The far end's, and ours."""


def talk(rng: np.random.Generator, seconds: float) -> Pcm:
    """Noise with a rhythm of three syllables a second."""
    count = round(seconds * RATE)
    envelope = 0.05 + np.clip(np.sin(np.arange(count) * 2 * np.pi * 3 / RATE), 0, 1)
    return np.clip(rng.normal(size=count) * 1200 * envelope, -9000, 9000).astype(np.int16)


class Speaker:
    """Keeps a lane's playout filled, and notes when its chirps leave."""

    def __init__(self, lane: Lane, sound: Pcm, seed: int) -> None:
        self.left_at: list[float] = []
        self._lane, self._chirp = lane, sound
        self._rng = np.random.default_rng(seed)
        self._queued = 0
        self._chirps: list[int] = []
        self._samples = 0
        lane.taps.append(self)

    def fill(self, seconds: float, with_chirp: bool) -> None:
        pcm = talk(self._rng, seconds)
        if with_chirp:
            at = FRAME * 10
            pcm[at : at + len(self._chirp)] = self._chirp
            self._chirps.append(self._queued + at)
        self._queued += len(pcm)
        self._lane.playout.push(pcm, 0)

    def frame(self, heard: Frame | None, sent: Frame | None, now: float) -> None:
        if sent is None:
            return
        if self._chirps and self._samples == self._chirps[0]:
            self._chirps.pop(0)
            self.left_at.append(now)
        self._samples += FRAME

    def late(self, heard: Frame, now: float) -> None:
        pass

    def hear(self, *_: object) -> None:
        pass

    def started(self, generation: int, now: float) -> None:
        pass

    def drained(self, heard: Heard, now: float) -> None:
        pass


def recorded_drift(
    folder: Path, *, seconds: float, drift_ppm: float, stalls_an_hour: float, every: float = 10.0
) -> Drift:
    """Record a call of so many seconds; a chirp of each side every so many."""
    time = VirtualTime(1000.0)
    node, far = (Engine(jitter=JitterBank(RATE, JitterSettings())) for _ in range(2))
    time.drive(node)
    time.drive(far, drift_ppm=drift_ppm)
    settings = LinkSettings(delay_ms=30, jitter_ms=8)
    there, back = (Link(random.Random(seed), settings) for seed in (1, 2))
    ours = RtpEnd("node", engine=node, link=there, rng=random.Random(3), now=time.now)
    theirs = RtpEnd("far", engine=far, link=back, rng=random.Random(4), now=time.now)
    time.join(there, theirs)
    time.join(back, ours)
    recorder = Recorder(folder, flush_seconds=36_000)
    recording = recorder.open("hour", RATE)
    ours.lane.taps.append(RecordingTap(recording))
    speakers = Speaker(theirs.lane, CHIRPS[0], 5), Speaker(ours.lane, CHIRPS[1], 6)
    luck = random.Random(7)
    stalls, stalled, began = 0, 0.0, time.now
    while recorder.writer(recording).file is None:
        pass
    while time.now - began < seconds:
        for speaker, lead in zip(speakers, (drift_ppm, 0.0), strict=True):
            # As much as its clock will take: nobody runs out, and nothing piles up.
            speaker.fill(round(every * (1 + lead / 1e6) * 50) / 50, with_chirp=True)
        step = every / 10
        for _ in range(10):
            if luck.random() < stalls_an_hour / 3600 * step:
                pause = luck.uniform(0.05, 1.0)
                time.stall(node, pause)
                stalls, stalled = stalls + 1, stalled + pause
            time.run(step)
        recorder.writer(recording).flush(None)
    ended = time.now
    first = recording.began_at
    assert first is not None
    path = recording.close().result(60).path
    recorder.close()
    wav = parse_wav(path.read_bytes())
    length = len(wav.samples) / RATE - (ended - first)
    found = [
        placed(wav.samples[:, side], CHIRPS[side], speakers[side].left_at, first) for side in (0, 1)
    ]
    both = sorted(found[0].keys() & found[1].keys())
    return Drift(
        np.array([number * every for number in both]),
        np.array([found[0][number] for number in both]),
        np.array([found[1][number] for number in both]),
        1000 * length,
        stalls,
        stalled,
    )


def placed(side: Pcm, sound: Pcm, left_at: list[float], first: float) -> dict[int, float]:
    """How much later than it left each chirp is in the file, in ms, by its number."""
    template = sound.astype(np.float64)
    reach = round(SEARCH_SECONDS * RATE)
    found = {}
    for number, moment in enumerate(left_at):
        expected = round((moment - first) * RATE)
        begin = max(0, expected - reach)
        around = side[begin : expected + reach + len(sound)].astype(np.float64)
        if len(around) < 2 * len(sound):
            continue
        match = np.correlate(around, template, "valid")
        energy = np.convolve(around**2, np.ones(len(sound)), "valid")
        likeness = match / np.sqrt(np.maximum(energy, 1.0) * (template**2).sum())
        best = int(likeness.argmax())
        if likeness[best] > 0.6:  # else it lies in a stall, or was stretched
            found[number] = 1000 * (begin + best - expected) / RATE
    return found
