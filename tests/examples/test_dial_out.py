"""``examples/dial_out.py``: a program of its own that places a call."""

import asyncio
import importlib.util
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.interop.kit import until
from tests.interop.peer import MediaPort, Peer, sdp, tag_of, uri_of

from trunkline.server import Node
from trunkline.settings import Records, Settings, Speech
from trunkline.speech import register

from .conftest import EXAMPLES, NotedVoice, key_packets

SPEECH = Speech(activity="subband", stt="standin", tts="noted")


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Run the program with a target, in a thread; gives the thread."""
    specification = importlib.util.spec_from_file_location("dial_out", EXAMPLES / "dial_out.py")
    assert specification is not None and specification.loader is not None
    module: Any = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    register("tts", "noted", NotedVoice)
    NotedVoice.said.clear()

    def node(settings: Settings, *args: Any, **options: Any) -> Node:
        records = Records(path=tmp_path / "calls.db")
        settings = msgspec.structs.replace(settings, speech=SPEECH, records=records)
        return Node(settings, *args, **options)

    monkeypatch.setattr(module, "Node", node)
    threads: list[threading.Thread] = []

    def begin(target: str) -> threading.Thread:
        thread = threading.Thread(target=lambda: asyncio.run(module.main(target)))
        threads.append(thread)
        thread.start()
        return thread

    yield begin
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def test_it_calls_talks_takes_a_key_and_says_how_it_ended(
    program: Callable[[str], threading.Thread], capsys: pytest.CaptureFixture[str]
) -> None:
    with Peer() as peer, MediaPort() as media:
        running = program(f"sip:reception@127.0.0.1:{peer.port}")
        invite = peer.request("INVITE", 10)
        peer.respond(invite, 180)
        peer.respond(invite, 200, body=sdp(media.port))
        peer.request("ACK")
        until(lambda: NotedVoice.said)
        until(lambda: media.received)
        media.play(invite.media, key_packets("1", sequence=0, timestamp=0))
        peer.respond(peer.request("BYE", 10), 200)
        running.join(10)
    assert NotedVoice.said[-1] == "See you later, then."
    assert capsys.readouterr().out == "hangup by us\n"


def test_a_call_that_is_not_answered_is_told(
    program: Callable[[str], threading.Thread], capsys: pytest.CaptureFixture[str]
) -> None:
    with Peer() as peer:
        target = f"sip:reception@127.0.0.1:{peer.port}"
        running = program(target)
        invite = peer.request("INVITE", 10)
        peer.respond(invite, 486, "Busy Here")
        peer.request("ACK")
        running.join(10)
    assert not NotedVoice.said
    assert capsys.readouterr().out == f"{target} was not reached: busy (486)\n"


def test_somebody_who_hangs_up_at_once_ends_the_program(
    program: Callable[[str], threading.Thread], capsys: pytest.CaptureFixture[str]
) -> None:
    with Peer() as peer, MediaPort() as media:
        running = program(f"sip:reception@127.0.0.1:{peer.port}")
        invite = peer.request("INVITE", 10)
        ours = f"{invite['to']};tag=theirs"
        peer.respond(invite, 200, body=sdp(media.port))
        peer.request("ACK")
        until(lambda: NotedVoice.said)
        peer.write(
            f"BYE {uri_of(invite['contact'])} SIP/2.0",
            [
                ("Via", f"SIP/2.0/UDP 127.0.0.1:{peer.port};branch=z9hG4bKbye;rport"),
                ("Max-Forwards", "70"),
                ("From", ours),
                ("To", invite["from"]),
                ("Call-ID", invite["call-id"]),
                ("CSeq", "1 BYE"),
            ],
            to=invite.source,
        )
        assert tag_of(peer.status(200, "BYE")["to"]) == tag_of(invite["from"])
        running.join(10)
    assert len(NotedVoice.said) == 1
    assert capsys.readouterr().out == "hangup by them\n"


def test_a_call_that_is_not_allowed_is_told_and_not_a_traceback(
    program: Callable[[str], threading.Thread], capsys: pytest.CaptureFixture[str]
) -> None:
    program("sip:reception@192.0.2.1").join(10)
    assert "is not allowed; outbound.allowed_prefixes" in capsys.readouterr().out
