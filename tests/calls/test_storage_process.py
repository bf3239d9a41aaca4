"""The process that finishes recordings, killed and started again; and killed recorders."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import trunkline
from trunkline.calls.recording_convert import plain_pieces
from trunkline.calls.recording_manifest import read
from trunkline.calls.recording_options import RecordingOptions
from trunkline.calls.recording_queue import RecordingQueue
from trunkline.calls.recording_recovery import recover_recordings
from trunkline.calls.sealing_keys import new_key, new_pair
from trunkline.calls.storage import Storeroom
from trunkline.calls.storage_process import StorageProcess, locked
from trunkline.calls.storage_settings import S3Target, StorageSettings

from .storehouse import BUCKET, Storehouse, recorded, storehouse

SOURCE = str(Path(trunkline.__file__).parent.parent)


@pytest.fixture(scope="module")
def server() -> Iterator[Storehouse]:
    with storehouse() as house:
        yield house


@pytest.fixture
def house(server: Storehouse) -> Storehouse:
    server.empty()
    server.gate.mode = "pass"
    return server


class Finisher:
    """A node's end of the process, and what it told."""

    def __init__(self, folder: Path, s3: S3Target | None = None, **options: Any) -> None:
        self.stored: list[tuple[str, str]] = []
        self.alarms: list[tuple[str, str]] = []
        keys = [(key.id, key.written()) for key in options.get("keys", ())]
        self.process = StorageProcess(
            StorageSettings(folder=str(folder), keys=keys, s3=s3),
            on_stored=lambda *told: self.stored.append(told),
            on_alarm=lambda *told: self.alarms.append(told),
            idle_seconds=options.get("idle_seconds", 60.0),
        )

    def __enter__(self) -> "Finisher":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.close(5.0)


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.01)


def decoded(path: Path) -> np.ndarray:
    """What another's decoder makes of a file: (samples, channels) at 8 kHz."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("s16", container.streams.audio[0].layout, 8000)
        frames = [
            made.to_ndarray()
            for frame in container.decode(audio=0)
            for made in resampler.resample(frame)
        ]
        frames += [made.to_ndarray() for made in resampler.resample(None)]
    channels = 2
    return np.concatenate(frames, axis=1).reshape(-1, channels)


@pytest.mark.parametrize(("format", "sealed"), [("flac", False), ("opus", False), ("flac", True)])
def test_a_recording_is_finished_elsewhere(tmp_path: Path, format: Any, sealed: bool) -> None:
    keys = new_pair()[:1] if sealed else ()
    own: list[bytes] = []
    options = RecordingOptions(format=format)
    path, _ = recorded(tmp_path, seconds=2.0, options=options, keys=keys, data_keys=own)
    with Finisher(tmp_path, keys=keys) as finisher:
        finisher.process.finished(path, own[0])
        until(lambda: finisher.stored)
    manifest = read(path)
    assert finisher.stored == [("call", str(path.with_name(manifest.file)))]
    assert manifest.format == format and manifest.finished
    if not sealed:
        samples = decoded(path.with_name(manifest.file))
        assert abs(len(samples) - 16_000) < 200
        assert np.abs(samples[4000:12000]).max(axis=0) == pytest.approx(8000, rel=0.2)


def test_it_says_nothing_of_keys_in_its_arguments_or_environment(tmp_path: Path) -> None:
    key = new_key()
    with Finisher(tmp_path, keys=(key,)) as finisher:
        finisher.process.start()
        until(lambda: finisher.process.pid)
        there = Path(f"/proc/{finisher.process.pid}")
        seen = (there / "cmdline").read_bytes() + (there / "environ").read_bytes()
        assert key.written().encode() not in seen and b"storage_process" in seen


def test_one_that_is_killed_is_started_again_and_goes_on(tmp_path: Path) -> None:
    first, _ = recorded(tmp_path, "first", options=RecordingOptions(format="flac"))
    second, _ = recorded(tmp_path, "second", options=RecordingOptions(format="flac"))
    with Finisher(tmp_path) as finisher:
        finisher.process.finished(first)
        until(lambda: finisher.stored)
        os.kill(finisher.process.pid, signal.SIGKILL)
        finisher.process.finished(second)
        until(lambda: len(finisher.stored) == 2)
        assert finisher.process.restarts == 1
        until(lambda: not finisher.alarms[-1][1])
        assert finisher.alarms[0][0] == "worker" and finisher.alarms[0][1]


def test_one_with_nothing_to_do_ends_until_there_is(tmp_path: Path) -> None:
    first, _ = recorded(tmp_path, "first", options=RecordingOptions(format="flac"))
    second, _ = recorded(tmp_path, "second", options=RecordingOptions(format="flac"))
    with Finisher(tmp_path, idle_seconds=0.1) as finisher:
        finisher.process.finished(first)
        until(lambda: finisher.stored)
        until(lambda: not finisher.process.pid)
        finisher.process.finished(second)
        until(lambda: len(finisher.stored) == 2)
        assert finisher.process.restarts == 0 and not finisher.alarms


def test_only_one_process_finishes_a_folder(tmp_path: Path) -> None:
    path, _ = recorded(tmp_path, options=RecordingOptions(format="flac"))
    with Finisher(tmp_path) as finisher:
        with locked(tmp_path) as ours:
            assert ours
            with locked(tmp_path) as again:
                assert not again
            finisher.process.finished(path)
            until(lambda: finisher.process.pid)
            time.sleep(0.1)
            assert not finisher.stored
        until(lambda: finisher.stored)


UPLOADER = """
import sys
from pathlib import Path
import msgspec
from trunkline.calls.storage import Storeroom
from trunkline.calls.storage_settings import StorageSettings
room = Storeroom(msgspec.json.decode(sys.stdin.buffer.read(), type=StorageSettings))
print("ready", flush=True)
while room.step():
    pass
"""


@pytest.mark.parametrize("after_bytes", [2_000, 400_000, 6_000_000])
def test_a_kill_in_the_middle_of_an_upload_costs_nothing(
    tmp_path: Path, house: Storehouse, after_bytes: int
) -> None:
    """Killed before, within and between the parts; then all is there, once."""
    path, manifest = recorded(tmp_path, uploads=True)
    manifest.process = dead()
    path.write_bytes(path.read_bytes().replace(read(path).process.encode(), dead().encode()))
    file = path.with_name(manifest.file)
    with file.open("ab") as wav:
        wav.write(os.urandom(11_000_000))
    data = file.read_bytes()
    settings = StorageSettings(
        folder=str(tmp_path), s3=house.target(multipart_bytes=5 << 20, timeout_seconds=20.0)
    )
    house.gate.mode = "trickle"
    before = house.gate.passed_bytes
    process = subprocess.Popen(
        [sys.executable, "-c", UPLOADER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": SOURCE},
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(settings.encoded())
    process.stdin.close()
    until(lambda: house.gate.passed_bytes - before >= after_bytes or process.poll() is not None)
    process.kill()
    process.wait(10)
    process.stdout.close()
    assert file.exists(), "it goes only when it is known to be there"
    house.gate.mode = "pass"
    room = Storeroom(settings)
    until(lambda: not room.step())
    room.close()
    key = f"calls/{path.parent.name}/call.wav"
    assert house.names() == [key.replace(".wav", ".json"), key]
    assert house.data(key) == data
    assert not file.exists()
    assert not house.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads")


def dead() -> str:
    """A process of this machine that is no more."""
    from trunkline.calls.processes import identity

    number, _, world = identity().split("/", 2)
    return f"{number}/0/{world}"


RECORDER = """
import sys, time
from pathlib import Path
import numpy as np
from trunkline.calls.recorder import Recorder
from trunkline.calls.recording_options import RecordingOptions
from trunkline.calls.sealing_keys import parse_key
folder, format, key = sys.argv[1:]
recorder = Recorder(
    Path(folder), options=RecordingOptions(format=format),
    keys=(parse_key(key),) if key else (), on_finished=lambda *_: None,
)
recording = recorder.open("call", 8000)
began = time.monotonic()
number = 0
while True:
    number += 1
    recording.write(np.full(160, number, np.int16), np.full(160, -number, np.int16))
    print(number, flush=True)
    time.sleep(max(0.0, began + number * 0.02 - time.monotonic()))
"""


@pytest.mark.parametrize(
    ("format", "sealed"), [("wav", False), ("flac", False), ("opus", False), ("wav", True)]
)
def test_a_killed_recorder_leaves_all_but_the_last_second(
    tmp_path: Path, format: str, sealed: bool
) -> None:
    """In real time, with the flushes of service; then finished by whoever comes next."""
    public, private = new_pair()
    process = subprocess.Popen(
        [
            sys.executable, "-c", RECORDER, str(tmp_path), format,
            public.written() if sealed else "",
        ],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": SOURCE},
    )  # fmt: skip
    assert process.stdout is not None
    lines: list[tuple[int, float]] = []
    reading = threading.Thread(
        target=lambda: lines.extend((int(n), time.monotonic()) for n in process.stdout or ())
    )
    reading.start()
    until(lambda: len(lines) > 130)
    process.kill()
    process.wait(10)
    reading.join()
    process.stdout.close()
    (spool,) = tmp_path.rglob("call.wav*")
    data = b"".join(plain_pieces(spool, (private,)))
    left = np.frombuffer(data[44 : len(data) // 4 * 4], "<i2")[::320]
    frames = [int(value) for value in left]
    assert frames == list(range(1, len(frames) + 1))
    # One second; a machine with nine builds on two cores may hold the writer up for another.
    due = [number for number, when in lines if lines[-1][1] - when > 2.0]
    assert len(frames) >= len(due)
    assert recover_recordings(tmp_path, time.time())
    manifest = read(next(tmp_path.rglob("call.json")))
    assert manifest.state == "crashed"
    assert manifest.duration_seconds == pytest.approx(len(frames) / 50, abs=0.1)
    room = Storeroom(StorageSettings(folder=str(tmp_path)))
    until(lambda: not room.step())
    assert list(RecordingQueue(tmp_path)) == []
    if not sealed:
        (made,) = tmp_path.rglob(f"call.{format}")
        assert abs(len(decoded(made)) / 8000 - len(frames) / 50) < 0.1


def test_nothing_of_a_pause_is_on_the_disk_or_in_memory(tmp_path: Path) -> None:
    """The secret is a sound that nothing else has; it is looked for everywhere."""
    from trunkline.calls.recorder import Recorder

    secret = np.frombuffer(b"4111111111111111" * 20, np.int16)
    recorder = Recorder(tmp_path, flush_seconds=0.05)
    recording = recorder.open("call", 8000)
    for _ in range(20):
        recording.write(np.full(160, 5, np.int16), None)
    recording.pause("card number")
    for _ in range(50):
        recording.write(secret, secret)
        recording.write_late(secret)
        assert not any(
            isinstance(entry, list) and secret.tobytes() in entry for entry in recording._pending
        )
        time.sleep(0.002)
    recording.resume()
    recording.write_late(secret)
    recording.write(None, np.full(160, 6, np.int16))
    recording.write_late(secret)
    path = recording.close().result(10).path
    assert recorder.close()
    for file in tmp_path.rglob("*"):
        assert file.is_dir() or b"4111" not in file.read_bytes()
    manifest = read(path.with_suffix(".json"))
    (pause,) = manifest.pauses
    assert (pause.from_seconds, pause.to_seconds, pause.reason) == (0.4, 1.4, "card number")
    assert path.stat().st_size == 44 + 71 * 640


def test_a_process_that_does_not_read_keeps_no_recorder_waiting(tmp_path: Path) -> None:
    path, _ = recorded(tmp_path, options=RecordingOptions(format="flac"))
    with Finisher(tmp_path) as finisher:
        finisher.process.start()
        until(lambda: finisher.process.pid)
        os.kill(finisher.process.pid, signal.SIGSTOP)
        for number in range(3000):  # more than a pipe holds
            finisher.process.finished(tmp_path / "2026-01-01" / f"no-such-{number}.json")
        finisher.process.finished(path)
        os.kill(finisher.process.pid, signal.SIGCONT)
        until(lambda: finisher.stored)
