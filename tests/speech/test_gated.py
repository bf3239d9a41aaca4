"""The gate before Silero: what it spares, and that nothing is lost by it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trunkline.errors import UsageError
from trunkline.speech import create
from trunkline.speech.gated import PREROLL, GatedSileroBank
from trunkline.speech.silero import SileroBank

from .telephone import said

pytestmark = pytest.mark.needs("silero")

Pcm = NDArray[np.int16]
Verdicts = NDArray[np.float32]


def noise(dbov: float, samples: int = 160 * 400, seed: int = 1) -> Pcm:
    random = np.random.default_rng(seed)
    return (random.standard_normal(samples) * 32768 * 10 ** (dbov / 20)).astype(np.int16)


def verdicts(bank: SileroBank, line: Pcm) -> Verdicts:
    """Of every window of one call."""
    rows = np.array([bank.open()])
    frames = line[: line.size // 160 * 160].reshape(-1, 1, 160)
    return np.concatenate([bank.process(frame, rows).probability for frame in frames])


def spared(line: Pcm) -> float:
    bank = GatedSileroBank()
    verdicts(bank, line)
    return float(bank.spared[0] / bank.windows[0])


def patchwork(seed: int, frames: int = 50) -> Pcm:
    """A call of silence, hiss and bursts of harmonics, in pieces of any length."""
    random = np.random.default_rng(seed)
    at = np.arange(frames * 160) / 8000
    buzz = sum(np.sin(2 * np.pi * 140 * order * at) for order in range(1, 20)) / 10
    level = np.repeat(10 ** random.uniform(-5, -0.5, frames // 5), 5 * 160)
    level[random.random(frames // 5).repeat(5 * 160) < 0.6] = 0.0
    voice = buzz * level + random.standard_normal(at.size) * 10 ** random.uniform(-5, -2)
    return (32768 * voice).clip(-32768, 32767).astype(np.int16)


class TestSparing:
    def test_digital_silence_is_run_at_the_beginning_only(self) -> None:
        bank = GatedSileroBank()
        heard = verdicts(bank, np.zeros(160 * 400, np.int16))
        assert bank.windows[0] - bank.spared[0] == 20 + PREROLL  # those are kept
        assert not heard[20:].any()

    @pytest.mark.parametrize(("dbov", "least"), [(-75, 0.85), (-60, 0.8), (-40, 0.75), (-25, 0.65)])
    def test_steady_noise_is_spared_at_any_level(self, dbov: float, least: float) -> None:
        assert spared(noise(dbov)) >= least

    def test_noise_that_rises_is_background_after_a_few_seconds(self) -> None:
        line = np.concatenate([noise(-60, 160 * 200), noise(-40, 160 * 300)])
        bank = GatedSileroBank()
        verdicts(bank, line)
        before = bank.spared[0]
        rows = np.array([0])
        for frame in noise(-40, 160 * 100, seed=3).reshape(-1, 1, 160):
            bank.process(frame, rows)
        assert (bank.spared[0] - before) / (100 * 160 // 256) > 0.5

    def test_a_sound_after_silence_is_run(self) -> None:
        bank = GatedSileroBank()
        verdicts(bank, np.concatenate([np.zeros(256 * 100, np.int16), noise(-40, 256 * 20)]))
        assert bank.spared[0] == 100 - 20 - PREROLL


@pytest.mark.needs("flite")
class TestSpeech:
    TEXTS = ("Seven would suit me better.", "I would like to book a repair for Tuesday.")

    @pytest.mark.parametrize("dbov", [-90, -55, -33])  # the last is 7 dB below the speech
    @pytest.mark.parametrize("pause", [2000, 48000])
    def test_no_onset_is_missed_and_none_is_late(self, dbov: float, pause: int) -> None:
        for number, line in enumerate(said(list(self.TEXTS))):
            quiet = np.zeros(pause, np.int16)
            line = np.concatenate([quiet, line, quiet, line])
            line = (line + noise(dbov, line.size, number)).clip(-32768, 32767).astype(np.int16)
            always, gated = verdicts(SileroBank(), line), verdicts(GatedSileroBank(), line)
            half = len(always) // 2
            for part in (slice(None, half), slice(half, None)):
                first, gates = np.argmax(always[part] >= 0.5), np.argmax(gated[part] >= 0.5)
                assert first and gates
                assert first - 8 <= gates <= first + 1
            same = (always >= 0.5) == (gated >= 0.5)
            assert same.mean() > 0.96

    def test_what_is_skipped_is_nothing_that_counts(self) -> None:
        line = np.concatenate([np.zeros(40000, np.int16), *said(list(self.TEXTS))])
        always, gated = verdicts(SileroBank(), line), verdicts(GatedSileroBank(), line)
        assert always[gated == 0].max() < 0.35

    def test_after_a_gap_no_longer_than_what_is_kept_not_a_bit_differs(self) -> None:
        line = said(["I would like to book a repair."])[0]
        line = line[: 256 * (line.size // 256)]
        always, gated = SileroBank(), GatedSileroBank()
        rows = np.array([always.open()])
        assert gated.open() == 0
        for window in np.zeros((20 + PREROLL, 1, 256), np.int16):
            always.process(window, rows)
            skipped = gated.process(window, rows).probability[0] == 0
        assert skipped
        for window in line.reshape(-1, 1, 256)[12:40]:  # it begins with a sound
            wanted = always.process(window, rows).probability[0]
            assert gated.process(window, rows).probability[0] == wanted
        assert gated.spared[0] == 0


class TestBatches:
    @settings(max_examples=10)
    @given(st.lists(st.integers(0, 10_000), min_size=2, max_size=5), st.integers(0, 2**16))
    def test_a_call_hears_the_same_bits_alone_and_among_others(
        self, seeds: list[int], order: int
    ) -> None:
        random = np.random.default_rng(order)
        lines = [patchwork(seed) for seed in seeds]
        bank = GatedSileroBank(capacity=1)
        place = np.array([bank.open() for _ in lines])
        together: list[list[float]] = [[] for _ in lines]
        done = [0] * len(lines)
        while min(done) < 50:
            here = np.array(
                [n for n in range(len(lines)) if done[n] < 50 and random.random() < 0.8]
            )
            if not here.size:
                continue
            random.shuffle(here)
            block = np.stack([lines[n][160 * done[n] :][:160] for n in here])
            heard = bank.process(block, place[here])
            for at, probability in zip(heard.index, heard.probability, strict=True):
                together[here[at]].append(float(probability))
            for n in here:
                done[n] += 1
        for line, found in zip(lines, together, strict=True):
            assert found == verdicts(GatedSileroBank(), line).tolist()

    def test_a_neighbour_full_of_rubbish_changes_nothing(self) -> None:
        bank = GatedSileroBank(capacity=2)
        rows = np.array([bank.open(), bank.open()])
        bank._hidden[rows[1]] = bank._cell[rows[1]] = bank._background_db[rows[1]] = np.nan
        loudest = np.where(np.arange(160) % 2, 32767, -32768).astype(np.int16)
        line = patchwork(5)
        heard: list[float] = []
        for frame in line.reshape(-1, 160):
            activity = bank.process(np.stack([frame, loudest]), rows)
            heard += activity.probability[activity.index == 0].tolist()
        assert heard == verdicts(GatedSileroBank(), line).tolist()

    def test_a_row_used_again_remembers_nothing(self) -> None:
        bank = GatedSileroBank(capacity=1)
        verdicts(bank, noise(-20, 160 * 50))
        bank.close(0)
        line = patchwork(6)
        assert verdicts(bank, line).tolist() == verdicts(GatedSileroBank(), line).tolist()


def test_it_is_there_by_name_and_at_both_rates() -> None:
    assert isinstance(create("activity", "gated", rate_hz=8000), GatedSileroBank)
    bank = create("activity", "gated", rate_hz=16000)
    rows = np.array([bank.open()])
    for _ in range(100):
        bank.process(np.zeros((1, 320), np.int16), rows)
    assert bank.spared[0] == 62 - 20 - PREROLL


def test_misuse_is_refused() -> None:
    with pytest.raises(UsageError):
        GatedSileroBank(11025)
    bank = GatedSileroBank()
    with pytest.raises(UsageError):
        bank.process(np.zeros((1, 160), np.int16), np.array([0]))
