"""Noise suppression by other people's libraries, in the shape of a chain's stage.

Each keeps a state a leg and works on one leg at a time; what they share is here once:
rows, resampling to the rate the library wants, and the guard against audio that is
none, which would spoil their states for good. Delays are measured.

    noisereduce   MIT, PyPI; statistical gating, 69 % of a core for one call
    rnnoise       BSD, librnnoise from Debian or from the package pyrnnoise; 48 kHz
    webrtc        Apache-2.0, the package pywebrtc-audio; 16, 32 or 48 kHz
"""

import ctypes
import ctypes.util
import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import MissingDependencyError, UsageError
from trunkline.media.frames import frame_samples
from trunkline.media.resample import Resampler
from trunkline.media.rows import Rows
from trunkline.media.stage import check_block, grown, silence_faults

__all__ = ["Noisereduce", "Rnnoise", "Webrtc"]

Audio = NDArray[np.float32]
State = TypeVar("State")

_INSTALL = "pip install 'trunkline[noise]'"


class _LegByLeg(Generic[State]):
    """A bank that has one state a row and gives it 20 ms at the library's rate."""

    def __init__(
        self, rate_hz: int, library_hz: int, library_delay: int, strength: float, capacity: int
    ) -> None:
        if not 0 <= strength <= 1:
            raise UsageError(f"the strength is 0 to 1, not {strength!r}")
        self.rate_hz = rate_hz
        self.strength = strength
        self.frame_samples = frame_samples(rate_hz)
        self.delay_samples = round(library_delay * rate_hz / library_hz)
        self.rows = Rows(capacity)
        self.faults = np.zeros(capacity, np.int64)
        """Frames of each row that held something that is no audio, (rows,)."""
        self._states: dict[int, State] = {}
        self._up = self._down = None
        if library_hz != rate_hz:
            self._up = Resampler(rate_hz, library_hz, capacity=capacity)
            self._down = Resampler(library_hz, rate_hz, capacity=capacity)
            delay_ms = self._up.delay_ms + self._down.delay_ms
            self.delay_samples += round(delay_ms * rate_hz / 1000)
        self._places: dict[int, tuple[int, int]] = {}

    def open(self) -> int:
        """A row with a state of its own."""
        row = self.rows.open()
        self.faults = grown(self.faults, self.rows.capacity)
        self.faults[row] = 0
        self._begin(row)
        return row

    def close(self, row: int) -> None:
        """Give a row back; raises `UsageError` if it is not open."""
        self.rows.close(row)
        self._end(row)

    def reset(self, row: int) -> None:
        """Forget what this row has heard; raises `UsageError` if it is not open."""
        self.rows.check(row)
        self._end(row)
        self._begin(row)

    def process(self, block: Audio, rows: NDArray[np.intp]) -> Audio:
        """The next 20 ms of these rows; raises `UsageError` if they do not suit."""
        check_block(block, rows, self.frame_samples, self.rows)
        block, faulty = silence_faults(block)
        self.faults[rows[faulty]] += 1
        if self._up is None or self._down is None:
            return self._each(block, rows)
        places = np.array([self._places[row] for row in rows.tolist()], np.intp).reshape(-1, 2)
        wide = np.asarray(self._up.process(block, places[:, 0]), np.float32)
        narrow = self._down.process(self._each(wide, rows), places[:, 1])
        return np.asarray(narrow, np.float32)

    def _each(self, block: Audio, rows: NDArray[np.intp]) -> Audio:
        out = np.empty_like(block)
        for index, row in enumerate(rows.tolist()):
            out[index] = self._clean(self._states[row], block[index])
        # A library's own fault is a row's fault too, and the end of its state.
        out, faulty = silence_faults(out)
        for row in rows[faulty].tolist():
            self.faults[row] += 1
            self._drop(self._states[row])
            self._states[row] = self._make()
        return out

    def _begin(self, row: int) -> None:
        self._states[row] = self._make()
        if self._up is not None and self._down is not None:
            self._places[row] = self._up.open(), self._down.open()

    def _end(self, row: int) -> None:
        self._drop(self._states.pop(row))
        if self._up is not None and self._down is not None:
            up, down = self._places.pop(row)
            self._up.close(up)
            self._down.close(down)

    def _make(self) -> State:
        raise NotImplementedError

    def _drop(self, state: State) -> None:
        """Free what Python does not."""

    def _clean(self, state: State, frame: Audio) -> Audio:
        raise NotImplementedError


class Noisereduce(_LegByLeg[Audio]):
    """Tim Sainburg's noisereduce on the last second, of which 20 ms are new.

    The frame that comes out is the last but one: at the very end of its window a
    spectrum sees half of its audio. What it costs is a call of the library, 15 ms a
    frame: one leg, no more.
    """

    def __init__(
        self,
        rate_hz: int = 8000,
        strength: float = 0.8,
        stationary: bool = True,
        window_ms: int = 1000,
        capacity: int = 1,
    ) -> None:
        """Raises `MissingDependencyError` where noisereduce is not installed."""
        frame = frame_samples(rate_hz)
        super().__init__(rate_hz, rate_hz, frame, strength, capacity)
        if not 200 <= window_ms <= 10_000:
            raise UsageError(f"the window is 200 to 10000 ms, not {window_ms!r}")
        self._window = window_ms * rate_hz // 1000
        self._reduce = _load("noisereduce", "noisereduce").reduce_noise
        self._options = {
            "sr": rate_hz,
            "stationary": stationary,
            "prop_decrease": strength,
            # 32 ms: its default, 1024 samples, is 128 ms of a telephone's audio.
            "n_fft": 1 << (32 * rate_hz // 1000 - 1).bit_length(),
        }

    def _make(self) -> Audio:
        return np.zeros(self._window, np.float32)

    def _clean(self, state: Audio, frame: Audio) -> Audio:
        size = self.frame_samples
        state[:-size] = state[size:]
        state[-size:] = frame
        heard = np.flatnonzero(state)
        # Its threshold is made from the whole window: silence before the call began
        # would be the noise. Less than 100 ms are too little to make one of.
        begun = state[heard[0] :] if heard.size else state[:0]
        if begun.size < self.rate_hz // 10:
            return state[-2 * size : -size]
        cleaned = self._reduce(y=begun, **self._options)
        return np.asarray(cleaned[-2 * size : -size], np.float32)


class Rnnoise(_LegByLeg[int]):
    """Xiph's recurrent network, at 48 kHz, 20 ms late, and 6 ms more at other rates."""

    def __init__(self, rate_hz: int = 8000, strength: float = 1.0, capacity: int = 64) -> None:
        """``strength`` below 1 mixes the unaltered audio in.

        Raises:
            MissingDependencyError: there is no librnnoise.
        """
        super().__init__(rate_hz, 48000, 960, strength, capacity)
        self._library = _rnnoise()
        self._dry: dict[int, Audio] = {}

    def __del__(self) -> None:
        for state in getattr(self, "_states", {}).values():
            self._library.rnnoise_destroy(state)

    def _make(self) -> int:
        state = int(self._library.rnnoise_create(None))
        self._dry[state] = np.zeros(960, np.float32)
        return state

    def _drop(self, state: int) -> None:
        del self._dry[state]
        self._library.rnnoise_destroy(state)

    def _clean(self, state: int, frame: Audio) -> Audio:
        scaled = np.clip(frame, -1, 1) * np.float32(32768)
        out = np.empty_like(scaled)
        for at in (0, 480):
            self._library.rnnoise_process_frame(
                state, out.ctypes.data + 4 * at, scaled.ctypes.data + 4 * at
            )
        late = self._dry[state]
        self._dry[state] = scaled
        out *= np.float32(self.strength / 32768)
        out += late * np.float32((1 - self.strength) / 32768)
        return out


class Webrtc(_LegByLeg[Any]):
    """WebRTC's noise suppression (a Wiener filter), 6 ms late, and 6 ms more at 8 kHz."""

    def __init__(self, rate_hz: int = 8000, strength: float = 0.8, capacity: int = 64) -> None:
        """``strength`` chooses one of the four levels: 6, 12, 18, 21 dB.

        Raises:
            MissingDependencyError: pywebrtc-audio is not installed.
        """
        library_hz = rate_hz if rate_hz in (16000, 32000, 48000) else 16000
        if rate_hz > library_hz:
            library_hz = 48000
        super().__init__(rate_hz, library_hz, 6 * library_hz // 1000, strength, capacity)
        self._kind: Callable[..., Any] = _load("pywebrtc_audio", "pywebrtc-audio").NoiseSuppressor
        self._level = min(int(4 * strength), 3)
        self._library_hz = library_hz

    def _make(self) -> Any:
        return self._kind(self._library_hz, 1, self._level)

    def _clean(self, state: Any, frame: Audio) -> Audio:
        return np.asarray(state.process(np.clip(frame, -1, 1)), np.float32)


def _load(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError(
            f"this noise suppression needs the package {package!r}; run: {_INSTALL}"
        ) from error


def _rnnoise() -> Any:
    """librnnoise of the system, or the one that lies in the package pyrnnoise.

    The package itself is not imported: it would bring matplotlib and more with it.
    """
    found = importlib.util.find_spec("pyrnnoise")
    folders = (found.submodule_search_locations or ()) if found else ()
    inside = [str(path) for folder in folders for path in Path(folder).glob("librnnoise.*")]
    name = ctypes.util.find_library("rnnoise") or next(iter(inside), None)
    if name is None:
        raise MissingDependencyError(
            "there is no librnnoise; run: pip install --no-deps pyrnnoise, or install your "
            "system's package of it"
        )
    library = ctypes.CDLL(name)
    library.rnnoise_create.restype = ctypes.c_void_p
    library.rnnoise_create.argtypes = [ctypes.c_void_p]
    library.rnnoise_destroy.restype = None
    library.rnnoise_destroy.argtypes = [ctypes.c_void_p]
    library.rnnoise_process_frame.restype = ctypes.c_float
    library.rnnoise_process_frame.argtypes = [ctypes.c_void_p] * 3
    return library
