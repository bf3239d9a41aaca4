"""What a jitter bank knows of each row, and how it is set."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

from .concealment import ConcealmentBank
from .delay_estimate import DelayEstimate
from .frames import FRAME_MS, frame_samples
from .g711 import Law
from .jitter_coded import CodedRow
from .reception import Reception
from .reserve import enlarged
from .sample_ring import SampleRing

__all__ = ["CLOSED", "NEVER", "NOTHING", "Count", "JitterRows", "JitterSettings"]

NEVER = 1 << 62
"""The onset of a talkspurt that is not known of."""

CLOSED = -1
"""The law of a row that is not open."""

NOTHING = -1
"""No packet says this of itself."""

_MOST_DISCARDED = 512
"""Numbers kept of a row: ten seconds of nothing in time, and nobody reads them."""
_SPAN_FRAMES = 50
"""The ring holds a second."""


@dataclass(frozen=True, slots=True)
class JitterSettings:
    """How much delay a jitter bank may use, and when. All times in ms.

    Delay is what playout adds for the fastest packets. Defaults for which no
    source is named are judgements: not swept, only checked on generated traces.
    """

    min_ms: int = 40
    """Delay on a good network: two packets of 20 ms. Playout moves in steps of 20 ms, so a
    row lies within 10 ms below and 15 ms above it."""
    max_ms: int = 200
    """The most delay aimed at, for networks that leave no choice: ITU-T G.114 would have
    150 ms for the whole way."""
    start_ms: int = 60
    """Delay of a row's first talkspurt, before anything is known of the network."""
    quantile: float = 0.95
    """How much of the lateness seen the delay covers (NetEq)."""
    forget: float = 0.983
    """How much of the lateness histogram survives a tenth of a second with packets in it."""
    patience_ms: int = 160
    """Concealment lasts this long; then the sender has stopped. It has faded out by then."""
    far_ms: int = 60
    """Excess of delay over the one wanted from which on it is cut in speech as well."""
    concealment: str = "pitch"
    """A method in `concealment.CONTINUATIONS`."""

    def __post_init__(self) -> None:
        if not FRAME_MS <= self.min_ms <= self.start_ms <= self.max_ms:
            raise UsageError(
                f"delays are {FRAME_MS} ms <= min_ms <= start_ms <= max_ms, "
                f"not {self.min_ms}, {self.start_ms}, {self.max_ms}"
            )
        if self.max_ms + self.far_ms + self.patience_ms > _SPAN_FRAMES * FRAME_MS / 2:
            raise UsageError("max_ms, far_ms and patience_ms are 500 ms at most together")
        if not 0 < self.quantile < 1 or not 0 < self.forget < 1:
            raise UsageError("quantile and forget lie between 0 and 1")


_INITIAL: dict[str, float] = {
    "law": 0,
    "playing": False,
    "read": 0,
    "head": 0,
    "offset": 0,
    "onset": NEVER,
    "quiet_from": 0,
    "last_length": 0,
    "resting": False,
    "held": 0,
    "filled": -NEVER,
    "level": 0,
    "loudness": 0,
    "changed": -np.inf,
    "tried": -np.inf,
}
"""What a new row begins with."""


class Count(IntEnum):
    """What is counted of each row; the value is its column."""

    RECEIVED_BEFORE = 0  # of earlier sources
    LOST_BEFORE = 1
    LATE = 2
    DUPLICATE = 3
    REORDERED = 4
    OVERFLOW = 5
    STRAY = 6
    SOURCES = 7
    RESTARTS = 8
    CONCEALED = 9
    DROPPED = 10  # samples, as the next
    INSERTED = 11
    STRETCHED = 12
    RECOVERED = 13  # by codecs that the row had before
    MALFORMED = 14  # to them


class JitterRows:
    """The state of all rows, as arrays with one entry a row."""

    def __init__(self, rate_hz: int, settings: JitterSettings, capacity: int) -> None:
        self.rate_hz = rate_hz
        self.frame = frame_samples(rate_hz)
        self.span = _SPAN_FRAMES * self.frame
        self.ring = SampleRing(capacity, self.frame, self.span)
        self.reception = Reception(capacity)
        self.delay = DelayEstimate(
            capacity,
            rate_hz,
            quantile=settings.quantile,
            forget=settings.forget,
            # A row starts at the first tick at which it has this much, on average half a
            # frame later: so the mean is what the settings say.
            start_ms=settings.start_ms - FRAME_MS / 2,
            least_ms=settings.min_ms - FRAME_MS / 2,
            most_ms=settings.max_ms,
        )
        self.concealer = ConcealmentBank(rate_hz, settings.concealment, capacity)
        self.coded: dict[int, CodedRow] = {}
        """Rows whose payloads a codec reads."""
        self.law = np.full(capacity, CLOSED)
        self.playing = np.zeros(capacity, np.bool_)
        self.read = np.zeros(capacity, np.int64)
        """Position of the next sample to be played; nothing before it is filed."""
        self.head = np.zeros(capacity, np.int64)
        """Position after the newest sample received."""
        self.offset = np.zeros(capacity, np.int64)
        """Position less timestamp, modulo 2^32."""
        self.onset = np.zeros(capacity, np.int64)
        """Where the next talkspurt begins: waiting, the oldest sample here."""
        self.quiet_from = np.zeros(capacity, np.int64)
        """Playing with a known onset: from here to there the sender paused."""
        self.last_length = np.zeros(capacity, np.int64)
        """Samples in the newest packet."""
        self.resting = np.zeros(capacity, np.bool_)
        """The newest packet carried no audio: a digit, comfort noise."""
        self.held = np.zeros(capacity, np.int64)
        """Samples concealed without passing anything, since the last frame played."""
        self.filled = np.zeros(capacity, np.int64)
        """Up to here what comes next was made up when its gap began, as a whole."""
        self.level = np.zeros(capacity)
        """Delay of the row, smoothed over about 16 frames, in samples."""
        self.loudness = np.zeros(capacity, np.float32)
        """Recent loudest mean magnitude; only kept while the delay is being changed."""
        self.changed = np.zeros(capacity)
        """When delay was last changed, in seconds."""
        self.tried = np.zeros(capacity)
        """When it was last tried."""
        self.expected = np.full((4, capacity), NOTHING)
        """What a row's next packet says if it is plain: its sequence number, timestamp, SSRC,
        and bytes of audio, (4, rows); follows from what else is known of the row."""
        self.marks = np.zeros(capacity, np.intp)
        """For telling the first packet of a row from others of a batch."""
        self.counts = np.zeros((capacity, len(Count)), np.int64)
        self.discarded: dict[int, list[int]] = {}
        """Numbers of packets that came too late, of rows that have some, until they are read."""

    def discard(self, row: int, sequence: int) -> None:
        """This packet came after its time."""
        self.counts[row, Count.LATE] += 1
        late = self.discarded.setdefault(row, [])
        if len(late) < _MOST_DISCARDED:
            late.append(sequence)

    def forget_discarded(self, row: int, until: int) -> None:
        """It is read what came too late up to this number."""
        after = [each for each in self.discarded.pop(row) if 0 < each - until & 0xFFFF < 0x8000]
        if after:
            self.discarded[row] = after

    def open(self, law: Law) -> int:
        """A new row; the concealer's rows are the bank's."""
        row = self.concealer.open()
        if self.concealer.rows.capacity > len(self.read):
            self._grow(self.concealer.rows.capacity)
        self.reset(row, law)
        return row

    def close(self, row: int) -> None:
        """Give a row back; raises `UsageError` if it is not open."""
        self.concealer.close(row)
        self.uncode(row)
        self.law[row] = CLOSED
        self.playing[row] = False
        self.discarded.pop(row, None)

    def uncode(self, row: int) -> None:
        """The row has no codec any more; what the codec counted stays."""
        coded = self.coded.pop(row, None)
        if coded is not None:
            decoder, counts = coded.decoder, self.counts[row]
            counts[Count.RECOVERED] += decoder.recovered // self.frame
            counts[Count.MALFORMED] += decoder.malformed
            counts[Count.LATE] += coded.late
            coded.close()

    def advance(self, rows: NDArray[np.intp], read: NDArray[np.int64]) -> None:
        """Rows go on by the frame at ``read``, where they are; its place in the ring is free."""
        self.ring.clear(rows, read)
        self.read[rows] = read + self.frame
        self.held[rows] = 0

    def _grow(self, capacity: int) -> None:
        """More rows; those there are keep their numbers."""
        self.ring.grow(capacity)
        self.reception.grow(capacity)
        self.delay.grow(capacity)
        for name in (*_INITIAL, "marks", "counts"):
            setattr(self, name, enlarged(getattr(self, name), capacity))
        before = self.expected.shape[1]
        self.expected = enlarged(self.expected, capacity, axis=1)
        self.expected[:, before:] = NOTHING
        self.law[before:] = CLOSED

    def reset(self, row: int, law: Law) -> None:
        """Make a row as new."""
        self.uncode(row)
        for name, initial in _INITIAL.items():
            getattr(self, name)[row] = initial
        self.last_length[row] = self.frame
        self.counts[row] = 0
        self.discarded.pop(row, None)
        self.expected[:, row] = NOTHING
        self.law[row] = law
        self.ring.open(row)
        self.reception.clear(row)
        self.delay.reset(row)
        self.concealer.reset(np.array([row]))
