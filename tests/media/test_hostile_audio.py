"""Every class for one call, given what nobody should give it.

Whatever comes, what goes out is finite, of the right length and type, and counted; a
class that was given rubbish is usable afterwards, and its neighbours never heard of it.
"""

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trunkline.errors import UsageError
from trunkline.media import (
    ECHO_CANCELLERS,
    AudioBuffer,
    Chain,
    ChainBank,
    ChainSettings,
    ChainStages,
    Concealer,
    ConcealmentBank,
    EchoCanceller,
    JitterBank,
    JitterBuffer,
    KalmanEcho,
    Kind,
    Law,
    NoiseBank,
    NoiseSettings,
    NoiseSuppressor,
    Resampler,
    SpeechSegmenter,
    StreamResampler,
    create_echo,
    noise_stage,
)
from trunkline.media.concealment import CONTINUATIONS

TICK = 0.02
QUICK = ChainSettings(enable_echo_cancellation=False, enable_noise_reduction=False)
"""Where it is time and packets that are odd: canceller and suppressor see frames alone."""
RATES = (8000, 48000)

# One call's class as a function of one frame, whatever it is; with the class itself.
Use = Callable[[Any], Any]


def concealer(rate_hz: int, method: str = "pitch") -> tuple[Any, Use]:
    one = Concealer(rate_hz, method)

    def use(audio: Any) -> Any:
        out = [one.update(audio), one.conceal(), one.conceal(audio), one.conceal(None, audio)]
        return np.concatenate(out)

    return one, use


def jitter(rate_hz: int) -> tuple[Any, Use]:
    one = JitterBuffer(rate_hz)
    at = [0]

    def use(audio: Any) -> Any:
        now = at[0] * TICK
        one.put(audio, at[0], now)
        at[0] += 1
        return one.take(now)

    return one, use


def echo(rate_hz: int, engine: str = "kalman") -> tuple[Any, Use]:
    one = EchoCanceller(rate_hz, engine)
    return one, lambda audio: one.process(audio, audio)


def noise(rate_hz: int, method: str = "logmmse") -> tuple[Any, Use]:
    one = NoiseSuppressor(rate_hz, method=method)
    return one, one.process


def buffer(rate_hz: int) -> tuple[Any, Use]:
    one = AudioBuffer(rate_hz)

    def use(audio: Any) -> Any:
        one.write(audio, 0.0)
        chunk = one.read(0.0)
        assert chunk is not None
        return chunk.audio

    return one, use


def chain(rate_hz: int, *, jitter: bool = False) -> tuple[Any, Use]:
    one = Chain(rate_hz, ChainSettings(enable_jitter_buffer=jitter))
    at = [0]

    def use(audio: Any) -> Any:
        now = at[0] * TICK
        one.sent(audio, now)
        one.process_output(audio, now)
        one.read_output(now)
        out = one.process_input(audio, at[0], now)
        one.read_input(now)
        at[0] += 1
        return np.zeros(one.frame_samples, audio.dtype) if out is None else out

    return one, use


CLASSES: dict[str, Callable[[int], tuple[Any, Use]]] = {
    "jitter": jitter,
    "buffer": buffer,
    "chain": chain,
    "chain with jitter buffer": lambda rate_hz: chain(rate_hz, jitter=True),
    **{f"concealer {m}": lambda r, m=m: concealer(r, m) for m in CONTINUATIONS},
    **{f"echo {e}": lambda r, e=e: echo(r, e) for e in ECHO_CANCELLERS},
    **{f"noise {m}": lambda r, m=m: noise(r, m) for m in ("logmmse", "spectral", "off")},
}
EVERY = pytest.mark.parametrize("name", CLASSES)


def faults(one: Any) -> int:
    for where in (one, getattr(one, "statistics", None)):
        if hasattr(where, "faults"):
            return int(where.faults)
    return int(one.metrics().faults)


def voice(samples: int) -> np.ndarray:
    time = np.arange(samples)
    return (0.2 * np.sin(0.11 * time) * (1 + np.sin(0.001 * time))).astype(np.float32)


def check(out: Any, like: np.ndarray, frame_samples: int) -> None:
    assert out.dtype == like.dtype
    assert out.ndim == 1
    assert out.size % frame_samples == 0
    assert np.isfinite(out).all()
    if out.dtype != np.int16:
        assert np.abs(out).max(initial=0) <= 1024


# -- samples ------------------------------------------------------------------------------

SAMPLES: dict[str, Callable[[int], np.ndarray]] = {
    "silence": lambda n: np.zeros(n, np.int16),
    "DC": lambda n: np.full(n, 20_000, np.int16),
    "the lowest sample": lambda n: np.full(n, -32768, np.int16),
    "a square wave": lambda n: np.where(np.arange(n) // 8 % 2, 32767, -32768).astype(np.int16),
    "the Nyquist frequency": lambda n: np.where(np.arange(n) % 2, 32767, -32768).astype(np.int16),
    "one click": lambda n: np.eye(1, n, n // 2, dtype=np.int16)[0] * np.int16(32767),
    "denormals": lambda n: np.full(n, 1e-42, np.float32),
    "the smallest float64": lambda n: np.full(n, 5e-324),
    "minus zero": lambda n: np.full(n, -0.0, np.float32),
    "clipped floats": lambda n: np.where(np.arange(n) // 8 % 2, 4.0, -4.0).astype(np.float32),
    "just no fault": lambda n: np.full(n, 512, np.float32),
    "white noise": lambda n: np.random.default_rng(1).normal(0, 0.3, n),
}
RUBBISH: dict[str, Callable[[int], np.ndarray]] = {
    "NaN": lambda n: np.full(n, np.nan, np.float32),
    "infinity": lambda n: np.full(n, np.inf, np.float32),
    "both infinities": lambda n: np.where(np.arange(n) % 2, np.inf, -np.inf),
    "one NaN": lambda n: np.where(np.arange(n) == n // 2, np.nan, 0.1).astype(np.float32),
    "PCM as floats": lambda n: np.full(n, 20_000, np.float32),
    "the largest float32": lambda n: np.full(n, 3e38, np.float32),
    "the largest float64": lambda n: np.full(n, -1e308),
}


@EVERY
@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize("what", SAMPLES)
def test_odd_audio_is_audio(name: str, rate_hz: int, what: str) -> None:
    one, use = CLASSES[name](rate_hz)
    samples = rate_hz // 50
    for _ in range(7):
        audio = SAMPLES[what](samples)
        check(use(audio), audio, samples)
    assert faults(one) == 0


@EVERY
@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize("what", RUBBISH)
def test_what_is_no_audio_is_counted_and_over_at_once(name: str, rate_hz: int, what: str) -> None:
    one, use = CLASSES[name](rate_hz)
    samples = rate_hz // 50
    for number in range(8):
        audio = RUBBISH[what](samples) if number in (2, 3) else voice(samples)
        check(use(audio), audio, samples)
    assert faults(one) >= 2
    loud = [np.abs(use(voice(samples))).max() for _ in range(8)]
    assert max(loud) <= 1.5


@EVERY
def test_silence_stays_silence(name: str) -> None:
    one, use = CLASSES[name](8000)
    for _ in range(60):
        assert not use(np.zeros(160, np.int16)).any()
    assert one is not None


# -- shapes and types ---------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("size", [0, 1, 79, 159, 161, 320, 1999])
def test_any_length_is_taken(name: str, size: int) -> None:
    _, use = CLASSES[name](8000)
    for dtype in (np.int16, np.float32, np.float64):
        audio = np.full(size, 100).astype(dtype) / (1 if dtype == np.int16 else 32768)
        audio = audio.astype(dtype)
        check(use(audio), audio, 160)
        check(use(voice(160)), voice(160), 160)


@EVERY
@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((1, 160), np.int16),
        np.zeros((160, 2), np.float32),
        np.zeros((0, 0), np.float32),
        np.zeros((), np.int16),
        np.zeros(160, np.int32),
        np.zeros(160, np.uint8),
        np.zeros(160, np.float16),
        np.zeros(160, np.complex64),
        np.zeros(160, object),
        np.zeros(160, ">i2"),
        np.array(["a"] * 160),
        b"\0" * 320,
        [0] * 160,
        None,
    ],
    ids=lambda bad: f"{type(bad).__name__} {getattr(bad, 'dtype', '')}{getattr(bad, 'shape', '')}",
)
def test_what_is_no_row_of_audio_is_refused_and_changes_nothing(name: str, bad: Any) -> None:
    (one, use), (_, same) = CLASSES[name](8000), CLASSES[name](8000)
    for _ in range(3):
        assert use(voice(160)).tobytes() == same(voice(160)).tobytes()
    with pytest.raises(UsageError, match="one row of int16"):
        use(bad)
    assert faults(one) == 0
    for _ in range(3):
        assert use(voice(160)).tobytes() == same(voice(160)).tobytes()


@EVERY
def test_memory_of_any_kind_is_read_and_never_written(name: str) -> None:
    straight, strided, fixed = (CLASSES[name](8000)[1] for _ in range(3))
    for number in range(10):
        audio = voice(1600)[number * 160 : (number + 1) * 160].copy()
        wide = np.zeros((160, 2), np.float32)
        wide[:, 1] = audio
        locked = audio.copy()
        locked.setflags(write=False)
        expected = straight(audio)
        assert strided(wide[:, 1]).tobytes() == expected.tobytes()
        assert strided is not None
        assert fixed(locked).tobytes() == expected.tobytes()
        assert np.array_equal(audio, locked)


@EVERY
def test_what_was_given_back_may_be_written_to(name: str) -> None:
    spoiling, leaving = CLASSES[name](8000)[1], CLASSES[name](8000)[1]
    for _ in range(10):
        mine, theirs = spoiling(voice(160)), leaving(voice(160))
        assert mine.tobytes() == theirs.tobytes()
        mine[:] = 7


@pytest.mark.parametrize(
    "make", [Concealer, JitterBuffer, EchoCanceller, NoiseSuppressor, AudioBuffer, Chain]
)
@pytest.mark.parametrize("rate_hz", [0, -8000, 4000, 8001, 11025, 96000, 8000.5, "8000", None])
def test_a_rate_that_is_none_is_refused(make: Any, rate_hz: Any) -> None:
    with pytest.raises(UsageError):
        make(rate_hz)


@pytest.mark.parametrize("name", ["concealer pitch", "echo kalman", "noise logmmse", "chain"])
@given(
    audio=hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.int16]),
        st.integers(0, 400),
        elements=None,
    )
)
@settings(max_examples=25, deadline=None)
def test_no_array_whatever_makes_it_fail(name: str, audio: np.ndarray) -> None:
    _, use = CLASSES[name](8000)
    for _ in range(3):
        check(use(audio), audio, 160)


# -- time ---------------------------------------------------------------------------------


def play(one: JitterBuffer, times: list[float], first: int = 0) -> list[Kind]:
    kinds = []
    for number, now in enumerate(times):
        one.put(voice(160), first + number, now)
        check(one.take(now + 0.001), voice(160), 160)
        kinds.append(one.kind)
    return kinds


@pytest.mark.parametrize("step", [10.0, -10.0, 86_400.0, -1e6, 0.49, -0.49, 1e9])
def test_a_clock_that_jumps_costs_at_most_a_second_of_audio(step: float) -> None:
    one = JitterBuffer()
    before = [2e6 + n * TICK for n in range(100)]
    kinds = play(one, [*before, *(before[-1] + step + n * TICK for n in range(1, 151))])
    assert kinds[-80:].count(Kind.PLAYED) + kinds[-80:].count(Kind.STRETCHED) == 80
    assert one.statistics.delay_ms < 200


@pytest.mark.parametrize("step", [10.0, -10.0, -1e6, 1e9])
def test_a_chain_survives_a_clock_that_jumps(step: float) -> None:
    one = Chain(8000, QUICK)
    now, made = 2e6, []
    for number in range(250):
        now += TICK if number != 100 else step
        one.sent(voice(160), now)
        out = one.process_input(voice(160), number, now)
        made.append(0 if out is None else out.size // 160)
        while one.read_input(now) is not None:
            pass
    assert sum(made[-80:]) == 80
    assert one.metrics().total_latency_ms < 250


@pytest.mark.parametrize("name", ["jitter", "chain"])
def test_ten_seconds_without_anything_leave_no_lasting_delay(name: str) -> None:
    one: Any = JitterBuffer() if name == "jitter" else Chain(8000, QUICK)
    for number in range(300):
        now = number * TICK + (10.0 if number >= 150 else 0.0)
        if name == "jitter":
            one.put(voice(160), number, now)
            out = one.take(now)
        else:
            one.process_input(voice(160), number, now)
            chunk = one.read_input(now)
            out = voice(160) if chunk is None else chunk.audio
        check(out, voice(160), 160)
    figures = one.statistics if name == "jitter" else one.metrics().jitter
    assert figures.delay_ms <= 100
    if name == "chain":
        assert one.metrics().total_latency_ms < 250


def test_ten_seconds_of_packets_at_once_after_a_stall_are_got_over() -> None:
    one = JitterBuffer()
    play(one, [n * TICK for n in range(100)])
    for number in range(500):
        one.put(voice(160), 100 + number, 12.0)
    kinds = []
    for number in range(200):
        now = 12.0 + number * TICK
        one.put(voice(160), 600 + number, now)
        kinds.append((check(one.take(now), voice(160), 160), one.kind)[1])
    assert kinds[-100:].count(Kind.CONCEALED) == 0
    assert one.statistics.delay_ms <= 200


# -- packets ------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [65_500, 2**16 - 1, 2**40, -70])
def test_sequence_numbers_wrap(first: int) -> None:
    one = JitterBuffer()
    kinds = play(one, [n * TICK for n in range(200)], first)
    assert kinds.count(Kind.PLAYED) >= 190
    assert one.statistics.lost == one.statistics.restarts == 0


def test_timestamps_wrap() -> None:
    one = JitterBuffer()
    for number in range(200):
        one.put(voice(160), number, number * TICK, timestamp=2**32 - 100 * 160 + number * 160)
        one.take(number * TICK)
    assert one.statistics.lost == one.statistics.restarts == 0
    assert one.kind is Kind.PLAYED


@pytest.mark.parametrize("timestamps", [True, False])
def test_another_source_is_followed(timestamps: bool) -> None:
    one = JitterBuffer()
    for number in range(300):
        second = number >= 150
        sequence = number + (31_000 if second else 7)
        stamp = {"timestamp": number * 160 + (3_000_000_000 if second else 0)} if timestamps else {}
        one.put(voice(160), sequence, number * TICK, source=99 if second else 1, **stamp)
        one.take(number * TICK)
    assert one.kind is Kind.PLAYED
    assert one.statistics.ssrc_changes == 1
    assert one.statistics.lost == 0
    assert one.statistics.delay_ms <= 100


def test_two_sources_that_take_turns_do_not_break_it() -> None:
    one = JitterBuffer()
    for number in range(400):
        one.put(voice(160), number, number * TICK, source=number % 2)
        check(one.take(number * TICK), voice(160), 160)


@pytest.mark.parametrize("name", ["jitter", "chain"])
def test_any_number_of_packets_at_once_takes_bounded_memory(name: str) -> None:
    one: Any = JitterBuffer() if name == "jitter" else Chain(8000, QUICK)
    put = one.put if name == "jitter" else one.process_input
    packet = voice(160)
    rng = np.random.default_rng(1)
    for number in range(4200):
        put(packet, number, 0.0)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(5000):
        put(packet, int(rng.integers(65_536)) if number % 2 else number, 0.0)
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    # A packet of the filed ones is 0.6 KB, and 4,096 of them are filed at most.
    assert after - before < 4_000_000
    now = 0.1
    for _ in range(100):
        out = one.take(now) if name == "jitter" else one.read_input(now)
        now += TICK
        assert out is not None or name == "chain"


def test_audio_that_nobody_reads_takes_bounded_memory() -> None:
    one = Chain(8000)
    hour = np.zeros(8000 * 60, np.int16)
    for number in range(5):
        one.sent(hour, float(number))
        one.process_output(hour, float(number))
    assert one.metrics().far_waiting <= 500
    assert one.metrics().output.chunks <= 25
    assert one.metrics().far_dropped > 0


# -- neighbours ---------------------------------------------------------------------------

BANKS: dict[str, Callable[[], Any]] = {
    "kalman": lambda: KalmanEcho(8000, capacity=2),
    "nlms": lambda: create_echo("nlms", 8000, capacity=2),
    "logmmse": lambda: NoiseBank(8000, NoiseSettings(), 2),
    "spectral": lambda: noise_stage(8000, NoiseSettings("spectral"), 2),
    "chain": lambda: ChainBank(8000, ChainStages(), 2),
    "resampler": lambda: Resampler(8000, 16000, capacity=2),
}


def run(bank: Any, block: np.ndarray, rows: np.ndarray) -> np.ndarray:
    if isinstance(bank, ChainBank):
        return bank.process(block, rows, far=block[:, ::-1].copy()).people
    if hasattr(bank, "frame_in") or isinstance(bank, NoiseBank):
        return bank.process(block, rows)
    return bank.process(block, block[:, ::-1].copy(), rows)


@pytest.mark.parametrize("name", BANKS)
@pytest.mark.parametrize("what", [*RUBBISH, *SAMPLES])
def test_a_neighbour_s_rubbish_changes_no_bit(name: str, what: str) -> None:
    made = (SAMPLES | RUBBISH)[what](160)
    spoilt = made / (32768 if made.dtype == np.int16 else 1)
    spoilt = np.clip(spoilt, -3e38, 3e38).astype(np.float32)
    rng = np.random.default_rng(2)
    one, other = BANKS[name](), BANKS[name]()
    rows = np.array([one.open() for _ in range(3)])
    assert [other.open() for _ in range(3)] == rows.tolist()
    for number in range(12):
        block = rng.normal(0, 0.1, (3, 160)).astype(np.float32)
        calm = run(one, block.copy(), rows)
        block[1] = spoilt
        if number == 6:
            other.close(int(rows[1]))
            assert other.open() == rows[1]
        disturbed = run(other, block, rows)
        assert np.isfinite(disturbed).all()
        assert disturbed[[0, 2]].tobytes() == calm[[0, 2]].tobytes()


@pytest.mark.parametrize("name", BANKS)
def test_a_row_is_closed_once_and_numbers_that_are_no_rows_are_refused(name: str) -> None:
    bank = BANKS[name]()
    row, kept = bank.open(), bank.open()
    bank.close(row)
    for wrong in (row, 99, -1):
        with pytest.raises(UsageError):
            bank.close(wrong)
    expected = run(bank, np.full((1, 160), 0.1, np.float32), np.array([kept]))
    assert np.isfinite(expected).all()


@pytest.mark.parametrize("make", [lambda: JitterBank(), lambda: ConcealmentBank()])
def test_the_rows_of_packet_banks_are_closed_once_too(make: Any) -> None:
    bank = make()
    row = bank.open(Law.ULAW) if isinstance(bank, JitterBank) else bank.open()
    bank.close(row)
    with pytest.raises(UsageError):
        bank.close(row)


# -- small things -------------------------------------------------------------------------


@pytest.mark.parametrize("rate_hz", [8000, 44100])
@given(pieces=st.lists(st.integers(0, 500), max_size=10))
@settings(max_examples=20, deadline=None)
def test_a_stream_that_is_resampled_takes_rubbish(rate_hz: int, pieces: list[int]) -> None:
    stream = StreamResampler(rate_hz, 16000)
    for number, size in enumerate(pieces):
        audio = np.full(size, [np.nan, np.inf, 3e38, 0.5][number % 4], np.float32)
        assert np.isfinite(stream.push(audio)).all()
    assert np.isfinite(stream.flush()).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 7.0])
def test_a_probability_that_is_none_begins_no_speech(value: float) -> None:
    segmenter = SpeechSegmenter()
    for _ in range(50):
        assert not [one for one in segmenter.push(value) if value != 7.0]
    assert segmenter.faults == (50 if value != 7.0 else segmenter.faults)
