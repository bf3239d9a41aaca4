"""Where speech begins and ends, of probabilities alone."""

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import UsageError
from trunkline.media import SegmenterBank, SegmentSettings, SpeechBoundary, SpeechSegmenter

W = 256
probabilities = st.lists(
    st.sampled_from([0.0, 0.2, 0.34, 0.36, 0.49, 0.5, 0.9, 1.0, float("nan"), float("inf"), -3.0]),
    max_size=60,
)
some_settings = st.builds(
    lambda release, more, *ms: SegmentSettings(min(1.0, release + more), release, *ms),
    st.floats(0.1, 0.6),
    st.floats(0, 0.4),
    st.integers(0, 200),
    st.integers(0, 400),
    st.integers(0, 300),
)


def boundaries(
    given: Iterable[float], settings: SegmentSettings | None = None
) -> list[SpeechBoundary]:
    segmenter = SpeechSegmenter(8000, W, settings)
    found = [boundary for one in given for boundary in segmenter.push(one)]
    return found + segmenter.finish()


def spans(given: Iterable[float], settings: SegmentSettings | None = None) -> list[tuple[int, int]]:
    found = boundaries(given, settings)
    assert [each.kind for each in found] == ["start", "end"] * (len(found) // 2)
    return [(a.position, b.position) for a, b in zip(found[::2], found[1::2], strict=True)]


class TestHysteresis:
    def test_a_segment_has_its_preroll_and_ends_with_its_last_window(self) -> None:
        line = [0.1] * 20 + [0.9] * 10 + [0.1] * 20
        assert spans(line) == [(20 * W - 1600, 30 * W)]

    def test_it_is_told_as_soon_as_it_is_clear(self) -> None:
        start, end = boundaries([0.1] * 20 + [0.9] * 10 + [0.1] * 20)
        assert start.decided_at == 24 * W  # 100 ms are four windows
        assert end.decided_at == 40 * W  # 300 ms are ten

    def test_between_release_and_threshold_nothing_begins_and_nothing_ends(self) -> None:
        assert spans([0.4] * 50) == []
        assert spans([0.9] + [0.4] * 49) == [(0, 50 * W)]

    def test_a_pause_ends_only_at_the_threshold(self) -> None:
        line = [0.9] * 10 + [0.2] + [0.4] * 20
        assert spans(line) == [(0, 10 * W)]
        assert spans([0.9] * 10 + [0.2] * 8 + [0.5] + [0.1] * 20) == [(0, 19 * W)]

    def test_a_click_is_no_speech(self) -> None:
        assert spans([0.1] * 5 + [0.9] * 3 + [0.1] * 5) == []

    def test_many_clicks_are_no_speech(self) -> None:
        assert spans(([0.9] * 3 + [0.1]) * 20) == []

    def test_the_preroll_does_not_reach_into_the_segment_before(self) -> None:
        settings = SegmentSettings(silence_ms=32, preroll_ms=500)
        line = [0.9] * 8 + [0.1] * 3 + [0.9] * 8
        assert spans(line, settings) == [(0, 8 * W), (8 * W, 19 * W)]

    def test_speech_that_goes_on_at_the_end_is_closed_by_finish(self) -> None:
        segmenter = SpeechSegmenter()
        for _ in range(10):
            segmenter.push(1.0)
        assert segmenter.finish() == [SpeechBoundary("end", 10 * W, 10 * W)]
        assert segmenter.finish() == []


class TestAnyInput:
    @given(probabilities, some_settings)
    def test_segments_are_in_order_and_never_overlap(
        self, line: list[float], settings: SegmentSettings
    ) -> None:
        last = 0
        for start, end in spans(line, settings):
            assert last <= start < end <= len(line) * W
            assert end - start >= settings.speech_ms * 8
            last = end

    @given(probabilities)
    def test_what_is_no_probability_is_silence_and_counted(self, line: list[float]) -> None:
        segmenter, clean = SpeechSegmenter(), SpeechSegmenter()
        bad = [not 0 <= one <= 1 for one in line]
        for one, wrong in zip(line, bad, strict=True):
            assert segmenter.push(one) == clean.push(0.0 if wrong else one)
        assert segmenter.faults == sum(bad)

    @given(st.lists(probabilities, min_size=2, max_size=6), some_settings, st.randoms())
    def test_a_row_decides_among_others_as_it_does_alone(
        self, lines: list[list[float]], settings: SegmentSettings, random: object
    ) -> None:
        bank = SegmenterBank(8000, W, settings, capacity=1)
        rows = np.array([bank.open() for _ in lines])
        done = [0] * len(lines)
        together: list[list[tuple[bool, int]]] = [[] for _ in lines]
        while True:
            left = [n for n, line in enumerate(lines) if done[n] < len(line)]
            if not left:
                break
            here = [n for n in left if random.random() < 0.7]  # type: ignore[attr-defined]
            heard = np.array([lines[n][done[n]] for n in here], np.float32)
            found = bank.process(heard, rows[np.array(here, np.intp)])
            for at, begins, position in zip(found.index, found.begins, found.position, strict=True):
                together[here[at]].append((bool(begins), int(position)))
            for n in here:
                done[n] += 1
        for line, events in zip(lines, together, strict=True):
            segmenter = SpeechSegmenter(8000, W, settings)
            alone = [each for one in line for each in segmenter.push(one)]
            assert events == [(each.kind == "start", each.position) for each in alone]


class TestRows:
    def test_a_row_used_again_remembers_nothing(self) -> None:
        bank = SegmenterBank(capacity=1)
        row = np.array([bank.open()])
        for _ in range(10):
            bank.process(np.ones(1, np.float32), row)
        bank.close(0)
        assert bank.open() == 0
        assert bank.samples(0) == 0
        assert bank.finish(0) is None

    def test_a_reset_begins_again(self) -> None:
        segmenter = SpeechSegmenter()
        for _ in range(10):
            segmenter.push(float("nan"))
        segmenter.reset()
        assert (segmenter.samples, segmenter.faults) == (0, 0)

    def test_no_rows_are_no_boundaries(self) -> None:
        found = SegmenterBank().process(np.zeros(0, np.float32), np.zeros(0, np.intp))
        assert found.index.size == found.begins.size == found.position.size == 0

    def test_misuse_is_refused(self) -> None:
        bank = SegmenterBank()
        with pytest.raises(UsageError):
            bank.process(np.zeros(1, np.float32), np.array([0]))
        row = bank.open()
        with pytest.raises(UsageError):
            bank.process(np.zeros((1, 1), np.float32), np.array([row]))
        with pytest.raises(UsageError):
            SegmenterBank(0)
        for wrong in ({"release": 0.6}, {"release": 0.0}, {"threshold": 2.0}, {"speech_ms": -1}):
            with pytest.raises(UsageError):
                SegmentSettings(**wrong)  # type: ignore[arg-type]
