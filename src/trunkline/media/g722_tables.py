"""The tables of G.722 (ITU-T G.722, 11/88, tables 6 to 12 and 14 to 21, and 5/G.722).

They are kept as the recommendation lists them; what an implementation looks up is
made of them here: by 6-bit and 2-bit code, and by the logarithm of the step size.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "HIGH",
    "LARGEST_RATIO",
    "LOW",
    "LOW_SIX_BITS",
    "QMF",
    "Band",
    "stacked",
]

_QMF_HALF = (3, -11, -11, 53, 12, -156, 32, 362, -210, -805, 951, 3876)

QMF: Final[tuple[int, ...]] = _QMF_HALF + _QMF_HALF[::-1]
"""The 24 coefficients of both quadrature mirror filters, times 8192 (table 11)."""

# Decision levels of the lower band's 6-bit quantiser, for a step of 4096 (table 14).
_DECISIONS = (
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714,
    786, 858, 940, 1023, 1121, 1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919,
)  # fmt: skip
_HIGH_DECISION = 564

# Output levels of the 6-, 4- and 2-bit inverse quantisers, for a step of 32768, by magnitude.
_SIX_BITS = (
    136, 432, 728, 1040, 1360, 1688, 2032, 2400, 2776, 3168, 3576, 4008, 4464, 4944, 5456,
    6000, 6576, 7192, 7856, 8576, 9360, 10232, 11192, 12280, 13512, 14984, 16704, 19008,
    21904, 24808,
)  # fmt: skip
_FOUR_BITS = (0, 1200, 2584, 4240, 6288, 8968, 12896, 20456)
_TWO_BITS = (1616, 7408)

# How the logarithm of the step follows the code's magnitude (tables 18 and 21).
_FOUR_BITS_LOG = (-60, -30, 58, 172, 334, 538, 1198, 3042)
_TWO_BITS_LOG = (-214, 798)

# 2048 * 2 ** (i / 32), rounded as in the recommendation (table 19).
_INVERSE_LOG = (
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774,
    2834, 2896, 2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838,
    3922, 4008,
)  # fmt: skip

LARGEST_RATIO: Final = _DECISIONS[-1]
"""Where the search for a code may stop: louder has the loudest code."""


class Band:
    """What one band's coder looks up, as lists for one call and arrays for a bank."""

    def __init__(
        self,
        *,
        codes: tuple[list[int], list[int]],
        decisions: tuple[int, ...],
        outputs: list[int],
        log_changes: list[int],
        log_limit: int,
        shift: int,
    ) -> None:
        self.outputs = outputs
        """Level of a code that the predictor sees, for a step of 32768."""
        self.log_changes = log_changes
        """What a code adds to the step's logarithm."""
        self.log_limit = log_limit
        self.steps = [_step(log, shift) for log in range(log_limit + 1)]
        """The step by its logarithm."""
        self.first_step = self.steps[0]
        # The recommendation looks for the first level i with
        # magnitude < (decision[i] * step) >> 12. For whole numbers that is
        # decision[i] > ((magnitude + 1 << 12) - 1) // step: one division, one look-up.
        levels = np.searchsorted(decisions, np.arange(LARGEST_RATIO + 1), side="right")
        positive, negative = codes
        self.by_ratio: tuple[list[int], list[int]] = (
            [positive[level] for level in levels],
            [negative[level] for level in levels],
        )
        """The code of a positive and a negative difference by its ratio to the step."""


def _step(log: int, shift: int) -> int:
    """Table 19 and section 3.5: the step of a logarithm in units of 1/2048."""
    mantissa, octave = _INVERSE_LOG[log >> 6 & 31], shift - (log >> 11)
    return (mantissa >> octave if octave >= 0 else mantissa << -octave) << 2


def _low_codes() -> tuple[list[int], list[int]]:
    """Codes by level, quiet to loud: 30 of them each way (table 16)."""
    return list(range(61, 31, -1)), [63, 62, *range(31, 3, -1)]


def _six_bit_outputs() -> list[int]:
    """Levels of the 6-bit codes; 0 to 3 are transmission errors (table 17)."""
    outputs = [-_SIX_BITS[0]] * 64
    positive, negative = _low_codes()
    for level, size in enumerate(_SIX_BITS):
        outputs[positive[level]] = size
        outputs[negative[level]] = -size
    return outputs


def _four_bits(code: int) -> tuple[int, int]:
    """Sign and magnitude of the upper four bits of a 6-bit code (table 18)."""
    four = code >> 2
    if four in (0, 15):
        return -1, 0
    return (1, 15 - four) if four & 8 else (-1, 8 - four)


def _low_band() -> Band:
    four = [_four_bits(code) for code in range(64)]
    return Band(
        codes=_low_codes(),
        decisions=_DECISIONS,
        outputs=[sign * _FOUR_BITS[size] for sign, size in four],
        log_changes=[_FOUR_BITS_LOG[size] for _, size in four],
        log_limit=18432,
        shift=8,
    )


def _high_band() -> Band:
    quiet, loud = _TWO_BITS
    calm, rising = _TWO_BITS_LOG
    return Band(
        codes=([3, 2], [1, 0]),
        decisions=(_HIGH_DECISION,),
        outputs=[-loud, -quiet, loud, quiet],
        log_changes=[rising, calm, rising, calm],
        log_limit=22528,
        shift=10,
    )


LOW: Final = _low_band()
HIGH: Final = _high_band()
LOW_SIX_BITS: Final[list[int]] = _six_bit_outputs()
"""Level of a lower band code as it is heard at 64 kbit/s, for a step of 32768."""


def stacked(low: list[int], high: list[int]) -> NDArray[np.int32]:
    """Two tables behind each other, for a look-up of both bands at once."""
    return np.array(low + high, np.int32)
