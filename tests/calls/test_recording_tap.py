"""A recording keeps the time of the call however busy the machine is."""

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from trunkline.calls.keeper import RecordingTap
from trunkline.calls.recorder import Recorder
from trunkline.calls.recording import SKIPPED_TICKS
from trunkline.media.engine import TICK_SECONDS
from trunkline.media.wav import parse_wav


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    recorder = Recorder(tmp_path)
    yield recorder
    assert recorder.close()


def record(recorder: Recorder, ticks: list[tuple[int, float]]) -> list[int]:
    """What is recorded of ticks that come (number, seconds late): one number a tick."""
    recording = recorder.open("call", 8000)
    tap = RecordingTap(recording)
    for number, late in ticks:
        frame = np.full(160, number % 1000 + 1, np.int16)
        tap.frame(frame, -frame, 1000.0 + number * TICK_SECONDS + late)
    wav = parse_wav(recording.close().result(5).path.read_bytes())
    left, right = wav.samples[:, 0], wav.samples[:, 1]
    assert (left == -right).all()
    return [int(value) for value in left[::160]]


def test_punctual_ticks_are_recorded_as_they_come(recorder: Recorder) -> None:
    assert record(recorder, [(n, 0.0) for n in range(200)]) == list(range(1, 201))


def test_ticks_that_are_late_but_came_shift_nothing(recorder: Recorder) -> None:
    late = random.Random(3)
    ticks = [(n, late.uniform(0.0, 0.0199)) for n in range(400)]
    recorded = record(recorder, ticks)
    # The most punctual tick tells the grid: until one was, a late one may count as two.
    assert len(recorded) - 400 <= 1
    assert [value for value in recorded if value] == list(range(1, 401))


def test_ticks_that_were_left_out_are_silence(recorder: Recorder) -> None:
    ticks = [(n, 0.0) for n in (0, 1, 2, 10, 11, 12)]
    assert record(recorder, ticks) == [1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 11, 12, 13]


def test_many_stalls_do_not_add_up(recorder: Recorder) -> None:
    luck = random.Random(7)
    ticks = [(n, luck.uniform(0, 0.015)) for n in range(450) if luck.random() < 0.9]
    recorded = record(recorder, ticks)
    off = {place - (value - 1) for place, value in enumerate(recorded) if value}
    assert off <= {-1, 0, 1}


def test_a_stopped_process_does_not_fill_the_disk(recorder: Recorder) -> None:
    recorded = record(recorder, [(0, 0.0), (10_000_000, 0.0)])
    assert len(recorded) == SKIPPED_TICKS + 2


def test_nothing_is_skipped_after_the_end(recorder: Recorder) -> None:
    recording = recorder.open("call", 8000)
    recording.close()
    recording.skip(5)
    assert recording.close().result(5).duration_seconds == 0.0
