"""Echo cancellers of other libraries, in the shape of the chain's echo stage.

``speex`` is libspeexdsp through ctypes (Debian: libspeexdsp1), its echo canceller and the
preprocessor that suppresses the rest. It has no delay search, so ours aligns the far end.
``aec3`` is WebRTC's canceller where the package pywebrtc-audio is installed; it finds
delays itself. Both keep one state of the library a call and take one call at a time.
"""

import ctypes
import ctypes.util
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import MissingDependencyError, UsageError
from trunkline.media import EchoAlignment
from trunkline.media.frames import frame_samples, to_float, to_int16
from trunkline.media.resample import Resampler
from trunkline.media.rows import Rows
from trunkline.media.stage import grown, take_pair

__all__ = ["Aec3Echo", "SpeexEcho"]

_Pcm = NDArray[np.int16]
_Block = NDArray[np.float32]
_TAIL_MS = 200
_AEC3_LEAST_HZ = 16000
# speex_echo.h and speex_preprocess.h; 8 would be dereverberation, not noise.
_ECHO_SET_SAMPLING_RATE = 24
_SET_DENOISE, _SET_NOISE_SUPPRESS = 0, 18
_SET_ECHO_SUPPRESS, _SET_ECHO_SUPPRESS_ACTIVE, _SET_ECHO_STATE = 20, 22, 24
_NOISE_DB, _ECHO_DB, _ECHO_ACTIVE_DB = -10, -40, -15


class _State(Protocol):
    def cancel(self, near: _Pcm, far: _Pcm) -> _Pcm: ...

    def close(self) -> None: ...


class _OneByOne:
    """A bank over a library that knows one call at a time."""

    name = ""

    def __init__(self, rate_hz: int, capacity: int, *, align: bool, delay_samples: int) -> None:
        self.rate_hz = rate_hz
        self.frame_samples = frame_samples(rate_hz)
        self.delay_samples = delay_samples
        self.faults = np.zeros(capacity, np.int64)
        """Frames of each row that held something that is no audio, (rows,)."""
        self._alignment = EchoAlignment(rate_hz, capacity) if align else None
        self._rows = Rows(capacity)
        self._states: dict[int, _State] = {}

    def open(self) -> int:
        """A row with a fresh state of the library."""
        row = self._rows.open()
        self.faults = grown(self.faults, self._rows.capacity)
        self.faults[row] = 0
        self._states[row] = self._fresh()
        if self._alignment is not None:
            self._alignment.reset(row)
        return row

    def close(self, row: int) -> None:
        """Give a row and its state back; raises `UsageError` if it is not open."""
        self._rows.close(row)
        self._states.pop(row).close()

    def reset(self, row: int) -> None:
        """A fresh state; raises `UsageError` if the row is not open."""
        self._rows.check(row)
        self._states[row].close()
        self._states[row] = self._fresh()
        if self._alignment is not None:
            self._alignment.reset(row)

    def process(
        self,
        near: _Block,
        far: _Block,
        rows: NDArray[np.intp],
        frozen: NDArray[np.bool_] | None = None,
    ) -> _Block:
        """Take the echo of ``far`` out of ``near``, (n, frame) each, full scale 1.0.

        ``frozen`` is not for these libraries: they have no way to stop learning.

        Raises:
            UsageError: a shape or type is wrong, or a row is not open.
        """
        near, far = take_pair(near, far, rows, self.frame_samples, self._rows, self.faults)
        if self._alignment is not None:
            far = self._alignment.process(far, near, rows)
        near_pcm, far_pcm = to_int16(near), to_int16(far)
        out = np.empty_like(near_pcm)
        for index, row in enumerate(rows.tolist()):
            out[index] = self._states[row].cancel(near_pcm[index], far_pcm[index])
        return to_float(out)

    def _fresh(self) -> _State:
        raise NotImplementedError


class SpeexEcho(_OneByOne):
    """Speex's echo canceller with its residual suppression, aligned by our delay search."""

    name = "speex"

    def __init__(
        self,
        rate_hz: int = 8000,
        capacity: int = 64,
        *,
        library: str = "",
        tail_ms: int = _TAIL_MS,
        align: bool = True,
    ) -> None:
        """A bank of one rate.

        Args:
            rate_hz: 8000 to 48000.
            capacity: rows to begin with.
            library: path of libspeexdsp; empty finds the system's.
            tail_ms: how long an echo is cancelled from the aligned delay on.
            align: whether the far end is delayed to where the echo was found.

        Raises:
            MissingDependencyError: there is no libspeexdsp; says what to install.
        """
        # The preprocessor's windows overlap by a frame.
        samples = frame_samples(rate_hz)
        super().__init__(rate_hz, capacity, align=align, delay_samples=samples)
        self._library = _load_speex(library)
        self._tail = rate_hz * tail_ms // 1000

    def _fresh(self) -> _State:
        return _Speex(self._library, self.rate_hz, self.frame_samples, self._tail)


class Aec3Echo(_OneByOne):
    """WebRTC's AEC3 through pywebrtc-audio, in frames of 10 ms."""

    name = "aec3"

    def __init__(self, rate_hz: int = 16000, capacity: int = 64) -> None:
        """A bank of one rate: 8000 (heard at 16000 inside the library), 16000, 32000, 48000.

        Raises:
            UsageError: the library does not know the rate.
            MissingDependencyError: pywebrtc-audio is not installed.
        """
        if rate_hz not in (8000, 16000, 32000, 48000):
            raise UsageError(f"AEC3 works at 8000, 16000, 32000 or 48000 Hz, not {rate_hz}")
        # 3 ms of each of the two resamplers.
        delay = 6 * rate_hz // 1000 if rate_hz < _AEC3_LEAST_HZ else 0
        super().__init__(rate_hz, capacity, align=False, delay_samples=delay)
        try:
            import pywebrtc_audio
        except ImportError as error:
            raise MissingDependencyError(
                "the echo engine 'aec3' needs the package pywebrtc-audio; "
                "run: pip install pywebrtc-audio"
            ) from error
        self._package: Any = pywebrtc_audio

    def _fresh(self) -> _State:
        inside_hz = max(self.rate_hz, _AEC3_LEAST_HZ)
        canceller = self._package.EchoCanceller(sample_rate=inside_hz)
        if inside_hz == self.rate_hz:
            return _Aec3(canceller, inside_hz // 100)
        return _ResampledAec3(canceller, self.rate_hz, inside_hz)


class _ResampledAec3:
    """AEC3 at a higher rate than the call's."""

    def __init__(self, canceller: Any, rate_hz: int, inside_hz: int) -> None:
        self._inside = _Aec3(canceller, inside_hz // 100)
        self._up = Resampler(rate_hz, inside_hz, capacity=2)
        self._down = Resampler(inside_hz, rate_hz, capacity=1)
        self._rows = np.array([self._up.open(), self._up.open()], np.intp)
        self._row = np.array([self._down.open()], np.intp)

    def cancel(self, near: _Pcm, far: _Pcm) -> _Pcm:
        wide = self._up.process(np.stack([near, far]), self._rows).astype(np.int16, copy=False)
        out = self._inside.cancel(wide[0], wide[1])
        narrow: _Pcm = self._down.process(out[np.newaxis], self._row)[0]
        return narrow

    def close(self) -> None:
        self._inside.close()


class _Aec3:
    def __init__(self, canceller: Any, hop: int) -> None:
        self._canceller, self._hop = canceller, hop

    def cancel(self, near: _Pcm, far: _Pcm) -> _Pcm:
        hops = [
            np.asarray(self._canceller.process(near[at : at + self._hop], far[at : at + self._hop]))
            for at in range(0, len(near), self._hop)
        ]
        out: _Pcm = np.concatenate(hops).astype(np.int16, copy=False)
        return out

    def close(self) -> None:
        self._canceller = None


class _Speex:
    """An echo state and a preprocessor of libspeexdsp, freed when closed."""

    def __init__(self, library: ctypes.CDLL, rate_hz: int, frame: int, tail: int) -> None:
        self._library, self._out = library, np.empty(frame, np.int16)
        self._echo: int | None = library.speex_echo_state_init(frame, tail)
        self._preprocess: int | None = library.speex_preprocess_state_init(frame, rate_hz)
        rate = ctypes.c_int(rate_hz)
        library.speex_echo_ctl(self._echo, _ECHO_SET_SAMPLING_RATE, ctypes.byref(rate))
        library.speex_preprocess_ctl(self._preprocess, _SET_ECHO_STATE, ctypes.c_void_p(self._echo))
        # Without DENOISE the residual suppression is silently off.
        for request, value in (
            (_SET_DENOISE, 1),
            (_SET_NOISE_SUPPRESS, _NOISE_DB),
            (_SET_ECHO_SUPPRESS, _ECHO_DB),
            (_SET_ECHO_SUPPRESS_ACTIVE, _ECHO_ACTIVE_DB),
        ):
            number = ctypes.c_int(value)
            library.speex_preprocess_ctl(self._preprocess, request, ctypes.byref(number))

    def cancel(self, near: _Pcm, far: _Pcm) -> _Pcm:
        near, far = np.ascontiguousarray(near), np.ascontiguousarray(far)
        self._library.speex_echo_cancellation(
            self._echo, near.ctypes.data, far.ctypes.data, self._out.ctypes.data
        )
        self._library.speex_preprocess_run(self._preprocess, self._out.ctypes.data)
        return self._out

    def close(self) -> None:
        """Free both states; again is nothing."""
        if self._echo is not None:
            self._library.speex_preprocess_state_destroy(self._preprocess)
            self._library.speex_echo_state_destroy(self._echo)
        self._echo = self._preprocess = None

    def __del__(self) -> None:
        self.close()


def _load_speex(path: str) -> ctypes.CDLL:
    name = path or ctypes.util.find_library("speexdsp")
    try:
        if not name:
            raise OSError("not found")
        library = ctypes.PyDLL(name)
        library.speex_echo_state_init.restype = ctypes.c_void_p
    except (OSError, AttributeError) as error:
        raise MissingDependencyError(
            f"the echo engine 'speex' needs libspeexdsp ({path or 'of the system'}: {error}); "
            "run: apt install libspeexdsp1"
        ) from error
    pointer, integer = ctypes.c_void_p, ctypes.c_int
    library.speex_echo_state_init.argtypes = [integer, integer]
    library.speex_echo_cancellation.argtypes = [pointer] * 4
    library.speex_echo_ctl.argtypes = [pointer, integer, pointer]
    library.speex_preprocess_state_init.restype = pointer
    library.speex_preprocess_state_init.argtypes = [integer, integer]
    library.speex_preprocess_ctl.argtypes = [pointer, integer, pointer]
    library.speex_preprocess_run.argtypes = [pointer, pointer]
    library.speex_preprocess_state_destroy.argtypes = [pointer]
    library.speex_echo_state_destroy.argtypes = [pointer]
    return library
