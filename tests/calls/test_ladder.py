"""A call's messages: by Call-ID, bounded, and nobody else's."""

from trunkline.calls import ladder as module
from trunkline.calls.ladder import Ladder, ladder_of
from trunkline.sip.hop import Hop

HOP = Hop("192.0.2.1", 5060)


def message(start: str, call_id: str = "a@b", header: str = "Call-ID", size: int = 0) -> bytes:
    return f"{start}\r\nVia: x\r\n{header}: {call_id}\r\n\r\n{'x' * size}".encode()


def filled(ladder: Ladder, *starts: str, call_id: str = "a@b") -> None:
    for number, start in enumerate(starts):
        ladder(start.startswith("SIP"), message(start, call_id), HOP, float(number))


def test_a_call_has_its_messages_in_order() -> None:
    ladder = Ladder()
    filled(ladder, "INVITE sip:x SIP/2.0", "SIP/2.0 100 Trying")
    ladder.claim("a@b")
    filled(ladder, "SIP/2.0 200 OK", "ACK sip:x SIP/2.0")
    messages, dropped = ladder.take("a@b")
    assert [one.data.split()[0] for one in messages] == [
        b"INVITE", b"SIP/2.0", b"SIP/2.0", b"ACK",
    ]  # fmt: skip
    assert [one.sent for one in messages] == [False, True, True, False]
    assert dropped == 0
    assert ladder.take("a@b") == ([], 0)
    assert len(ladder) == 0


def test_a_call_may_be_known_before_its_first_message() -> None:
    ladder = Ladder()
    ladder.claim("a@b")
    filled(ladder, "INVITE sip:x SIP/2.0", "SIP/2.0 200 OK")
    assert len(ladder.take("a@b")[0]) == 2


def test_compact_and_odd_headers_are_found() -> None:
    for header in ("Call-ID", "CALL-ID", "i", "I ", "call-id  "):
        ladder = Ladder()
        ladder(False, message("INVITE sip:x SIP/2.0", header=header), HOP, 0.0)
        ladder.claim("a@b")
        assert len(ladder.take("a@b")[0]) == 1, header


def test_only_an_invite_begins_a_ladder() -> None:
    ladder = Ladder()
    filled(ladder, "OPTIONS sip:x SIP/2.0", "REGISTER sip:x SIP/2.0", "SIP/2.0 200 OK", "BYE x")
    for data in (
        b"",
        b"\r\n",
        b"INVITE without an id",
        b"\xff" * 50,
        message("INVITE x", "i" * 999),
    ):
        ladder(False, data, HOP, 0.0)
    assert len(ladder) == 0


def test_invites_that_no_call_comes_of_are_forgotten() -> None:
    ladder = Ladder()
    filled(ladder, "INVITE sip:x SIP/2.0", call_id="claimed")
    ladder.claim("claimed")
    for number in range(module.MOST_WAITING + 100):
        filled(ladder, "INVITE sip:x SIP/2.0", call_id=f"scan{number}")
    assert len(ladder) == module.MOST_WAITING + 1
    ladder.claim("scan5")
    assert ladder.take("scan5") == ([], 0)
    assert len(ladder.take("claimed")[0]) == 1


def test_a_talkative_dialog_is_cut_and_says_so() -> None:
    ladder = Ladder(most_messages=4)
    filled(ladder, "INVITE sip:x SIP/2.0", *["INFO sip:x SIP/2.0"] * 9)
    ladder.claim("a@b")
    messages, dropped = ladder.take("a@b")
    assert (len(messages), dropped) == (4, 6)


def test_after_too_many_bytes_only_first_lines_are_kept() -> None:
    ladder = Ladder(most_bytes=1000)
    ladder(False, message("INVITE sip:x SIP/2.0", size=500), HOP, 0.0)
    ladder(True, message("SIP/2.0 200 OK", size=800), HOP, 1.0)
    ladder(False, message("BYE sip:x SIP/2.0"), HOP, 2.0)
    ladder.claim("a@b")
    messages, dropped = ladder.take("a@b")
    assert [one.data for one in messages[1:]] == [b"SIP/2.0 200 OK", b"BYE sip:x SIP/2.0"]
    assert dropped == 2


def test_the_record_has_them_blanked_with_seconds_of_the_call() -> None:
    ladder = Ladder()
    data = (
        b"INVITE sip:x SIP/2.0\r\nAuthorization: Digest response=secret\r\nCall-ID: 1\r\n\r\n\xff"
    )
    ladder(False, data, HOP, 99.9)
    ladder(True, message("SIP/2.0 200 OK", "1"), Hop("::1", 5061, "TLS"), 101.23456)
    ladder.claim("1")
    kept = ladder_of(*ladder.take("1"), started_at=100.0)
    first, second = kept["messages"]
    assert (first["at"], second["at"]) == (0.0, 1.2346)
    assert (first["peer"], second["peer"]) == ("udp:192.0.2.1:5060", "tls:[::1]:5061")
    assert "secret" not in first["text"]
    assert first["text"].endswith("\r\n\r\n\ufffd")
    assert "dropped" not in kept
    assert ladder_of([], 0, 0.0) == {}
