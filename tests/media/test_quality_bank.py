"""The quality bank finds what a generating link did to the packets, and what the audio was."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from trunkline.errors import UsageError
from trunkline.media.burst_gap import BurstGap
from trunkline.media.g711 import Law
from trunkline.media.jitter import JitterBank
from trunkline.media.quality_bank import DELAY_NAMES, HEARD, SENT, QualityBank, StreamQuality
from trunkline.media.quality_levels import BUCKETS

FRAME, TICK = 160, 0.02
CODES = bytes(range(160))


def send(
    came: NDArray[np.float64],
    *,
    rows: int = 1,
    settle_every: int = 50,
    first: int = 65_500,
    look_every: int = 1,
    ppm: float = 0.0,
) -> QualityBank:
    """Send packets that take so long, in seconds (NaN: never), on each of some rows.

    Numbers begin short of where they wrap. The sender's clock is ``ppm`` fast.
    """
    jitter = JitterBank(8000, capacity=rows)
    bank = QualityBank(8000, jitter, capacity=1)
    sources = np.array([jitter.open(Law.ULAW) for _ in range(rows)])
    own = np.array([bank.open(int(source)) for source in sources])
    step = TICK / (1 + ppm / 1e6)
    arrivals = sorted(
        (number * step + delay, number) for number, delay in enumerate(came) if not np.isnan(delay)
    )
    at, now = 0, 0.0
    for tick in range(len(came) + 30):
        now = tick * TICK
        while at < len(arrivals) and arrivals[at][0] <= now:
            arrived, number = arrivals[at]
            for source in sources.tolist():
                jitter.put(
                    source, first + number & 0xFFFF, number * FRAME & 0xFFFFFFFF, 7, False,
                    CODES, arrived,
                )  # fmt: skip
            at += 1
        jitter.take(sources, now)
        if tick % look_every == 0:
            bank.look_delays(own, sources)
        if tick % settle_every == settle_every - 1:
            bank.settle(own, now)
    bank.packets = jitter  # type: ignore[attr-defined]
    return bank


def truth(lost: Sequence[bool]) -> BurstGap:
    follows = BurstGap()
    for each in lost:
        (follows.lost if each else follows.received)()
    return follows


def gilbert(count: int, share: float, mean_run: float, seed: int) -> NDArray[np.bool_]:
    """Losses of a two-state chain; the first and the last packet always come."""
    rng = np.random.default_rng(seed)
    leave = 1 / mean_run
    enter = share * leave / (1 - share)
    lost, state = np.zeros(count, np.bool_), False
    for index in range(1, count - 1):
        state = rng.random() < (1 - leave if state else enter)
        lost[index] = state
    return lost


def quality(bank: QualityBank, row: int = 0) -> StreamQuality:
    return bank.stream(row, last=True)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.05, 0.2])
@pytest.mark.parametrize("mean_run", [1.3, 4.0])
@pytest.mark.parametrize("settle_every", [10, 50, 100])
def test_losses_bursts_and_gaps_are_those_of_the_link(
    share: float, mean_run: float, settle_every: int
) -> None:
    lost = gilbert(1500, share, mean_run, seed=3)
    bank = send(np.where(lost, np.nan, 0.03), settle_every=settle_every)
    found, expected = quality(bank).pattern, truth(lost.tolist()).statistics()
    assert found == expected


def test_the_newest_packets_are_left_until_more_of_them_may_not_come() -> None:
    came = np.full(100, 0.03)
    came[90] = 0.15  # overtaken by six others
    bank = send(came)
    row = bank.stream(0)
    assert row.pattern.lost == 0
    assert row.pattern.packets <= 100 - 16 + 30
    assert quality(bank).pattern.packets == 100


def test_packets_that_came_too_late_count_as_lost_in_their_place() -> None:
    came = np.full(400, 0.02)
    came[[200, 201, 203]] = 0.5
    bank = send(came)
    jitter = bank.packets  # type: ignore[attr-defined]
    assert jitter.statistics(0).late == 3
    assert jitter.statistics(0).lost == 0
    expected = [index in (200, 201, 203) for index in range(400)]
    assert quality(bank).pattern == truth(expected).statistics()


def test_runs_of_losses_are_counted_by_length() -> None:
    lost = np.zeros(600, np.bool_)
    for start, length in ((50, 1), (100, 1), (150, 2), (200, 7), (300, 30)):
        lost[start : start + length] = True
    bank = send(np.where(lost, np.nan, 0.03))
    assert quality(bank).runs == (2, 1, 0, 0, 1, 0, 1, 0)


def test_an_outage_longer_than_the_numbers_that_are_remembered_is_one_loss() -> None:
    lost = np.zeros(1200, np.bool_)
    lost[300:900] = True
    bank = send(np.where(lost, np.nan, 0.03))
    found = quality(bank)
    assert abs(found.pattern.lost - 600) <= 1
    assert found.runs[-1] == 1


def test_a_stream_whose_numbers_begin_anew_keeps_what_was_counted() -> None:
    jitter = JitterBank(8000, capacity=1)
    bank = QualityBank(8000, jitter)
    source = jitter.open(Law.ULAW)
    row = bank.open(source)
    rows = np.array([row])
    for tick in range(300):
        now = tick * TICK
        begins = tick >= 150
        number = tick + 30_000 * begins
        if tick not in (20, 21, 22, 200):
            jitter.put(source, number, number * FRAME, 1 + begins, False, CODES, now)
        jitter.take(np.array([source]), now)
        if tick % 50 == 0:
            bank.settle(rows, now)
    found = quality(bank, row).pattern
    statistics = jitter.statistics(source)
    assert (found.lost, statistics.lost) == (4, 4)
    assert abs(found.packets - 300) <= 1


def test_delay_over_the_fastest_packet_is_that_of_the_link() -> None:
    rng = np.random.default_rng(5)
    extra = rng.choice([0.0, 0.007, 0.015, 0.03], 3000, p=[0.4, 0.3, 0.2, 0.1])
    extra[:3] = 0.0
    # On a grid as fine as that of the arrivals no two come within a tick out of order.
    bank = send(0.001 + extra)
    delays = np.array(quality(bank).delays)
    assert delays.sum() > 1500
    share = delays / delays.sum()
    assert share[DELAY_NAMES.index("80-160") :].sum() == 0
    # Looked at once a tick; of two that came in one tick the earlier is not seen.
    assert share[:4] == pytest.approx([0.4, 0.3, 0.2, 0.1], abs=0.12)


def test_a_steady_link_has_all_its_packets_in_the_first_bucket() -> None:
    bank = send(np.full(500, 0.03))
    found = quality(bank)
    assert sum(found.delays[1:]) == 0
    assert found.delays[0] == 500
    assert found.jitter_most_ms == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("ppm", [-100.0, 0.0, 60.0])
def test_the_drift_of_the_clocks_is_found(ppm: float) -> None:
    rng = np.random.default_rng(2)
    bank = send(0.03 + rng.gamma(1.0, 0.002, 6000), ppm=ppm)
    drift = quality(bank).drift_ppm
    assert drift is not None
    assert drift == pytest.approx(ppm, abs=6)


def test_no_drift_is_said_of_a_short_call() -> None:
    bank = send(np.full(500, 0.03), ppm=500)
    assert quality(bank).drift_ppm is None


def test_rows_do_not_touch_each_other_and_the_bank_grows() -> None:
    lost = gilbert(500, 0.1, 2, seed=9)
    bank = send(np.where(lost, np.nan, 0.03), rows=5)
    expected = truth(lost.tolist()).statistics()
    assert [quality(bank, row).pattern for row in range(5)] == [expected] * 5
    bank.close(2)
    with pytest.raises(UsageError):
        bank.close(2)
    with pytest.raises(UsageError):
        bank.stream(2)
    assert bank.open() == 2
    assert bank.stream(2).pattern.packets == 0
    assert bank.levels(2, HEARD).frames == 0


def tone(dbov: float, frames: int) -> NDArray[np.int16]:
    """A sine of so many dBov (RMS), in frames."""
    t = np.arange(frames * FRAME)
    amplitude = 32768 * 10 ** (dbov / 20) * 2**0.5
    wave = np.clip(np.rint(amplitude * np.sin(2 * np.pi * 440 * t / 8000)), -32767, 32767)
    return wave.astype(np.int16).reshape(-1, FRAME)


@pytest.mark.parametrize("dbov", [-10.0, -26.4, -49.0])
def test_the_level_of_a_tone_is_its_level(dbov: float) -> None:
    bank = QualityBank(8000, JitterBank(8000, capacity=1))
    rows = np.array([bank.open()])
    for number, frame in enumerate(tone(dbov, 100)):
        bank.look(rows, frame[np.newaxis], HEARD, number * TICK)
    levels = bank.levels(0, HEARD)
    assert levels.frames == 100
    assert levels.level_dbov == pytest.approx(dbov, abs=0.6)
    assert levels.speech_dbov == pytest.approx(dbov, abs=0.6)
    assert levels.silence == 0
    assert bank.levels(0, SENT).frames == 0


def test_speech_level_leaves_pauses_out_and_noise_is_what_they_have() -> None:
    bank = QualityBank(8000, JitterBank(8000, capacity=1))
    rows = np.array([bank.open()])
    speech, noise = tone(-26, 40), tone(-62, 60)
    for number, frame in enumerate(np.concatenate([speech, noise])):
        bank.look(rows, frame[np.newaxis], SENT, number * TICK)
    levels = bank.levels(0, SENT)
    assert levels.speech_dbov == pytest.approx(-26, abs=0.6)
    assert levels.level_dbov == pytest.approx(-30, abs=0.6)
    assert levels.noise_dbov == pytest.approx(-62, abs=1.1)
    assert levels.silence == pytest.approx(0.6)
    assert bank.loud_at[0].tolist() == [-np.inf, 39 * TICK]


def test_clipped_frames_are_counted_and_loud_ones_are_not() -> None:
    bank = QualityBank(8000, JitterBank(8000, capacity=1))
    rows = np.array([bank.open(), bank.open()])
    clipped = np.clip(tone(-3, 10).astype(np.int32) * 3, -32767, 32767).astype(np.int16)
    for loud, too_loud in zip(tone(-4, 10), clipped, strict=True):
        bank.look(rows, np.stack([loud, too_loud]), HEARD, 0.0)
    assert bank.levels(0, HEARD).clipped == 0
    assert bank.levels(1, HEARD).clipped == 1


def test_silence_without_a_frame_is_silence() -> None:
    bank = QualityBank(8000, JitterBank(8000, capacity=1))
    rows = np.array([bank.open()])
    bank.look_silent(rows, SENT)
    levels = bank.levels(0, SENT)
    assert (levels.frames, levels.silence, levels.level_dbov) == (1, 1.0, None)
    histogram, _ = bank.histogram(0, SENT)
    assert histogram[BUCKETS - 1] == 1
