"""Extended reports as one side of a session has them: what it was told, and the round trip.

A side that sends no audio sends no sender reports, and so cannot learn the round trip
from report blocks. `ReceiverTime` and its answer, `ReceiverDelay`, do the same for it
(RFC 3611 sections 4.4 and 4.5).
"""

from collections import deque

from .rtcp_xr import (
    Block,
    ExtendedReport,
    ReceiverDelay,
    ReceiverTime,
    StatisticsSummary,
    VoipMetrics,
)

__all__ = ["ExtendedReports"]

_SHORT_NTP = 65536.0
_U32 = 0xFFFFFFFF
_REMEMBERED = 6


class ExtendedReports:
    """What was heard in extended reports, and what is answered."""

    def __init__(self) -> None:
        self.metrics: VoipMetrics | None = None
        """What the far end last said of our audio."""
        self.summary: StatisticsSummary | None = None
        """What it last counted of it."""
        self.heard = 0
        """Reports."""
        self.skipped = 0
        """Blocks of types we do not read."""
        self._asked: deque[tuple[int, float]] = deque(maxlen=_REMEMBERED)
        # Whose time is to be answered: SSRC, the middle of its NTP time, when it came.
        self._to_answer: tuple[int, int, float] | None = None

    def hear(self, report: ExtendedReport, ssrc: int, now: float) -> float | None:
        """A report came; ``ssrc`` is ours. Gives the round trip in ms, if it tells one."""
        self.heard += 1
        self.skipped += report.skipped
        round_trip = None
        for block in report.blocks:
            if isinstance(block, tuple):
                for delay in block:
                    if delay.ssrc == ssrc:
                        round_trip = self._round_trip(delay, now) or round_trip
            elif isinstance(block, ReceiverTime):
                if report.ssrc != ssrc:
                    self._to_answer = report.ssrc, block.ntp >> 16 & _U32, now
            elif block.ssrc == ssrc:
                if isinstance(block, VoipMetrics):
                    self.metrics = block
                else:
                    self.summary = block
        return round_trip

    def blocks(self, now: float, ntp: int, *, ask: bool) -> tuple[Block, ...]:
        """What to add to the report sent now; ``ask``: for the round trip."""
        found: list[Block] = []
        if ask:
            found.append(ReceiverTime(ntp))
            self._asked.append((ntp >> 16 & _U32, now))
        if self._to_answer is not None:
            ssrc, last, heard_at = self._to_answer
            self._to_answer = None
            delay = min(max(int((now - heard_at) * _SHORT_NTP), 0), _U32)
            found.append((ReceiverDelay(ssrc, last, delay),))
        return tuple(found)

    def _round_trip(self, delay: ReceiverDelay, now: float) -> float | None:
        """By our monotonic clock, as the wall's may be set between the two."""
        for middle, asked_at in self._asked:
            if delay.last_report and middle == delay.last_report:
                return max(0.0, now - asked_at - delay.delay_since / _SHORT_NTP) * 1000
        return None
