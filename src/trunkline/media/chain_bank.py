"""The chain of many legs: echo, then noise, then gain, on blocks of 20 ms.

The jitter buffer is before it and a buffer or a recogniser behind it. The order is
fixed: the canceller needs the path as linear as it comes, the suppressor takes what is
left of the echo for noise, and a gain would move what both have learnt. Stages are
chosen by name or handed in as factories, so that nothing in here knows of libraries.

Two results: what people hear, and what a recogniser hears. Noise suppression helps
listeners and may cost recognisers words, so theirs is the audio before it unless asked for.
With every stage off a block of int16 comes back itself: no copy, no conversion.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

from .echo import ECHO_CANCELLERS, EchoStage, create_echo
from .echo_bank import LONGEST_TAIL_MS, TAIL_MS, KalmanEcho
from .echo_resampled import ResampledEcho
from .frames import frame_samples, to_float, to_int16
from .noise import METHODS, NoiseBank, NoiseSettings, noise_stage
from .reserve import NODE_ROWS
from .rows import Rows
from .stage import Block, RowNumbers, Stage, grown, silence_faults

__all__ = ["Branches", "ChainBank", "ChainRow", "ChainStages"]

EchoFactory = Callable[[int], EchoStage]
"""Makes an echo canceller for a sample rate."""
StageFactory = Callable[[int], Stage]
"""Makes a stage for a sample rate."""
_Audio = NDArray[np.int16] | NDArray[np.float32]
_Mask = NDArray[np.bool_]
_OFF = "off"
_NONE = np.empty(0, np.intp)


@dataclass(frozen=True, slots=True)
class ChainStages:
    """Which stages a chain has; the same for all rows of a bank."""

    echo: str | EchoFactory = "kalman"
    """A name in `ECHO_CANCELLERS`, or what makes one for a rate."""
    noise: str | StageFactory = "logmmse"
    """A name in `noise.METHODS`, or what makes a stage for a rate."""
    gain: str | StageFactory = _OFF
    """"off", or what makes a stage for a rate: a gain, a limiter. People alone hear it."""
    recogniser_noise: bool = False
    """Whether the recogniser, too, hears audio with the noise taken out."""
    noise_strength: float = 0.8
    """0 to 1; for noise suppression by name."""
    echo_taps: int | None = None
    """Length of the canceller's filter, 16 to 8192, for one by name; None is its own. "kalman"
    is never shorter than its own 200 ms, within which it need not find the delay exactly."""

    def __post_init__(self) -> None:
        _known("echo canceller", self.echo, ECHO_CANCELLERS)
        _known("noise suppression", self.noise, METHODS)
        _known("gain", self.gain, (_OFF,))
        if self.echo_taps is not None and not 16 <= self.echo_taps <= 8192:
            raise UsageError(f"an echo filter has 16 to 8192 taps, not {self.echo_taps!r}")
        if not 0 <= self.noise_strength <= 1:
            raise UsageError(f"the strength is 0 to 1, not {self.noise_strength!r}")


class Branches(NamedTuple):
    """What comes out of a chain; the same array twice where nothing differs."""

    people: _Audio
    """After every stage, (n, 20 ms), in the type that went in."""
    recogniser: _Audio
    """Without gain, and without noise suppression unless asked for."""


@dataclass(frozen=True, slots=True)
class ChainRow:
    """What the chain knows of one row; figures of stages that are off are 0."""

    frames: int
    """Frames processed since the row was opened or reset."""
    faults: int
    """Frames that came with something that is no audio; silence took its place."""
    mended: int
    """Frames of which a stage made something that is no audio; it began anew."""
    echo_delay_ms: float
    """How late the reference is read."""
    echo_drift_ppm: float
    """How much the far clock differs."""
    erle_db: float
    """The most that the echo filter has taken away; see `KalmanEcho.erle_db`."""
    noise_dbov: float | None
    """Level of the line's noise, where it is known."""


class _Place:
    """One stage in the chain, and which of its rows belongs to which of the chain's."""

    def __init__(self, stage: Any, capacity: int, *, trusted: bool) -> None:
        self.stage = stage
        self.rows = np.zeros(capacity, np.intp)
        # What a user or a library made may give anything back.
        self.trusted = trusted

    def open(self, row: int, capacity: int) -> None:
        self.rows = grown(self.rows, capacity)
        self.rows[row] = self.stage.open()

    def close(self, row: int) -> None:
        self.stage.close(int(self.rows[row]))

    def reset(self, row: int) -> None:
        self.stage.reset(int(self.rows[row]))

    def faults(self, row: int) -> int:
        counted = getattr(self.stage, "faults", None)
        return 0 if counted is None else int(counted[self.rows[row]])

    def known(self, name: str, row: int) -> float:
        tells = getattr(self.stage, name, None)
        return 0.0 if tells is None else float(tells(int(self.rows[row])))


class ChainBank:
    """The chain of many legs; one row never affects another. See the module.

    Blocks are (n, 20 ms), int16, or float32 of full scale 1.0, and come back as they came.
    """

    def __init__(
        self, rate_hz: int = 8000, stages: ChainStages | None = None, capacity: int = NODE_ROWS
    ) -> None:
        """Raises `UsageError` for a rate that does not suit a stage."""
        self.rate_hz = rate_hz
        self.frame_samples = frame_samples(rate_hz)
        self.stages = stages = stages or ChainStages()
        self.rows = Rows(capacity)
        self._echo = self._place(stages.echo, lambda: _echo(rate_hz, stages, capacity))
        settings = NoiseSettings(strength=stages.noise_strength)
        if isinstance(stages.noise, str):
            settings = NoiseSettings(stages.noise, stages.noise_strength)
        self._noise = self._place(stages.noise, lambda: noise_stage(rate_hz, settings, capacity))
        self._gain = self._place(stages.gain, None)
        self._places = [one for one in (self._echo, self._noise, self._gain) if one is not None]
        echo, noise, gain = (
            0 if one is None else int(one.stage.delay_samples)
            for one in (self._echo, self._noise, self._gain)
        )
        self.delay_samples = echo + noise + gain
        """By how much later people hear what went in."""
        self.recogniser_delay_samples = echo + (noise if stages.recogniser_noise else 0)
        """By how much later a recogniser does."""
        self.faults = np.zeros(capacity, np.int64)
        """Frames of each row that came with something that is no audio, (rows,)."""
        self._mended = np.zeros(capacity, np.int64)
        self._frames = np.zeros(capacity, np.int64)
        # What the stages had counted when a row was last reset.
        self._before = np.zeros(capacity, np.int64)

    def __len__(self) -> int:
        return len(self.rows.opened)

    @property
    def idle(self) -> bool:
        """Whether every stage is off, so that there is nothing to be done."""
        return not self._places

    # -- rows ----------------------------------------------------------------------------

    def open(self) -> int:
        """A row for a new leg; a full bank doubles, which is slow. Rows keep their numbers."""
        row = self.rows.open()
        capacity = self.rows.capacity
        for name in ("faults", "_mended", "_frames", "_before"):
            setattr(self, name, grown(getattr(self, name), capacity))
        opened: list[_Place] = []
        try:
            for place in self._places:
                place.open(row, capacity)
                opened.append(place)
        except Exception:
            # A user's stage that has no room left must not leave half a row behind.
            for place in opened:
                place.close(row)
            self.rows.close(row)
            raise
        self._clear(row)
        return row

    def close(self, row: int) -> None:
        """Give a row back; raises `UsageError` if it is not open."""
        self.rows.close(row)
        for place in self._places:
            place.close(row)

    def reset(self, row: int) -> None:
        """Forget what this row has heard and counted; raises `UsageError` if not open."""
        self.rows.check(row)
        for place in self._places:
            place.reset(row)
        self._clear(row)

    def metrics(self, row: int) -> ChainRow:
        """What is known of a row; raises `UsageError` if it is not open."""
        self.rows.check(row)
        mended = int(self._mended[row] - self._before[row])
        echo = self._echo
        return ChainRow(
            frames=int(self._frames[row]),
            faults=int(self.faults[row]),
            mended=mended + sum(place.faults(row) for place in self._places),
            echo_delay_ms=0.0 if echo is None else echo.known("delay_ms", row),
            echo_drift_ppm=0.0 if echo is None else echo.known("drift_ppm", row),
            erle_db=0.0 if echo is None else echo.known("erle_db", row),
            noise_dbov=self._noise_dbov(row),
        )

    # -- audio ---------------------------------------------------------------------------

    def process(
        self,
        block: _Audio,
        rows: RowNumbers,
        far: _Audio | None = None,
        frozen: _Mask | None = None,
        learn: _Mask | None = None,
        shift: NDArray[np.int64] | None = None,
    ) -> Branches:
        """The next 20 ms of these rows, each once.

        Args:
            block: what came, (n, 20 ms).
            rows: (n,).
            far: what was really sent in the same 20 ms, (n, 20 ms); None is silence.
            frozen: (n,) rows whose frame was made up: the canceller learns nothing of it.
            learn: (n,) rows whose frame is known to be noise alone.
            shift: (n,) by how many samples the echo comes later than in the frame before,
                where a jitter buffer knows; for "kalman".

        Raises:
            UsageError: a block does not suit the rows, or a row is not open.
        """
        self._check(block, rows)
        if far is not None and self._check_audio(far, "far") != block.shape:
            raise UsageError(f"a far end of {far.shape} does not suit a block of {block.shape}")
        for name, mask in (("frozen", frozen), ("learn", learn)):
            if mask is not None and (mask.shape != rows.shape or mask.dtype != np.bool_):
                raise UsageError(f"{name} is one bool a row, not {mask.dtype} {mask.shape}")
        self._frames[rows] += 1
        if not self._places and block.dtype == np.int16:
            return Branches(block, block)
        audio, reference = self._sound(block, far, rows)
        if self._echo is not None:
            follows = isinstance(self._echo.stage, KalmanEcho | ResampledEcho)
            moves = shift is not None and follows
            more = {"shift": shift} if moves else {}
            audio = self._run(self._echo, audio, rows, reference, frozen=frozen, **more)
        recogniser = people = audio
        if self._noise is not None:
            bank = isinstance(self._noise.stage, NoiseBank)
            people = self._run(self._noise, audio, rows, **({"learn": learn} if bank else {}))
            if self.stages.recogniser_noise:
                recogniser = people
        if self._gain is not None:
            people = self._run(self._gain, people, rows)
        if block.dtype != np.int16:
            return Branches(people, recogniser)
        pcm = to_int16(people)
        return Branches(pcm, pcm if recogniser is people else to_int16(recogniser))

    def _sound(
        self, block: _Audio, far: _Audio | None, rows: RowNumbers
    ) -> tuple[Block, Block | None]:
        """Both blocks as float32 and audio throughout; faults are counted."""
        audio, faulty = _as_float(block)
        reference = None
        if self._echo is not None:
            if far is None:
                reference = np.zeros_like(audio)
            else:
                reference, faulty_far = _as_float(far)
                if faulty_far.size:
                    faulty = np.union1d(faulty, faulty_far)
        if faulty.size:
            self.faults[rows[faulty]] += 1
        return audio, reference

    def _run(
        self, place: _Place, audio: Block, rows: RowNumbers, *more: Any, **named: Any
    ) -> Block:
        """One stage. A row of which it makes no audio is silent, and begins anew."""
        out: Block = place.stage.process(audio, *more, place.rows[rows], **named)
        if place.trusted:
            return out
        if not isinstance(out, np.ndarray) or out.shape != audio.shape or out.dtype != np.float32:
            kind = type(place.stage).__name__
            raise UsageError(f"the stage {kind} has to give float32 {audio.shape} back")
        out, faulty = silence_faults(out)
        for row in rows[faulty].tolist():
            self._mended[row] += 1
            place.reset(row)
        return out

    def _check(self, block: _Audio, rows: RowNumbers) -> None:
        if self._check_audio(block, "block") != (len(rows), self.frame_samples):
            raise UsageError(
                f"{len(rows)} rows of {self.frame_samples} samples are not a {block.shape} block"
            )
        self.rows.check_each_once(rows)

    def _check_audio(self, audio: _Audio, name: str) -> tuple[int, ...]:
        if audio.dtype not in (np.int16, np.float32):
            raise UsageError(f"a chain takes int16 or float32 as its {name}, not {audio.dtype}")
        return audio.shape

    def _place(
        self, choice: str | Callable[[int], Any], by_name: Callable[[], Any] | None
    ) -> _Place | None:
        if choice == _OFF:
            return None
        if not isinstance(choice, str):
            stage = choice(self.rate_hz)
        else:
            assert by_name is not None
            stage = by_name()
        if (stage.rate_hz, stage.frame_samples) != (self.rate_hz, self.frame_samples):
            raise UsageError(
                f"the stage {type(stage).__name__} is for {stage.rate_hz} Hz and "
                f"{stage.frame_samples} samples, the chain for {self.rate_hz} Hz"
            )
        return _Place(stage, self.rows.capacity, trusted=isinstance(choice, str))

    def _clear(self, row: int) -> None:
        self.faults[row] = self._mended[row] = self._frames[row] = 0
        self._before[row] = sum(place.faults(row) for place in self._places)

    def _noise_dbov(self, row: int) -> float | None:
        place = self._noise
        if place is None or not isinstance(place.stage, NoiseBank):
            return None
        its = int(place.rows[row])
        return place.stage.noise_dbov(its) if place.stage.has_profile(its) else None


def _known(what: str, choice: str | Callable[[int], Any], names: Any) -> None:
    """Raise `UsageError` for a name there is not, listing those there are."""
    if isinstance(choice, str):
        if choice not in names:
            known = ", ".join(sorted(names))
            raise UsageError(f"no {what} is called {choice!r}; there are {known}")
    elif not callable(choice):
        raise UsageError(f"a stage is a name or what makes one, not {choice!r}")


def _as_float(block: _Audio) -> tuple[Block, NDArray[np.intp]]:
    if block.dtype == np.int16:
        return to_float(np.asarray(block, np.int16)), _NONE
    return silence_faults(np.asarray(block, np.float32))


def _echo(rate_hz: int, stages: ChainStages, capacity: int) -> EchoStage:
    """A canceller by name, its length in the words of its class."""
    assert isinstance(stages.echo, str)
    options: dict[str, Any] = {"capacity": capacity}
    if stages.echo_taps is not None:
        if stages.echo == "nlms":
            options["taps"] = stages.echo_taps
        elif stages.echo == "kalman":
            tail_ms = -(-stages.echo_taps * 1000 // rate_hz)
            options["tail_ms"] = min(max(tail_ms, TAIL_MS), LONGEST_TAIL_MS)
    return create_echo(stages.echo, rate_hz, **options)
