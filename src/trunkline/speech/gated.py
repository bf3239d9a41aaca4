"""Silero behind a gate: calls that are plainly silent are not run through the network.

A gate looks at every window's energy in eight bands of the telephone band (an FFT, a few
sums) against the line's own background. While no band rises above it and the network
has agreed for a while that there is no speech, windows are skipped: their probability
is 0, the network's state stays what it was, and the last windows are kept. When the
gate opens those windows are run first, the oldest first, then the one that opened it.

What that means for the verdicts: a gap of up to `PREROLL` skipped windows changes not a
bit of what follows. After a longer one the network remembers the silence it heard last
instead of the one that has passed, and has heard the `PREROLL` windows before the sound
in full. Measured on 137 onsets in room tone, in white and in car noise of 5 dB and more
(``benchmarks/activity.py``, synthetic voices): none missed, the latest two windows of 32 ms
late, the others in the same window or up to seven earlier, as the network is readier
for a sound. A line of room tone costs a quarter of what it costs without a gate.
Alone or among others a call's verdicts are the same bits: the gate adds up each row by
itself, and so does the network.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trunkline.media.reserve import NODE_ROWS, enlarged, reserved

from .interfaces import Pcm
from .silero import SileroBank
from .subband import BANDS, BandEnergies

__all__ = ["PREROLL", "GatedSileroBank"]

PREROLL = 3
"""Windows run again when the gate opens, 96 ms: a soft onset is in them. Each is a run of the
network for few rows, which is dear: 6 were closer, and cost more than the gate spared."""
_HOLD = 20
"""Windows of silence after which the network is spared, 640 ms: the longer it has heard the
silence, the less it is startled by the first sound after it."""
_GLANCE = 4
"""Such windows after a sound that the network did not take for speech."""
_SURE = np.float32(0.1)
"""The network must think less than this of all of them."""
_SPEECH = np.float32(0.3)
"""From this on what is heard is no background."""

# A band this much above its background opens the gate, as do all of them by less: in
# steady noise a band of 200 Hz is 2 dB (1 sigma) off its mean for a window.
_BAND_DB = np.float32(7.5)
_ALL_DB = np.float32(2.2)
# Bands this quiet are empty: white noise of -65 dBov, below which nobody speaks.
_LEAST_DB = np.float32(-65.0)
# The background follows the mean slowly, a rise by 8 dB a second at most, and a fall at once.
_FOLLOW = np.float32(0.08)
_RISE_DB = np.float32(0.25)
_DROP_DB, _DROP = np.float32(-6.0), np.float32(0.5)


class GatedSileroBank(SileroBank):
    """Voice activity of many calls, at next to nothing for those that are silent."""

    name = "gated"

    def __init__(
        self, rate_hz: int = 8000, model_path: str | Path | None = None, capacity: int = NODE_ROWS
    ) -> None:
        """A bank for calls of one sample rate; see `SileroBank`.

        Raises:
            UsageError: the rate is neither 8000 nor 16000.
            ConfigError: the file is not there or not this model.
            MissingDependencyError: onnxruntime or the model is not installed.
        """
        super().__init__(rate_hz, model_path, capacity)
        width = self._context + self.window_samples
        self._bands = BandEnergies(rate_hz, self.window_samples)
        self._background_db = np.zeros((capacity, BANDS), np.float32)
        self._kept = reserved((capacity, PREROLL, width), np.int16)
        self._skipped = np.zeros(capacity, np.int64)
        self._silent = np.zeros(capacity, np.int64)
        self._latest = np.zeros(capacity, np.float32)
        self.windows = np.zeros(capacity, np.int64)
        """Windows of each row so far."""
        self.spared = np.zeros(capacity, np.int64)
        """Those of them that were never run: not when they came, nor at an opening."""

    def open(self) -> int:
        """A fresh row: no context, no state, no background; its first windows are run."""
        row = super().open()
        self._background_db[row] = np.nan
        for counts in (self._skipped, self._silent, self.windows, self.spared):
            counts[row] = 0
        self._latest[row] = 0.0
        return row

    def _judge(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        windows = self._audio[rows, : self._context + self.window_samples]
        loud = self._loud(windows, rows)
        asked = loud | (self._silent[rows] < _HOLD)
        self.windows[rows] += 1
        self._skip(windows[~asked], rows[~asked])
        probability = np.zeros(len(rows), np.float32)
        if asked.any():
            running = rows[asked]
            self._catch_up(running)
            heard = self._run(windows[asked], running)
            probability[asked] = heard
            self._count_silence(running, loud[asked], heard)
        self._latest[rows] = probability
        return probability

    def _loud(self, windows: Pcm, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Which windows stand out from their rows' background, which learns from them."""
        energy_db = 10 * np.log10(
            self._bands.measure(windows[:, self._context :]) + np.float32(1e-12)
        )
        np.maximum(energy_db, _LEAST_DB, out=energy_db)
        background = self._background_db[rows]
        background = np.where(np.isnan(background), energy_db, background)
        above = energy_db - background
        step = np.minimum(_FOLLOW * above, _RISE_DB)
        step[self._latest[rows] >= _SPEECH] = np.minimum(0, step[self._latest[rows] >= _SPEECH])
        step = np.where(above < _DROP_DB, _DROP * above, step)
        self._background_db[rows] = background + step
        loud: NDArray[np.bool_] = (above > _BAND_DB).any(axis=1) | (above.mean(axis=1) > _ALL_DB)
        return loud

    def _count_silence(
        self, rows: NDArray[np.intp], loud: NDArray[np.bool_], heard: NDArray[np.float32]
    ) -> None:
        """How long nothing was said; a sound that is no speech takes back a part of it."""
        silent = self._silent[rows]
        silent = np.where(loud, np.minimum(silent, _HOLD - _GLANCE), silent + 1)
        self._silent[rows] = np.where(heard < _SURE, silent, 0)

    def _skip(self, windows: Pcm, rows: NDArray[np.intp]) -> None:
        """Keep windows that are not run, and the state as it is."""
        if rows.size:
            self._kept[rows, self._skipped[rows] % PREROLL] = windows
            self.spared[rows] += self._skipped[rows] >= PREROLL  # the oldest one kept is gone
            self._skipped[rows] += 1

    def _catch_up(self, rows: NDArray[np.intp]) -> None:
        """Run what was kept of the windows skipped, the oldest first."""
        skipped = self._skipped[rows]
        rows, skipped = rows[skipped > 0], skipped[skipped > 0]
        for back in range(min(PREROLL, int(skipped.max(initial=0))), 0, -1):
            there = skipped >= back
            at = rows[there]
            self._run(self._kept[at, (skipped[there] - back) % PREROLL], at)
        self._skipped[rows] = 0

    def _grow(self, capacity: int) -> None:
        super()._grow(capacity)
        for name in (
            "_background_db", "_kept", "_skipped", "_silent", "_latest", "windows", "spared",
        ):  # fmt: skip
            setattr(self, name, enlarged(getattr(self, name), capacity))
