"""The E-model: how good a connection is for conversation, from what is measured of it.

ITU-T G.107 (06/2015) for narrow band: a basic signal-to-noise ratio, less what is heard at
the same time as speech, less delay and echo, less what codecs and lost packets do. The
result is the rating R, 0 to 100, of which a mean opinion score follows. Everything not
measured stands at the defaults of table 2 of the recommendation, which give R = 93.2.

What packet loss does to a codec, with its concealment, is told by two numbers of ITU-T
G.113 (appendix I, 05/2007): `CodecImpairment`.
"""

from dataclasses import dataclass
from math import erf, exp, inf, log, log2, log10, sqrt

from trunkline.errors import UsageError

__all__ = [
    "IMPAIRMENTS",
    "CodecImpairment",
    "Connection",
    "good_or_better",
    "mean_opinion_score",
    "poor_or_worse",
    "rating",
]


@dataclass(frozen=True, slots=True)
class CodecImpairment:
    """What a codec does to speech, without loss and with it (G.113 appendix I)."""

    equipment: float
    """Ie: impairment without loss, on the scale of R."""
    robustness: float
    """Bpl: how well it bears random loss; more is better."""


IMPAIRMENTS = {
    "G711": CodecImpairment(0, 4.3),
    "G711+PLC": CodecImpairment(0, 25.1),
    "G723.1": CodecImpairment(15, 16.1),
    "G729A": CodecImpairment(11, 19.0),
    "GSM-EFR": CodecImpairment(5, 10.0),
}
"""By name; "+PLC" is with concealment as in G.711 appendix I."""


@dataclass(frozen=True, slots=True)
class Connection:
    """The parameters of a connection, by default those of G.107 table 2; levels in dB."""

    send_loudness_db: float = 8.0
    """SLR, send loudness rating."""
    receive_loudness_db: float = 2.0
    """RLR, receive loudness rating."""
    sidetone_db: float = 15.0
    """STMR, sidetone masking rating."""
    send_d_factor: float = 3.0
    """Ds."""
    receive_d_factor: float = 3.0
    """Dr; the listener sidetone rating is STMR + Dr."""
    talker_echo_loss_db: float = 65.0
    """TELR: how much weaker one's own voice comes back."""
    listener_echo_loss_db: float = 110.0
    """WEPL, weighted echo path loss."""
    delay_ms: float = 0.0
    """Ta: one way, mouth to ear, of a connection free of echo."""
    talker_delay_ms: float | None = None
    """T: one way, of the talker's echo; None is ``delay_ms``."""
    round_trip_ms: float | None = None
    """Tr: of the four-wire loop; None is twice ``delay_ms``."""
    quantising_units: float = 1.0
    """qdu: how often it was coded by G.711."""
    equipment: float = 0.0
    """Ie of the codec."""
    robustness: float = 4.3
    """Bpl of the codec."""
    loss: float = 0.0
    """Ppl: share of packets lost, 0 to 1."""
    burst_ratio: float = 1.0
    """BurstR: mean length of losses over that of random loss at this rate; 1 is random."""
    circuit_noise_dbm0p: float = -70.0
    """Nc."""
    noise_floor_dbmp: float = -64.0
    """Nfor."""
    send_room_dba: float = 35.0
    """Ps."""
    receive_room_dba: float = 35.0
    """Pr."""
    advantage: float = 0.0
    """A: what users forgive, as for mobility."""

    def __post_init__(self) -> None:
        """Raises `UsageError` for what no connection has."""
        if not 0 <= self.loss <= 1:
            raise UsageError(f"a share of lost packets is 0 to 1, not {self.loss!r}")
        if not self.burst_ratio > 0 or not self.robustness > 0 or not self.quantising_units > 0:
            raise UsageError("burst ratio, robustness and quantising units are above 0")
        for name in ("delay_ms", "talker_delay_ms", "round_trip_ms"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < inf:
                raise UsageError(f"{name} is 0 or more, not {value!r}")

    @property
    def overall_loudness_db(self) -> float:
        """OLR."""
        return self.send_loudness_db + self.receive_loudness_db


def rating(connection: Connection) -> float:
    """The rating R, 0 to 100 (G.107 7.1)."""
    noise = _noise_dbm0p(connection)
    basic = 15 - 1.5 * (connection.send_loudness_db + noise)
    simultaneous, sidetone = _simultaneous(connection, noise, basic)
    r = (
        basic
        - simultaneous
        - _delayed(connection, noise, basic, sidetone)
        - _equipment(connection)
        + connection.advantage
    )
    return min(100.0, max(0.0, r))


def mean_opinion_score(r: float) -> float:
    """The score a rating stands for, 1 to 4.5 (G.107 annex B)."""
    if r <= 0:
        return 1.0
    if r >= 100:
        return 4.5
    # Below 6.5 the polynomial falls under 1, the worst there is.
    return max(1.0, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6)


def good_or_better(r: float) -> float:
    """Share of users who would call it good or better, 0 to 1 (G.107 annex B)."""
    return _normal((r - 60) / 16)


def poor_or_worse(r: float) -> float:
    """Share of users who would call it poor or worse, 0 to 1 (G.107 annex B)."""
    return _normal((45 - r) / 16)


def _normal(x: float) -> float:
    """The cumulative normal distribution."""
    return (1 + erf(x / sqrt(2))) / 2


def _noise_dbm0p(c: Connection) -> float:
    """No: all noise, at the 0 dBr point (7.2)."""
    listener = c.sidetone_db + c.receive_d_factor
    room = c.receive_room_dba + 10 * log10(1 + 10 ** ((10 - listener) / 10))
    sources = (
        c.circuit_noise_dbm0p,
        c.send_room_dba
        - c.send_loudness_db
        - c.send_d_factor
        - 100
        + 0.004 * (c.send_room_dba - c.overall_loudness_db - c.send_d_factor - 14) ** 2,
        c.receive_loudness_db - 121 + room + 0.008 * (room - 35) ** 2,
        c.noise_floor_dbmp + c.receive_loudness_db,
    )
    return 10 * log10(sum(10 ** (source / 10) for source in sources))


def _simultaneous(c: Connection, noise: float, basic: float) -> tuple[float, float]:
    """Is: too loud, sidetone, quantising (7.3); and Ist, its part of sidetone."""
    x = c.overall_loudness_db + 0.2 * (64 + noise - c.receive_loudness_db)
    loud = 20 * ((1 + (x / 8) ** 8) ** (1 / 8) - x / 8)
    delay = c.delay_ms if c.talker_delay_ms is None else c.talker_delay_ms
    side = -10 * log10(
        10 ** (-c.sidetone_db / 10) + exp(-delay / 4) * 10 ** (-c.talker_echo_loss_db / 10)
    )
    sidetone = (
        12 * (1 + ((side - 13) / 6) ** 8) ** (1 / 8)
        - 28 * (1 + ((side + 1) / 19.4) ** 35) ** (1 / 35)
        - 13 * (1 + ((side - 3) / 33) ** 13) ** (1 / 13)
        + 29
    )
    q = 37 - 15 * log10(c.quantising_units)
    g = 1.07 + 0.258 * q + 0.0602 * q * q
    y = (basic - 100) / 15 + 46 / 8.4 - g / 9
    z = 46 / 30 - g / 40
    return loud + sidetone + 15 * log10(1 + 10**y + 10**z), sidetone


def _delayed(c: Connection, noise: float, basic: float, sidetone: float) -> float:
    """Id: the talker's echo, the listener's echo, delay itself (7.4)."""
    delay = c.delay_ms if c.talker_delay_ms is None else c.talker_delay_ms
    loop = 2 * c.delay_ms if c.round_trip_ms is None else c.round_trip_ms
    heard = (
        c.talker_echo_loss_db
        - 40 * log10((1 + delay / 10) / (1 + delay / 150))
        + 6 * exp(-0.3 * delay * delay)
    )
    if c.sidetone_db < 9:
        heard += sidetone / 2
    gap = -1.5 * (noise - c.receive_loudness_db) - (80 + 2.5 * (heard - 14))
    talker = 0.0
    if delay >= 1:
        talker = (gap / 2 + sqrt(gap * gap / 4 + 100) - 1) * (1 - exp(-delay))
    if c.sidetone_db > 20:
        talker = sqrt(talker * talker + sidetone * sidetone)
    gap = basic - 10.5 * (c.listener_echo_loss_db + 7) / sqrt(sqrt(loop + 1))
    listener = gap / 2 + sqrt(gap * gap / 4 + 169)
    return talker + listener + _absolute_delay(c.delay_ms)


def _absolute_delay(delay_ms: float) -> float:
    """Idd: what delay alone costs, beyond 100 ms (7.4.3)."""
    if delay_ms <= 100:
        return 0.0
    x = log2(delay_ms / 100)
    return 25 * (_sixth_root(1 + x**6) - 3 * _sixth_root(1 + (x / 3) ** 6) + 2)


def _sixth_root(x: float) -> float:
    return exp(log(x) / 6)


def _equipment(c: Connection) -> float:
    """Ie-eff: the codec, and what is lost (7.5)."""
    percent = 100 * c.loss
    return c.equipment + (95 - c.equipment) * percent / (percent / c.burst_ratio + c.robustness)
