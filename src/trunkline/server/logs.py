"""The node's log: for people on a terminal, as JSON lines for machines.

Standard library logging and no more. What structlog would bring, the call's id
on each line, takes a filter and a context variable, and every library's lines
pass through here anyway. Three things the library's defaults lack:

- no thread waits for the terminal: lines go through a bounded queue to a thread
  that writes them, so a full pipe costs lines (counted) and no call a frame;
- secrets of the settings never appear, not even in somebody's exception text;
- text of strangers cannot forge lines or drive the terminal.
"""

import copy
import json
import logging
import queue
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from logging.handlers import QueueHandler, QueueListener
from typing import Any, Final, TextIO

from trunkline.calls.context import current_call
from trunkline.settings import Log, Secret, Settings
from trunkline.settings.secret import MASK

__all__ = ["LogThread", "configure", "secrets_of"]

QUEUE_LINES: Final = 10_000
SHORTEST_SECRET: Final = 4
"""Shorter ones are not masked: they would black out half of every line."""

_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "call", "taskName"}
_COLOURS: Final = {
    logging.DEBUG: "\x1b[2m",
    logging.WARNING: "\x1b[33m",
    logging.ERROR: "\x1b[31m",
    logging.CRITICAL: "\x1b[1;31m",
}
_RESET: Final = "\x1b[0m"
_TRACES: Final = logging.Formatter()


def configure(
    log: Log, *, secrets: Iterable[Secret] = (), stream: TextIO | None = None
) -> "LogThread":
    """Send all logging of this process to a stream (standard error). Close what this returns.

    What was configured before is replaced.
    """
    stream = stream or sys.stderr
    terminal = stream.isatty()
    console = terminal if log.format == "auto" else log.format == "console"
    formatter = Console(colour=terminal) if console else JsonLines()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Masking(formatter, secrets))
    logging.captureWarnings(True)
    return LogThread(handler, logging.getLevelName(log.level.upper()))


def secrets_of(settings: Settings) -> Iterator[Secret]:
    """Every secret in the settings."""
    yield settings.streams.twilio_auth_token
    yield settings.http.token
    yield settings.llm.api_key
    yield settings.speech.stt_api_key
    yield settings.outbound.password
    yield settings.recording.encryption_key
    yield settings.recording.s3.secret_access_key
    yield from settings.sip.accounts.values()
    for trunk in settings.trunks.values():
        yield trunk.password
        yield from trunk.accounts.values()


class LogThread:
    """The thread that writes the log, and the queue before it."""

    def __init__(self, handler: logging.Handler, level: int) -> None:
        lines: queue.Queue[Any] = queue.Queue(QUEUE_LINES)
        self._entrance = _Entrance(lines)
        self._listener = QueueListener(lines, handler)
        self._root = logging.getLogger()
        self._before = (self._root.level, self._root.handlers[:])
        self._root.handlers[:] = [self._entrance]
        self._root.setLevel(level)
        self._closed = False
        self._listener.start()

    @property
    def dropped(self) -> int:
        """Lines lost because the stream was too slow."""
        return self._entrance.dropped

    def close(self) -> None:
        """Write what is waiting and give logging back as it was. Legal more than once."""
        if self._closed:
            return
        self._closed = True
        level, before = self._before
        since = [one for one in self._root.handlers if one not in (self._entrance, *before)]
        self._root.handlers[:] = [*before, *since]
        self._root.setLevel(level)
        logging.captureWarnings(False)
        self._listener.stop()


class _Entrance(QueueHandler):
    """Takes a line from any thread without ever waiting."""

    def __init__(self, lines: "queue.Queue[Any]") -> None:
        super().__init__(lines)
        self.dropped = 0
        self._untold = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Settle here what belongs to the calling thread: the text, the trace, the call."""
        settled = copy.copy(record)
        settled.msg, settled.args = record.getMessage(), None
        if record.exc_info and record.exc_info[0] is not None:
            settled.exc_text = _TRACES.formatException(record.exc_info)
        settled.exc_info = None
        settled.call = getattr(record, "call", "") or current_call.get()
        return settled

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            if self._untold:
                self.queue.put_nowait(_about_drops(self._untold))
                self._untold = 0
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1
            self._untold += 1


def _about_drops(count: int) -> logging.LogRecord:
    return logging.makeLogRecord(
        {
            "name": __name__,
            "levelno": logging.WARNING,
            "levelname": "WARNING",
            "msg": f"{count} lines are missing here: the log was written too slowly",
            "call": "",
        }
    )


class Console(logging.Formatter):
    """``12:34:56.789 WARNING sip.transaction [call-1] text``; tracebacks below."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """One record as a line for people."""
        at = datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
        call = getattr(record, "call", "")
        name = record.name.removeprefix("trunkline.")
        text = _harmless(record.getMessage())
        line = f"{at} {record.levelname:7} {name}{f' [{_harmless(call)}]' if call else ''} {text}"
        extra = "".join(
            f" {name}={_harmless(str(value))}" for name, value in _extra(record).items()
        )
        line += extra
        if record.exc_text:
            line += f"\n    {_harmless(record.exc_text)}"
        colour = _COLOURS.get(record.levelno, "") if self._colour else ""
        return f"{colour}{line}{_RESET}" if colour else line


class JsonLines(logging.Formatter):
    """One JSON object a line: at (UTC), level, logger, message, call, exception, extras."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as a line for machines."""
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        call = getattr(record, "call", "")
        if call:
            line["call"] = call
        if record.exc_text:
            line["exception"] = record.exc_text
        return json.dumps({**_extra(record), **line}, default=str)


class _Masking(logging.Formatter):
    """Another formatter's lines without the secrets."""

    def __init__(self, inner: logging.Formatter, secrets: Iterable[Secret]) -> None:
        super().__init__()
        self._inner = inner
        texts = {secret.reveal() for secret in secrets}
        escaped = {json.dumps(text)[1:-1] for text in texts}
        # The longest first, or a secret that contains another would show its rest.
        hidden = (text for text in texts | escaped if len(text) >= SHORTEST_SECRET)
        self._hidden = sorted(hidden, key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        line = self._inner.format(record)
        for text in self._hidden:
            line = line.replace(text, MASK)
        return line


def _extra(record: logging.LogRecord) -> Mapping[str, object]:
    """What was given as ``extra=``."""
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


_CONTROLS = {number: f"\\x{number:02x}" for number in (*range(32), *range(127, 160))}
_CONTROLS |= {ord("\n"): "\n    ", ord("\t"): "\t"}


def _harmless(text: str) -> str:
    """Text that cannot begin a line of its own nor drive a terminal."""
    return text.translate(_CONTROLS)
