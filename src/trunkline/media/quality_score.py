"""R and MOS of a leg, from what was counted of it (ITU-T G.107, G.113).

Listening is what the audio is like: codec and losses. Conversation has the delay as well,
from mouth to ear. What is not measured stands at G.107's defaults.
"""

from dataclasses import dataclass
from functools import lru_cache

from .emodel import IMPAIRMENTS, CodecImpairment, Connection, mean_opinion_score, rating

__all__ = ["QualityScore", "impairment_of", "one_way_ms", "score"]

_PACKET_MS = 20.0
_UNKNOWN = IMPAIRMENTS["G711+PLC"]
_CODECS = {
    "PCMU": IMPAIRMENTS["G711+PLC"],
    "PCMA": IMPAIRMENTS["G711+PLC"],
    "L16": IMPAIRMENTS["G711+PLC"],
    "G722": CodecImpairment(0, 14.0),
    "OPUS": CodecImpairment(0, 20.0),
    "G729": IMPAIRMENTS["G729A"],
    "G723": IMPAIRMENTS["G723.1"],
    "GSM-EFR": IMPAIRMENTS["GSM-EFR"],
}
"""G.113 appendix I with concealment. G.722 and Opus are not in its narrow-band table: theirs
are judgements, by how their concealment compares with G.711's, and not published values."""


@dataclass(frozen=True, slots=True)
class QualityScore:
    """How good one direction is."""

    r_listening: float
    """R without delay, 0 to 100."""
    mos_listening: float
    """MOS-LQ, 1 to 4.5."""
    r: float
    """R with delay."""
    mos: float
    """MOS-CQ, conversational."""


def impairment_of(codec: str) -> CodecImpairment:
    """Ie and Bpl of a codec by its SDP name; one that is not known counts as G.711."""
    return _CODECS.get(codec.upper().partition("/")[0], _UNKNOWN)


def one_way_ms(round_trip_ms: float | None, buffer_ms: float) -> float:
    """Mouth to ear: half the round trip, the jitter buffer, and the packet itself."""
    return (round_trip_ms or 0.0) / 2 + buffer_ms + _PACKET_MS


def score(codec: str, loss: float, burst_ratio: float, delay_ms: float) -> QualityScore:
    """The score of a direction.

    Args:
        codec: its name in SDP.
        loss: share of packets that were not played, 0 to 1.
        burst_ratio: see `BurstGapStatistics.burst_ratio`.
        delay_ms: one way, see `one_way_ms`.
    """
    # Rounded, so that calls that are alike are computed once.
    return _score(codec, round(loss, 4), round(burst_ratio, 2), round(delay_ms))


@lru_cache(maxsize=4096)
def _score(codec: str, loss: float, burst_ratio: float, delay_ms: float) -> QualityScore:
    impairment = impairment_of(codec)
    common = {
        "equipment": impairment.equipment,
        "robustness": impairment.robustness,
        "loss": loss,
        "burst_ratio": burst_ratio,
    }
    listening = rating(Connection(**common))
    conversation = rating(Connection(**common, delay_ms=delay_ms))
    return QualityScore(
        listening,
        mean_opinion_score(listening),
        conversation,
        mean_opinion_score(conversation),
    )
