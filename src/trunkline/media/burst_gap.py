"""Bursts and gaps: how losses come, not only how many (RFC 3611 section 4.7.2).

A burst begins and ends with a lost packet, and in it fewer than `GMIN` packets in a row
arrived. Everything else is gap, lone losses in it included. The same share of losses is
heard as much worse in bursts, because concealment has little to go on with after 60 ms.
"""

from dataclasses import dataclass

from trunkline.errors import UsageError

__all__ = ["GMIN", "BurstGap", "BurstGapStatistics"]

GMIN = 16
"""Packets in a row that have to arrive for a burst to be over: the RFC's value."""


@dataclass(frozen=True, slots=True)
class BurstGapStatistics:
    """What happened so far; counts are of packets."""

    packets: int
    """Expected: received and lost."""
    lost: int
    """Never came, or too late to be played."""
    bursts: int
    """How often losses came together; a burst has two losses at least."""
    burst_packets: int
    """Packets in bursts."""
    burst_lost: int
    """Lost ones among them."""
    losses: int
    """Losses in a row counted as one."""

    @property
    def loss(self) -> float:
        """Share lost, 0 to 1."""
        return self.lost / self.packets if self.packets else 0.0

    @property
    def burst_density(self) -> float:
        """Share lost in bursts, 0 to 1."""
        return self.burst_lost / self.burst_packets if self.burst_packets else 0.0

    @property
    def gap_density(self) -> float:
        """Share lost outside of bursts, 0 to 1."""
        gap = self.packets - self.burst_packets
        return (self.lost - self.burst_lost) / gap if gap else 0.0

    @property
    def mean_burst_packets(self) -> float:
        """Packets that a burst lasts; 0 without bursts."""
        return self.burst_packets / self.bursts if self.bursts else 0.0

    @property
    def mean_gap_packets(self) -> float:
        """Packets that a gap lasts; there is one gap more than bursts."""
        return (self.packets - self.burst_packets) / (self.bursts + 1)

    @property
    def burst_ratio(self) -> float:
        """Mean length of losses over that of random loss as frequent (ITU-T G.107 7.5)."""
        if not self.losses or self.lost == self.packets:
            return 1.0
        return max(1.0, self.lost / self.losses * (1 - self.loss))


class BurstGap:
    """Follows one stream, packet by packet in the order they were sent."""

    __slots__ = (
        "_arrived",
        "_burst_lost",
        "_burst_packets",
        "_bursts",
        "_gmin",
        "_in_row",
        "_losses",
        "_lost",
        "_open_lost",
        "_open_packets",
        "_packets",
    )

    def __init__(self, gmin: int = GMIN) -> None:
        """Raises `UsageError` for a threshold that is not 1 to 255."""
        if not 1 <= gmin <= 255:
            raise UsageError(f"Gmin is 1 to 255, not {gmin!r}")
        self._gmin = gmin
        self._packets = self._lost = self._losses = 0
        self._bursts = self._burst_packets = self._burst_lost = 0
        self._arrived = gmin  # in a row, up to now
        self._in_row = False  # whether the last packet was lost
        # From the first loss of what may be a burst to its last.
        self._open_packets = self._open_lost = 0

    def received(self, count: int = 1) -> None:
        """So many packets in a row could be played."""
        if count <= 0:
            return
        self._packets += count
        self._arrived += count
        self._in_row = False

    def lost(self, count: int = 1) -> None:
        """So many packets in a row could not."""
        if count <= 0:
            return
        if self._arrived >= self._gmin:
            self._settle()
        elif self._open_lost:
            self._open_packets += self._arrived
        self._open_packets += count
        self._open_lost += count
        self._packets += count
        self._lost += count
        self._losses += not self._in_row
        self._in_row = True
        self._arrived = 0

    def statistics(self) -> BurstGapStatistics:
        """What happened so far; a burst that is not over counts as far as it went."""
        bursts, packets, lost = self._bursts, self._burst_packets, self._burst_lost
        if self._open_lost > 1:
            bursts, packets, lost = bursts + 1, packets + self._open_packets, lost + self._open_lost
        return BurstGapStatistics(self._packets, self._lost, bursts, packets, lost, self._losses)

    def _settle(self) -> None:
        """Enough arrived since the last loss: it is known whether those were a burst."""
        if self._open_lost > 1:
            self._bursts += 1
            self._burst_packets += self._open_packets
            self._burst_lost += self._open_lost
        self._open_packets = self._open_lost = 0
