"""Which phase of the engine a lane goes to.

Lanes without a chain are spread evenly, so that packets leave in a stream and not in a
burst. Those with one are gathered, because what a chain costs is mostly numpy's price of a
call, which all lanes of a block share: measured, a call with everything on takes 150 µs of
20 ms in a block of 25, 115 of 50, 103 of 64 and 97 of 100.
"""

from collections.abc import Sequence

__all__ = ["BLOCK_LANES", "PHASES", "choose_phase"]

PHASES = 4
BLOCK_LANES = 64
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
            return max(room, key=lambda phase: (chained[phase], -loads[phase]))
    return min(range(len(loads)), key=lambda phase: loads[phase])
