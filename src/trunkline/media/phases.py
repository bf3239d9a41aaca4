"""Which phase of the engine a lane goes to.

Lanes without a chain are spread evenly, so that packets leave in a stream and not in a
burst. Those with one are gathered, because what a chain costs is mostly numpy's price of a
call, which all lanes of a block share: measured at 250 calls with everything on, one takes
111 µs of 20 ms in blocks of 32, 92 of 64 and 79 of 128. A block of 128 keeps its thread for
half of a tick, so the next one is begun two phases later.
"""

from collections.abc import Sequence

__all__ = ["BLOCK_LANES", "PHASES", "choose_phase"]

PHASES = 4
BLOCK_LANES = 128
"""Lanes with a chain are gathered in one phase until there are so many, then in the next; from
four times as many on they, too, are spread."""


def choose_phase(loads: Sequence[int], chained: Sequence[int] | None = None) -> int:
    """The phase for one more lane.

    ``loads`` is how many lanes each phase has, ``chained`` how many of them have a chain;
    None for a lane without one.
    """
    if chained is not None:
        room = [phase for phase, count in enumerate(chained) if count < BLOCK_LANES]
        if room:
            return max(
                room, key=lambda phase: (chained[phase], _apart(phase, chained), -loads[phase])
            )
    return min(range(len(loads)), key=lambda phase: loads[phase])


def _apart(phase: int, chained: Sequence[int]) -> int:
    """How many phases it is from the nearest other one that has lanes with a chain."""
    steps = [
        min((phase - other) % PHASES, (other - phase) % PHASES)
        for other, count in enumerate(chained)
        if count and other != phase
    ]
    return min(steps, default=PHASES)
