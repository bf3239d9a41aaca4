import gc
import weakref
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from trunkline.errors import ConfigError, MissingDependencyError, UsageError
from trunkline.media.resample import StreamResampler
from trunkline.speech import create, silero
from trunkline.speech.silero import SileroBank
from trunkline.speech.subband import SubbandBank

from .telephone import said

pytestmark = pytest.mark.needs("silero")

Pcm = NDArray[np.int16]


def audio_of(calls: int, frames: int, samples: int = 160, seed: int = 0) -> Pcm:
    """Noise whose loudness differs and changes: (calls, frames, samples)."""
    random = np.random.default_rng(seed)
    loud = 10 ** random.uniform(0, 4, (calls, frames, 1))
    return (
        (random.standard_normal((calls, frames, samples)) * loud)
        .clip(-32768, 32767)
        .astype(np.int16)
    )


def alone(audio: Pcm, rate_hz: int = 8000) -> list[tuple[int, float, int]]:
    """(frame, probability, end offset) of one call in a bank of its own."""
    bank = SileroBank(rate_hz, capacity=1)
    rows = np.array([bank.open()])
    heard = []
    for frame, block in enumerate(audio):
        activity = bank.process(block[None], rows)
        heard += [
            (frame, float(probability), int(offset))
            for probability, offset in zip(activity.probability, activity.end_offset, strict=True)
        ]
    return heard


class TestOneCall:
    def test_a_window_of_256_samples_completes_in_five_of_eight_frames(self) -> None:
        heard = alone(audio_of(1, 16)[0])
        assert [frame for frame, _, _ in heard] == [1, 3, 4, 6, 7, 9, 11, 12, 14, 15]

    def test_the_end_offset_is_what_of_the_frame_follows_the_window(self) -> None:
        heard = alone(audio_of(1, 16)[0])
        for number, (frame, _, offset) in enumerate(heard, 1):
            assert (frame + 1) * 160 - offset == number * 256

    def test_at_16_khz_windows_are_512_samples(self) -> None:
        bank = SileroBank(16000)
        assert bank.window_samples == 512
        heard = alone(audio_of(1, 8, samples=320)[0], 16000)
        assert [frame for frame, _, _ in heard] == [1, 3, 4, 6, 7]

    @pytest.mark.needs("flite")
    @pytest.mark.parametrize("rate_hz", [8000, 16000])
    def test_speech_is_heard_where_it_is_and_not_where_it_is_not(self, rate_hz: int) -> None:
        line = said(["I would like to book a repair for Tuesday."])[0]
        if rate_hz == 16000:
            line = np.repeat(line, 2)
        samples = rate_hz // 50
        frames = line[: line.size // samples * samples].reshape(-1, samples)
        heard = alone(frames, rate_hz)
        before = [p for frame, p, _ in heard if frame < 13]
        during = [p for frame, p, _ in heard if 25 < frame < len(frames) - 35]
        after = [p for frame, p, _ in heard if frame > len(frames) - 10]
        assert max(before) < 0.5
        assert np.mean(during) > 0.9
        assert max(after) < 0.2

    def test_silence_and_a_tone_are_not_speech(self) -> None:
        time = np.arange(160 * 100) / 8000
        tone = (8000 * np.sin(2 * np.pi * 440 * time)).astype(np.int16).reshape(-1, 160)
        assert max(p for _, p, _ in alone(np.zeros((100, 160), np.int16))) < 0.1
        assert max(p for _, p, _ in alone(tone)) < 0.2

    @pytest.mark.needs("flite")
    def test_without_its_context_the_network_would_miss_the_speech(self) -> None:
        """The trap that the bank exists to avoid; if this fails the model has changed."""
        narrow = said(["I would like to book a repair for Tuesday."])[0]
        line = StreamResampler(8000, 16000).push(narrow)
        wide = line.astype(np.float32) / 32768
        session = silero._session(silero.find_model())
        state, bare = np.zeros((2, 1, 128), np.float32), []
        for at in range(0, wide.size - 512, 512):
            feed = {"input": wide[None, at : at + 512], "state": state, "sr": np.array(16000)}
            probability, state = session.run(None, feed)
            bare.append(float(probability[0, 0]))
        frames = line[: line.size // 320 * 320].reshape(-1, 320)
        whole = [probability for _, probability, _ in alone(frames, 16000)]
        assert np.mean(np.array(whole) > 0.5) > 0.6
        assert np.mean(np.array(bare) > 0.5) < 0.1


class TestBatches:
    @pytest.mark.parametrize("calls", [2, 3, 8, 64, 256])
    def test_a_batch_answers_bit_for_bit_like_one_at_a_time(self, calls: int) -> None:
        frames = 9 if calls > 64 else 24
        audio = audio_of(calls, frames, seed=calls)
        bank = SileroBank(8000, capacity=4)
        rows = np.array([bank.open() for _ in range(calls)])
        together: list[list[tuple[int, float, int]]] = [[] for _ in range(calls)]
        for frame in range(frames):
            activity = bank.process(audio[:, frame], rows)
            for at, probability, offset in zip(
                activity.index, activity.probability, activity.end_offset, strict=True
            ):
                together[at].append((frame, float(probability), int(offset)))
        for call in range(0, calls, max(1, calls // 16)):
            assert together[call] == alone(audio[call])

    def test_calls_that_come_and_go_answer_as_if_alone(self) -> None:
        random = np.random.default_rng(7)
        bank = SileroBank(8000, capacity=2)
        audio = audio_of(24, 40, seed=3)
        place: dict[int, int] = {}  # call -> row
        done = dict.fromkeys(range(24), 0)
        together: dict[int, list[tuple[int, float, int]]] = {call: [] for call in range(24)}
        waiting = list(range(24))
        while waiting or place:
            while waiting and (len(place) < 3 or random.random() < 0.3):
                place[waiting.pop(0)] = bank.open()
            # Any of those present, in any order: their windows are at all phases.
            present = [call for call in place if random.random() < 0.8]
            random.shuffle(present)
            if present:
                rows = np.array([place[call] for call in present])
                block = np.stack([audio[call, done[call]] for call in present])
                activity = bank.process(block, rows)
                for at, probability, offset in zip(
                    activity.index, activity.probability, activity.end_offset, strict=True
                ):
                    call = present[at]
                    together[call].append((done[call], float(probability), int(offset)))
            for call in present:
                done[call] += 1
                if done[call] == 40 or random.random() < 0.02:
                    bank.close(place.pop(call))
        for call in range(24):
            assert together[call] == alone(audio[call, : done[call]])

    def test_a_neighbour_full_of_rubbish_changes_nothing(self) -> None:
        audio = audio_of(2, 24, seed=5)
        bank = SileroBank(8000, capacity=2)
        rows = np.array([bank.open(), bank.open()])
        bank._hidden[rows[1]] = bank._cell[rows[1]] = np.nan
        heard = []
        for frame in range(24):
            loudest = np.where(np.arange(160) % 2, 32767, -32768).astype(np.int16)
            activity = bank.process(np.stack([audio[0, frame], loudest]), rows)
            heard += [
                (frame, float(probability), int(offset))
                for at, probability, offset in zip(
                    activity.index, activity.probability, activity.end_offset, strict=True
                )
                if at == 0
            ]
        assert heard == alone(audio[0])

    def test_a_row_used_again_remembers_nothing(self) -> None:
        audio = audio_of(2, 16, seed=6)
        bank = SileroBank(8000, capacity=1)
        row = bank.open()
        for frame in audio[0]:
            bank.process(frame[None], np.array([row]))
        bank.close(row)
        again = bank.open()
        assert again == row
        heard = []
        for number, frame in enumerate(audio[1]):
            activity = bank.process(frame[None], np.array([again]))
            heard += [
                (number, float(p), int(o))
                for p, o in zip(activity.probability, activity.end_offset, strict=True)
            ]
        assert heard == alone(audio[1])

    def test_no_rows_are_no_activity(self) -> None:
        activity = SileroBank().process(np.zeros((0, 160), np.int16), np.zeros(0, np.intp))
        assert activity.index.size == activity.probability.size == activity.end_offset.size == 0


class TestMisuse:
    @pytest.mark.parametrize("rate_hz", [0, 11025, 48000])
    def test_a_rate_the_network_does_not_know_is_refused(self, rate_hz: int) -> None:
        with pytest.raises(UsageError, match=str(rate_hz)):
            SileroBank(rate_hz)

    def test_closed_and_unknown_rows_are_refused(self) -> None:
        bank = SileroBank(capacity=2)
        row = bank.open()
        bank.close(row)
        with pytest.raises(UsageError):
            bank.close(row)
        for rows in ([row], [99], [-1]):
            with pytest.raises(UsageError):
                bank.process(np.zeros((1, 160), np.int16), np.array(rows))

    def test_a_block_that_does_not_suit_its_rows_is_refused(self) -> None:
        bank = SileroBank()
        rows = np.array([bank.open()])
        for shape in ((2, 160), (1, 257)):
            with pytest.raises(UsageError):
                bank.process(np.zeros(shape, np.int16), rows)

    def test_a_model_path_that_is_wrong_says_so(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="no voice-activity model"):
            SileroBank(8000, tmp_path / "none.onnx")
        (tmp_path / "rubbish.onnx").write_bytes(b"rubbish")
        with pytest.raises(ConfigError, match="not a model"):
            SileroBank(8000, tmp_path / "rubbish.onnx")


class TestFinding:
    def test_the_package_is_found_and_not_imported(self) -> None:
        import sys

        assert silero.find_model().name == "silero_vad.onnx"
        assert "silero_vad" not in sys.modules
        assert "torch" not in sys.modules

    def test_this_threads_arithmetic_stays_as_it_was(self) -> None:
        alone(audio_of(1, 4)[0])
        assert np.float64(5e-324) * 1 > 0  # a denormal, which some settings flush to zero

    def test_one_network_serves_all_banks_of_a_rate(self) -> None:
        assert SileroBank(8000)._network is SileroBank(8000)._network

    def test_a_bank_let_go_of_is_freed(self) -> None:
        bank = weakref.ref(SileroBank())
        gc.collect()
        assert bank() is None

    def test_where_it_is_missing_the_sub_band_detector_stands_in_and_says_so(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def missing() -> Path:
            raise MissingDependencyError("not installed; run: trunkline setup speech")

        monkeypatch.setattr(silero, "find_model", missing)
        bank = create("activity", "best", rate_hz=8000)
        assert isinstance(bank, SubbandBank)
        assert "trunkline setup speech" in bank.note
        assert "trunkline setup speech" in caplog.text

    def test_where_it_is_there_it_is_the_best(self) -> None:
        assert isinstance(create("activity", "best"), SileroBank)
