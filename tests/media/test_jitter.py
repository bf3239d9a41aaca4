"""The jitter bank. Run as a script it prints what it does on five kinds of network."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trunkline.errors import UsageError
from trunkline.media.g711 import DECODE, Law
from trunkline.media.jitter import JitterBank, JitterSettings, JitterStatistics, Kind

FRAME = 160
TICK = 0.020
SSRC = 0xCA11
# Bytes that decode to no zero: what is not zero in the output was received.
AUDIBLE = np.array([code for code in range(256) if code not in (0x7F, 0xFF)], np.uint8)

EXACT = JitterSettings(concealment="silence", max_ms=140, far_ms=200)
"""Nothing is blended and speech is never shortened: received samples are bit-exact."""


@dataclass(slots=True)
class Sent:
    """A packet on its way."""

    index: int
    arrives: float
    sequence: int
    timestamp: int
    payload: bytes
    ssrc: int = SSRC
    marker: bool = False

    def pcm(self, law: Law = Law.ULAW) -> NDArray[np.int16]:
        return DECODE[law][np.frombuffer(self.payload, np.uint8)]


def loud(samples: int, seed: int = 0) -> bytes:
    """Noise without a zero sample."""
    return np.random.default_rng(seed).choice(AUDIBLE, samples).tobytes()


def stream(
    count: int,
    *,
    sequence: int = 1000,
    timestamp: int = 5000,
    ptime: int = FRAME,
    begins: float = 0.005,
    delay: Callable[[int], float] = lambda index: 0.0,
    ssrc: int = SSRC,
    seed: int = 0,
    clock: float = 1.0,
) -> list[Sent]:
    """Packets as a sender makes them; ``clock`` is how fast its clock runs."""
    noise = loud(count * ptime, seed)
    return [
        Sent(
            index,
            begins + index * ptime / 8000 / clock + delay(index),
            (sequence + index) & 0xFFFF,
            (timestamp + index * ptime) & 0xFFFFFFFF,
            noise[index * ptime : (index + 1) * ptime],
            ssrc,
        )
        for index in range(count)
    ]


@dataclass(slots=True)
class Listener:
    """Takes frames of one row and keeps them."""

    bank: JitterBank = field(default_factory=lambda: JitterBank(settings=EXACT))
    law: Law = Law.ULAW
    row: int = -1
    frames: list[NDArray[np.int16]] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    ticks: int = 0
    waiting: list[Sent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.row = self.bank.open(self.law)

    def put(self, packet: Sent, now: float | None = None) -> None:
        self.bank.put(
            self.row,
            packet.sequence,
            packet.timestamp,
            packet.ssrc,
            packet.marker,
            packet.payload,
            packet.arrives if now is None else now,
        )

    def take(self, now: float) -> None:
        taken = self.bank.take(np.array([self.row]), now)
        self.frames.append(taken.pcm[0])
        self.kinds.append(int(taken.kind[0]))

    def hear(self, packets: Iterable[Sent], until: float | None = None) -> "Listener":
        """Deliver packets as they arrive and take a frame every 20 ms."""
        coming = [*reversed(self.waiting), *packets]
        self.waiting = sorted(coming, key=lambda packet: packet.arrives)[::-1]
        if until is None:
            until = self.waiting[0].arrives + 0.5 if self.waiting else 0.0
        while (self.ticks + 1) * TICK <= until + 1e-9:
            self.ticks += 1
            now = self.ticks * TICK
            while self.waiting and self.waiting[-1].arrives <= now:
                self.put(self.waiting.pop())
            self.take(now)
        return self

    @property
    def pcm(self) -> NDArray[np.int16]:
        return np.concatenate(self.frames)

    @property
    def received(self) -> NDArray[np.int16]:
        """Samples that were not made here (with concealment off)."""
        pcm = self.pcm
        return pcm[pcm != 0]

    @property
    def statistics(self) -> JitterStatistics:
        return self.bank.statistics(self.row)

    def count(self, kind: Kind) -> int:
        return self.kinds.count(kind)


def samples(packets: Sequence[Sent], law: Law = Law.ULAW) -> NDArray[np.int16]:
    return np.concatenate([packet.pcm(law) for packet in packets])


def without(packets: Sequence[Sent], *lost: int) -> list[Sent]:
    return [packet for packet in packets if packet.index not in lost]


# -- a good network ---------------------------------------------------------------------------


def test_packets_in_order_come_out_bit_exact_and_once() -> None:
    packets = stream(100)
    heard = Listener().hear(packets)
    assert np.array_equal(heard.received, samples(packets))
    assert heard.count(Kind.PLAYED) == 100


@pytest.mark.parametrize("law", list(Law))
def test_payloads_are_decoded_by_the_law_of_their_row(law: Law) -> None:
    packets = stream(20)
    heard = Listener(law=law).hear(packets)
    assert np.array_equal(heard.received, samples(packets, law))


def test_rows_of_both_laws_are_decoded_in_one_batch() -> None:
    bank = JitterBank(settings=EXACT)
    ulaw, alaw = Listener(bank, Law.ULAW), Listener(bank, Law.ALAW)
    packets = stream(10)
    for packet in packets:
        ulaw.put(packet)
        alaw.put(packet)
    pcm = [bank.take(np.array([0, 1]), 0.2 + tick * TICK).pcm for tick in range(14)]
    both = np.concatenate(pcm, axis=1)
    assert np.array_equal(both[0][both[0] != 0], samples(packets, Law.ULAW))
    assert np.array_equal(both[1][both[1] != 0], samples(packets, Law.ALAW))


def test_a_law_changed_in_a_call_counts_for_packets_from_then_on() -> None:
    packets = stream(20)
    heard = Listener().hear(packets[:10], until=0.2)
    heard.bank.set_law(heard.row, Law.ALAW)
    heard.hear(packets[10:])
    expected = np.r_[samples(packets[:10]), samples(packets[10:], Law.ALAW)]
    assert np.array_equal(heard.received, expected)


@pytest.mark.parametrize("ptime_ms", [10, 20, 30, 40, 60, 100])
def test_any_packet_time_comes_out_in_frames_of_20_ms(ptime_ms: int) -> None:
    packets = stream(3000 // ptime_ms, ptime=ptime_ms * 8)
    heard = Listener().hear(packets)
    assert np.array_equal(heard.received, samples(packets))
    assert heard.statistics.lost == 0


def test_a_packet_time_changed_in_a_call_is_nothing_special() -> None:
    first = stream(50)
    second = stream(
        60,
        ptime=80,
        sequence=1050,
        timestamp=5000 + 50 * FRAME,
        begins=1.005,
        seed=1,
    )
    heard = Listener().hear(first + second)
    assert np.array_equal(heard.received, samples(first + second))


@pytest.mark.parametrize("rate_hz", [8000, 16000])
def test_a_bank_runs_at_the_sample_rate_it_is_made_for(rate_hz: int) -> None:
    frame = rate_hz // 50
    bank = JitterBank(rate_hz, EXACT)
    row = bank.open(Law.ULAW)
    played = []
    for tick in range(20):
        payload = loud(frame, tick)
        bank.put(row, tick, tick * frame, 1, False, payload, tick * TICK)
        taken = bank.take(np.array([row]), tick * TICK + 0.01)
        assert taken.pcm.shape == (1, frame)
        if taken.kind[0] == Kind.PLAYED:
            played.append(taken.pcm[0])
    assert np.array_equal(played[0], DECODE[Law.ULAW][np.frombuffer(loud(frame, 0), np.uint8)])
    assert len(played) >= 15


def test_delay_on_a_good_network_goes_to_the_least() -> None:
    rng = np.random.default_rng(1)
    packets = quiet_after(stream(500, delay=lambda _: abs(rng.normal(0, 0.003))), 50)
    heard = Listener().hear(packets, until=10.0)
    statistics = heard.statistics
    assert statistics.target_ms == pytest.approx(30)
    assert 30 <= statistics.delay_ms <= 56
    assert statistics.concealed_frames == statistics.lost == statistics.late == 0


def quiet_after(packets: list[Sent], index: int) -> list[Sent]:
    """From here on the sender sends faint noise."""
    for packet in packets[index:]:
        codes = np.frombuffer(packet.payload, np.uint8)
        packet.payload = (codes | 0x70).tobytes()
    return packets


# -- disorder ---------------------------------------------------------------------------------


def test_packets_that_overtook_each_other_are_put_in_order() -> None:
    packets = stream(60)
    packets[20].arrives, packets[21].arrives = packets[21].arrives, packets[20].arrives
    packets[40].arrives += 0.045
    heard = Listener().hear(packets)
    assert np.array_equal(heard.received, samples(packets))
    assert heard.statistics.reordered == 2
    assert heard.statistics.lost == 0


def test_the_first_two_packets_may_overtake_each_other() -> None:
    packets = stream(30)
    packets[0].arrives, packets[1].arrives = packets[1].arrives, packets[0].arrives
    heard = Listener().hear(packets)
    assert np.array_equal(heard.received, samples(packets))


def test_duplicates_are_played_once_and_counted() -> None:
    packets = stream(50)
    heard = Listener().hear(packets + packets[10:20] + packets[30:31] * 3)
    assert np.array_equal(heard.received, samples(packets))
    assert heard.statistics.duplicate == 13
    assert heard.statistics.received == 63


def test_a_duplicate_in_the_same_batch_is_one_too() -> None:
    packets = stream(10)
    heard = Listener()
    for packet in packets:
        heard.put(packet)
        heard.put(packet)
    heard.hear([], until=0.6)
    assert heard.statistics.duplicate == 10


def test_a_packet_after_its_time_is_dropped_and_counted() -> None:
    packets = stream(60)
    packets[30].arrives += 0.3
    heard = Listener().hear(packets)
    assert np.array_equal(heard.received, samples(without(packets, 30)))
    statistics = heard.statistics
    assert (statistics.late, statistics.lost, statistics.concealed_frames) == (1, 0, 1 + 8)


def test_a_packet_partly_after_its_time_gives_what_is_left_of_it() -> None:
    packets = stream(40, ptime=480)
    packets[20].arrives += 0.085
    heard = Listener().hear(packets)
    missing = len(samples(packets)) - len(heard.received)
    assert 0 < missing < 480
    assert heard.statistics.late == 0


def test_sequence_numbers_and_timestamps_wrap() -> None:
    packets = stream(100, sequence=65_500, timestamp=0xFFFFFFFF - 30 * FRAME - 7)
    heard = Listener().hear(packets)
    assert np.array_equal(heard.received, samples(packets))
    assert heard.statistics.restarts == 0
    counters = heard.bank.reception(heard.row)
    assert counters is not None
    assert counters.highest_extended == 65_599
    assert counters.first_extended == 65_500


# -- loss -------------------------------------------------------------------------------------


def test_a_lost_packet_is_concealed_in_its_place() -> None:
    packets = stream(60)
    heard = Listener().hear(without(packets, 30))
    pcm = heard.pcm
    start = int(np.flatnonzero(pcm)[0])
    assert np.array_equal(pcm[start : start + 30 * FRAME], samples(packets[:30]))
    assert not pcm[start + 30 * FRAME : start + 31 * FRAME].any()
    assert np.array_equal(pcm[start + 31 * FRAME : start + 60 * FRAME], samples(packets[31:]))
    assert (heard.statistics.lost, heard.statistics.concealed_frames) == (1, 1 + 8)


def test_only_what_is_missing_of_a_frame_is_concealed() -> None:
    packets = stream(40, ptime=240)
    heard = Listener().hear(without(packets, 20))
    assert np.array_equal(heard.received, samples(without(packets, 20)))
    statistics = heard.statistics
    assert statistics.lost == 1
    assert heard.kinds[: heard.kinds.index(Kind.CONCEALED) + 2].count(Kind.CONCEALED) == 2


def test_a_long_loss_fades_to_silence_and_then_goes_on_in_time() -> None:
    packets = stream(200)
    heard = Listener().hear(without(packets, *range(100, 130)))
    assert np.array_equal(heard.received, samples(without(packets, *range(100, 130))))
    statistics = heard.statistics
    assert statistics.lost == 30
    assert statistics.concealed_frames == 8 + 8
    assert 30 <= statistics_delay(heard, packets[-1]) <= 70


def statistics_delay(heard: Listener, last: Sent) -> float:
    """Milliseconds from a stream's last packet to the tick that played it."""
    played = max(index for index, kind in enumerate(heard.kinds) if kind == Kind.PLAYED)
    return ((played + 1) * TICK - last.arrives) * 1000


def test_a_late_burst_is_not_lost_but_waited_for() -> None:
    # Packets 50 to 54 are held up together for 100 ms, with more than the buffer behind them.
    packets = stream(150)
    for packet in packets[50:55]:
        packet.arrives = packets[55].arrives
    heard = Listener().hear(packets)
    assert np.array_equal(heard.received, samples(packets))
    assert 1 <= heard.kinds[:80].count(Kind.CONCEALED) <= 5


def test_what_was_concealed_while_waiting_counts_towards_the_gap() -> None:
    # The network is dead for 100 ms and loses what was in it: delay must not grow.
    packets = stream(200)
    lost = tuple(range(100, 105))
    heard = Listener().hear(without(packets, *lost))
    assert np.array_equal(heard.received, samples(without(packets, *lost)))
    first = int(np.argmax(np.array(heard.kinds) == Kind.PLAYED))
    assert heard.kinds[first : first + 200].count(Kind.CONCEALED) == 5
    assert statistics_delay(heard, packets[-1]) == pytest.approx(
        ((first + 1) * TICK - packets[0].arrives) * 1000
    )


# -- pauses -----------------------------------------------------------------------------------


def paused(first: int, second: int, gap_seconds: float, **kwargs: int) -> list[Sent]:
    """Two talkspurts; sequence numbers run on, timestamps tell the time."""
    packets = stream(first + second, **kwargs)
    for packet in packets[first:]:
        packet.arrives += gap_seconds
        packet.timestamp = (packet.timestamp + int(gap_seconds * 8000)) & 0xFFFFFFFF
    packets[first].marker = True
    return packets


@pytest.mark.parametrize("gap_seconds", [0.06, 0.1, 0.2, 0.5, 3.0, 20.0])
def test_a_pause_of_the_sender_is_silence_and_not_loss(gap_seconds: float) -> None:
    packets = paused(50, 50, gap_seconds)
    heard = Listener().hear(packets)
    assert np.array_equal(heard.received, samples(packets))
    statistics = heard.statistics
    assert (statistics.lost, statistics.late, statistics.restarts) == (0, 0, 0)
    assert heard.count(Kind.CONCEALED) <= 8 + 8
    assert statistics_delay(heard, packets[-1]) <= 85


def test_pauses_shorter_than_the_delay_are_kept() -> None:
    # 20 ms of audio every 100 ms: several pauses may be in the buffer at once.
    packets = stream(30)
    for packet in packets:
        packet.timestamp += packet.index * 640
        packet.arrives += packet.index * 0.08
    heard = Listener(JitterBank(settings=JitterSettings(200, 200, 200, concealment="silence")))
    heard.hear(packets)
    assert np.array_equal(heard.received, samples(packets))
    assert heard.statistics.lost == 0


@pytest.mark.parametrize("gap", [300, 400, 330])
def test_what_lies_before_a_pause_that_begins_within_a_frame_is_played(gap: int) -> None:
    spoken = stream(21, ptime=240)  # 31 frames and a half
    again = stream(
        30,
        sequence=1021,
        timestamp=5000 + 21 * 240 + gap,
        begins=0.005 + (21 * 240 + gap) / 8000,
        seed=2,
    )
    heard = Listener().hear(spoken + again)
    assert np.array_equal(heard.received, samples(spoken + again))
    assert heard.statistics.lost == 0
    assert heard.count(Kind.CONCEALED) <= 9  # eight where the stream ends
    first = heard.pcm.nonzero()[0][0]
    silent = heard.pcm[first + 21 * 240 :][:gap]
    assert not silent[: gap - FRAME].any()


def test_a_packet_from_before_a_pause_is_played_though_it_comes_after_it() -> None:
    packets = paused(50, 50, 0.06)
    packets[49].arrives += 0.09
    bank = JitterBank(settings=JitterSettings(200, 200, 200, concealment="silence"))
    heard = Listener(bank).hear(without(packets, 48))
    assert np.array_equal(heard.received, samples(without(packets, 48)))
    assert heard.statistics.lost == 1


@pytest.mark.parametrize("gap_seconds", [0.1, 1.0])
def test_what_looked_like_a_pause_and_was_none_leaves_no_trace(gap_seconds: float) -> None:
    # Longer packets begin, and the first two of them overtake each other: the second
    # seems to come after a pause, until the first fills it.
    short = stream(50, ptime=80)
    long = stream(20, ptime=320, sequence=1050, timestamp=9000, begins=0.505, seed=1)
    long[0].arrives = long[1].arrives + 0.001
    more = stream(
        20,
        ptime=320,
        sequence=1070,
        timestamp=9000 + 20 * 320 + int(gap_seconds * 8000),
        begins=0.505 + 0.8 + gap_seconds,
        seed=2,
    )
    bank = JitterBank(settings=JitterSettings(200, 200, 200, concealment="silence"))
    heard = Listener(bank).hear(short + long + more)
    assert np.array_equal(heard.received, samples(short + long + more))
    first, last = heard.kinds.index(Kind.PLAYED), 0
    for index, kind in enumerate(heard.kinds):
        last = index if kind == Kind.PLAYED else last
    # A pause that is known of in time is silence; one that is not is concealed at first.
    concealed = heard.kinds[first:last].count(Kind.CONCEALED)
    assert concealed == (0 if gap_seconds < 0.2 else 8)


def test_digits_between_audio_are_neither_loss_nor_concealed_for_long() -> None:
    before = stream(50)
    after = stream(50, sequence=1060, timestamp=5000 + 60 * FRAME, begins=1.205, seed=2)
    heard = Listener().hear(before, until=1.0)
    for index in range(10):
        heard.bank.put_other(heard.row, 1050 + index, SSRC, 1.005 + index * TICK)
        heard.take(1.02 + index * TICK)
        heard.ticks += 1
    heard.hear(after)
    assert np.array_equal(heard.received, samples(before + after))
    statistics = heard.statistics
    assert (statistics.lost, statistics.received) == (0, 110)
    assert heard.kinds[: heard.ticks - 30].count(Kind.CONCEALED) == 0


def test_a_sender_that_stops_is_concealed_briefly_and_then_silent() -> None:
    heard = Listener().hear(stream(50), until=3.0)
    assert heard.count(Kind.CONCEALED) == 8
    assert heard.kinds[-50:] == [Kind.SILENT] * 50
    assert heard.statistics.lost == 0
    assert heard.statistics.delay_ms == 0


def test_a_row_is_silent_before_its_first_packet() -> None:
    heard = Listener().hear([], until=0.5)
    assert heard.kinds == [Kind.SILENT] * 25
    assert not heard.pcm.any()
    assert heard.bank.reception(heard.row) is None


# -- restarts ---------------------------------------------------------------------------------


def test_a_change_of_source_is_followed_without_losing_audio() -> None:
    first = stream(50)
    second = stream(50, sequence=7, timestamp=99, begins=1.005, ssrc=0xBEEF, seed=3)
    heard = Listener().hear(first + second)
    assert np.array_equal(heard.received, samples(first + second))
    statistics = heard.statistics
    assert (statistics.ssrc_changes, statistics.lost, statistics.stray) == (1, 0, 0)
    assert statistics.received == 100
    counters = heard.bank.reception(heard.row)
    assert counters is not None
    assert (counters.ssrc, counters.received, counters.first_extended) == (0xBEEF, 50, 7)


def test_losses_of_an_earlier_source_stay_counted() -> None:
    first = without(stream(50), 10, 20)
    second = without(stream(50, sequence=7, begins=1.005, ssrc=0xBEEF), 30)
    heard = Listener().hear(first + second)
    assert heard.statistics.lost == 3


@pytest.mark.parametrize("jump", [10**9, -(10**9), 40_000, -40_000, -800, 2**31])
def test_a_jump_of_timestamps_is_followed_after_two_packets(jump: int) -> None:
    packets = stream(100)
    for packet in packets[50:]:
        packet.timestamp = (packet.timestamp + jump) & 0xFFFFFFFF
    heard = Listener().hear(packets)
    assert np.array_equal(heard.received, samples(packets))
    assert heard.statistics.restarts == 1
    assert heard.statistics.lost == 0


def test_a_marker_in_sequence_lets_a_jump_be_followed_at_once() -> None:
    packets = stream(51)
    packets[50].timestamp += 10**9
    packets[50].marker = True
    heard = Listener().hear(packets)
    assert np.array_equal(heard.received, samples(packets))


def test_a_marker_of_another_source_or_out_of_sequence_proves_nothing() -> None:
    packets = stream(100)
    forged = [
        Sent(-1, 1.001, 1050, 10**9, loud(FRAME, 8), 0xBAD, marker=True),
        Sent(-1, 1.101, 20_000, 10**9, loud(FRAME, 9), marker=True),
    ]
    heard = Listener().hear(packets + forged)
    assert np.array_equal(heard.received, samples(packets))
    assert heard.statistics.stray == 2
    assert heard.statistics.ssrc_changes == heard.statistics.restarts == 0


def test_a_straggler_from_before_a_pause_is_late_and_begins_nothing() -> None:
    packets = stream(50)
    packets[40].arrives = 1.6  # the row has stopped playing by then
    heard = Listener().hear(packets, until=3.0)
    assert heard.statistics.late == 1
    assert heard.statistics.lost == 0
    assert heard.kinds[-50:] == [Kind.SILENT] * 50
    more = stream(60, sequence=1050, timestamp=5000 + 8000 * 3, begins=3.005, seed=4)
    more[0].marker = True
    heard.hear(more)
    assert np.array_equal(heard.received[-60 * FRAME :], samples(more))


def test_a_jump_of_sequence_numbers_is_followed_after_two_packets() -> None:
    packets = stream(100)
    for packet in packets[50:]:
        packet.sequence = (packet.sequence + 30_000) & 0xFFFF
    heard = Listener().hear(packets)
    assert np.array_equal(heard.received, samples(packets))
    assert heard.statistics.restarts == 1
    assert heard.statistics.lost == 0


@pytest.mark.parametrize("ahead_seconds", [0.5, 0.9, 5.0, 3600.0])
def test_a_packet_from_the_future_changes_nothing(ahead_seconds: float) -> None:
    packets = stream(100)
    forged = Sent(-1, 1.0, 1050, (5000 + int((1 + ahead_seconds) * 8000)), loud(FRAME, 9))
    heard = Listener().hear([*packets, forged])
    assert np.array_equal(heard.received, samples(packets))
    assert heard.statistics.stray == 1
    assert heard.statistics.restarts == 0


def test_single_packets_of_another_source_are_put_aside() -> None:
    packets = stream(100)
    forged = [
        Sent(-1, 0.5 + index * 0.02, 40 + index, 160 * index, loud(FRAME, 9), 0xBAD)
        for index in range(20)
    ]
    heard = Listener().hear(packets + forged)
    assert np.array_equal(heard.received, samples(packets))
    assert heard.statistics.ssrc_changes == 0
    assert heard.statistics.stray == 20


def test_a_new_source_is_recognised_on_a_lossy_network() -> None:
    first = stream(50)
    second = stream(60, sequence=7, timestamp=99, begins=1.005, ssrc=0xBEEF, seed=3)
    heard = Listener().hear(first + second[::2])
    assert heard.statistics.ssrc_changes == 1
    assert heard.statistics.lost == 29


# -- delay ------------------------------------------------------------------------------------


def test_delay_grows_to_what_a_jittery_network_needs() -> None:
    rng = np.random.default_rng(4)
    packets = stream(1500, delay=lambda _: float(rng.gamma(1.2, 0.02)))
    for packet in packets[::2]:
        quiet_after([packet], 0)
    heard = Listener(JitterBank()).hear(packets)
    statistics = heard.statistics
    assert statistics.target_ms > 60
    assert statistics.late / statistics.received < 0.03


def test_delay_shrinks_again_where_it_is_quiet() -> None:
    rng = np.random.default_rng(5)
    rough = stream(500, delay=lambda _: float(rng.uniform(0, 0.12)))
    calm = quiet_after(stream(1000, sequence=1500, timestamp=5000 + 500 * FRAME, begins=10.005), 0)
    heard = Listener().hear(rough, until=10.0)
    assert heard.statistics.target_ms >= 100
    heard.hear(calm, until=29.9)
    assert heard.statistics.target_ms == pytest.approx(30)
    assert heard.statistics.delay_ms <= 56
    assert heard.statistics.dropped_frames >= 2


def test_delay_far_too_long_is_cut_in_speech_too() -> None:
    # One stall of 150 ms, then a perfect network and a caller who never pauses.
    packets = stream(600)
    for packet in packets[100:108]:
        packet.arrives = packets[108].arrives
    heard = Listener(JitterBank()).hear(packets, until=11.9)
    statistics = heard.statistics
    assert statistics.delay_ms <= statistics.target_ms + 60 + 20
    assert 0 < statistics.dropped_frames <= 6


def drifting(seconds: int, *, pauses: bool) -> tuple[list[JitterStatistics], float, float]:
    """Two callers, with a fast and a slow clock: statistics, least and most delay seen."""
    bank = JitterBank()
    rows = np.array([bank.open(Law.ULAW) for _ in range(2)])
    voice = loud(FRAME)
    hush = (np.frombuffer(voice, np.uint8) | 0x70).tobytes()
    pace = [TICK / (1 + 200e-6), TICK / (1 - 200e-6)]
    sent, delays = [0, 0], []
    for tick in range(1, seconds * 50):
        now = tick * TICK
        for row in (0, 1):
            while (due := 0.005 + sent[row] * pace[row]) <= now:
                index = sent[row]
                payload = hush if pauses and index % 100 > 60 else voice
                bank.put(row, index & 0xFFFF, index * FRAME, row, False, payload, due)
                sent[row] += 1
        bank.take(rows, now)
        if tick % 250 == 0:
            delays += [bank.statistics(0).delay_ms, bank.statistics(1).delay_ms]
    return [bank.statistics(0), bank.statistics(1)], min(delays), max(delays)


def test_a_drifting_clock_does_not_let_the_delay_run_away() -> None:
    statistics, least, most = drifting(250, pauses=True)
    assert least >= 20
    assert most <= 62
    assert statistics[0].dropped_frames >= 2
    assert statistics[1].inserted_frames >= 2
    assert [each.concealed_frames for each in statistics] == [0, 0]


def test_a_drifting_clock_without_any_pause_stays_within_bounds() -> None:
    statistics, _, most = drifting(250, pauses=False)
    assert most <= 30 + 60 + 20
    assert sum(each.late + each.lost for each in statistics) == 0
    assert max(each.concealed_frames for each in statistics) <= 4


@pytest.mark.parametrize("stall_seconds", [0.3, 0.9, 2.0, 5.0, 30.0])
def test_after_a_stall_of_our_own_there_is_no_lasting_delay(stall_seconds: float) -> None:
    packets = stream(int(50 * (8 + stall_seconds)))
    heard = Listener(JitterBank()).hear(packets[:200], until=4.0)
    before = heard.statistics
    resumed = 4.0 + stall_seconds
    waiting = [packet for packet in packets[200:] if packet.arrives <= resumed]
    for packet in waiting[:270]:  # what a socket's buffer holds
        heard.put(packet, resumed)
    heard.ticks = round(resumed / TICK)
    heard.kinds.clear()
    rest = packets[200 + len(waiting) :]
    heard.hear(rest, until=resumed + 3.0)
    after = heard.statistics
    assert after.delay_ms <= before.delay_ms + 5
    assert after.target_ms == pytest.approx(before.target_ms, abs=10)
    assert after.restarts == after.ssrc_changes == 0
    assert heard.kinds[-100:] == [Kind.PLAYED] * 100


def test_after_a_stall_of_the_network_there_is_no_lasting_delay() -> None:
    packets = stream(600)
    for packet in packets[200:300]:
        packet.arrives = packets[300].arrives
    heard = Listener(JitterBank()).hear(packets, until=11.9)
    assert heard.statistics.delay_ms <= 110
    assert heard.kinds[-100:].count(Kind.CONCEALED) == 0


def test_a_burst_of_everything_at_once_overflows_and_is_survived() -> None:
    packets = stream(400)
    for packet in packets[:300]:
        packet.arrives = packets[0].arrives
    heard = Listener(JitterBank()).hear(packets, until=7.9)
    assert heard.statistics.overflow > 200
    assert heard.kinds[-50:].count(Kind.PLAYED) >= 40


def test_a_payload_too_long_for_any_packet_is_thrown_away_and_counted() -> None:
    packets = stream(20)
    packets[10].payload = loud(3000)
    heard = Listener().hear(packets)
    assert np.array_equal(heard.received, samples(without(packets, 10)))
    assert (heard.statistics.overflow, heard.statistics.lost) == (1, 0)


def test_packets_for_a_bank_that_nobody_takes_from_are_absorbed_by_the_thousand() -> None:
    heard = Listener()
    for packet in stream(5000, ptime=80):
        heard.put(packet)
    assert len(heard.bank._pending) < 4096
    assert heard.statistics.received == 5000


def test_a_row_nobody_takes_from_stays_bounded_and_recovers() -> None:
    packets = stream(2000)
    heard = Listener(JitterBank())
    for packet in packets[:1500]:
        heard.put(packet)
    heard.ticks = 1500
    heard.hear(packets[1500:], until=39.9)
    assert heard.kinds[-200:] == [Kind.PLAYED] * 200
    assert heard.statistics.delay_ms <= 80


# -- statistics -------------------------------------------------------------------------------


def test_interarrival_jitter_is_that_of_rfc_3550() -> None:
    rng = np.random.default_rng(6)
    packets = stream(200, delay=lambda _: float(rng.uniform(0, 0.03)))
    packets.sort(key=lambda packet: packet.arrives)
    expected, before = 0.0, None
    for packet in packets:
        transit = packet.arrives * 8000 - packet.timestamp
        if before is not None:
            expected += (abs(transit - before) - expected) / 16
        before = transit
    heard = Listener().hear(packets)
    counters = heard.bank.reception(heard.row)
    assert counters is not None
    assert counters.jitter_units == pytest.approx(expected)
    assert heard.statistics.jitter_ms == pytest.approx(expected / 8)


def test_jitter_is_the_same_when_packets_come_in_one_batch() -> None:
    rng = np.random.default_rng(7)
    packets = stream(40, delay=lambda _: float(rng.uniform(0, 0.015)))
    one, many = Listener(), Listener()
    one.hear(packets)
    for packet in packets:
        many.put(packet)
    first, second = one.bank.reception(one.row), many.bank.reception(many.row)
    assert first is not None
    assert second is not None
    assert first.jitter_units == pytest.approx(second.jitter_units)


def test_a_reset_row_begins_anew_with_the_same_law() -> None:
    packets = stream(50)
    heard = Listener(law=Law.ALAW).hear(packets)
    heard.bank.reset(heard.row)
    assert heard.statistics.received == 0
    heard.frames.clear()
    later = stream(50, begins=heard.ticks * TICK, sequence=3, timestamp=77, seed=5)
    heard.hear(later)
    assert np.array_equal(heard.received, samples(later, Law.ALAW))


# -- rows -------------------------------------------------------------------------------------


def test_a_bank_grows_and_rows_keep_what_they_hold() -> None:
    bank = JitterBank(settings=EXACT, capacity=1)
    heard = Listener(bank)
    packets = stream(100)
    heard.hear(packets[:50], until=1.0)
    others = [bank.open(Law.ULAW) for _ in range(40)]
    assert len({heard.row, *others}) == 41 == len(bank)
    heard.hear(packets[50:])
    assert np.array_equal(heard.received, samples(packets))


def test_a_row_opened_again_remembers_nothing() -> None:
    heard = Listener().hear(stream(50), until=1.0)
    heard.put(stream(60)[-1])
    heard.bank.close(heard.row)
    again = Listener(heard.bank)
    assert again.row == heard.row
    assert again.statistics == Listener().statistics
    again.hear([], until=0.3)
    assert not again.pcm.any()


def test_using_a_row_that_is_not_open_is_an_error() -> None:
    bank = JitterBank()
    row = bank.open(Law.ULAW)
    bank.close(row)
    for use in (
        lambda: bank.close(row),
        lambda: bank.reset(row),
        lambda: bank.set_law(row, Law.ALAW),
        lambda: bank.put(row, 0, 0, 0, False, b"", 0.0),
        lambda: bank.put_other(-1, 0, 0, 0.0),
        lambda: bank.statistics(row),
        lambda: bank.reception(1000),
        lambda: bank.take(np.array([row]), 0.0),
    ):
        with pytest.raises(UsageError):
            use()


def test_taking_from_no_rows_gives_no_frames() -> None:
    taken = JitterBank().take(np.zeros(0, np.intp), 1.0)
    assert taken.pcm.shape == (0, FRAME)
    assert taken.kind.shape == (0,)


@pytest.mark.parametrize(
    "settings",
    [
        {"min_ms": 10},
        {"min_ms": 80},
        {"start_ms": 300},
        {"quantile": 1.0},
        {"forget": 0.0},
        {"max_ms": 400},
        {"concealment": "magic"},
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, float | str]) -> None:
    with pytest.raises(UsageError):
        JitterBank(settings=JitterSettings(**settings))  # type: ignore[arg-type]


def test_a_source_that_changes_at_every_other_packet_is_not_followed_for_ever() -> None:
    heard = Listener()
    packets = [
        Sent(-1, 0.0, index, index * FRAME, loud(FRAME), ssrc=index // 2) for index in range(400)
    ]
    for packet in packets:
        heard.put(packet)
    assert heard.statistics.ssrc_changes <= 4
    assert heard.statistics.overflow > 300
    good = stream(100, begins=0.105, ssrc=SSRC)
    heard.ticks = 5
    heard.hear(good)
    assert np.array_equal(heard.received[-50 * FRAME :], samples(good[-50:]))


# -- hostile input ----------------------------------------------------------------------------

garbage = st.tuples(
    st.integers(0, 65535),
    st.one_of(st.integers(0, 2**32 - 1), st.integers(0, 4000)),
    st.integers(0, 2),
    st.booleans(),
    st.one_of(st.sampled_from([0, 1, 80, 160, 161, 240, 1400, 3000]), st.integers(0, 500)),
    st.floats(0, 0.05),
)


@given(st.lists(garbage, max_size=120), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_no_packet_whatever_makes_a_bank_raise_or_speak_out_of_range(
    packets: list[tuple[int, int, int, bool, int, float]], seed: int
) -> None:
    bank = JitterBank()
    row, now = bank.open(Law(seed & 1)), 0.0
    noise = loud(3000, seed)
    for sequence, timestamp, ssrc, marker, size, elapsed in packets:
        now += elapsed
        bank.put(row, sequence, timestamp, ssrc, marker, noise[:size], now)
        if seed >> 3 & 1 or elapsed > 0.02:
            taken = bank.take(np.array([row]), now)
            assert taken.pcm.min() > -32768
    statistics = bank.statistics(row)
    assert min(statistics.lost, statistics.late, statistics.stray, statistics.received) >= 0


@dataclass(frozen=True, slots=True)
class Network:
    """A generated way from sender to receiver."""

    loss: float
    duplicates: float
    spread_ms: float
    seed: int
    ptime: int

    def carry(self, packets: list[Sent]) -> list[Sent]:
        rng = np.random.default_rng(self.seed)
        arrived: list[Sent] = []
        for packet in packets:
            packet.arrives += float(rng.uniform(0, self.spread_ms / 1000))
            if rng.random() < self.loss:
                continue
            arrived.append(packet)
            if rng.random() < self.duplicates:
                arrived.append(packet)
        return arrived


networks = st.builds(
    Network,
    loss=st.sampled_from([0.0, 0.02, 0.1, 0.4]),
    duplicates=st.sampled_from([0.0, 0.1]),
    spread_ms=st.sampled_from([0.0, 5.0, 30.0, 90.0]),
    seed=st.integers(0, 10**6),
    ptime=st.sampled_from([80, 160, 160, 240, 320, 480]),
)


@given(networks)
@settings(max_examples=30, deadline=None)
def test_every_packet_in_time_comes_out_once_in_order_and_bit_exact(network: Network) -> None:
    sent = stream(160, ptime=network.ptime, seed=network.seed)
    heard = Listener().hear(network.carry(sent))
    received, at, played = heard.received, 0, 0
    # Whatever came out is packets, whole or without what was too late of them, in order.
    for packet in sent:
        pcm = packet.pcm()
        size = common_tail(pcm, received[at : at + len(pcm)])
        at += size
        played += size == len(pcm)
    assert at == len(received)
    statistics = heard.statistics
    assert statistics.dropped_frames == statistics.overflow == 0
    arrived = statistics.received - statistics.duplicate
    assert arrived - statistics.late - played <= partly_late(network)
    assert statistics.lost + arrived <= len(sent)


def common_tail(pcm: NDArray[np.int16], received: NDArray[np.int16]) -> int:
    """How many samples at the end of a packet the next received ones are."""
    for size in range(len(pcm), 0, -1):
        if size <= len(received) and np.array_equal(pcm[-size:], received[:size]):
            # A chance match of a few samples is none.
            return size if size >= 8 else 0
    return 0


def partly_late(network: Network) -> int:
    """Packets of other lengths than a frame may be late in part."""
    return 0 if network.ptime == FRAME else 160


# An example has thousands of packets, all from its seed: shrinking it takes minutes and tells
# nothing.
@given(networks, st.integers(0, 10**6))
@settings(max_examples=5, deadline=None, phases=[Phase.explicit, Phase.generate])
@example(Network(0.4, 0.1, 30.0, 9, 160), 9)
@example(Network(0.1, 0.0, 5.0, 30, 240), 30)
@example(Network(0.4, 0.0, 90.0, 64, 480), 64)
def test_a_row_plays_the_same_alone_and_among_hostile_neighbours(
    network: Network, seed: int
) -> None:
    packets = network.carry(stream(100, ptime=network.ptime, seed=network.seed))
    packets.sort(key=lambda packet: packet.arrives)
    alone = Listener(JitterBank()).hear(packets, until=2.6)
    rng = np.random.default_rng(seed)
    bank = JitterBank(capacity=4)
    neighbours = [bank.open(Law(int(rng.integers(2)))) for _ in range(12)]
    among = Listener(bank)
    neighbours += [bank.open(Law(int(rng.integers(2)))) for _ in range(12)]
    rows = np.array([*neighbours[:12], among.row, *neighbours[12:]])
    at = 0
    for tick in range(1, 131):
        now = tick * TICK
        for row in rng.choice(neighbours, 30).tolist():
            abuse(bank, row, rng, now)
        while at < len(packets) and packets[at].arrives <= now:
            among.put(packets[at])
            abuse(bank, neighbours[at % 24], rng, now)
            at += 1
        taken = bank.take(rows, now)
        among.frames.append(taken.pcm[12])
        among.kinds.append(int(taken.kind[12]))
    assert among.kinds == alone.kinds
    assert np.array_equal(among.pcm, alone.pcm)
    assert among.statistics == alone.statistics


@given(networks, st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_it_makes_no_difference_which_packets_are_filed_together(
    network: Network, seed: int
) -> None:
    packets = network.carry(stream(60, ptime=network.ptime, seed=network.seed))
    rng = np.random.default_rng(seed)
    together, apart = Listener(JitterBank()), Listener(JitterBank())
    others = [[each.bank.open(Law.ULAW) for _ in range(6)] for each in (together, apart)]
    for tick in range(1, 100):
        now = tick * TICK
        arrived = [packet for packet in packets if now - TICK < packet.arrives <= now]
        for packet in sorted(arrived, key=lambda packet: packet.arrives):
            together.put(packet)
            apart.put(packet)
            if rng.random() < 0.7:
                apart.bank.statistics(apart.row)
        for each, rows in ((together, others[0]), (apart, others[1])):
            for row in rows:
                each.bank.put(row, tick, tick * FRAME, 1, False, bytes(FRAME), now)
            each.take(now)
    assert together.kinds == apart.kinds
    assert np.array_equal(together.pcm, apart.pcm)
    assert together.statistics == apart.statistics


@pytest.mark.parametrize("neighbours", [0, 1, 8])
def test_a_packet_next_in_order_is_late_after_its_time_whatever_else_arrives(
    neighbours: int,
) -> None:
    # A packet is lost but for its last 20 samples; 10 of them come in time, 10 do not.
    end = 5000 + 20 * FRAME
    first = Sent(-1, 0.405, 1020, end - 20, loud(10))
    second = Sent(-1, 0.505, 1021, end - 10, loud(10))
    heard = Listener()
    others = [heard.bank.open(Law.ULAW) for _ in range(neighbours)]
    heard.hear([*stream(19), first], until=0.5)
    for row in others:
        heard.bank.put(row, 7, 7, 7, False, b"", 0.505)
    heard.hear([second])
    assert heard.statistics.late == 1


def abuse(bank: JitterBank, row: int, rng: np.random.Generator, now: float) -> None:
    """One packet of a neighbour: sometimes plausible, sometimes not."""
    tick = round(now / TICK)
    honest = rng.random() < 0.6
    bank.put(
        row,
        tick if honest else int(rng.integers(65536)),
        tick * FRAME if honest else int(rng.integers(2**32)),
        5 if honest else int(rng.integers(3)),
        bool(rng.random() < 0.1),
        rng.bytes(FRAME if honest else int(rng.integers(0, 700))),
        now + float(rng.uniform(-0.02, 0.02)),
    )


# -- traces -----------------------------------------------------------------------------------


def trace(kind: str, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Network delay of each packet in ms, over the fastest possible."""
    if kind == "good":
        return np.abs(rng.normal(0, 3, count))
    if kind == "wifi":
        delay = rng.gamma(1.2, 10, count)
        spike = 0.0
        for index in range(count):
            spike = spike * 0.6 + (rng.uniform(40, 120) if rng.random() < 0.01 else 0)
            delay[index] += spike
        return delay
    delay = np.abs(rng.normal(0, 4, count))
    if kind == "bursty":
        for index in np.flatnonzero(rng.random(count) < 0.006):
            size = min(count - index, int(rng.uniform(3, 9)))
            stall = delay[index] + 20 * (size - np.arange(size))
            delay[index : index + size] = np.maximum(delay[index : index + size], stall)
    if kind == "step":
        delay[count // 2 :] += 60
    return delay


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a caller on a trace experienced."""

    added_ms: float
    """Mean time from a packet's arrival to the tick that took it, of packets played."""
    over_fastest_ms: float
    """Mean delay over the fastest packet of the call: network jitter and buffer."""
    final_ms: float
    never_played: float
    concealed: float
    changed: float


def outcome(kind: str, *, seconds: int = 60, callers: int = 16, loss: float = 0.02) -> Outcome:
    """Many callers on one kind of network: 1.2 s of noise, 0.8 s of near silence, and so on."""
    rng = np.random.default_rng(8)
    bank, count = JitterBank(), seconds * 50
    rows = np.array([bank.open(Law.ULAW) for _ in range(callers)])
    ppm = np.linspace(-200, 200, callers) if kind == "drift" else np.zeros(callers)
    arrivals: list[tuple[float, int, int]] = []
    for row in rows.tolist():
        delay = trace(kind, count, rng)
        sends = np.arange(count) * TICK * (1 + ppm[row] / 1e6) + rng.uniform(0, TICK)
        kept = rng.random(count) >= loss
        at = (sends + delay / 1000).tolist()
        arrivals += [(at[index], row, index) for index in np.flatnonzero(kept).tolist()]
    arrivals.sort()
    came = np.full((callers, count), np.nan)
    for time, row, index in arrivals:
        came[row, index] = time
    # A row's positions count from the packet that arrived first, while nothing restarts.
    first = np.nanargmin(came, axis=1)
    fastest = (np.nanmin(came - np.arange(count) * TICK * (1 + ppm[:, None] / 1e6), axis=1))[rows]
    voice = [loud(FRAME, index) for index in range(10)]
    hush = [(np.frombuffer(noise, np.uint8) | 0x70).tobytes() for noise in voice]
    kinds, added, whole, at = np.zeros(4, int), [], [], 0
    for tick in range(1, count + 1):
        now = tick * TICK
        while at < len(arrivals) and arrivals[at][0] <= now:
            time, row, index = arrivals[at]
            noise = voice if (index + 13 * row) % 100 < 60 else hush
            bank.put(row, index & 0xFFFF, index * FRAME, row, False, noise[index % 10], time)
            at += 1
        taken = bank.take(rows, now).kind
        kinds += np.bincount(taken, minlength=4)
        played = rows[taken == Kind.PLAYED]
        if tick > 100 and played.size:
            index = bank._state.read[played] // FRAME - 1 + first[played]
            added.append(now - came[played, index])
            sent = index * TICK * (1 + ppm[played] / 1e6)
            whole.append(now - sent - fastest[played])
    statistics = [bank.statistics(row) for row in rows.tolist()]
    assert sum(each.restarts + each.stray for each in statistics) == 0
    waits = np.concatenate(added)
    assert not np.isnan(waits).any()
    assert waits.min() >= 0
    return Outcome(
        added_ms=float(waits.mean()) * 1000,
        over_fastest_ms=float(np.concatenate(whole).mean()) * 1000,
        final_ms=float(np.mean([each.delay_ms for each in statistics])),
        never_played=sum(each.lost + each.late for each in statistics) / (count * callers),
        concealed=float(kinds[Kind.CONCEALED] / kinds.sum()),
        changed=float(kinds[Kind.STRETCHED] / kinds.sum()),
    )


@pytest.mark.parametrize(
    ("kind", "added_ms", "never_played"),
    [("good", 50, 0.022), ("wifi", 80, 0.04), ("bursty", 80, 0.03), ("drift", 50, 0.022)],
)
def test_added_delay_and_losses_are_small_on_each_kind_of_network(
    kind: str, added_ms: float, never_played: float
) -> None:
    result = outcome(kind, seconds=30, callers=8)
    assert result.added_ms <= added_ms
    assert result.never_played <= never_played
    assert result.changed <= 0.03


if __name__ == "__main__":
    print("trace    added  over fastest  at end  never played  concealed  changed")
    for name in ("good", "wifi", "bursty", "drift", "step"):
        each = outcome(name)
        print(
            f"{name:8} {each.added_ms:5.1f}  {each.over_fastest_ms:12.1f}  {each.final_ms:6.1f}"
            f"  {each.never_played:12.2%}  {each.concealed:9.2%}  {each.changed:7.2%}"
        )
