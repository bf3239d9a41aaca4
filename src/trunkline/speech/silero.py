"""Silero voice activity, batched over calls.

The network (Silero VAD v5 and later, MIT licence) hears windows of 256 samples at 8 kHz
or 512 at 16 kHz, 32 ms, each preceded by the last 32 or 64 samples of the one before.
Without that context it silently answers "no speech" (always at 16 kHz, often at 8). Its state is
2 × 128 floats a call. Batched over calls its answers are bit for bit those of one call
at a time (the tests hold this), at a fifth of the cost: 48 µs for one window alone, 9 µs
each for 31, where the file's own graph takes 77 and 28 (one core of a Xeon). See
`silero_graph`; a file of another version runs as it is.

The model file is that of the ``silero-vad`` package, which is never imported: it asks
for torch, which this does not need. `trunkline setup speech` installs it alone.
"""

import importlib.util
import logging
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import ConfigError, MissingDependencyError, UsageError
from trunkline.media.reserve import NODE_ROWS, enlarged, reserved
from trunkline.media.rows import Rows

from .hints import setup_speech
from .interfaces import Activity, ActivityBank, Pcm
from .silero_graph import STATE, build, read_weights
from .subband import SubbandBank

__all__ = ["SileroBank", "best_available", "find_model"]

_WINDOW = {8000: 256, 16000: 512}
_CONTEXT = {8000: 32, 16000: 64}
_Floats: TypeAlias = NDArray[np.float32]
_Network: TypeAlias = Callable[[_Floats, _Floats, _Floats], tuple[_Floats, _Floats, _Floats]]
"""(audio, hidden, cell) → (probability, hidden, cell), one row a call."""
_SETUP = f"run: {setup_speech()}"
_FILE = "silero_vad.onnx"

_log = logging.getLogger(__name__)


def find_model() -> Path:
    """The model file of the installed ``silero-vad`` package, without importing it.

    Raises:
        MissingDependencyError: it is not installed; says what to run.
    """
    spec = importlib.util.find_spec("silero_vad")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder, "data", _FILE)
        if path.is_file():
            return path
    raise MissingDependencyError(f"Silero's voice-activity model is not installed; {_SETUP}")


def best_available(
    rate_hz: int = 8000, model_path: str | Path | None = None, capacity: int = NODE_ROWS
) -> ActivityBank:
    """Silero where it is installed, else the sub-band detector, with a logged warning."""
    try:
        return SileroBank(rate_hz, model_path, capacity)
    except MissingDependencyError as error:
        bank = SubbandBank(rate_hz, capacity)
        bank.note = f"using the sub-band voice-activity detector, which is coarser: {error}"
        _log.warning(bank.note)
        return bank


class SileroBank:
    """Voice activity of many calls: one run of the network for all complete windows."""

    name = "silero"
    note = ""

    def __init__(
        self, rate_hz: int = 8000, model_path: str | Path | None = None, capacity: int = NODE_ROWS
    ) -> None:
        """A bank for calls of one sample rate.

        Args:
            rate_hz: 8000 or 16000.
            model_path: the ONNX file; None finds the installed package's.
            capacity: rows to begin with; grows by doubling.

        Raises:
            UsageError: the rate is neither.
            ConfigError: the file is not there or not this model.
            MissingDependencyError: onnxruntime or the model is not installed.
        """
        if rate_hz not in _WINDOW:
            raise UsageError(f"Silero hears 8000 or 16000 Hz, not {rate_hz}")
        self.rate_hz = rate_hz
        self.window_samples = _WINDOW[rate_hz]
        self._context = _CONTEXT[rate_hz]
        self._network = _network(Path(model_path) if model_path else find_model(), rate_hz)
        self._rows = Rows(capacity)
        # A row is: context, window, and what a frame may bring beyond the window.
        self._length = self._context + 2 * self.window_samples
        self._audio = reserved((capacity, self._length), np.int16)
        self._fill = np.full(capacity, self._context, np.intp)
        self._hidden = reserved((capacity, STATE), np.float32)
        self._cell = reserved((capacity, STATE), np.float32)
        self._within = np.arange(rate_hz // 50, dtype=np.intp)

    def open(self) -> int:
        """A fresh row: no context, no state."""
        row = self._rows.open()
        if self._rows.capacity > len(self._fill):
            self._grow(self._rows.capacity)
        self._audio[row] = 0
        self._fill[row] = self._context
        self._hidden[row] = self._cell[row] = 0.0
        return row

    def close(self, row: int) -> None:
        """Give the row back.

        Raises:
            UsageError: it is not open.
        """
        self._rows.close(row)

    def process(self, block: Pcm, rows: NDArray[np.intp]) -> Activity:
        """Hear one frame of each of ``rows``; see `ActivityBank.process`.

        Args:
            block: (n, samples) int16, at most a window long; 160 at 8 kHz.
            rows: n distinct open rows.

        Raises:
            UsageError: a shape is wrong or a row is not open.
        """
        count, samples = block.shape
        if count != len(rows) or samples > self.window_samples:
            raise UsageError(f"a block of shape {block.shape} does not suit {len(rows)} rows")
        self._rows.check_all(rows)
        fill = self._fill[rows]
        self._append(block, rows, fill)
        fill += samples
        end = self._context + self.window_samples
        index = np.flatnonzero(fill >= end)
        if not index.size:
            self._fill[rows] = fill
            none = np.empty(0, np.float32)
            return Activity(index, none, index)
        complete = rows[index]
        probability = self._judge(complete)
        # What is beyond the window moves to the front, after the window's end as context.
        keep = self._context + samples
        self._audio[complete, :keep] = self._audio[complete, end - self._context : end + samples]
        end_offset = fill[index] - end
        fill[index] -= self.window_samples
        self._fill[rows] = fill
        return Activity(index, probability, end_offset)

    def _append(self, block: Pcm, rows: NDArray[np.intp], fill: NDArray[np.intp]) -> None:
        samples = block.shape[1]
        if samples > self._within.size:
            self._within = np.arange(samples, dtype=np.intp)
        # Rows are at different places in their windows: one scatter through flat positions.
        at = (rows * self._length + fill)[:, None] + self._within[:samples]
        self._audio.reshape(-1)[at] = block

    def _judge(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """The probabilities of the windows that rows have complete."""
        return self._run(self._audio[rows, : self._context + self.window_samples], rows)

    def _run(self, windows: Pcm, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Run the network on a window of each row, (n, context + window) samples."""
        audio = windows.astype(np.float32)
        audio *= np.float32(1 / 32768)
        probability, hidden, cell = self._network(audio, self._hidden[rows], self._cell[rows])
        self._hidden[rows] = hidden
        self._cell[rows] = cell
        heard: NDArray[np.float32] = probability[:, 0]
        return heard

    def _grow(self, capacity: int) -> None:
        for name in ("_audio", "_fill", "_hidden", "_cell"):
            setattr(self, name, enlarged(getattr(self, name), capacity))


@lru_cache(maxsize=4)
def _network(path: Path, rate_hz: int) -> _Network:
    """One network a process for each file and rate; running it is thread-safe."""
    weights = read_weights(path.read_bytes(), rate_hz) if path.is_file() else None
    if weights is None:
        return _published(path, rate_hz)
    session = _open(build(weights))

    def run(audio: _Floats, hidden: _Floats, cell: _Floats) -> tuple[_Floats, _Floats, _Floats]:
        if len(audio) == 1:
            # One row may be multiplied in another order than many: two never are.
            pair = (np.repeat(each, 2, axis=0) for each in (audio, hidden, cell))
            first, second, third = run(*pair)
            return first[:1], second[:1], third[:1]
        found: tuple[_Floats, _Floats, _Floats] = session.run(
            ("probability", "hidden_out", "cell_out"),
            {"audio": audio, "hidden": hidden, "cell": cell},
        )
        return found

    return run


def _published(path: Path, rate_hz: int) -> _Network:
    """The network as the file has it."""
    session = _session(path)
    rate = np.array(rate_hz, np.int64)

    def run(audio: _Floats, hidden: _Floats, cell: _Floats) -> tuple[_Floats, _Floats, _Floats]:
        feed = {"input": audio, "state": np.stack((hidden, cell)), "sr": rate}
        probability, state = session.run(("output", "stateN"), feed)
        return probability, state[0], state[1]

    return run


def _session(path: Path) -> Any:
    """A session of the file itself."""
    if not path.is_file():
        raise ConfigError(f"there is no voice-activity model at {path}; {_SETUP}")
    try:
        session = _open(str(path))
    except MissingDependencyError:
        raise
    except Exception as error:
        raise ConfigError(f"{path} is not a model onnxruntime can run: {error}") from error
    if {each.name for each in session.get_inputs()} != {"input", "state", "sr"}:
        raise ConfigError(f"{path} is not Silero's model of version 5 or later")
    return session


def _open(model: bytes | str) -> Any:
    """A session of onnxruntime that suits the media tick."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependencyError(f"Silero needs the package onnxruntime; {_SETUP}") from error
    options = onnxruntime.SessionOptions()
    # It runs in the media tick: no thread of its own, and none that spins between ticks.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Not session.set_denormal_as_zero: it would change the arithmetic of the whole thread.
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        model, sess_options=options, providers=["CPUExecutionProvider"]
    )
