"""Recording: how well it keeps the time, and what it costs.

Drift: an hour's call in virtual time, recorded as a node does it, the far end's clock 200 ppm
fast and slow, the node stalled for 0.05 to 1 s once a minute. Printed is how far the far end's
voice and ours have moved in the file in an hour (a straight line through a chirp every 10 s),
against the clock and against each other.

Cost: so many recordings at once in real time, from a thread that hands over frames as the
media thread does; CPU of each thread for a second of a call. Then what encoding costs when
calls are over, in the process of its own that does it, and sealing.

    python benchmarks/recording.py
    python benchmarks/recording.py --drift --seconds 3600
    python benchmarks/recording.py --cost --recordings 100 300
"""

import argparse
import os
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from _harness import load
from _machine import describe
from _recorded_hour import recorded_drift, talk
from _recordings import HELD_OUT, PACKAGE, missing
from _recordings import talk as prompts
from trunkline.calls.recorder import Recorder
from trunkline.calls.recording import Recording
from trunkline.calls.recording_convert import convert, require
from trunkline.calls.recording_manifest import Manifest
from trunkline.calls.recording_options import RecordingOptions
from trunkline.calls.sealing_keys import SealingKey, new_key

TICK = 0.020
FRAME = 160


def drift(seconds: float) -> None:
    print(f"\ndrift over {seconds:.0f} s of virtual time, scaled to an hour, ms")
    print(f"{'far clock':>10} {'stalls':>7} {'heard':>7} {'sent':>7} {'between':>8} {'chirps':>7}"
          f" {'latency of what is heard':>25} {'length':>8}")  # fmt: skip
    for ppm, stalls in ((0, 0), (200, 0), (-200, 0), (200, 60), (-200, 60)):
        with tempfile.TemporaryDirectory() as folder:
            found = recorded_drift(
                Path(folder), seconds=seconds, drift_ppm=ppm, stalls_an_hour=stalls
            )
        least, most = found.heard_ms.min(), found.heard_ms.max()
        print(
            f"{ppm:>+6} ppm {found.stalls:>7} {found.heard_an_hour_ms:>7.2f}"
            f" {found.sent_an_hour_ms:>7.2f} {found.between_an_hour_ms:>8.2f}"
            f" {len(found.at_seconds):>7} {least:>15.0f} to {most:<6.0f}"
            f" {found.length_error_ms:>+8.1f}"
        )
    print("latency: network (30 to 38 ms), jitter buffer and chirp; it may breathe, not move")


class Writing:
    """Hands frames to many recordings in four turns every 20 ms, as the engine does."""

    def __init__(self, recordings: list[Recording], frames: np.ndarray) -> None:
        self._recordings, self._frames = recordings, frames
        self.cpu_seconds = 0.0
        self.late_ms: list[float] = []

    def run(self, seconds: float) -> None:
        """Write for so long."""
        began, cpu = time.monotonic(), time.thread_time()
        parts = [self._recordings[turn::4] for turn in range(4)]
        for turn in range(round(seconds / TICK * 4)):
            due = began + turn * TICK / 4
            while (left := due - time.monotonic()) > 0:
                time.sleep(left)
            self.late_ms.append(1000 * (time.monotonic() - due))
            heard = self._frames[turn // 4 % len(self._frames)]
            for recording in parts[turn % 4]:
                recording.write(heard, heard)
        self.cpu_seconds = time.thread_time() - cpu


def thread_cpu(name: str) -> float:
    """CPU seconds of a thread so far."""
    for thread in threading.enumerate():
        if thread.name == name and thread.native_id:
            stat = Path(f"/proc/self/task/{thread.native_id}/schedstat").read_text()
            return int(stat.split()[0]) / 1e9
    return 0.0


def cost(many: int, seconds: float, keys: tuple[SealingKey, ...]) -> None:
    frames = talk(np.random.default_rng(1), 10.0).reshape(-1, FRAME)
    with tempfile.TemporaryDirectory() as folder:
        recorder = Recorder(Path(folder), keys=keys)
        recordings = [recorder.open(f"call-{n}", 8000) for n in range(many)]
        time.sleep(2.0)
        writing = Writing(recordings, frames)
        before = thread_cpu("recorder")
        writing.run(seconds)
        writer = thread_cpu("recorder") - before
        dropped = sum(one.close().result(60).dropped_frames for one in recordings)
        recorder.close()
    media, written = (1000 * x / many / seconds for x in (writing.cpu_seconds, writer))
    late = np.percentile(writing.late_ms, [50, 99, 100])
    what = "sealed WAV" if keys else "WAV"
    print(f"{what:>10} {many:>10} {media:>12.3f} {written:>13.3f} {media + written:>8.3f}"
          f" {late[1]:>9.2f} {late[2]:>7.1f} {dropped:>8}")  # fmt: skip


def conversion(seconds: int) -> None:
    """What is done after the call, a second of a call of it."""
    if missing() is None:
        audio = (prompts(HELD_OUT, 8000 * seconds, 8000) * 32768).astype(np.int16)
        spoken = f"recorded prompts ({PACKAGE})"
    else:
        audio, spoken = talk(np.random.default_rng(1), seconds), "noise with a rhythm of speech"
    turns = np.repeat(np.arange(-(-seconds // 5)) % 2, 5 * 8000)[: len(audio)]
    print(f"\nafter the call, of {spoken}, sides in turns of 5 s")
    print(f"{'format':>14} {'CPU ms a call-second':>22} {'bytes a second':>15} {'of WAV':>7}")
    key = new_key()
    require("flac")  # what is imported once is not a call's
    for keys in ((), (key,)):
        for format in ("flac", "opus"):
            with tempfile.TemporaryDirectory() as folder:
                path, manifest = spool(Path(folder), audio, turns, format, keys)
                cpu = time.process_time()
                made = convert(path, manifest, keys)
                cpu = time.process_time() - cpu
                size = made.stat().st_size / seconds
            name = format + (" sealed" if keys else "")
            print(f"{name:>14} {1000 * cpu / seconds:>22.3f} {size:>15.0f} {size / 32_000:>7.0%}")


def spool(
    folder: Path, audio: np.ndarray, turns: np.ndarray, format: str, keys: tuple[SealingKey, ...]
) -> tuple[Path, Manifest]:
    """A WAV as a call leaves it."""
    options = RecordingOptions(format=format)
    recorder = Recorder(folder, options=options, keys=keys, on_finished=lambda *_: None)
    recording = recorder.open("call", 8000)
    writer = recorder.writer(recording)
    while writer.file is None:
        pass
    left, right = (audio * turns).reshape(-1, FRAME), (audio * (1 - turns)).reshape(-1, FRAME)
    for number, (heard, sent) in enumerate(zip(left, right, strict=True)):
        recording.write(heard.astype(np.int16), sent.astype(np.int16))
        if number % 100 == 0:
            writer.flush(None, 0)
    path = recording.close().result(60).path
    recorder.close()
    return path.with_name("call.json"), recording.manifest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--drift", action="store_true", help="only this")
    parser.add_argument("--cost", action="store_true", help="only this")
    parser.add_argument("--seconds", type=float, default=3600.0, help="of the virtual call")
    parser.add_argument("--recordings", type=int, nargs="+", default=[100, 300])
    parser.add_argument("--for-seconds", type=float, default=20.0, help="of the cost")
    options = parser.parse_args()
    print(describe("av", "cryptography"))
    print(load())
    if options.drift or not options.cost:
        drift(options.seconds)
    if options.cost or not options.drift:
        print("\nwhile calls are up: CPU ms a call-second, stereo at 8 kHz, flushed every 0.75 s")
        print(f"{'':>10} {'recordings':>10} {'media thread':>12} {'writer thread':>13}"
              f" {'both':>8} {'p99 late':>9} {'max ms':>7} {'dropped':>8}")  # fmt: skip
        for many in options.recordings:
            cost(many, options.for_seconds, ())
            cost(many, options.for_seconds, (new_key(),))
        conversion(60)
    print(load())


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    main()
