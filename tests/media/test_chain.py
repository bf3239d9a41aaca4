"""The chain of one call: audio in, audio out, the echo's reference, figures and health."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.errors import UsageError
from trunkline.media import Chain, ChainSettings, StreamResampler

from .echo_calls import echo_of, speechlike

RATE = 8000
FRAME = 160
TICK = 0.02


def plain(**changes: object) -> ChainSettings:
    """Only what is asked for."""
    given: dict[str, object] = {
        "enable_echo_cancellation": False,
        "enable_noise_reduction": False,
        "enable_jitter_buffer": False,
    }
    return ChainSettings(**(given | changes))  # type: ignore[arg-type]


def ramp(first: int, samples: int = FRAME) -> np.ndarray:
    return np.arange(first, first + samples, dtype=np.int16)


def noise(seed: int, frames: int, level: float = 2000) -> np.ndarray:
    audio = np.random.default_rng(seed).normal(0, level, (frames, FRAME))
    return audio.astype(np.int16)


def levels(frames: list[np.ndarray]) -> float:
    power = np.mean(np.square(np.concatenate(frames).astype(np.float64)))
    return float(10 * np.log10(power + 1e-3))


# What comes


def test_a_chain_has_every_stage_by_default_at_16_khz() -> None:
    chain = Chain()
    assert (chain.rate_hz, chain.frame_samples) == (16_000, 320)
    assert chain.delay_ms == 20
    assert chain.input.capacity == chain.output.capacity == 25
    assert chain.metrics().jitter is not None
    assert chain.health().healthy


def test_with_everything_off_audio_is_what_it_was() -> None:
    chain = Chain(RATE, plain())
    for number in range(3):
        out = chain.process_input(ramp(number), number, number * TICK)
        assert out is not None
        assert np.array_equal(out, ramp(number))
    chunks = [chain.read_input(0.1) for _ in range(4)]
    assert [None if c is None else int(c.audio[0]) for c in chunks] == [0, 1, 2, None]
    assert chunks[0] is not None
    assert chunks[0].latency_ms == pytest.approx(100)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_audio_comes_back_as_it_was_given(dtype: type) -> None:
    chain = Chain(RATE)
    pcm = noise(1, 40)
    made = []
    for number, frame in enumerate(pcm):
        audio = frame if dtype is np.int16 else (frame / 32768).astype(np.float32)
        out = chain.process_input(audio, number, number * TICK)
        if out is not None:
            assert out.dtype == dtype
            made.append(out)
    assert 30 < len(made) < 40
    chunk = chain.read_input(40 * TICK)
    assert chunk is not None
    assert chunk.audio.dtype == dtype


def test_packets_are_put_in_order() -> None:
    chain = Chain(RATE, plain(enable_jitter_buffer=True))
    order = [0, 2, 1, 3, 5, 4, *range(6, 20)]
    got = []
    for tick, number in enumerate(order):
        out = chain.process_input(np.full(FRAME, number + 1, np.int16), number, tick * TICK)
        if out is not None:
            got.extend(out[::FRAME].tolist())
    assert got == list(range(1, len(got) + 1))
    assert len(got) > 10
    assert chain.metrics().jitter is not None
    assert chain.metrics().jitter.reordered == 2  # type: ignore[union-attr]


def test_packets_may_wrap_and_may_have_no_number() -> None:
    for numbers in ([65_530 + index & 0xFFFF for index in range(20)], [None] * 20):
        chain = Chain(RATE, plain(enable_jitter_buffer=True, jitter_buffer_target_ms=40))
        got = []
        for tick, number in enumerate(numbers):
            out = chain.process_input(np.full(FRAME, tick + 1, np.int16), number, tick * TICK)
            if out is not None:
                got.extend(out[::FRAME].tolist())
        assert got == list(range(1, len(got) + 1))
        assert chain.metrics().loss_rate == 0


def test_packets_of_any_length_are_taken_with_their_timestamps() -> None:
    chain = Chain(RATE, plain(enable_jitter_buffer=True, jitter_buffer_target_ms=40))
    audio = np.arange(1, 4801, dtype=np.int16)
    got = []
    for number, start in enumerate(range(0, 4800, 480)):
        out = chain.process_input(
            audio[start : start + 480], number, number * 0.06, timestamp=90_000 + start
        )
        if out is not None:
            got.append(out)
    heard = np.concatenate(got)
    assert heard.size % FRAME == 0
    assert np.array_equal(heard, audio[: heard.size])
    metrics = chain.metrics()
    assert (metrics.padded, metrics.truncated) == (0, 0)


def test_audio_of_another_length_is_padded_or_cut_and_counted() -> None:
    for jitter in (False, True):
        chain = Chain(RATE, plain(enable_jitter_buffer=jitter))
        for number, size in enumerate((FRAME, 100, 0, 400)):
            out = chain.process_input(np.ones(size, np.int16), number, number * TICK)
            assert out is None or out.size % FRAME == 0
        metrics = chain.metrics()
        assert (metrics.padded, metrics.truncated) == (2, 1)


def test_a_lost_packet_is_concealed_when_nothing_comes() -> None:
    chain = Chain(RATE, plain(enable_jitter_buffer=True))
    wave = (8000 * np.sin(2 * np.pi * 200 * np.arange(FRAME * 30) / RATE)).astype(np.int16)
    for number in range(20):
        frame = wave[number * FRAME : (number + 1) * FRAME]
        if number != 15:
            chain.process_input(frame, number, number * TICK)
    chain.advance(20 * TICK)
    metrics = chain.metrics()
    assert metrics.jitter is not None
    assert metrics.jitter.concealed_frames == 1
    assert metrics.loss_rate == pytest.approx(0.05, abs=0.01)
    assert metrics.input.written == metrics.stages.frames - 4


def test_the_clock_makes_frames_without_packets() -> None:
    chain = Chain(RATE, plain(enable_jitter_buffer=True))
    assert chain.advance(5.0) == 0
    chain.process_input(ramp(1), 0, 10.0)
    assert chain.advance(10.0) == 0
    assert chain.advance(10.2) > 3
    assert chain.advance(10.2) == 0
    assert chain.advance(9.0) == 0
    assert chain.read_input(10.2) is not None


def test_after_a_stall_what_is_old_is_skipped_and_the_delay_goes_back() -> None:
    chain = Chain(RATE, plain(enable_jitter_buffer=True))
    for number in range(50):
        chain.process_input(ramp(number), number, number * TICK)
    for number in range(500, 560):
        chain.process_input(ramp(number), number, number * TICK)
    metrics = chain.metrics()
    assert metrics.skipped > 400
    assert metrics.jitter is not None
    assert metrics.jitter.delay_ms < 120
    assert len(chain.input) <= chain.input.capacity


def test_who_reads_a_frame_a_tick_gets_over_a_short_stall() -> None:
    chain = Chain(RATE, plain(enable_jitter_buffer=True))
    latency = []
    for number in range(300):
        now = number * TICK
        chain.process_input(ramp(number), number, now)
        if not 100 <= number < 112:
            chain.read_input(now)
        latency.append(chain.metrics().input.buffered_ms)
    assert max(latency) >= 220
    assert max(latency[220:]) <= 40
    assert 9 <= chain.metrics().skipped <= 13


def test_who_reads_all_there_is_now_and_then_loses_nothing() -> None:
    chain = Chain(RATE, plain(enable_jitter_buffer=True))
    read = 0
    for number in range(600):
        chain.process_input(ramp(number), number, number * TICK)
        while number % 20 == 19 and chain.read_input(number * TICK) is not None:
            read += 1
    assert chain.metrics().skipped == 0
    assert read > 580


def test_noise_is_learnt_from_what_is_said_to_be_noise() -> None:
    for jitter in (False, True):
        learnt = Chain(RATE, plain(enable_noise_reduction=True, enable_jitter_buffer=jitter))
        quiet = []
        for number, frame in enumerate(noise(3, 100)):
            out = learnt.process_input(frame, number, number * TICK, is_speech=False)
            if out is not None and number > 60:
                quiet.append(out)
        assert levels(quiet) < levels(list(noise(3, 100))) - 10
        assert learnt.metrics().stages.noise_dbov == pytest.approx(-24, abs=3)


def test_noise_is_learnt_only_when_the_frame_heard_is_the_one_spoken_of() -> None:
    chain = Chain(RATE, plain(enable_noise_reduction=True, enable_jitter_buffer=True))
    for number, frame in enumerate(noise(3, 60)):
        chain.process_input(frame, number, number * TICK, is_speech=True)
    before = chain.metrics().stages.noise_dbov
    loud = noise(4, 3, level=12_000)
    for number, frame in enumerate(loud, start=60):
        chain.process_input(frame, number, number * TICK, is_speech=False)
    assert before is not None
    assert chain.metrics().stages.noise_dbov == pytest.approx(before, abs=1)


# What is sent


def test_audio_to_be_sent_is_cut_into_frames() -> None:
    chain = Chain(RATE)
    assert chain.process_output(np.arange(1, 401, dtype=np.int16), 0.0)
    frames = [chain.read_output(0.0) for _ in range(4)]
    audio = np.concatenate([frame.audio for frame in frames if frame is not None])
    assert frames[3] is None
    assert np.array_equal(audio[:400], np.arange(1, 401))
    assert not audio[400:].any()
    assert chain.metrics().padded == 1
    assert chain.process_output(np.zeros(0, np.float32), 0.0)


def test_what_is_written_too_fast_pushes_the_oldest_out() -> None:
    chain = Chain(RATE, ChainSettings(audio_buffer_duration_ms=60))
    assert chain.process_output(ramp(1, 3 * FRAME), 0.0)
    assert not chain.process_output(ramp(1), 0.0)
    assert chain.health().reasons == (
        "the output buffer overflows: audio is written faster than it is sent",
    )
    assert chain.clear_output() == 3
    assert chain.health().healthy


def conversation(
    chain: Chain, late_ms: int, *, by_hand: bool = False, ahead: int = 0
) -> tuple[float, float]:
    """Levels of an echo before and after the chain, over its last two seconds, in dB."""
    frames = 400
    sent = noise(5, frames, 4000)
    gate = np.repeat(np.random.default_rng(2).random(frames // 4) > 0.3, 4)
    sent[~gate] = 0
    room = np.random.default_rng(7).normal(0, 0.1, 60) * np.exp(-np.arange(60) / 15)
    line = np.convolve(sent.ravel().astype(np.float64), room)
    echo = np.concatenate([np.zeros(late_ms * RATE // 1000), line])[: frames * FRAME]
    came = echo.astype(np.int16).reshape(frames, FRAME)
    before, after = [], []
    for number in range(frames):
        now = 50 + number * TICK
        if ahead and number % ahead == 0:
            for frame in sent[number : number + ahead]:
                chain.sent(frame, now)
        elif by_hand:
            chain.sent(sent[number], now)
        elif not ahead:
            chain.process_output(sent[number], now)
            chain.read_output(now)
        out = chain.process_input(came[number], number, now)
        if out is not None and number > frames - 100:
            before.append(came[number])
            after.append(out)
    return levels(before), levels(after)


@pytest.mark.parametrize("jitter", [False, True])
def test_the_echo_of_what_was_read_to_be_sent_is_taken_out(jitter: bool) -> None:
    chain = Chain(RATE, plain(enable_echo_cancellation=True, enable_jitter_buffer=jitter))
    before, after = conversation(chain, 40)
    assert after < before - 20
    assert chain.metrics().stages.erle_db > 10


def test_audio_sent_past_the_chain_is_told_to_it() -> None:
    chain = Chain(RATE, plain(enable_echo_cancellation=True))
    before, after = conversation(chain, 40, by_hand=True)
    assert after < before - 20


def test_audio_sent_ahead_is_compared_when_the_far_end_plays_it() -> None:
    chain = Chain(RATE, plain(enable_echo_cancellation=True))
    before, after = conversation(chain, 40, ahead=50)
    assert after < before - 20


def test_nothing_of_it_is_left_out_without_cancellation() -> None:
    before, after = conversation(Chain(RATE, plain()), 40)
    assert after == pytest.approx(before, abs=0.1)


def test_what_was_sent_before_anybody_was_heard_is_no_reference() -> None:
    chain = Chain(RATE, plain(enable_echo_cancellation=True))
    for number in range(200):
        chain.sent(ramp(1), number * TICK)
    chain.process_input(ramp(1), 0, 200 * TICK)
    assert chain.metrics().far_waiting <= 3


def test_what_is_sent_ahead_is_bounded_and_dropped_on_demand() -> None:
    chain = Chain(RATE)
    chain.sent(np.zeros(FRAME * 600, np.int16), 0.0)
    assert (chain.metrics().far_waiting, chain.metrics().far_dropped) == (500, 100)
    chain.clear_output()
    assert chain.metrics().far_waiting == 500
    chain.clear_output(sent_ahead=True)
    assert chain.metrics().far_waiting == 0


# Figures and health


def test_the_latency_is_that_of_jitter_buffer_stages_and_waiting() -> None:
    chain = Chain(RATE)
    for number, frame in enumerate(noise(1, 30)):
        chain.process_input(frame, number, number * TICK)
        if number < 28:
            chain.read_input(number * TICK)
    metrics = chain.metrics()
    assert metrics.jitter is not None
    waiting = metrics.input.buffered_ms
    assert waiting == 40
    assert metrics.processing_delay_ms == 20
    assert metrics.total_latency_ms == pytest.approx(metrics.jitter.delay_ms + 20 + waiting)
    chunk = chain.read_input(29 * TICK)
    assert chunk is not None
    assert chunk.latency_ms == pytest.approx(metrics.jitter.delay_ms + 20 + 20)


def test_audio_nobody_reads_is_told() -> None:
    chain = Chain(RATE)
    for number, frame in enumerate(noise(1, 60)):
        chain.process_input(frame, number, number * TICK)
    health = chain.health()
    assert health.status == "degraded"
    assert any("latency is" in reason and "200 ms allowed" in reason for reason in health.reasons)
    assert any("read too seldom" in reason for reason in health.reasons)


def test_a_bad_network_is_told() -> None:
    chain = Chain(RATE)
    for number, frame in enumerate(noise(1, 100)):
        if number % 5:
            chain.process_input(frame, number, number * TICK)
        chain.read_input(number * TICK)
    (reason,) = chain.health().reasons
    assert reason.endswith("% of the packets are lost or too late")
    assert chain.metrics().loss_rate == pytest.approx(0.2, abs=0.02)


def test_what_is_no_audio_is_silence_and_told() -> None:
    for jitter in (False, True):
        chain = Chain(RATE, ChainSettings(enable_jitter_buffer=jitter))
        for number in range(20):
            bad = np.full(FRAME, [np.nan, np.inf, -np.inf, 1e30][number % 4], np.float32)
            out = chain.process_input(bad, number, number * TICK)
            assert out is None or np.isfinite(out).all()
            chain.sent(bad, number * TICK)
            chain.read_input(number * TICK)
        assert chain.metrics().faults >= 14
        assert any("no audio" in reason for reason in chain.health().reasons)


def test_one_odd_frame_in_a_long_call_is_no_reason_to_worry() -> None:
    chain = Chain(RATE, plain())
    for number in range(150):
        frame = np.full(FRAME, np.nan if number == 3 else 0.1, np.float32)
        chain.process_input(frame, number, number * TICK)
        chain.read_input(number * TICK)
        assert chain.health().healthy == (number < 3 or number > 98)
    assert chain.metrics().faults == 1


def test_a_reset_chain_is_a_new_one() -> None:
    used, fresh = Chain(RATE), Chain(RATE)
    for number, frame in enumerate(noise(1, 50)):
        used.process_output(frame, number * TICK)
        used.read_output(number * TICK)
        used.process_input(frame, number + 9, number * TICK)
    used.reset()
    assert used.metrics() == fresh.metrics()
    for number, frame in enumerate(noise(2, 20)):
        now = 3 + number * TICK
        mine, theirs = (
            used.process_input(frame, number, now),
            fresh.process_input(frame, number, now),
        )
        assert (mine is None) == (theirs is None)
        assert mine is None or theirs is None or np.array_equal(mine, theirs)
    assert used.metrics() == fresh.metrics()


# Misuse, and peers that misbehave


def test_what_is_no_audio_and_no_time_is_refused() -> None:
    chain = Chain(RATE)
    for bad in (
        np.zeros((2, FRAME), np.int16),
        np.zeros(FRAME, np.int32),
        np.zeros(FRAME, np.uint8),
    ):
        with pytest.raises(UsageError):
            chain.process_input(bad, 0, 0.0)
        with pytest.raises(UsageError):
            chain.process_output(bad, 0.0)
        with pytest.raises(UsageError):
            chain.sent(bad, 0.0)
    for now in (float("nan"), float("inf"), 1e300):
        with pytest.raises(UsageError):
            chain.process_input(ramp(0), 0, now)
        with pytest.raises(UsageError):
            chain.advance(now)
        with pytest.raises(UsageError):
            chain.read_input(now)


def test_a_stage_that_does_not_suit_is_refused() -> None:
    with pytest.raises(UsageError, match="whole samples"):
        Chain(11_025)
    with pytest.raises(UsageError, match="no echo canceller is called 'best'"):
        Chain(RATE, echo="best")
    assert Chain(24_000, plain(enable_noise_reduction=True)).frame_samples == 480


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"audio_chunk_duration_ms": 30}, "chunks are 20 ms"),
        ({"noise_reduction_strength": 1.1}, "strength is 0 to 1"),
        ({"noise_reduction_strength": float("nan")}, "strength is 0 to 1"),
        ({"echo_filter_length": 0}, "16 to 8192 taps"),
        ({"audio_buffer_duration_ms": 10}, "20 ms to a minute"),
        ({"max_audio_latency_ms": 0}, "latency of 0 ms"),
        ({"jitter_buffer_target_ms": 300}, "min_ms <= start_ms <= max_ms"),
        ({"jitter_buffer_max_ms": 1000}, "500 ms at most"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        ChainSettings(**changes)  # type: ignore[arg-type]


def test_delays_of_a_jitter_buffer_that_is_off_are_not_looked_at() -> None:
    ChainSettings(enable_jitter_buffer=False, jitter_buffer_max_ms=5)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(-5, 70_000),
            st.floats(-100, 100),
            st.sampled_from([0, 1, 100, 160, 500, 5000]),
            st.sampled_from([None, 0, 160, 2**32 - 1, -7, 2**40]),
        ),
        max_size=12,
    )
)
def test_no_packet_raises(packets: list[tuple[int, float, int, int | None]]) -> None:
    chain = Chain(RATE)
    for sequence, now, size, timestamp in packets:
        out = chain.process_input(ramp(0, size), sequence, now, timestamp=timestamp)
        assert out is None or (out.dtype == np.int16 and out.size % FRAME == 0)
    chain.metrics()
    chain.health()


@pytest.mark.parametrize("rate_hz", [8000, 16000, 24000])
def test_an_echo_is_cancelled_although_the_jitter_buffer_moves_it(rate_hz: int) -> None:
    rng = np.random.default_rng(1)
    narrow = min(rate_hz, 16000)
    far = speechlike(rng, 10.0, narrow)
    near = echo_of(rng, far, rate_hz=narrow)
    if rate_hz != narrow:
        wider = [StreamResampler(narrow, rate_hz) for _ in range(2)]
        far, near = (
            np.concatenate([stream.push(audio), stream.flush()])
            for stream, audio in zip(wider, (far, near), strict=True)
        )
    settings = ChainSettings(enable_noise_reduction=False)
    chain, plain_one = Chain(rate_hz, settings), Chain(rate_hz, settings, echo="off")
    frames = [audio.reshape(-1, rate_hz // 50) for audio in (far, near)]
    trace = sorted((n * TICK + rng.exponential(0.03), n) for n in range(len(frames[0])))
    heard: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for tick, sent in enumerate(frames[0]):
        for one, out in zip((chain, plain_one), heard, strict=True):
            one.sent(sent, tick * TICK)
            for time, number in trace:
                if tick * TICK - TICK < time <= tick * TICK:
                    one.process_input(frames[1][number], number, time)
            while (chunk := one.read_input(tick * TICK)) is not None:
                out.append(chunk.audio)
    assert chain.metrics().jitter == plain_one.metrics().jitter
    assert chain.metrics().jitter.stretched_frames > 3  # type: ignore[union-attr]
    left, echo = (np.concatenate(out)[5 * rate_hz :] for out in heard)
    assert 10 * np.log10(np.mean(echo**2) / np.mean(left**2)) > 14
