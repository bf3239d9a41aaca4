"""The growing file of one recording: a WAV, whole at every moment, or the same one sealed.

What the disk does not take now is kept and written before anything else, at the same
place and (sealed) as the same bytes: nothing is ever encrypted twice under one nonce.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .wav import HEADER_BYTES, header

if TYPE_CHECKING:
    from .sealing import Sealer

__all__ = ["SEALED_SUFFIX", "STREAMED_BYTES", "RecordingFile"]

SEALED_SUFFIX: Final = ".sealed"
STREAMED_BYTES: Final = 0
"""The size in the header of a WAV that cannot be written back to: that of an empty one.
Opening it sets it right."""
SILENT_CHUNK_BYTES: Final = 1 << 18


class RecordingFile:
    """Appends samples to a file; the writer thread's."""

    def __init__(self, path: Path, rate_hz: int, channels: int, sealer: "Sealer | None") -> None:
        """Make the file, readable by us alone. Raises `OSError`."""
        self.path = path
        self.data_bytes = 0
        """Samples taken, in bytes, whether or not they are on the disk yet."""
        self._rate_hz, self._channels = rate_hz, channels
        self._sealer = sealer
        self._finished = False
        self._waiting = b""
        self._end = 0  # where the next byte goes
        self._told_bytes = 0  # in the header
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        start = header(rate_hz, STREAMED_BYTES, channels)
        self._waiting = start if sealer is None else sealer.header + sealer.seal(start)

    @property
    def fd(self) -> int:
        """Its descriptor; -1 once it is closed."""
        return self._fd

    def append(self, samples: bytes) -> None:
        """Take samples; they count as written even if the disk lets them wait.

        Raises `OSError`, then or when something waited: `flush` tries again.
        """
        if samples:
            self.data_bytes += len(samples)
            self._waiting += samples if self._sealer is None else self._sealer.seal(samples)
        self.flush()

    def silence(self, size: int) -> None:
        """Append much silence: in a plain file it takes no room. Raises as `append` does."""
        if self._sealer is None:
            self.flush()
            self.data_bytes += size
            self._end += size
            return
        for at in range(0, size, SILENT_CHUNK_BYTES):
            self.append(bytes(min(SILENT_CHUNK_BYTES, size - at)))

    def flush(self) -> None:
        """Write what waits, then (plain) the sizes; raises `OSError`."""
        while self._waiting:
            written = os.pwrite(self._fd, self._waiting, self._end)
            self._end += written
            self._waiting = self._waiting[written:]
        if self._sealer is None and self._told_bytes != self.data_bytes:
            os.pwrite(self._fd, header(self._rate_hz, self.data_bytes, self._channels), 0)
            self._told_bytes = self.data_bytes

    @property
    def is_deleted(self) -> bool:
        """Whether somebody deleted it; raises `OSError`."""
        return os.fstat(self._fd).st_nlink == 0

    def finish(self) -> None:
        """Write the end of it; raises `OSError`. Legal again after it did."""
        if self._sealer is not None and not self._finished:
            self._waiting += self._sealer.seal(b"", last=True)
        self._finished = True
        self.flush()
        if self._sealer is None:
            # Silence at the very end is a hole as yet.
            os.ftruncate(self._fd, HEADER_BYTES + self.data_bytes)

    def abandon(self) -> None:
        """Make what there is a whole file: nothing more can be written. Raises `OSError`."""
        if self._sealer is None:
            block = 2 * self._channels
            whole = max(0, self._end - HEADER_BYTES) // block * block
            os.ftruncate(self._fd, HEADER_BYTES + whole)
            os.pwrite(self._fd, header(self._rate_hz, whole, self._channels), 0)
            self.data_bytes = whole

    def close(self) -> None:
        """Let go of it; raises `OSError` where a network tells of a lost write here."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)
