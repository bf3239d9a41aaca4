"""The process that speaks: ``python -m trunkline.speech.synthesis_worker ENGINE RATE_HZ``.

Texts come in as messages of `trunkline.speech.pipes`, audio goes out in chunks while a
sentence is still being made. Several texts take turns sentence by sentence, so that a
long one does not hold up a short one. The engines are C libraries with global state:
here they can crash, print and be under any licence.
"""

import json
import os
import queue
import re
import sys
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO, Protocol

from trunkline.errors import MissingDependencyError

from .pipes import Kind, claim_stdio, pack, read, write

__all__ = ["Desk", "main", "sentences"]

_SENTENCE_END = re.compile(r"(?<=[.!?;:…])\s+")
_LONGEST_SENTENCE = 200
# What an engine makes of 200 letters that are no words: longer holds up the others.
_LONGEST_SECONDS = 20
# Engines begin with up to 250 ms of silence, which would be latency.
_LEADING_MS = 300
_QUIET = 120  # of 32768: -49 dBov


class Engine(Protocol):
    """One C library."""

    rate_hz: int
    licence: str

    def speak(
        self, text: str, settings: dict[str, Any], emit: Callable[[bytes, int], bool]
    ) -> None:
        """Speak one sentence; ``emit`` returns False to stop."""
        ...


def sentences(text: str) -> list[str]:
    """A text in the pieces that are spoken at one go, none over 200 characters."""
    pieces: list[str] = []
    for sentence in _SENTENCE_END.split(text.strip()):
        rest = sentence
        while len(rest) > _LONGEST_SENTENCE:
            comma = rest.rfind(", ", _LONGEST_SENTENCE // 3, _LONGEST_SENTENCE)
            cut = comma if comma > 0 else rest.rfind(" ", 0, _LONGEST_SENTENCE)
            cut = cut if cut > 0 else _LONGEST_SENTENCE
            pieces.append(rest[:cut])
            rest = rest[cut:].lstrip(", ")
        if rest:
            pieces.append(rest)
    return pieces


class _Shape:
    """From an engine's audio to the rate wanted, without the silence it begins with."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        # Imported when first needed: the engines' processes start without numpy otherwise.
        import numpy as np

        from trunkline.media.resample import StreamResampler

        self._np = np
        self._leading = _LEADING_MS * from_hz // 1000
        self._before = from_hz // 100
        self._resampler = StreamResampler(from_hz, to_hz) if from_hz != to_hz else None

    def push(self, data: bytes) -> bytes:
        pcm = self._np.frombuffer(data, "<i2")
        if self._leading > 0:
            loud = self._np.flatnonzero(self._np.abs(pcm[: self._leading].astype(int)) > _QUIET)
            if not loud.size and pcm.size <= self._leading:
                self._leading -= pcm.size
                return b""
            # A soft consonant begins some 10 ms before it is loud.
            first = max(0, int(loud[0]) - self._before) if loud.size else self._leading
            self._leading = 0
            pcm = pcm[first:]
        return (self._resampler.push(pcm) if self._resampler else pcm).tobytes()

    def flush(self) -> bytes:
        return self._resampler.flush().tobytes() if self._resampler else b""


@dataclass
class _Job:
    request: int
    settings: dict[str, Any]
    pieces: deque[str]
    shape: _Shape | None = None


@dataclass
class Desk:
    """Takes texts in, speaks their sentences in turn."""

    engine: Engine
    rate_hz: int
    send: Callable[[bytes], None]
    inbox: "queue.SimpleQueue[tuple[int, bytes]]" = field(default_factory=queue.SimpleQueue)
    cancelled: set[int] = field(default_factory=set)
    _jobs: deque[_Job] = field(default_factory=deque)

    def take(self, kind: int, request: int, payload: bytes) -> None:
        """A message from the pipe; any thread."""
        if kind == Kind.SPEAK:
            self.inbox.put((request, payload))
        elif kind == Kind.CANCEL:
            self.cancelled.add(request)

    def turn(self) -> None:
        """Speak one sentence of the text whose turn it is, waiting for one to come."""
        while not self._jobs or not self.inbox.empty():
            self._admit(*self.inbox.get())
        job = self._jobs.popleft()
        if job.request in self.cancelled:
            self.cancelled.discard(job.request)
            return
        try:
            if job.pieces:
                self.engine.speak(job.pieces.popleft(), job.settings, self._emitter(job))
            if job.pieces:
                self._jobs.append(job)
                return
            rest = job.shape.flush() if job.shape else b""
            if rest:
                self.send(pack(Kind.CHUNK, job.request, rest))
            self.send(pack(Kind.DONE, job.request))
        except ValueError as error:
            self.send(pack(Kind.ERROR, job.request, str(error).encode()))
        self.cancelled.discard(job.request)

    def _admit(self, request: int, payload: bytes) -> None:
        asked = json.loads(payload)
        pieces = deque(sentences(str(asked.pop("text", ""))))
        self._jobs.append(_Job(request, asked, pieces))

    def _emitter(self, job: _Job) -> Callable[[bytes, int], bool]:
        left = _LONGEST_SECONDS * self.engine.rate_hz

        def emit(data: bytes, rate_hz: int) -> bool:
            nonlocal left
            left -= len(data) // 2
            if left < 0 or job.request in self.cancelled:
                return False
            if job.shape is None:
                job.shape = _Shape(rate_hz, self.rate_hz)
            shaped = job.shape.push(data)
            if shaped:
                self.send(pack(Kind.CHUNK, job.request, shaped))
            return True

        return emit


def _engine(name: str) -> Engine:
    if name == "flite":
        from .flite import Flite

        return Flite()
    if name == "espeak":
        from .espeak import Espeak

        return Espeak()
    raise MissingDependencyError(f"there is no synthesis engine {name!r}")


def _read_all(source: BinaryIO, desk: Desk) -> None:
    while (message := read(source)) is not None:
        desk.take(*message)
    os._exit(0)  # the parent is gone or done; a C library at work cannot be asked to stop


def main(arguments: list[str]) -> None:
    """Serve until the input ends."""
    source, sink = claim_stdio()
    send = partial(write, sink)
    name, rate = arguments
    try:
        engine = _engine(name)
    except MissingDependencyError as error:
        send(pack(Kind.ERROR, 0, str(error).encode()))
        return
    desk = Desk(engine, int(rate) or engine.rate_hz, send)
    threading.Thread(target=_read_all, args=(source, desk), daemon=True).start()
    _Shape(engine.rate_hz, desk.rate_hz)  # designs the filter before it is needed
    ready = {"rate_hz": desk.rate_hz, "licence": engine.licence}
    send(pack(Kind.READY, 0, json.dumps(ready).encode()))
    while True:
        desk.turn()


if __name__ == "__main__":
    main(sys.argv[1:])
