"""Recordings: aligned, bounded, whole after a kill, and never in a call's way."""

import hashlib
import os
import resource
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from trunkline.calls.recorder import Recorder
from trunkline.calls.recording import HELD_FRAMES, PENDING_FRAMES, SKIPPED_TICKS, Recording
from trunkline.calls.recording_convert import plain_pieces
from trunkline.calls.recording_manifest import Manifest
from trunkline.calls.recording_manifest import read as read_manifest
from trunkline.calls.recording_options import RecordingOptions
from trunkline.calls.recording_queue import RecordingQueue
from trunkline.calls.recording_writer import RecordingWriter
from trunkline.calls.sealing_keys import new_key
from trunkline.errors import UsageError

WHEN = datetime(2026, 11, 20, 23, 59, tzinfo=UTC)
Frame = NDArray[np.int16]


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    recorder = Recorder(tmp_path / "recordings")
    yield recorder
    assert recorder.close()


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Recorder]:
    """A recorder that flushes so rarely that nothing leaves memory before the end."""
    recorder = Recorder(tmp_path / "recordings", flush_seconds=3600)
    yield recorder
    assert recorder.close()


def tone(value: int, samples: int = 160) -> Frame:
    return np.full(samples, value, np.int16)


def read(path: Path) -> tuple[Frame, Frame, int]:
    """The left and right samples of a recording, and its rate."""
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth()) == (2, 2)
        data = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
        assert len(data) == file.getnframes()
        return data[:, 0], data[:, 1], file.getframerate()


def levels(side: Frame) -> list[int]:
    """The first sample of every 20 ms at 8 kHz."""
    return [int(value) for value in side[::160]]


# What is in the file


def test_the_caller_is_left_and_our_side_is_right(recorder: Recorder) -> None:
    recording = recorder.open("call-1", 8000, WHEN)
    for number in range(1, 4):
        recording.write(tone(number), tone(-number))
    recorded = recording.close().result(5)
    left, right, rate = read(recorded.path)
    assert levels(left) == [1, 2, 3]
    assert levels(right) == [-1, -2, -3]
    assert rate == 8000
    assert recorded.duration_seconds == 0.06
    assert recorded.error is None


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 24_000, 48_000])
def test_any_rate_is_kept(recorder: Recorder, rate_hz: int) -> None:
    recording = recorder.open("call", rate_hz)
    frame = np.arange(rate_hz // 50, dtype=np.int16)
    recording.write(frame, None)
    left, right, rate = read(recording.close().result(5).path)
    assert rate == rate_hz
    assert np.array_equal(left, frame)
    assert not right.any()


def test_sides_stay_aligned_where_one_is_silent(recorder: Recorder) -> None:
    recording = recorder.open("call", 8000)
    recording.write(tone(1), None)
    recording.write(None, tone(2))
    recording.write(None, None)
    recording.write(tone(3), tone(4))
    left, right, _ = read(recording.close().result(5).path)
    assert levels(left) == [1, 0, 0, 3]
    assert levels(right) == [0, 2, 0, 4]


def test_a_frame_may_be_written_over_after_it_was_handed_in(slow: Recorder) -> None:
    recording = slow.open("call", 8000)
    block = np.full((4, 160), 7, np.int16)
    recording.write(block[1], block[2])
    block[:] = 0
    left, right, _ = read(recording.close().result(5).path)
    assert levels(left) == [7]
    assert levels(right) == [7]


def test_a_frame_of_the_wrong_length_shifts_nothing(recorder: Recorder) -> None:
    recording = recorder.open("call", 8000)
    recording.write(tone(1, 80), tone(1, 320))
    recording.write(tone(2), tone(2))
    left, right, _ = read(recording.close().result(5).path)
    assert levels(left) == [1, 2]
    assert levels(right) == [1, 2]


def test_a_call_without_a_frame_is_an_empty_file(recorder: Recorder) -> None:
    recorded = recorder.open("call", 8000).close().result(5)
    assert recorded.duration_seconds == 0
    assert read(recorded.path)[0].size == 0


def test_while_paused_silence_is_recorded(recorder: Recorder) -> None:
    recording = recorder.open("call", 8000)
    recording.write(tone(1), tone(1))
    recording.pause()
    recording.write(tone(2), tone(2))
    recording.resume()
    recording.write(tone(3), tone(3))
    left, right, _ = read(recording.close().result(5).path)
    assert levels(left) == levels(right) == [1, 0, 3]


# Late frames


def test_late_frames_fill_the_oldest_silence(slow: Recorder) -> None:
    recording = slow.open("call", 8000)
    for heard in (tone(1), None, None, tone(4)):
        recording.write(heard, tone(9))
    recording.write_late(tone(2))
    recording.write_late(tone(3))
    recording.write_late(tone(5))
    recorded = recording.close().result(5)
    left, right, _ = read(recorded.path)
    assert levels(left) == [1, 2, 3, 4]
    assert levels(right) == [9, 9, 9, 9]
    assert (recorded.late_filled, recorded.late_lost) == (2, 1)


def test_the_newest_frames_wait_for_late_ones(slow: Recorder) -> None:
    recording = slow.open("call", 8000)
    writer = wait_for_file(slow, recording)
    for _ in range(HELD_FRAMES + 5):
        recording.write(None, None)
    writer.flush(None)
    for number in range(HELD_FRAMES + 1):
        recording.write_late(tone(number + 1))
    recorded = recording.close().result(5)
    assert levels(read(recorded.path)[0]) == [0] * 5 + list(range(1, HELD_FRAMES + 1))
    assert recorded.late_lost == 1


def test_nothing_of_a_pause_gets_in_late(slow: Recorder) -> None:
    recording = slow.open("call", 8000)
    recording.write(None, None)
    recording.pause()
    recording.write(tone(1), None)
    recording.write_late(tone(2))
    recording.resume()
    recording.write_late(tone(3))
    assert levels(read(recording.close().result(5).path)[0]) == [0, 0]


# Bounds


def test_a_slow_disk_costs_silence_of_equal_length(slow: Recorder) -> None:
    recording = slow.open("call", 8000)
    writer = wait_for_file(slow, recording)
    for _ in range(PENDING_FRAMES + 30):
        recording.write(tone(1), tone(1))
    assert len(recording._pending) <= PENDING_FRAMES + 1
    writer.flush(None, 0)
    recording.write(tone(2), tone(2))
    recorded = recording.close().result(5)
    left, right, _ = read(recorded.path)
    assert levels(left) == [1] * PENDING_FRAMES + [0] * 30 + [2]
    assert np.array_equal(left, right)
    assert recorded.dropped_frames == 30


def wait_for_file(recorder: Recorder, recording: Recording) -> RecordingWriter:
    writer = recorder.writer(recording)
    deadline = time.monotonic() + 5
    while writer.file is None and time.monotonic() < deadline:
        time.sleep(0.002)
    assert writer.file is not None
    return writer


# Names


def test_files_lie_in_a_folder_for_each_day(recorder: Recorder, tmp_path: Path) -> None:
    path = recorder.open("call-1", 8000, WHEN).close().result(5).path
    assert path == tmp_path / "recordings" / "2026-11-20" / "call-1.wav"


def test_nobody_else_may_read_them(recorder: Recorder) -> None:
    path = recorder.open("call-1", 8000, WHEN).close().result(5).path
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "a\0b", ".hidden", "", "é" * 300])
def test_no_name_leaves_the_folder(recorder: Recorder, name: str, tmp_path: Path) -> None:
    recorded = recorder.open(name, 8000, WHEN).close().result(5)
    assert recorded.error is None
    assert recorded.path.parent == tmp_path / "recordings" / "2026-11-20"
    assert not recorded.path.name.startswith(".")


def test_a_second_recording_of_a_call_gets_a_number(recorder: Recorder) -> None:
    first, second, third = (recorder.open("call", 8000, WHEN) for _ in range(3))
    paths = [one.close().result(5).path.name for one in (first, second, third)]
    assert paths == ["call.wav", "call-2.wav", "call-3.wav"]


# Trouble


@pytest.fixture
def told(tmp_path: Path) -> Iterator[tuple[Recorder, list[OSError]]]:
    errors: list[OSError] = []
    recorder = Recorder(tmp_path / "recordings", lambda _, error: errors.append(error))
    yield recorder, errors
    assert recorder.close()


def test_a_folder_that_cannot_be_made_ends_the_recording_only(
    told: tuple[Recorder, list[OSError]], tmp_path: Path
) -> None:
    recorder, errors = told
    (tmp_path / "recordings").write_text("a file where the folder should be")
    recording = recorder.open("call", 8000)
    recording.write(tone(1), tone(1))
    recorded = recording.close().result(5)
    recording.write(tone(1), tone(1))
    assert recorded.error is errors[0]
    assert len(errors) == recorder.errors == 1


def fill(writer: RecordingWriter) -> int:
    """Let a recording's disk be full: /dev/full says "no space" to every write."""
    assert writer.file is not None
    kept = os.dup(writer.file.fd)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, writer.file.fd)
    os.close(full)
    return kept


def make_room(writer: RecordingWriter, kept: int) -> None:
    assert writer.file is not None
    os.dup2(kept, writer.file.fd)
    os.close(kept)


def test_a_full_disk_makes_a_recording_wait_and_no_other(slow: Recorder) -> None:
    told: list[OSError | None] = []
    slow.listen(lambda *_: None, lambda recording, error: told.append(error))
    bad, good = slow.open("bad", 8000, WHEN), slow.open("good", 8000, WHEN)
    waiting, writing = wait_for_file(slow, bad), wait_for_file(slow, good)
    for number in (1, 2):
        bad.write(tone(number), tone(number))
        good.write(tone(number), tone(number))
    waiting.flush(None, 0)
    kept = fill(waiting)
    for _ in range(3):
        bad.write(tone(3), tone(3))
        waiting.flush(None, 0)
    assert [error is not None and error.strerror for error in told] == [
        "No space left on device"
    ] * 3
    assert slow.stalls == 1 and slow.errors == 0
    writing.flush(None, 0)
    make_room(waiting, kept)
    bad.write(tone(4), tone(4))
    assert levels(read(good.close().result(5).path)[0]) == [1, 2]
    recorded = bad.close().result(5)
    assert told[-1] is None
    assert recorded.error is None
    assert levels(read(recorded.path)[0]) == [1, 2, 3, 3, 3, 4]


def test_what_a_full_disk_has_cost_is_a_gap_of_the_same_length(slow: Recorder) -> None:
    recording = slow.open("call", 8000, WHEN)
    writer = wait_for_file(slow, recording)
    recording.write(tone(1), tone(1))
    kept = fill(writer)
    for number in range(2, PENDING_FRAMES + 152):
        recording.write(tone(number), tone(number))
        if number % 100 == 0:
            writer.flush(None, 0)
    make_room(writer, kept)
    writer.flush(None, 0)
    recording.write(tone(7), tone(7))
    recorded = recording.close().result(5)
    left, _, _ = read(recorded.path)
    kept_ticks = [value for value in levels(left)[:-1] if value]
    assert len(levels(left)) == PENDING_FRAMES + 152
    assert kept_ticks == list(range(1, len(kept_ticks) + 1))
    assert levels(left)[-1] == 7
    (gap,) = recording.manifest.gaps
    assert gap.reason == "No space left on device"
    assert gap.from_seconds == len(kept_ticks) / 50
    assert gap.seconds == recorded.dropped_frames / 50
    assert recorded.dropped_frames == PENDING_FRAMES + 151 - len(kept_ticks)


def test_a_floor_of_free_space_is_kept(tmp_path: Path) -> None:
    told: list[OSError | None] = []
    recorder = Recorder(tmp_path / "r", min_free_bytes=1 << 60)
    recorder.listen(lambda *_: None, lambda recording, error: told.append(error))
    recording = recorder.open("call", 8000, WHEN)
    recording.write(tone(1), None)
    deadline = time.monotonic() + 5
    while not told and time.monotonic() < deadline:
        time.sleep(0.01)
    assert told[0] is not None and "recording.min_free_mb" in str(told[0])
    assert not list(tmp_path.rglob("*.wav"))
    assert recorder.close()
    assert recording.close().result(0).error is not None


def test_a_file_size_limit_leaves_a_whole_file(told: tuple[Recorder, list[OSError]]) -> None:
    """What a quota does: the write is short, the next one fails."""
    recorder, errors = told
    recording = recorder.open("call", 8000)
    writer = wait_for_file(recorder, recording)
    for _ in range(10):
        recording.write(tone(1), tone(1))
    writer.flush(None, 0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        for _ in range(10):
            recording.write(tone(2), tone(2))
        writer.flush(None, 0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    recorded = recording.close().result(5)
    assert recorded.error is errors[0]
    assert recorded.duration_seconds == (10_000 - 44) // 4 / 8000
    assert levels(read(recorded.path)[0])[:10] == [1] * 10


def test_a_deleted_file_is_noticed(
    told: tuple[Recorder, list[OSError]], caplog: pytest.LogCaptureFixture
) -> None:
    recorder, errors = told
    recording = recorder.open("call", 8000)
    wait_for_file(recorder, recording)
    recording.path.unlink()
    recording.write(tone(1), tone(1))
    assert "deleted" in str(recording.close().result(5).error)
    assert len(errors) == 1
    assert str(recording.path) in caplog.text


def test_a_listener_that_fails_harms_no_other_recording(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def listen(recording: Recording, error: OSError) -> None:
        raise RuntimeError("listener")

    recorder = Recorder(tmp_path, listen)
    bad, good = recorder.open("bad", 8000), recorder.open("good", 8000)
    wait_for_file(recorder, bad)
    bad.path.unlink()
    bad.write(tone(1), None)
    bad.close().result(5)
    good.write(tone(1), None)
    assert levels(read(good.close().result(5).path)[0]) == [1]
    assert recorder.close()
    assert "listener" in caplog.text


# Ends


def test_closing_twice_is_one_outcome(recorder: Recorder) -> None:
    recording = recorder.open("call", 8000)
    assert recording.close() is recording.close()


def test_a_caller_who_gives_up_waiting_does_not_stop_the_writer(recorder: Recorder) -> None:
    recording = recorder.open("call", 8000)
    assert not recording.close().cancel()
    assert recorder.open("next", 8000).close().result(5).error is None


def test_frames_after_the_end_are_not_recorded(recorder: Recorder) -> None:
    recording = recorder.open("call", 8000)
    recording.write(tone(1), None)
    future = recording.close()
    recording.write(tone(2), None)
    recording.write_late(tone(2))
    assert levels(read(future.result(5).path)[0]) == [1]


def test_closing_the_recorder_ends_every_recording(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recordings = [recorder.open(f"call-{number}", 8000) for number in range(40)]
    for recording in recordings:
        recording.write(tone(5), tone(6))
    assert recorder.close()
    for recording in recordings:
        assert levels(read(recording.close().result(0).path)[0]) == [5]
    with pytest.raises(UsageError):
        recorder.open("late", 8000)


def test_a_recorder_nobody_used_closes_at_once(tmp_path: Path) -> None:
    assert Recorder(tmp_path / "none").close()
    assert not (tmp_path / "none").exists()


# kill -9

WRITER = """
import sys, time
from pathlib import Path
import numpy as np
from trunkline.calls.recorder import Recorder

recorder = Recorder(Path(sys.argv[1]), flush_seconds=0.1)
recordings = [recorder.open(f"call-{n}", 8000) for n in range(5)]
number = 0
while True:
    number += 1
    for recording in recordings:
        recording.write(np.full(160, number, np.int16), np.full(160, -number, np.int16))
    print(number, flush=True)
    time.sleep(0.002)
"""


@pytest.mark.parametrize("after_frames", [1, 20, 53, 117, 160])
def test_a_killed_process_leaves_whole_files(tmp_path: Path, after_frames: int) -> None:
    """Flushes are ten times as frequent as in service here, and so is what may be lost."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    written = [
        (int(line), time.monotonic())
        for line, _ in zip(process.stdout, range(after_frames), strict=False)
    ]
    process.send_signal(signal.SIGKILL)
    written += [(int(line), time.monotonic()) for line in process.stdout if line.endswith("\n")]
    process.wait(10)
    process.stdout.close()
    files = list(tmp_path.rglob("*.wav"))
    if after_frames > 1:
        assert len(files) == 5
    for path in files:
        left, right, _ = read(path)
        frames = levels(left)
        assert frames == list(range(1, len(frames) + 1))
        assert np.array_equal(left, -right)
        # Once round the slots (0.1 s), twice over for a busy machine, and the frames held.
        late = [number for number, when in written if written[-1][1] - when > 0.5]
        assert len(frames) >= max(late, default=0) - HELD_FRAMES


# What is wanted of it


def recorded_as(recorder: Recorder, **wanted: object) -> tuple[list[list[int]], Manifest]:
    """Each channel of a recording of three ticks, and its manifest."""
    options = RecordingOptions(**wanted)  # type: ignore[arg-type]
    recording = recorder.open("call", 8000, WHEN, options=options)
    for number in (1, 2, 3):
        recording.write(tone(number), tone(10 * number))
    path = recording.close().result(5).path
    with wave.open(str(path), "rb") as file:
        channels = file.getnchannels()
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, channels)
    return [levels(samples[:, n]) for n in range(channels)], recording.manifest


def test_both_sides_may_be_one_channel(recorder: Recorder) -> None:
    channels, manifest = recorded_as(recorder, mix="mono")
    assert channels == [[11, 22, 33]]
    assert (manifest.channels, [leg.channel for leg in manifest.legs]) == (1, [0, 0])
    assert manifest.duration_seconds == 0.06


@pytest.mark.parametrize(("sides", "values"), [("heard", [1, 2, 3]), ("sent", [10, 20, 30])])
def test_one_side_may_be_left_out(recorder: Recorder, sides: str, values: list[int]) -> None:
    channels, manifest = recorded_as(recorder, sides=sides)
    assert channels == [values]
    assert [leg.side for leg in manifest.legs] == [sides]


def test_a_mix_that_is_too_loud_is_clipped_and_not_wrapped(recorder: Recorder) -> None:
    recording = recorder.open("call", 8000, options=RecordingOptions(mix="mono"))
    recording.write(tone(30_000), tone(30_000))
    recording.write(tone(-30_000), tone(-30_000))
    data = recording.close().result(5).path.read_bytes()[44:]
    assert levels(np.frombuffer(data, "<i2")) == [32767, -32768]


# The manifest


def test_the_manifest_is_there_from_the_first_moment(slow: Recorder) -> None:
    about = Manifest(caller="+4930", callee="100", app="shop")
    recording = slow.open("call", 8000, WHEN, about=about)
    wait_for_file(slow, recording)
    told = read_manifest(recording.path.with_suffix(".json"))
    assert (told.state, told.call_id, told.app) == ("recording", "call", "shop")
    assert (told.caller, told.callee) == ("+4930", "100")
    assert datetime.fromisoformat(told.started) == WHEN
    assert told.process and told.app_version and not told.sha256


def test_marks_and_pauses_are_told_where_they_are(slow: Recorder) -> None:
    recording = slow.open("call", 8000)
    writer = wait_for_file(slow, recording)
    for _ in range(25):
        recording.write(tone(1), None)
    recording.mark("consent", "said yes")
    recording.skip(10)
    recording.pause("card")
    recording.pause("again")
    writer.flush(None)
    told = read_manifest(recording.path.with_suffix(".json"))
    assert [(mark.name, mark.at_seconds, mark.detail) for mark in told.marks] == [
        ("consent", 0.5, "said yes")
    ]
    assert [(p.from_seconds, p.to_seconds, p.reason) for p in told.pauses] == [(0.7, None, "card")]
    recording.write(tone(2), tone(2))
    recording.resume()
    recording.resume()
    recording.write(tone(3), tone(3))
    path = recording.close().result(5).path
    told = read_manifest(path.with_suffix(".json"))
    assert [(p.from_seconds, p.to_seconds) for p in told.pauses] == [(0.7, 0.72)]
    assert told.duration_seconds == 0.74
    assert levels(read(path)[0])[-2:] == [0, 3]


def test_a_pause_that_lasts_to_the_end_ends_there(recorder: Recorder) -> None:
    recording = recorder.open("call", 8000)
    recording.write(tone(1), None)
    recording.pause()
    recording.write(tone(1), None)
    path = recording.close().result(5).path
    (pause,) = read_manifest(path.with_suffix(".json")).pauses
    assert (pause.from_seconds, pause.to_seconds) == (0.02, 0.04)


def test_nothing_late_is_taken_until_a_pause_can_not_be_late_any_more(slow: Recorder) -> None:
    recording = slow.open("call", 8000)
    recording.pause()
    recording.resume()
    for _ in range(HELD_FRAMES - 1):
        recording.write(None, None)
        recording.write_late(tone(9))
    recording.write(None, None)
    recording.write_late(tone(5))
    assert levels(read(recording.close().result(5).path)[0]) == [5] + [0] * (HELD_FRAMES - 1)


def test_a_finished_recording_has_its_hash_and_leaves_the_queue(recorder: Recorder) -> None:
    recording = recorder.open("call", 8000)
    wait_for_file(recorder, recording)
    assert [path.name for path in RecordingQueue(recorder.folder)] == ["call.json"]
    recording.write(tone(1), tone(1))
    path = recording.close().result(5).path
    told = read_manifest(path.with_suffix(".json"))
    assert told.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (told.bytes, told.finished, told.state) == (path.stat().st_size, True, "ended")
    assert list(RecordingQueue(recorder.folder)) == []


def test_when_the_first_sample_was_is_told_once_it_is_known(slow: Recorder) -> None:
    later = datetime(2026, 11, 21, 0, 0, 20, tzinfo=UTC)
    recording = slow.open("call", 8000, WHEN, wall_time=lambda at: later if at == 7.0 else WHEN)
    recording.began_at = 7.0
    recording.write(tone(1), None)
    path = recording.close().result(5).path
    told = read_manifest(path.with_suffix(".json"))
    assert datetime.fromisoformat(told.started) == later
    assert path.parent.name == "2026-11-20"


def test_an_hour_of_lost_ticks_takes_no_room(slow: Recorder) -> None:
    recording = slow.open("call", 8000)
    writer = wait_for_file(slow, recording)
    recording.write(tone(1), tone(1))
    for _ in range(60):
        recording.skip(SKIPPED_TICKS)
    recording.write(tone(2), tone(2))
    writer.flush(None, 0)
    path = recording.close().result(20).path
    stat = path.stat()
    assert stat.st_size == 44 + (60 * SKIPPED_TICKS + 2) * 640
    assert stat.st_blocks * 512 < 1_000_000
    with path.open("rb") as file:
        file.seek(-640, os.SEEK_END)
        assert file.read() == tone(2, 320).tobytes()


# A disk that is really full


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]).returncode:
        pytest.skip("only root may mount a file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("sealed", [False, True])
def test_recordings_go_on_when_a_full_disk_has_room_again(small_disk: Path, sealed: bool) -> None:
    """A real file system of 1 MB: filled, and emptied again, under two recordings."""
    key = new_key()
    told: list[OSError | None] = []
    recorder = Recorder(small_disk / "r", flush_seconds=0.2, keys=(key,) if sealed else ())
    recorder.listen(lambda *_: None, lambda _, error: told.append(error))
    recordings = [recorder.open(f"call-{n}", 8000) for n in range(2)]
    number = 0

    def talk(ticks: int) -> None:
        nonlocal number
        for _ in range(ticks):
            number += 1
            for recording in recordings:
                recording.write(tone(number), tone(-number))
            time.sleep(0.001)

    talk(100)
    with (small_disk / "other").open("wb", buffering=0) as other, suppress(OSError):
        while other.write(bytes(4096)) == 4096:
            pass
    talk(400)
    assert told and told[0] is not None and told[0].strerror == "No space left on device"
    third = recorder.open("third", 8000)
    third.write(tone(1), tone(1))
    (small_disk / "other").unlink()
    talk(60)
    recorded = [one.close().result(20) for one in (*recordings, third)]
    assert recorder.close()
    assert [one.error for one in recorded] == [None] * 3
    for one in recorded[:2]:
        data = b"".join(plain_pieces(one.path, (key,)))[44:]
        heard = levels(np.frombuffer(data, "<i2")[::2])
        assert len(heard) == 560
        assert all(value in (0, place) for place, value in enumerate(heard, 1))
        assert heard[:100] == list(range(1, 101)) and heard[-50:] == list(range(511, 561))
        assert heard.count(0) == one.dropped_frames
    assert told[-1] is None
