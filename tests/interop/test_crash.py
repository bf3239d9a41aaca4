"""What is left when the process is killed in the middle of a call."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import av
import pytest

import trunkline
from trunkline.calls.recording_manifest import read
from trunkline.calls.records import RecordStore
from trunkline.media.wav import parse_wav
from trunkline.server.recordings import Recordings
from trunkline.server.recovery import recover
from trunkline.settings import Recording

from .kit import until
from .peer import Dialled, MediaPort, Peer, noise, sdp, stream


@pytest.mark.parametrize("format", ["wav", "flac", "opus"])
def test_a_killed_node_leaves_a_recording_and_a_record_that_says_so(
    tmp_path: Path, format: Any
) -> None:
    source = str(Path(trunkline.__file__).parent.parent)
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("crash_node.py")), str(tmp_path), format],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": source},
    )
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        with Peer(port) as peer, MediaPort() as media:
            there = Dialled(peer).answered(sdp(media.port)).media
            playing = media.play(there, stream(noise(120)))
            recordings = tmp_path / "recordings"

            def recorded() -> bool:
                return any(path.stat().st_size > 20_000 for path in recordings.rglob("*.wav"))

            until(recorded, 10)
            process.kill()
            process.wait(5)
            playing.join()
    finally:
        process.kill()
        process.wait(5)
        process.stdout.close()
    store = RecordStore(tmp_path / "calls.db")
    (live,) = store.list()
    assert live.state == "live" and live.answered_at is not None
    (crashed,) = recover(store, time.time(), tmp_path / "recordings")
    assert crashed.id == live.id
    (record,) = store.list()
    assert (record.state, record.end_reason) == ("crashed", "crashed")
    (path,) = (tmp_path / "recordings").rglob("*.wav")
    audio = parse_wav(path.read_bytes())
    assert audio.samples.shape[1] == 2 and len(audio.samples) > 4_000
    manifest = read(path.with_suffix(".json"))
    assert (manifest.state, manifest.call_id) == ("crashed", live.id)
    assert manifest.duration_seconds == len(audio.samples) / 8000
    settings = Recording(folder=tmp_path / "recordings", format=format)
    again = Recordings(settings, store)  # as the next node has it
    again.start()
    until(lambda: read(path.with_suffix(".json")).finished, 20)
    again.close()
    manifest = read(path.with_suffix(".json"))
    with av.open(str(path.with_suffix(f".{format}"))) as made:
        seconds = sum(frame.samples / frame.sample_rate for frame in made.decode(audio=0))
    assert abs(seconds - manifest.duration_seconds) < 0.1
    until(lambda: store.flush() and store.get(live.id).recording.endswith(format))
    store.close()
