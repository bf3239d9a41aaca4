"""Runs the chosen parts of the audio path on a file, and scores what came of it."""

from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError
from trunkline.media.codec import Codec
from trunkline.media.concealment import CONTINUATIONS
from trunkline.media.echo import ECHO_CANCELLERS, EchoStage, create_echo
from trunkline.media.frames import frame_samples, level_dbov
from trunkline.media.jitter import JitterSettings, Kind
from trunkline.media.network_pattern import NetworkPattern
from trunkline.media.noise import METHODS, NoiseSettings, noise_stage
from trunkline.media.scores import erle_db, segmental_snr_db
from trunkline.media.stage import Stage
from trunkline.media.virtual_path import PathRun, VirtualPath, codec_named
from trunkline.speech import registry
from trunkline.speech.opus import Opus, OpusLibrary, OpusSettings

from .source import load_source

__all__ = ["Inspection", "InspectionOptions", "Score", "inspect_audio"]

_SCORED_RATES = (8000, 16000)


@dataclass(frozen=True)
class InspectionOptions:
    """What is inspected, and through what it goes."""

    path: Path
    """What the caller sends."""
    far: Path | None = None
    """What the caller hears, and sends back as echo."""
    channel: int | None = None
    far_channel: int | None = None
    rate_hz: int = 8000
    codec: str | None = None
    """One of `virtual_path.CODECS`, or opus; None as `VirtualPath` has it."""
    network: NetworkPattern = field(default_factory=NetworkPattern)
    concealment: str = "pitch"
    echo: str | None = None
    """None: the Kalman filter where there is a far file."""
    noise: str = "off"
    strength: float = 0.8


@dataclass(frozen=True, slots=True)
class Score:
    """One number and what it says."""

    name: str
    """For programs: snake case, the unit at its end."""
    label: str
    value: float | None
    unit: str


@dataclass(frozen=True)
class Inspection:
    """What was put in, what came out."""

    options: InspectionOptions
    codec: str
    """Its name."""
    echo: str
    """The canceller's name, or off."""
    near: NDArray[np.int16]
    far: NDArray[np.int16] | None
    run: PathRun
    scores: tuple[Score, ...]

    @property
    def counters(self) -> dict[str, float]:
        """What was counted, by name."""
        counted = self.run.statistics
        kinds = np.bincount(self.run.kinds, minlength=len(Kind))
        return {
            "packets_sent": len(self.run.network_ms),
            "packets_lost": int(np.isnan(self.run.network_ms).sum()),
            "packets_late": counted.late,
            "packets_reordered": counted.reordered,
            "frames": len(self.run.kinds),
            "frames_played": int(kinds[Kind.PLAYED]),
            "frames_concealed": int(kinds[Kind.CONCEALED]),
            "frames_stretched": int(kinds[Kind.STRETCHED]),
            "frames_silent": int(kinds[Kind.SILENT]),
            "frames_recovered": counted.recovered_frames,
            "frames_dropped": counted.dropped_frames,
            "frames_inserted": counted.inserted_frames,
            "jitter_ms": round(counted.jitter_ms, 2),
            "stage_delay_ms": round(1000 * self.run.delay_samples / self.run.rate_hz, 2),
        }

    def plain(self) -> dict[str, Any]:
        """Scores and counters, for JSON."""
        options = self.options
        return {
            "file": str(options.path),
            "far": None if options.far is None else str(options.far),
            "rate_hz": self.run.rate_hz,
            "codec": self.codec,
            "concealment": options.concealment,
            "echo": self.echo,
            "noise": options.noise,
            "scores": {one.name: _rounded(one.value) for one in self.scores},
            "counters": self.counters,
        }


def inspect_audio(options: InspectionOptions) -> Inspection:
    """Read, run and score.

    Raises:
        UsageError: a file cannot be used, or there is no such part; the message says which.
        MissingDependencyError: a part needs a library that is not installed.
    """
    rate_hz = options.rate_hz
    frame_samples(rate_hz)  # refuses what is no rate of ours before files are read
    if options.concealment not in CONTINUATIONS:
        raise _unknown("concealment", options.concealment, list(CONTINUATIONS))
    if options.far is None and options.echo not in (None, "off"):
        raise UsageError("--echo needs what the caller heard: --far far.wav")
    name = options.echo or ("off" if options.far is None else "kalman")
    codec = _codec(options.codec or ("pcmu" if rate_hz == 8000 else "l16"), options)
    path = VirtualPath(
        rate_hz,
        codec,
        options.network,
        JitterSettings(concealment=options.concealment),
        _echo(name, rate_hz),
        _noise(options.noise, options.strength, rate_hz),
    )
    near = load_source(options.path, rate_hz, options.channel)
    far = None if options.far is None else load_source(options.far, rate_hz, options.far_channel)
    run = path.run(near, far)
    scores = (*_scores(near, run, far is not None and name != "off"), *_judged(near, run))
    return Inspection(options, codec.name, name, near, far, run, scores)


def _codec(name: str, options: InspectionOptions) -> Codec:
    if name != "opus":
        return codec_named(name, options.rate_hz)
    # A sender is told by reports what is lost, and makes copies accordingly.
    lost = round(100 * options.network.loss)
    return Opus(OpusLibrary.load(), options.rate_hz, OpusSettings(expected_loss_percent=lost))


def _echo(name: str, rate_hz: int) -> EchoStage:
    if name in ECHO_CANCELLERS:
        return create_echo(name, rate_hz, capacity=1)
    if name not in registry.names("echo"):
        raise _unknown("echo canceller", name, [*ECHO_CANCELLERS, *registry.names("echo")])
    stage: EchoStage = registry.create("echo", name, rate_hz=rate_hz, capacity=1)
    return stage


def _noise(name: str, strength: float, rate_hz: int) -> Stage:
    if name in METHODS:
        return noise_stage(rate_hz, NoiseSettings(name, strength), 1)
    if name not in registry.names("noise"):
        raise _unknown("noise suppression", name, [*METHODS, *registry.names("noise")])
    NoiseSettings(strength=strength)  # the same bounds for all
    stage: Stage = registry.create("noise", name, rate_hz=rate_hz, strength=strength, capacity=1)
    return stage


def _unknown(what: str, name: str, known: list[str]) -> UsageError:
    return UsageError(f"no {what} is called {name!r}; there are {', '.join(sorted(known))}")


def _scores(near: NDArray[np.int16], run: PathRun, cancelled: bool) -> list[Score]:
    rate_hz, sent = run.rate_hz, run.aligned(near)
    still = run.kinds != Kind.STRETCHED  # those have no place in what was sent
    after = run.output_in_time()
    playing = run.delay_ms[run.delay_ms > 0]
    scores = [
        Score("level_in_dbov", "level, before", level_dbov(near), "dBov"),
        Score("level_out_dbov", "level, after", level_dbov(run.output), "dBov"),
        Score(
            "network_snr_db",
            "segmental SNR, codec and network",
            segmental_snr_db(sent, run.received, rate_hz, still),
            "dB",
        ),
        Score(
            "concealed_snr_db",
            "segmental SNR of concealed frames",
            segmental_snr_db(sent, run.received, rate_hz, run.kinds == Kind.CONCEALED),
            "dB",
        ),
        Score(
            "output_snr_db",
            "segmental SNR, after everything",
            segmental_snr_db(sent, after, rate_hz, still),
            "dB",
        ),
        Score("delay_ms", "mean delay", float(playing.mean()) if playing.size else None, "ms"),
    ]
    if cancelled:
        taken = erle_db(run.far, run.received, after, rate_hz)
        scores.append(Score("erle_db", "echo taken away (ERLE)", taken, "dB"))
    return scores


def _judged(near: NDArray[np.int16], run: PathRun) -> list[Score]:
    """PESQ and STOI where their packages are installed and the rate is one of theirs."""
    if run.rate_hz not in _SCORED_RATES:
        return []
    clean, after = (audio / 32768 for audio in (run.aligned(near), run.output_in_time()))
    found = []
    if pesq := _package("pesq"):
        value = _tried(pesq.pesq, run.rate_hz, clean, after, "nb" if run.rate_hz == 8000 else "wb")
        found.append(Score("pesq_mos", "PESQ, after against before", value, "MOS"))
    if stoi := _package("pystoi"):
        value = _tried(stoi.stoi, clean, after, run.rate_hz)
        found.append(Score("stoi", "STOI, after against before", value, ""))
    return found


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        return None


def _tried(function: Any, *arguments: Any) -> float | None:
    """A score of a foreign package, which may refuse audio without speech in its own ways."""
    try:
        value = float(function(*arguments))
    except Exception:  # noqa: BLE001
        return None
    return value if np.isfinite(value) else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
