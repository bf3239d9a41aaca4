"""Comfort noise in a jitter bank: what is heard while a far end says nothing."""

import numpy as np
import pytest
from numpy.typing import NDArray

from trunkline.media.comfort_noise import NoiseDescription
from trunkline.media.g711 import Law, encode
from trunkline.media.jitter import JitterBank, Kind
from trunkline.media.row_noise import RowNoise

LEVEL = -40
NOISE = bytes(NoiseDescription(LEVEL))
TONE = (8000 * np.sin(2 * np.pi * 400 * np.arange(160) / 8000)).astype(np.int16)
VOICE = encode(TONE, Law.ULAW).tobytes()


class Scene:
    """One row, a packet and a frame every 20 ms."""

    def __init__(self) -> None:
        self.bank = JitterBank()
        self.row = self.bank.open()
        self.other = self.bank.open()
        self.tick = self.sequence = 0
        self.kinds: list[int] = []

    def run(self, *packets: str) -> NDArray[np.int16]:
        """``voice``, ``noise`` or nothing in each tick; gives what was heard."""
        frames = []
        for packet in packets:
            now = 0.02 * self.tick
            if packet == "voice":
                self.bank.put(self.row, self.sequence, self.tick * 160, 7, False, VOICE, now)
            elif packet == "noise":
                self.bank.put_noise(self.row, self.sequence, 7, NOISE, now)
            self.sequence += bool(packet)
            taken = self.bank.take(np.array([self.row, self.other]), now)
            frames.append(taken.pcm[0].copy())
            self.kinds.append(int(taken.kind[0]))
            assert not taken.pcm[1].any()
            self.tick += 1
        return np.concatenate(frames)


def level_db(pcm: NDArray[np.int16]) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(np.square(pcm.astype(float)))) / 32768))


def test_noise_is_heard_at_its_level_in_a_pause_and_nothing_is_concealed() -> None:
    scene = Scene()
    scene.run(*["voice"] * 20)
    heard = scene.run("noise", *[""] * 60)
    assert level_db(heard[160 * 20 :]) == pytest.approx(LEVEL, abs=1.5)
    statistics = scene.bank.statistics(scene.row)
    assert (statistics.concealed_frames, statistics.lost, statistics.late) == (0, 0, 0)
    assert set(scene.kinds[-40:]) == {int(Kind.SILENT)}
    assert scene.bank.rests(scene.row)


def test_a_voice_that_goes_on_is_heard_whole_and_no_packet_is_missed() -> None:
    scene = Scene()
    scene.run(*["voice"] * 20)
    scene.run("noise", *[""] * 40)
    heard = scene.run(*["voice"] * 30)
    assert level_db(heard[-1600:]) == pytest.approx(level_db(TONE), abs=0.5)
    assert not scene.bank.rests(scene.row)
    statistics = scene.bank.statistics(scene.row)
    assert (statistics.received, statistics.lost, statistics.concealed_frames) == (51, 0, 0)


def test_a_new_description_glides_to_its_level() -> None:
    scene = Scene()
    scene.run(*["voice"] * 10, "noise", *[""] * 30)
    scene.bank.put_noise(scene.row, scene.sequence, 7, bytes(NoiseDescription(-60)), 1.0)
    scene.sequence += 1
    assert level_db(scene.run(*[""] * 30)[-1600:]) == pytest.approx(-60, abs=2)


def test_a_lost_packet_is_still_concealed() -> None:
    scene = Scene()
    scene.run(*["voice"] * 20, "noise", *[""] * 20, *["voice"] * 20)
    scene.sequence += 1
    scene.run("", *["voice"] * 10)
    assert scene.bank.statistics(scene.row).lost == 1
    assert int(Kind.CONCEALED) in scene.kinds[-11:]


def test_a_row_that_is_given_back_takes_its_noise_along() -> None:
    scene = Scene()
    scene.run(*["voice"] * 10, "noise", *[""] * 20)
    scene.bank.close(scene.row)
    scene.row = scene.bank.open()
    assert not scene.run(*[""] * 5).any()
    scene.run(*["voice"] * 10, "noise", *[""] * 20)
    scene.bank.reset(scene.row)
    assert not scene.run(*[""] * 5).any()


def test_noise_begins_behind_what_is_left_of_the_voice() -> None:
    noise = RowNoise(8000)
    assert not noise
    noise.describe(3, NOISE)
    assert noise
    frame = np.zeros(160, np.int16)
    frame[:50] = 1000
    noise.fill(frame, 3)
    assert (frame[:50] == 1000).all() and frame[50:].any()
    untouched = np.zeros(160, np.int16)
    noise.fill(untouched, 4)
    assert not untouched.any()


def test_a_packet_without_a_level_is_counted() -> None:
    noise = RowNoise(8000)
    noise.describe(1, b"")
    assert noise.malformed == 1 and not noise
