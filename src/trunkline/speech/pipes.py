"""The framing between a worker process and us: kind, request, length, payload.

A worker reads messages from its standard input and writes them to its standard output.
End of input means that nobody needs it any more, however that came about, and it exits.
Only the standard library is imported here: workers begin with it.
"""

import os
import signal
import struct
import sys
from enum import IntEnum
from typing import BinaryIO, NamedTuple

__all__ = ["HEADER", "MAX_BYTES", "Kind", "Piped", "claim_stdio", "pack", "read", "write"]

HEADER = struct.Struct("<BII")
MAX_BYTES = 1 << 22
"""Longest payload; a longer one means that the other side has lost its place."""


class Kind(IntEnum):
    """What a message says. Audio is int16, little-endian, mono."""

    # To a recogniser: an utterance begins (JSON), its audio, its end, drop it.
    START = 1
    AUDIO = 2
    FINISH = 3
    # To either.
    CANCEL = 4
    # To a synthesiser (JSON).
    SPEAK = 5
    # From a worker. READY (JSON) comes once, with request 0; so does a fatal ERROR.
    READY = 16
    RESULT = 17
    CHUNK = 18
    DONE = 19
    ERROR = 20
    # Never on the wire: the worker is gone.
    DIED = 32


class Piped(NamedTuple):
    """One message."""

    kind: int
    request: int
    payload: bytes


def pack(kind: Kind, request: int, payload: bytes = b"") -> bytes:
    """A message's bytes."""
    return HEADER.pack(kind, request, len(payload)) + payload


def read(stream: BinaryIO) -> Piped | None:
    """The next message, waiting for it; None at the end or when the framing is lost."""
    head = stream.read(HEADER.size)
    if len(head) < HEADER.size:
        return None
    kind, request, length = HEADER.unpack(head)
    if length > MAX_BYTES:
        return None
    payload = stream.read(length) if length else b""
    return Piped(kind, request, payload) if len(payload) == length else None


def write(sink: BinaryIO, message: bytes) -> None:
    """Write a worker's message whole, or end the worker: nobody reads it any more.

    ``sink`` is unbuffered, so it may take a part only.
    """
    try:
        view = memoryview(message)
        while view:
            view = view[sink.write(view) :]
    except OSError:
        os._exit(0)  # at once: a C library at work in a thread cannot be asked to stop


def claim_stdio() -> tuple[BinaryIO, BinaryIO]:
    """Take standard input and output for messages, and keep everyone else off them.

    C libraries print: pocketsphinx's grammar scanner echoes what it cannot read to
    standard output. From here on that goes to standard error.
    """
    source = os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    sink = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), sys.stdin.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    # Ctrl-C goes to the whole foreground group; the parent decides when a worker ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return source, sink
