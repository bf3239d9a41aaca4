"""Simple scores of audio that need nothing but numpy: SNR by segments, echo loss, spectra.

They say what a change did to one file. For what a listener would say there are PESQ
(ITU-T P.862) and STOI, in packages of their own.
"""

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

from .frames import frame_samples, levels_dbov

__all__ = ["erle_db", "frame_levels", "segmental_snr_db", "spectrogram"]

_Pcm = NDArray[np.int16]

ACTIVE_DBOV = -50.0
"""A frame below this level is taken for silence."""
# Hansen and Pellom, "An effective quality evaluation protocol for speech enhancement" (1998).
_LOWEST_DB, _HIGHEST_DB = -10.0, 35.0
_ECHO_FRAMES = 15
"""Echo is looked for from a far frame on for so long: 300 ms."""
_ECHO_DBOV = -65.0
"""Nothing below this needs to be taken away."""


def frame_levels(pcm: _Pcm, rate_hz: int) -> NDArray[np.float32]:
    """The level of each whole frame, dBov, (frames,)."""
    return levels_dbov(_frames(pcm, rate_hz))


def segmental_snr_db(
    reference: _Pcm, audio: _Pcm, rate_hz: int, chosen: NDArray[np.bool_] | None = None
) -> float | None:
    """The mean of each 20 ms's ratio of the reference to the difference, -10 to 35 dB.

    Frames of silence in the reference do not count, nor those that are not ``chosen``,
    (frames,); None where no frame is left. Raises `UsageError` unless both are as long.
    """
    clean, other = _frames(reference, rate_hz), _frames(audio, rate_hz)
    if clean.shape != other.shape:
        raise UsageError(f"{len(reference)} samples are not to be compared with {len(audio)}")
    active = levels_dbov(clean) > ACTIVE_DBOV
    if chosen is not None:
        active &= chosen
    if not active.any():
        return None
    signal = clean[active].astype(np.float64)
    difference = signal - other[active]
    ratio = ((signal**2).sum(axis=1) + 1e-9) / ((difference**2).sum(axis=1) + 1e-9)
    return float(np.clip(10 * np.log10(ratio), _LOWEST_DB, _HIGHEST_DB).mean())


def erle_db(far: _Pcm, near: _Pcm, left: _Pcm, rate_hz: int) -> float | None:
    """By how much what came back is less after cancellation, while the far end is loud.

    All three are in time with each other. The median of the 20 ms in which there was
    something to take away, so that the near end's own speech, which stays, does not
    count unless it is there for half of the time. None where the far end is never loud.
    """
    blocks = [_frames(audio, rate_hz) for audio in (far, near, left)]
    count = min(len(block) for block in blocks)
    sent, came, stays = (block[:count] for block in blocks)
    loud = np.convolve(levels_dbov(sent) > ACTIVE_DBOV, np.ones(_ECHO_FRAMES))[:count] > 0.5
    loud &= levels_dbov(came) > _ECHO_DBOV
    if not loud.any():
        return None
    before, after = ((block[loud].astype(np.float64) ** 2).sum(axis=1) for block in (came, stays))
    return float(np.median(10 * np.log10((before + 1.0) / (after + 1.0))))


def spectrogram(pcm: _Pcm, rate_hz: int, columns: int, rows: int) -> NDArray[np.float32]:
    """Levels in dB of full scale, (rows, columns), the highest frequency first.

    Hann windows of 32 ms every 8 ms; where that gives more columns or rows than there is
    room for, the loudest of those that share a place, -120 where nothing is.
    """
    window = rate_hz * 32 // 1000
    hop = window // 4
    padded = np.zeros(max(len(pcm), 1) + window, np.float32)
    padded[window // 2 : window // 2 + len(pcm)] = pcm
    views = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    shape = np.hanning(window).astype(np.float32)
    scale = 2 / (32768 * shape.sum())
    columns = min(columns, len(views))
    edges = np.linspace(0, len(views), columns + 1).astype(np.intp)
    rows = min(rows, window // 2)
    bands = np.linspace(0, window // 2, rows + 1).astype(np.intp)[:-1]
    out = np.empty((rows, columns), np.float32)
    for column in range(columns):  # a column at a time: a long file's windows are gigabytes
        power = np.abs(np.fft.rfft(views[edges[column] : edges[column + 1]] * shape)).max(axis=0)
        out[::-1, column] = np.maximum.reduceat(power[: window // 2], bands) * scale
    levels = np.maximum(20 * np.log10(np.maximum(out, 1e-6)), -120)
    return np.asarray(levels, np.float32)


def _frames(pcm: _Pcm, rate_hz: int) -> _Pcm:
    """Whole frames of it, (frames, 20 ms)."""
    frame = frame_samples(rate_hz)
    return pcm[: len(pcm) // frame * frame].reshape(-1, frame)
