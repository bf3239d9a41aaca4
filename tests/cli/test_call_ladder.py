"""A call's messages and quality over time as text."""

import io

from rich.console import Console

from trunkline.calls.record import CallRecord
from trunkline.cli.call_ladder import print_ladder, print_series

INVITE = "INVITE sip:100@192.0.2.1 SIP/2.0\r\nCall-ID: 1\r\n\r\nv=0\r\n"
MESSAGES = [
    {"at": 0.0, "sent": False, "peer": "udp:192.0.2.1:5060", "text": INVITE},
    {"at": 0.02, "sent": True, "peer": "udp:192.0.2.1:5060", "text": "SIP/2.0 200 OK\r\n\r\n"},
    {"at": 9.5, "sent": False, "peer": "udp:192.0.2.7:5060", "text": "BYE sip:\x1b[31mx SIP/2.0"},
]


def shown(record: CallRecord, width: int = 100) -> str:
    out = Console(file=io.StringIO(), width=width)
    print_series(record, out)
    print_ladder(record, out)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def test_a_ladder_is_an_arrow_a_message() -> None:
    text = shown(CallRecord(id="x", ladder={"messages": MESSAGES, "dropped": 2}))
    lines = text.splitlines()
    invite = next(line for line in lines if "INVITE" in line)
    answer = next(line for line in lines if "200 OK" in line)
    bye = next(line for line in lines if "BYE" in line)
    assert invite.strip().startswith("0.000  │─")
    assert invite.rstrip().endswith("▶│")
    assert "(SDP)" in invite
    assert "│◀─" in answer
    assert bye.endswith("udp:192.0.2.7:5060")
    assert "\x1b" not in text
    assert "and 2 that were too many" in text


def test_lines_fit_a_narrow_terminal() -> None:
    text = shown(CallRecord(id="x", ladder={"messages": MESSAGES[:2]}), 60)
    assert all(len(line) <= 60 for line in text.splitlines())


def test_a_figure_is_a_bar_a_stretch_and_its_range() -> None:
    series = {
        "step": 5.0,
        "in": {"mos": [4.4, 1.0, None, 4.4], "loss": [0, 0.1, None, 0], "late": [0, 0, 0, 0]},
        "out": {"mos": [None] * 4},
    }
    text = shown(CallRecord(id="x", series=series))
    assert "5 s a sign" in text
    assert "█▁ █  1 to 4.4" in text
    assert "▁█ ▁  0 to 10 %" in text
    assert "too late" not in text
    assert "what they heard" not in text


def test_a_long_call_is_squeezed_into_the_line() -> None:
    series = {"step": 5.0, "in": {"mos": [4.0] * 700}, "out": {}}
    text = shown(CallRecord(id="x", series=series), 80)
    assert all(len(line) <= 80 for line in text.splitlines())


def test_a_record_without_either_says_nothing() -> None:
    assert shown(CallRecord(id="x")) == ""
