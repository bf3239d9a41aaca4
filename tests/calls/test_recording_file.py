"""The growing file: whole at every moment, whatever the disk takes of it."""

import contextlib
import errno
import os
import wave
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trunkline.calls.recording_convert import plain_pieces
from trunkline.calls.recording_file import RecordingFile
from trunkline.calls.sealing import Sealer
from trunkline.calls.sealing_keys import new_key
from trunkline.calls.wav import HEADER_BYTES, salvage

KEY = new_key()


def samples_of(path: Path) -> bytes:
    return b"".join(plain_pieces(path, (KEY,)))[HEADER_BYTES:]


class Disk:
    """Takes so many bytes, then none, until it is given room."""

    def __init__(self, room: int, really: Callable[..., int] = os.pwrite) -> None:
        self.room = room
        self._really = really

    def pwrite(self, fd: int, data: bytes, at: int) -> int:
        if at < HEADER_BYTES and len(data) == HEADER_BYTES and self.room < 0:
            return self._really(fd, data, at)
        if self.room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self._really(fd, data[: self.room], at)
        self.room -= written
        return written


@pytest.mark.parametrize("sealed", [False, True])
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.binary(max_size=300), max_size=12), room=st.integers(0, 2000))
def test_what_a_full_disk_refused_is_written_when_there_is_room(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    sealed: bool,
    pieces: list[bytes],
    room: int,
) -> None:
    name = "x.wav.sealed" if sealed else "x.wav"
    path = tmp_path_factory.mktemp("r") / name
    disk = Disk(room)
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", disk.pwrite)
        file = RecordingFile(path, 8000, 2, Sealer((KEY,)) if sealed else None)
        taken = b""
        for piece in pieces:
            try:
                file.flush()
            except OSError:
                disk.room += 100
                continue  # as the writer does: nothing new before what waits is written
            taken += piece
            with contextlib.suppress(OSError):
                file.append(piece)
        disk.room = 1 << 20
        file.flush()
        file.finish()
        file.close()
    assert samples_of(path) == taken
    assert file.data_bytes == len(taken)


def test_after_each_append_another_program_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    file = RecordingFile(path, 8000, 2, None)
    file.flush()
    for number in range(5):
        with wave.open(str(path)) as read:
            assert read.getnframes() == number * 100
        file.append(bytes([number]) * 400)
    file.close()


def test_silence_is_of_the_same_length_in_either(tmp_path: Path) -> None:
    for name, sealer in (("a.wav", None), ("b.wav.sealed", Sealer((KEY,)))):
        file = RecordingFile(tmp_path / name, 8000, 2, sealer)
        file.append(b"\1" * 400)
        file.silence(1_000_000)
        file.append(b"\2" * 400)
        file.silence(4000)
        file.finish()
        file.close()
        found = samples_of(tmp_path / name)
        assert found == b"\1" * 400 + bytes(1_000_000) + b"\2" * 400 + bytes(4000)
    assert (tmp_path / "a.wav").stat().st_blocks * 512 < 100_000


def test_one_that_is_given_up_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.wav"
    file = RecordingFile(path, 8000, 2, None)
    file.append(b"\1" * 400)
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", Disk(7).pwrite)
        with pytest.raises(OSError, match="No space"):
            file.append(b"\2" * 400)
    file.abandon()
    file.close()
    assert samples_of(path) == b"\1" * 400 + b"\2" * 4
    assert salvage(path) == 101 / 8000
    assert file.data_bytes == 404


def test_nobody_elses_file_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_text("mine")
    with pytest.raises(FileExistsError):
        RecordingFile(tmp_path / "x.wav", 8000, 2, None)
    assert (tmp_path / "x.wav").read_text() == "mine"


def test_a_deleted_one_is_noticed(tmp_path: Path) -> None:
    file = RecordingFile(tmp_path / "x.wav", 8000, 2, None)
    assert not file.is_deleted
    (tmp_path / "x.wav").unlink()
    assert file.is_deleted
    file.close()
    file.close()
