"""What resampling delays, keeps and lets through, measured at every pair of rates.

Delay: of a bank, the slope of the phase of its answer to an impulse; of streams, the most
audio pushed in pieces of 20 ms that had not come out yet. Band: tones up to 0.425 of the lower
rate (3.4 kHz of 8), and one at 0.45. Images and aliases: for tones up to 0.425 everything that
is not the tone; going down, what is left of tones from 0.525 (4.2 kHz) on.

soxr, where it is installed, does the same in the same run; it is no part of Trunkline.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from trunkline.media.resample import Resampler, StreamResampler

Floats = NDArray[np.float64]
Convert = Callable[[NDArray[np.float32]], Floats]

RATES = (8000, 16_000, 24_000, 48_000)
SECONDS = 1.0


def bank(from_hz: int, to_hz: int) -> Convert:
    """A second of audio through a bank, a frame at a time."""

    def convert(audio: NDArray[np.float32]) -> Floats:
        stage = Resampler(from_hz, to_hz)
        rows = np.array([stage.open()])
        blocks = [stage.process(block[None], rows)[0] for block in audio.reshape(-1, from_hz // 50)]
        return np.concatenate(blocks).astype(np.float64)

    return convert


def delay_ms(from_hz: int, to_hz: int) -> float:
    """Of a bank, between 0.05 and 0.3 of the lower rate."""
    audio = np.zeros(from_hz, np.float32)
    at = from_hz // 2
    audio[at] = 10_000
    answer = bank(from_hz, to_hz)(audio)
    hertz = np.linspace(0.05, 0.3, 26) * min(from_hz, to_hz)
    times = np.arange(answer.size) / to_hz - at / from_hz
    phases = np.unwrap([np.angle(np.sum(answer * np.exp(-2j * np.pi * f * times))) for f in hertz])
    return float(-1000 * np.polyfit(2 * np.pi * hertz, phases, 1)[0])


def held_ms(
    push: Callable[[NDArray[np.int16]], NDArray[np.int16]], from_hz: int, to_hz: int
) -> float:
    """Of a stream, the most that was pushed and had not come out."""
    given, most = 0, 0.0
    for number in range(1, 51):
        given += push(np.zeros(from_hz // 50, np.int16)).size
        most = max(most, number * 20 - 1000 * given / to_hz)
    return most


def tone(hertz: float, rate_hz: int) -> NDArray[np.float32]:
    return (10_000 * np.sin(2 * np.pi * hertz * np.arange(rate_hz * SECONDS) / rate_hz)).astype(
        np.float32
    )


def decibels(ratio: float) -> float:
    return float(10 * np.log10(max(ratio, 1e-20)))


def through(convert: Convert, hertz: float, from_hz: int, to_hz: int) -> tuple[float, float]:
    """A tone's gain, and everything else beside it, in dB of what was sent."""
    out = convert(tone(hertz, from_hz))[to_hz // 10 : -to_hz // 10]
    at = np.arange(out.size) / to_hz
    basis = np.stack([np.sin(2 * np.pi * hertz * at), np.cos(2 * np.pi * hertz * at)], axis=1)
    found = basis @ np.linalg.lstsq(basis, out, rcond=None)[0]
    sent = 10_000**2 / 2
    return decibels(np.mean(found**2) / sent), decibels(np.mean((out - found) ** 2) / sent)


def left(convert: Convert, hertz: float, from_hz: int, to_hz: int) -> float:
    """What is left of a tone that should not come through, in dB."""
    out = convert(tone(hertz, from_hz))[to_hz // 10 : -to_hz // 10]
    return decibels(np.mean(out**2) / (10_000**2 / 2))


def figures(from_hz: int, to_hz: int) -> str:
    """One pair's line."""
    convert, low = bank(from_hz, to_hz), min(from_hz, to_hz)
    inside = [through(convert, part * low, from_hz, to_hz) for part in np.linspace(0.025, 0.425, 9)]
    ripple = max(abs(gain) for gain, _ in inside)
    edge = through(convert, 0.45 * low, from_hz, to_hz)[0]
    beside = max(noise for _, noise in inside)
    if to_hz < from_hz:
        above = np.linspace(0.525 * low, 0.49 * from_hz, 9)
        beside = max(beside, *(left(convert, f, from_hz, to_hz) for f in above))
    stream = held_ms(StreamResampler(from_hz, to_hz).push, from_hz, to_hz)
    return (
        f"  {from_hz // 1000:2} to {to_hz // 1000:2} kHz: bank {delay_ms(from_hz, to_hz):.2f} ms, "
        f"stream {stream:.2f} ms, {ripple:.3f} dB, {edge:+.1f} dB, {beside:.0f} dB"
        + soxr_held(from_hz, to_hz)
    )


def soxr_held(from_hz: int, to_hz: int) -> str:
    """The same of soxr's stream, by quality; nothing where it is not installed."""
    try:
        import soxr
    except ImportError:
        return ""
    found = []
    for quality in ("QQ", "LQ", "HQ", "VHQ"):
        stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="int16", quality=quality)
        found.append(f"{quality} {held_ms(stream.resample_chunk, from_hz, to_hz):.0f}")
    return f"; soxr {', '.join(found)} ms"


def report() -> None:
    """All pairs."""
    print("\nresampling: delay of the bank and the stream, ripple to 0.425 of the lower rate,")
    print("  gain at 0.45, worst image or alias")
    for from_hz in RATES:
        for to_hz in RATES:
            if from_hz != to_hz:
                print(figures(from_hz, to_hz))
