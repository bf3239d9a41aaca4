"""What is left when the process is killed in the middle of a call."""

import os
import subprocess
import sys
import time
from pathlib import Path

import trunkline
from trunkline.calls.records import RecordStore
from trunkline.media.wav import parse_wav
from trunkline.server.recovery import recover

from .kit import until
from .peer import Dialled, MediaPort, Peer, noise, sdp, stream


def test_a_killed_node_leaves_a_recording_and_a_record_that_says_so(tmp_path: Path) -> None:
    source = str(Path(trunkline.__file__).parent.parent)
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("crash_node.py")), str(tmp_path)],
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
    (crashed,) = recover(store, time.time())
    assert crashed.id == live.id
    (record,) = store.list()
    assert (record.state, record.end_reason) == ("crashed", "crashed")
    (path,) = (tmp_path / "recordings").rglob("*.wav")
    audio = parse_wav(path.read_bytes())
    assert audio.samples.shape[1] == 2 and len(audio.samples) > 4_000
    store.close()
