"""Every message of RFC 4475 gets the RFC's verdict and leaves us answering."""

import random

import pytest

from trunkline.sip import Hop, Invited, Send, Settings, UserAgent, parse_message
from trunkline.sip.framing import FramingError, StreamFramer
from trunkline.sip.testing import ANSWER

from .torture import MESSAGES, Torture

SOURCE = Hop("127.0.0.1", 5999)
STREAM = Hop("127.0.0.1", 5999, "TCP", flow=3)
ALIVE = (
    b"OPTIONS sip:us@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5999;branch=z9hG4bKalive\r\n"
    b"From: <sip:a@b>;tag=1\r\nTo: <sip:us@192.0.2.1>\r\nCall-ID: alive\r\nCSeq: 1 OPTIONS\r\n"
    b"Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
)


def agent() -> UserAgent:
    return UserAgent(Settings("192.0.2.1", ports={"TCP": 5060}), random.Random(1))


def answers(user_agent: UserAgent, data: bytes, source: Hop) -> tuple[list[int], list[object]]:
    """The statuses that went out, and what the application was told."""
    user_agent.receive(data, source, 0.0)
    outputs = user_agent.drain()
    sent = [output.data for output in outputs if isinstance(output, Send)]
    events = [output for output in outputs if not isinstance(output, Send)]
    # What is echoed of a malformed request is malformed: only the status line is read.
    return [int(data.split(b" ", 2)[1]) for data in sent if data.startswith(b"SIP/2.0 ")], events


def test_all_forty_nine_are_here() -> None:
    assert len({torture.name for torture in MESSAGES}) == len(MESSAGES) == 49


@pytest.mark.parametrize("torture", MESSAGES, ids=lambda torture: torture.name)
def test_the_verdict_over_udp(torture: Torture) -> None:
    ours = agent()
    codes, events = answers(ours, torture.data, SOURCE)
    if torture.verdicts:
        assert codes and set(codes) <= torture.verdicts, f"{torture.section}: {codes}"
    else:
        assert codes == []
    assert len(events) == (1 if codes == [100] else 0)
    assert answers(ours, ALIVE, SOURCE)[0] == [200]


@pytest.mark.parametrize("torture", MESSAGES, ids=lambda torture: torture.name)
def test_the_verdict_over_a_stream(torture: Torture) -> None:
    ours, framer = agent(), StreamFramer()
    data = torture.data.replace(b"SIP/2.0/UDP", b"SIP/2.0/TCP", 1)
    seen: list[int] = []
    messages: tuple[bytes, ...] = ()
    if torture.closes:
        with pytest.raises(FramingError):
            framer.feed(data)
    else:
        messages = framer.feed(data).messages
    for message in messages:
        seen += answers(ours, message, STREAM)[0]
    if torture.waits:
        assert framer.pending_bytes == len(data) and not messages
    elif torture.name == "dblreq":  # on a stream these are two messages
        assert len(messages) == 2 and seen[-1] == 100
    elif not torture.closes:
        assert len(messages) == 1 and framer.pending_bytes == 0
        assert set(seen) <= torture.verdicts and bool(seen) == bool(torture.verdicts)
    assert answers(ours, ALIVE, SOURCE)[0] == [200]


def test_what_is_answered_says_what_we_can_do() -> None:
    """RFC 4475 3.1.1.2, 3.3.5, 3.3.6: Allow, Unsupported and Accept go with the refusal."""
    wanted = {"intmeth": ("allow", "INVITE"), "bext01": ("unsupported", "nothingHasThis, norThis"),
              "invut": ("accept", "application/sdp")}  # fmt: skip
    for torture in MESSAGES:
        if torture.name in wanted:
            ours = agent()
            ours.receive(torture.data, SOURCE, 0.0)
            (send,) = (output for output in ours.drain() if isinstance(output, Send))
            name, value = wanted[torture.name]
            assert value in (parse_message(send.data).get(name) or ""), torture.name


def test_a_call_of_rfc_2543_can_be_answered_and_ended() -> None:
    """3.4.1: no branch, no From tag, no Max-Forwards, no Contact, no Content-Length."""
    torture = next(torture for torture in MESSAGES if torture.name == "inv2543")
    ours = agent()
    codes, events = answers(ours, torture.data, SOURCE)
    assert codes == [100]
    (invited,) = events
    assert isinstance(invited, Invited)
    ours.accept(invited.session, ANSWER, 0.0)
    (ok,) = [output for output in ours.drain() if isinstance(output, Send)]
    assert parse_message(ok.data).body == ANSWER
