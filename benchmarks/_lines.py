"""Telephone lines to be processed: somebody talks, hears somebody talk, and sends the echo of it.

A line is what its caller sends: half the time speech, room tone or a noisier room, and the
echo of what it is sent, 8 to 17 dB down and 25 to 230 ms late, which on half of the lines
talks at the same time. Synthetic voices (flite, or espeak-ng), made-up rooms; 8 kHz, µ-law.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from _material import ABRUPT, FRAME, RATE_HZ, SOFT, TURNS, room_tone, ulaw, voices

__all__ = ["LINES", "SECONDS", "Line", "echo_path", "lines"]

LINES, SECONDS = 8, 24
_ROOM_SECONDS = 0.12


@dataclass(frozen=True, slots=True)
class Line:
    """One line, whole frames of it; it can be repeated."""

    near: NDArray[np.int16]
    """(frames, 160): what its caller says, room included, without the echo."""
    far: NDArray[np.int16]
    """(frames, 160): what it is sent."""
    coded: list[bytes]
    """What its caller sends, echo included, in µ-law."""


def lines() -> list[Line]:
    """Different ones; the same in every run."""
    near, far = _talk(TURNS, 1), _talk(ABRUPT + SOFT, 2)
    return [_line(number, near, far) for number in range(LINES)]


def echo_path(number: int) -> NDArray[np.float64]:
    """What a line's hybrid and room make of an impulse, delay included."""
    rng = np.random.default_rng(100 + number)
    decay = np.exp(-6.9 * np.arange(int(_ROOM_SECONDS * RATE_HZ)) / _ROOM_SECONDS / RATE_HZ)
    path = 0.3 * rng.standard_normal(len(decay)) * decay
    path[0] = 1.0
    path *= 10 ** (-rng.uniform(8, 17) / 20) / np.sqrt((path**2).sum())
    return np.concatenate([np.zeros(int(rng.uniform(0.025, 0.23) * RATE_HZ)), path])


def _line(number: int, near: NDArray[np.float64], far: NDArray[np.float64]) -> Line:
    samples = SECONDS * RATE_HZ
    said = np.roll(near, 31_013 * number)[:samples].copy()
    sent = np.roll(far, 23_017 * number)[:samples].copy()
    if number % 2:  # they take turns, and do not talk at the same time
        turn = (np.arange(samples) // (3 * RATE_HZ)) % 2 == 0
        said[turn], sent[~turn] = 0, 0
    size = 1 << (samples * 2).bit_length()
    echo = np.fft.irfft(np.fft.rfft(sent, size) * np.fft.rfft(echo_path(number), size), size)
    room = room_tone(samples, number) * (10 if number % 4 == 3 else 1)
    own = _pcm(said + room)
    whole = _pcm(own + echo[:samples])
    return Line(own.reshape(-1, FRAME), _pcm(sent).reshape(-1, FRAME), ulaw(whole))


def _talk(texts: tuple[str, ...], seed: int) -> NDArray[np.float64]:
    """Sentences with pauses, as long as a line at least."""
    rng = np.random.default_rng(seed)
    clips = voices(texts)
    pieces: list[NDArray[np.float64]] = []
    while sum(map(len, pieces)) < SECONDS * RATE_HZ:
        pieces.append(clips[int(rng.integers(len(clips)))].pcm.astype(np.float64))
        pieces.append(np.zeros(int(rng.uniform(0.3, 1.5) * RATE_HZ)))
    return np.concatenate(pieces)


def _pcm(audio: NDArray[np.float64]) -> NDArray[np.int16]:
    return np.clip(np.rint(audio), -32767, 32767).astype(np.int16)
