"""Draws the pictures of ``docs/guide/audio.md`` from what the code does.

    python docs/pictures.py

The voice is generated (harmonics of a gliding pitch under three formants), so that the
pictures are the same wherever they are drawn.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trunkline.media.echo import create_echo
from trunkline.media.frames import levels_dbov
from trunkline.media.jitter import JitterSettings
from trunkline.media.network_pattern import NetworkPattern
from trunkline.media.noise import NoiseSettings, noise_stage
from trunkline.media.virtual_path import PathRun, VirtualPath
from trunkline.server.audio_page.drawing import STEPS, bands, dots, line, spectrogram_png, waveform

FOLDER = Path(__file__).parent / "guide" / "pictures"
RATE_HZ = 8000
FRAME = 160
COLOURS = {"before": "#52707f", "after": "#1f7f6a", "far": "#7a55b3", "mark": "#d9822b"}

Pcm = NDArray[np.int16]


def voice(seconds: float, seed: int = 1, peak: float = 9000) -> Pcm:
    """Syllables of a voice that nobody has."""
    rng = np.random.default_rng(seed)
    samples = int(seconds * RATE_HZ)
    out = np.zeros(samples)
    at = int(0.1 * RATE_HZ)
    while at < samples:
        length = int(rng.uniform(0.14, 0.34) * RATE_HZ)
        out[at : at + length] = _syllable(rng, length)[: samples - at]
        at += length + int(rng.choice([0.03, 0.05, 0.3], p=[0.5, 0.3, 0.2]) * RATE_HZ)
    return np.asarray(out / np.abs(out).max() * peak, np.int16)


def _syllable(rng: np.random.Generator, length: int) -> NDArray[np.float64]:
    pitch = np.linspace(rng.uniform(105, 150), rng.uniform(95, 140), length)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE_HZ
    formants = rng.uniform((300, 900, 2200), (800, 1900, 2900))
    out = np.zeros(length)
    for harmonic in range(1, 28):
        hertz = harmonic * pitch.mean()
        gain = sum(1 / (1 + ((hertz - formant) / 130) ** 2) for formant in formants)
        out += (gain + 0.02) / harmonic**0.5 * np.sin(harmonic * phase)
    return out * np.hanning(length) ** 0.4


# -- pictures -----------------------------------------------------------------------------


def concealment() -> bytes:
    """A loss of 40 ms in a vowel, by what is played in its place."""
    pcm = voice(0.75, seed=4)
    network = _Gap(range(16, 18))
    rows = []
    for method in ("silence", "simple", "pitch"):
        settings = JitterSettings(concealment=method)
        run = VirtualPath(RATE_HZ, network=network, jitter=settings).run(pcm)
        rows.append((method, run.received, run.kinds == 2))
    sent = VirtualPath(RATE_HZ).run(pcm).received
    shown = slice(12 * FRAME, 24 * FRAME)
    drawn = [("sent", _wave(sent[shown], "before"))]
    for name, audio, concealed in rows:
        mark = _path(bands(concealed[12:24], 12), fill=COLOURS["mark"], opacity=".25")
        drawn.append((name, mark + _wave(audio[shown], "after")))
    return _svg(drawn)


def jitter() -> bytes:
    """The delay of packets, the delay wanted, and the delay there is."""
    quiet = np.concatenate([voice(4, 2), voice(4, 3), voice(4, 5)])
    delays = np.concatenate(
        [
            NetworkPattern(jitter_ms=mean, seed=8).delays_ms(len(quiet) // FRAME // 3)
            for mean in (2, 25, 2)
        ]
    )
    run = VirtualPath(RATE_HZ, network=_Given(delays)).run(quiet)
    highest = 150.0
    delay = np.where(run.delay_ms > 0, run.delay_ms, np.nan)
    chart = (
        _stroke(dots(run.network_ms, len(run.kinds), highest), "#8b9892", 2.5)
        + _stroke(line(run.target_ms, 0, highest), COLOURS["mark"], 1.5)
        + _stroke(line(delay, 0, highest), COLOURS["after"], 2)
    )
    marks = _path(bands(run.kinds == 2, len(run.kinds)), fill=COLOURS["mark"], opacity=".45")
    marks += _path(bands(run.kinds == 3, len(run.kinds)), fill="#3b82c4", opacity=".45")
    wave = marks + _wave(run.output, "before")
    return _svg([("delay, 0 to 150 ms", chart), ("concealed and stretched", wave)], (170, 90))


def echo() -> bytes:
    """Levels of what was sent, what came back and what is left of it."""
    run = echo_run()
    lines = "".join(
        _stroke(line(_smooth(pcm), -75, -5), COLOURS[name], 1.8)
        for name, pcm in (
            ("far", run.far),
            ("before", run.received),
            ("after", run.output_in_time()),
        )
    )
    return _svg([("sent, heard, left (-75 to -5 dBov)", lines)], (200,))


def echo_run() -> PathRun:
    """Eight seconds of echo; the caller speaks in the last two."""
    rng = np.random.default_rng(3)
    far = voice(8, 6)
    room = np.zeros(700)
    room[240], room[241:] = 0.3, 0.05 * rng.standard_normal(459) * np.exp(-np.arange(459) / 90)
    near = np.convolve(far, room)[: len(far)] + rng.normal(0, 6, len(far))
    near[48_000:] += voice(2, 7, 6000)[: len(far) - 48_000]
    sent = far.copy()
    return VirtualPath(RATE_HZ, echo=create_echo("kalman", RATE_HZ, capacity=1)).run(
        np.asarray(np.clip(near, -32768, 32767), np.int16), sent
    )


def noise(suppressed: bool) -> bytes:
    """The spectrogram of a voice in a car's noise, before or after."""
    rng = np.random.default_rng(5)
    hiss = rng.normal(0, 1, 4 * RATE_HZ + 8)
    rumble = np.convolve(hiss, [0.5, 0.8, 0.6, 0.4, 0.3, 0.2, 0.1, 0.1, 0.1])[8:][: 4 * RATE_HZ]
    pcm = np.asarray(np.clip(voice(4, 9, 8000) + 260 * rumble, -32768, 32767), np.int16)
    stage = noise_stage(RATE_HZ, NoiseSettings(), 1) if suppressed else None
    run = VirtualPath(RATE_HZ, noise=stage).run(pcm)
    return spectrogram_png(run.output_in_time()[: 4 * RATE_HZ], RATE_HZ, 480, 96)


PICTURES: dict[str, Callable[[], bytes]] = {
    "concealment.svg": concealment,
    "jitter.svg": jitter,
    "echo.svg": echo,
    "noise-before.png": lambda: noise(False),
    "noise-after.png": lambda: noise(True),
}


# -- drawing ------------------------------------------------------------------------------


class _Given(NetworkPattern):
    """A network whose delays are known."""

    __slots__ = ("_delays",)

    def __init__(self, delays: NDArray[np.float64]) -> None:
        super().__init__()
        object.__setattr__(self, "_delays", delays)

    def delays_ms(self, packets: int) -> NDArray[np.float64]:
        """Those."""
        return np.resize(self._delays, packets)


class _Gap(_Given):
    """A good network that loses some packets."""

    __slots__ = ()

    def __init__(self, lost: Sequence[int]) -> None:
        delays = np.zeros(1000)
        delays[list(lost)] = np.nan
        super().__init__(delays)


def _smooth(pcm: Pcm) -> NDArray[np.float64]:
    """Levels over 100 ms."""
    frames = pcm[: len(pcm) // FRAME * FRAME].reshape(-1, FRAME)
    power = 10 ** (levels_dbov(frames).astype(np.float64) / 10)
    return 10 * np.log10(np.convolve(power, np.ones(5) / 5, mode="same"))


def _wave(pcm: Pcm, colour: str) -> str:
    """A waveform; of a tenth of a second or so the line itself, not its outline."""
    if len(pcm) > 4 * STEPS:
        return _path(waveform(pcm, 10_000.0), fill=COLOURS[colour])
    return _stroke(line(pcm[::2].astype(np.float64), -10_000, 10_000), COLOURS[colour], 1.3)


def _stroke(path: str, colour: str, width: float) -> str:
    return _path(
        path,
        fill="none",
        stroke=colour,
        stroke_width=f"{width:g}",
        vector_effect="non-scaling-stroke",
    )


def _path(path: str, **attributes: str) -> str:
    written = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in attributes.items())
    return f'<path d="{path}"{written}/>'


def _svg(rows: Sequence[tuple[str, str]], heights: Sequence[int] = ()) -> bytes:
    """Rows below each other, 720 wide, on a card of their own: it is for dark pages too."""
    parts, top = [], 8
    for (label, drawn), height in zip(rows, heights or [60] * len(rows), strict=True):
        parts.append(
            f'<text x="12" y="{top + 12}" font-size="12">{label}</text>'
            f'<svg x="12" y="{top + 18}" width="696" height="{height}" viewBox="0 0 {STEPS} 100" '
            f'preserveAspectRatio="none">{drawn}</svg>'
        )
        top += height + 26
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 {top}" width="720" '
        f'height="{top}" font-family="system-ui, sans-serif" fill="#586660">'
        f'<rect width="720" height="{top}" rx="10" fill="#ffffff"/>{"".join(parts)}</svg>\n'
    ).encode()


def main() -> None:
    """Write all of them."""
    FOLDER.mkdir(exist_ok=True)
    for name, draw in PICTURES.items():
        data = draw()
        (FOLDER / name).write_bytes(data)
        print(f"{name}: {len(data):,} bytes")


if __name__ == "__main__":
    main()
