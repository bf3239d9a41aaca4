"""The whole audio path of one call in virtual time: what a caller's audio becomes.

Packets of 20 ms through a codec, a network of a given pattern, the jitter buffer with
concealment (a codec's own where it has one) and stretching, then echo cancellation and
noise suppression, as a leg has them. Nothing waits: a tick is a turn of a loop, and the
same settings give the same bits.

    path = VirtualPath(8000, network=NetworkPattern(loss=0.1, jitter_ms=30))
    run = path.run(pcm)
    run.output, run.kinds, run.statistics
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

from .codec import G711, G722, L16, Codec
from .echo import EchoStage, NoEcho
from .frames import FRAME_MS, frame_samples, to_float, to_int16
from .g711 import Law
from .jitter import JitterBank, JitterSettings, JitterStatistics, Kind
from .network_pattern import NetworkPattern
from .stage import Bypass, Stage

__all__ = ["CODECS", "PathRun", "VirtualPath", "codec_delay_samples", "codec_named"]

_Pcm = NDArray[np.int16]
_TICK_SECONDS = FRAME_MS / 1000
_QUIET_PACKETS = 2
"""Silence that the sender goes on with, so that the last frame is not missing its end."""

_PROBE_FRAMES = 25

CODECS = ("pcmu", "pcma", "g722", "l16")
"""Names of codecs that need no library."""


def codec_named(name: str, rate_hz: int) -> Codec:
    """A codec for audio of this rate; raises `UsageError` where there is none."""
    if name not in CODECS:
        raise UsageError(f"no codec is called {name!r}; there are {', '.join(CODECS)}")
    if name == "l16":
        return L16(rate_hz)
    codec: Codec = G722() if name == "g722" else G711(Law.ALAW if name == "pcma" else Law.ULAW)
    if codec.rate_hz != rate_hz:
        raise UsageError(f"the codec {name} works at {codec.rate_hz} Hz, not {rate_hz}")
    return codec


@dataclass(frozen=True, slots=True)
class PathRun:
    """What came of it, tick by tick (20 ms each)."""

    rate_hz: int
    received: _Pcm
    """What the jitter buffer gave, (ticks * 20 ms,)."""
    output: _Pcm
    """That without echo and noise, as long, ``delay_samples`` later."""
    far: _Pcm
    """What was sent at the same ticks; silence where nothing was given."""
    kinds: NDArray[np.uint8]
    """What each frame received is (`Kind`), (ticks,)."""
    positions: NDArray[np.int64]
    """The sample of what was put in that each frame begins with, the codec's delay taken off:
    less than 0 in the first frame of a codec that has one. -1 while nothing plays."""
    delay_ms: NDArray[np.float32]
    """The jitter buffer's delay at each tick; 0 while nothing plays."""
    target_ms: NDArray[np.float32]
    """The delay it wants."""
    network_ms: NDArray[np.float64]
    """The delay of each packet sent, NaN where it was lost, (packets,)."""
    delay_samples: int
    """What the stages after the jitter buffer add."""
    statistics: JitterStatistics

    @property
    def frame_samples(self) -> int:
        """Of 20 ms."""
        return frame_samples(self.rate_hz)

    def aligned(self, source: _Pcm) -> _Pcm:
        """What was put in, at the places where it is in ``received``, and as long."""
        frame = self.frame_samples
        index = self.positions[:, np.newaxis] + np.arange(frame)
        playing = (self.kinds != Kind.SILENT)[:, np.newaxis]
        inside = playing & (index >= 0) & (index < len(source))
        padded = np.append(source, np.int16(0))
        return np.asarray(padded[np.where(inside, index, len(source))].ravel(), np.int16)

    def output_in_time(self) -> _Pcm:
        """The output without the stages' delay, beside ``received``."""
        shifted = np.zeros_like(self.output)
        shifted[: len(self.output) - self.delay_samples] = self.output[self.delay_samples :]
        return shifted


@dataclass(frozen=True)
class VirtualPath:
    """The parts that audio goes through."""

    rate_hz: int = 8000
    codec: Codec | None = None
    """None: G.711 mu-law at 8 kHz, 16-bit PCM at any other rate."""
    network: NetworkPattern = field(default_factory=NetworkPattern)
    jitter: JitterSettings = field(default_factory=JitterSettings)
    echo: EchoStage | None = None
    noise: Stage | None = None

    def __post_init__(self) -> None:
        for part in (self.codec, self.echo, self.noise):
            if part is not None and part.rate_hz != self.rate_hz:
                raise UsageError(f"a part of the path is for {part.rate_hz} Hz, not {self.rate_hz}")

    def run(self, near: _Pcm, far: _Pcm | None = None) -> PathRun:
        """Send ``near`` through all of it while ``far`` is played to its sender.

        Both are one row of int16 at the path's rate; the far one is cut to length.

        Raises:
            UsageError: they are not, or there is nothing to send.
        """
        for audio in (near, far):
            if audio is not None and (audio.dtype != np.int16 or audio.ndim != 1):
                raise UsageError(f"one row of int16, not {audio.dtype} of {audio.shape}")
        if not near.size:
            raise UsageError("there is no audio to send")
        received = _Reception(self, near).run()
        far_sent = np.zeros(len(received.pcm) * frame_samples(self.rate_hz), np.int16)
        if far is not None:
            far_sent[: len(far)] = far[: len(far_sent)]
        output, delay = self._enhanced(received.pcm, far_sent, received.kinds)
        return PathRun(
            rate_hz=self.rate_hz,
            received=received.pcm.ravel(),
            output=output.ravel(),
            far=far_sent,
            kinds=received.kinds,
            positions=received.positions,
            delay_ms=received.delay_ms,
            target_ms=received.target_ms,
            network_ms=received.network_ms,
            delay_samples=delay,
            statistics=received.bank.statistics(received.row),
        )

    def _enhanced(self, received: _Pcm, far: _Pcm, kinds: NDArray[np.uint8]) -> tuple[_Pcm, int]:
        """(ticks, 20 ms) through the stages, and what delay those add."""
        echo = self.echo if self.echo is not None else NoEcho(self.rate_hz, 1)
        noise = self.noise if self.noise is not None else Bypass(self.rate_hz, 1)
        echo_rows, noise_rows = np.array([echo.open()]), np.array([noise.open()])
        near, sent = to_float(received), to_float(far.reshape(received.shape))
        out = np.empty_like(near)
        for tick, kind in enumerate(kinds.tolist()):
            frozen = np.array([kind == Kind.CONCEALED])
            block = echo.process(near[tick : tick + 1], sent[tick : tick + 1], echo_rows, frozen)
            out[tick] = noise.process(block, noise_rows)[0]
        echo.close(int(echo_rows[0]))
        noise.close(int(noise_rows[0]))
        return to_int16(out), echo.delay_samples + noise.delay_samples


class _Reception:
    """From the sender's audio to what the jitter buffer gives."""

    def __init__(self, path: VirtualPath, near: _Pcm) -> None:
        rate_hz = path.rate_hz
        self._frame = frame = frame_samples(rate_hz)
        self._packets = -(-len(near) // frame)
        padded = np.zeros((self._packets + _QUIET_PACKETS) * frame, np.int16)
        padded[: len(near)] = near
        codec = path.codec
        if codec is None:
            codec = codec_named("pcmu" if rate_hz == G711().rate_hz else "l16", rate_hz)
        self._settings = path.jitter
        self.network_ms = path.network.delays_ms(self._packets)
        self._payloads = _encoded(padded.reshape(-1, frame), codec)
        self._codec_delay = codec_delay_samples(codec)
        self._units = frame * codec.rtp_clock_hz // rate_hz
        self._plain = isinstance(codec, G711)
        self.bank = JitterBank(rate_hz, path.jitter, 1)
        self.row = self.bank.open(codec.law if isinstance(codec, G711) else Law.ULAW)
        if not self._plain:
            self.bank.set_codec(self.row, codec)

    def run(self) -> "_Reception":
        """Tick until everything that arrived was played."""
        rows = np.array([self.row])
        arrivals = self._arrivals()
        coming = 0
        frames, kinds, positions, delays, targets = [], [], [], [], []
        for tick in range(self._longest(arrivals)):
            now = (tick + 0.5) * _TICK_SECONDS
            while coming < len(arrivals) and arrivals[coming][0] <= now:
                self._put(*arrivals[coming])
                coming += 1
            position = self.bank.position(self.row)
            taken = self.bank.take(rows, now)
            after = self.bank.position(self.row)
            kind = int(taken.kind[0])
            statistics = self.bank.statistics(self.row)
            frames.append(taken.pcm)
            kinds.append(kind)
            going_on = len(kinds) > 1 and kinds[-2] != Kind.SILENT
            positions.append(self._began(position, after, kind, going_on))
            delays.append(statistics.delay_ms)
            targets.append(statistics.target_ms)
            if after >= self._packets * self._frame:
                break
        self.pcm = np.concatenate(frames)
        self.kinds = np.array(kinds, np.uint8)
        self.positions = np.array(positions, np.int64)
        self.delay_ms = np.array(delays, np.float32)
        self.target_ms = np.array(targets, np.float32)
        return self

    def _began(self, before: int, after: int, kind: int, going_on: bool) -> int:
        """Where a frame began; the first of a talkspurt is not where the row stood before."""
        if kind == Kind.SILENT:
            return -1
        begins = before if going_on and kind != Kind.PLAYED else max(0, after - self._frame)
        return begins - self._codec_delay

    def _arrivals(self) -> list[tuple[float, int]]:
        """Time and number of each packet that comes, in the order they do."""
        came = np.flatnonzero(~np.isnan(self.network_ms))
        if not came.size:
            return []
        delays = np.append(self.network_ms, [0.0] * _QUIET_PACKETS)
        numbers = np.append(came, self._packets + np.arange(_QUIET_PACKETS))
        times = numbers * _TICK_SECONDS + delays[numbers] / 1000
        order = np.argsort(times, kind="stable")
        return list(zip(times[order].tolist(), numbers[order].tolist(), strict=True))

    def _longest(self, arrivals: list[tuple[float, int]]) -> int:
        """Ticks after which nothing more can come."""
        last = arrivals[-1][0] if arrivals else 0.0
        spare_ms = self._settings.max_ms + self._settings.patience_ms
        return max(self._packets, int(last / _TICK_SECONDS)) + spare_ms // FRAME_MS + 2

    def _put(self, at: float, number: int) -> None:
        """As a leg files what came: G.711 at once, other codecs when it is their turn."""
        put = self.bank.put if self._plain else self.bank.put_coded
        timestamp = number * self._units & 0xFFFFFFFF
        put(self.row, number & 0xFFFF, timestamp, 1, number == 0, self._payloads[number], at)


def _encoded(frames: _Pcm, codec: Codec) -> list[bytes]:
    """The packets that a sender makes of these frames."""
    encoder = codec.encoder()
    try:
        return [encoder.encode(frame) for frame in frames]
    finally:
        encoder.close()


def codec_delay_samples(codec: Codec) -> int:
    """By how much a codec's audio comes out later than it went in, at its rate, measured.

    Noise with the slope of speech is sent through it, and looked for in what comes out.
    """
    frame = frame_samples(codec.rate_hz)
    noise = np.random.default_rng(1).standard_normal(_PROBE_FRAMES * frame)
    spectrum = np.fft.rfft(noise)
    spectrum[1:] /= 1 + np.arange(1, len(spectrum)) * (codec.rate_hz / len(noise) / 500)
    shaped = np.fft.irfft(spectrum)
    sent = (shaped * (8000 / np.abs(shaped).max())).astype(np.int16)
    decoder = codec.decoder()
    try:
        heard = np.concatenate(
            [decoder.decode(payload) for payload in _encoded(sent.reshape(-1, frame), codec)]
        )
    finally:
        decoder.close()
    likeness = np.fft.irfft(np.fft.rfft(heard) * np.conj(np.fft.rfft(sent.astype(np.float64))))
    return int(likeness[:frame].argmax())
