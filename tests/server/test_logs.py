"""The log: readable, complete, and no channel for secrets or forgeries."""

import io
import json
import logging
import threading
import warnings
from collections.abc import Iterator

import pytest

from trunkline.calls.context import in_call
from trunkline.server import logs
from trunkline.server.logs import LogThread, configure, secrets_of
from trunkline.settings import Log, Secret, load

log = logging.getLogger("trunkline.sip.transaction")


class Stream(io.StringIO):
    def __init__(self, terminal: bool = False) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.fixture
def stream() -> Stream:
    return Stream()


@pytest.fixture
def opened() -> Iterator[list[LogThread]]:
    threads: list[LogThread] = []
    yield threads
    for thread in threads:
        thread.close()


def lines(stream: Stream, settings: Log, *secrets: str, say: object) -> str:
    thread = configure(settings, secrets=map(Secret, secrets), stream=stream)
    try:
        say()  # type: ignore[operator]
    finally:
        thread.close()
    return stream.getvalue()


JSON = Log(format="json")
CONSOLE = Log(format="console")


def test_json_has_one_object_a_line(stream: Stream) -> None:
    def say() -> None:
        log.warning("lost %d of %d", 1, 50, extra={"trunk": "north", "rtt_ms": 12.5})
        log.info("two\nlines")

    first, second = map(json.loads, lines(stream, JSON, say=say).splitlines())
    assert first.pop("at").endswith("+00:00")
    assert first == {
        "level": "warning",
        "logger": "trunkline.sip.transaction",
        "message": "lost 1 of 50",
        "trunk": "north",
        "rtt_ms": 12.5,
    }
    assert second["message"] == "two\nlines"


def test_an_extra_cannot_take_the_place_of_a_field(stream: Stream) -> None:
    text = lines(stream, JSON, say=lambda: log.info("true", extra={"level": "fatal", "at": 0}))
    assert json.loads(text)["level"] == "info"
    assert json.loads(text)["at"] != 0


def test_people_get_a_short_line(stream: Stream) -> None:
    text = lines(stream, CONSOLE, say=lambda: log.warning("lost", extra={"frames": 3}))
    assert text[12:] == " WARNING sip.transaction lost frames=3\n"


def test_every_line_of_a_call_says_which(stream: Stream) -> None:
    def say() -> None:
        with in_call("call-7"):
            log.info("in")
        log.info("out")
        log.info("told", extra={"call": "call-8"})

    first, second, third = map(json.loads, lines(stream, JSON, say=say).splitlines())
    assert first["call"] == "call-7"
    assert "call" not in second
    assert third["call"] == "call-8"


def test_the_call_is_in_the_console_too(stream: Stream) -> None:
    def say() -> None:
        with in_call("call-7"):
            log.info("in")

    assert " sip.transaction [call-7] in\n" in lines(stream, CONSOLE, say=say)


@pytest.mark.parametrize(
    ("terminal", "format", "is_json"),
    [(False, "auto", True), (True, "auto", False), (True, "json", True), (False, "console", False)],
)
def test_the_format_follows_the_stream_unless_told(
    terminal: bool, format: str, is_json: bool
) -> None:
    settings = Log(format=format)  # type: ignore[arg-type]
    text = lines(Stream(terminal), settings, say=lambda: log.info("x"))
    assert text.startswith("{") is is_json


def test_only_a_terminal_gets_colour() -> None:
    assert "\x1b[31m" in lines(Stream(True), CONSOLE, say=lambda: log.error("x"))
    assert "\x1b" not in lines(Stream(False), CONSOLE, say=lambda: log.error("x"))


def test_the_level_is_kept(stream: Stream) -> None:
    text = lines(stream, Log(level="error"), say=lambda: (log.warning("no"), log.error("yes")))
    assert "no" not in text
    assert "yes" in text


def boom() -> None:
    try:
        raise ValueError("the token hunter2 is wrong\nforged \x1b[2J")
    except ValueError:
        log.exception("boom")


def test_traces_are_a_field_of_their_own_in_json(stream: Stream) -> None:
    line = json.loads(lines(stream, JSON, say=boom))
    assert line["message"] == "boom"
    assert line["exception"].startswith("Traceback")


def test_traces_are_indented_on_the_console(stream: Stream) -> None:
    first, *rest = lines(stream, CONSOLE, say=boom).splitlines()
    assert first.endswith(" boom")
    assert rest
    assert all(line.startswith("    ") for line in rest)


@pytest.mark.parametrize("settings", [JSON, CONSOLE])
def test_secrets_are_masked_wherever_they_come_from(stream: Stream, settings: Log) -> None:
    def say() -> None:
        log.info("password=hunter2 and %s", {"key": 'sk-"quoted"'}["key"])
        boom()
        log.info("x", extra={"header": "Bearer hunter2-long"})

    text = lines(stream, settings, "hunter2", 'sk-"quoted"', "hunter2-long", say=say)
    assert "hunter2" not in text
    assert "quoted" not in text
    assert "-long" not in text
    assert "********" in text


def test_a_secret_too_short_to_hide_hides_nothing(stream: Stream) -> None:
    text = lines(stream, CONSOLE, "a", "", say=lambda: log.info("a banana"))
    assert "a banana" in text


def test_strangers_cannot_forge_lines_nor_drive_the_terminal(stream: Stream) -> None:
    evil = "x\r\n12:00:00.000 ERROR forged\x1b[2J\x07\x9b"

    def say() -> None:
        log.warning("From: %s", evil)

    text = lines(stream, CONSOLE, say=say)
    assert not set(text) & set("\r\x1b\x07\x9b")
    assert not any(line.startswith("12:00") for line in text.splitlines()[1:])
    (line,) = lines(Stream(), JSON, say=say).splitlines()
    assert json.loads(line)["message"] == f"From: {evil}"
    assert "\x1b" not in line


def test_every_secret_of_the_settings_is_known() -> None:
    flags = {
        "http.token": "s1",
        "llm.api_key": "s2",
        "streams.twilio_auth_token": "s3",
        "outbound.password": "s4",
        "sip.accounts": {"ann": "s5", "bob": "s6"},
        "speech.stt_api_key": "s7",
        "recording.encryption_key": "s8",
        "recording.s3.secret_access_key": "s9",
    }
    found = {secret.reveal() for secret in secrets_of(load(flags=flags).settings)}
    assert found == {f"s{number}" for number in range(1, 10)}


def test_a_slow_stream_costs_lines_and_no_waiting(
    monkeypatch: pytest.MonkeyPatch, opened: list[LogThread]
) -> None:
    monkeypatch.setattr(logs, "QUEUE_LINES", 5)
    gate = threading.Event()

    class Stuck(Stream):
        def write(self, text: str) -> int:
            assert gate.wait(5)
            return super().write(text)

    stream = Stuck()
    thread = configure(JSON, stream=stream)
    opened.append(thread)
    for number in range(50):
        log.info("line %d", number)
    assert thread.dropped >= 44
    gate.set()
    while "missing" not in stream.getvalue() or thread._entrance._untold:
        log.info("after")
    thread.close()
    told = [json.loads(line)["message"] for line in stream.getvalue().splitlines()]
    missing = [int(text.split()[0]) for text in told if "lines are missing here" in text]
    assert sum(missing) == thread.dropped
    assert told[:1] == ["line 0"]


def test_warnings_of_libraries_are_logged(stream: Stream) -> None:
    def say() -> None:
        warnings.showwarning("old interface", DeprecationWarning, "lib.py", 7)

    (line,) = lines(stream, JSON, say=say).splitlines()
    assert json.loads(line)["logger"] == "py.warnings"
    assert "old interface" in line


def test_logging_is_given_back_as_it_was(stream: Stream) -> None:
    root = logging.getLogger()
    before = (root.level, root.handlers[:])
    thread = configure(JSON, stream=stream)
    assert root.handlers != before[1]
    thread.close()
    thread.close()
    assert (root.level, root.handlers) == before


def test_threads_of_all_kinds_log_at_once(stream: Stream) -> None:
    def say() -> None:
        workers = [
            threading.Thread(target=lambda: [log.info("x") for _ in range(100)]) for _ in range(4)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    assert len(lines(stream, JSON, say=say).splitlines()) == 400
