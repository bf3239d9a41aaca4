"""What a network does to a stream of packets, generated: which are lost, how late the rest is.

Losses are a two-state Markov chain (Gilbert, 1960), known by their share and the mean
length of a burst; what delay varies by is exponential, so that packets may overtake.
The same seed gives the same pattern, and another share of loss leaves the delays alone.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trunkline.errors import UsageError

__all__ = ["NetworkPattern"]

_LONGEST_MS = 10_000


@dataclass(frozen=True, slots=True)
class NetworkPattern:
    """One way through a network."""

    loss: float = 0.0
    """Share of packets lost, 0 to 1."""
    burst: float = 1.0
    """Packets that a loss has on average. Losses that know nothing of each other already
    have 1 / (1 - loss), which is the least there is."""
    jitter_ms: float = 0.0
    """Mean of the delay that comes on top of the fastest packet's."""
    seed: int = 1
    """Of the generator."""

    def __post_init__(self) -> None:
        if not 0 <= self.loss <= 1:
            raise UsageError(f"the loss is a share from 0 to 1, not {self.loss!r}")
        if not 1 <= self.burst <= 1000:
            raise UsageError(f"a burst is 1 to 1000 packets long, not {self.burst!r}")
        if not 0 <= self.jitter_ms <= _LONGEST_MS:
            raise UsageError(f"the jitter is 0 to {_LONGEST_MS} ms, not {self.jitter_ms!r}")
        if self.seed < 0:
            raise UsageError(f"a seed is 0 or more, not {self.seed!r}")

    def delays_ms(self, packets: int) -> NDArray[np.float64]:
        """The delay of each packet over that of the fastest, NaN where it is lost."""
        delays, losses = np.random.default_rng(self.seed).spawn(2)
        made: NDArray[np.float64] = self.jitter_ms * delays.standard_exponential(packets)
        made[self._lost(losses.random(packets + 1))] = math.nan
        return made

    def _lost(self, drawn: NDArray[np.float64]) -> NDArray[np.bool_]:
        """A mask from one random number a packet, and one for the state before the first."""
        if self.loss >= 1:
            return np.ones(len(drawn) - 1, np.bool_)
        ends = 1 / max(self.burst, 1 / (1 - self.loss))
        begins = ends * self.loss / (1 - self.loss)
        chain = [bool(drawn[0] < self.loss)]
        for number in drawn[1:].tolist():
            chain.append(number >= ends if chain[-1] else number < begins)
        return np.array(chain[1:], np.bool_)
