"""Quality over time and the SIP ladder on a call's page."""

import re
from typing import Any

import pytest

from trunkline.calls.record import CallRecord
from trunkline.server.call_page import call_page
from trunkline.server.call_page.ladder import ladder
from trunkline.server.call_page.plots import HEIGHT, WIDTH, plots
from trunkline.server.quality import quality_lines

SERIES: dict[str, Any] = {
    "start": 1.0,
    "step": 5.0,
    "in": {
        "loss": [0.0, 0.2, None], "late": [0.0, 0.1, 0.0], "jitter": [1.0, 55.0, None],
        "delay": [40.0, 80.0, 0.0], "mos": [4.4, 1.7, None], "level": [-26.0, -99.0, None],
        "silence": [0, 0, 1],
    },
    "out": {
        "loss": [None] * 3, "jitter": [None] * 3, "rtt": [12.5, 800.0, 1.0], "mos": [None] * 3,
        "level": [-20.0, -21.0, -22.0], "silence": [0, 0, 0],
    },
    "runs": {"1": 4, "2": 0}, "delays": {"0-5": 90, "5-10": 10},
}  # fmt: skip
HOSTILE = "</pre></details><script>alert(1)</script>\x1b[31m\u202e"
MESSAGES = [
    {"at": 0.0, "sent": False, "peer": "udp:192.0.2.1:5060",
     "text": "INVITE sip:a@b SIP/2.0\r\nCall-ID: 1\r\n\r\nv=0\r\n"},
    {"at": 0.5, "sent": True, "peer": "udp:192.0.2.1:5060",
     "text": "SIP/2.0 486 Busy Here\r\n\r\n"},
    {"at": 0.6, "sent": False, "peer": "tls:192.0.2.9:5061", "text": f"ACK {HOSTILE} SIP/2.0\r\n"},
]  # fmt: skip
RECORD = CallRecord(
    id="call-1", state="ended", series=SERIES, ladder={"messages": MESSAGES, "dropped": 3}
)


def test_a_plot_is_drawn_of_all_that_is_known_and_of_nothing_else() -> None:
    page = plots(RECORD)
    names = re.findall(r"<figcaption>([^<]+)", page)
    assert [name.strip() for name in names] == [
        "MOS", "Lost, and too late", "Jitter", "Delay of the jitter buffer", "Level",
        "Round trip", "Level",
    ]  # fmt: skip
    assert 'aria-label="MOS: 1.7 to 4.4"' in page
    assert "Losses, by packets in a row" in page


def test_what_is_drawn_stays_within_its_plot() -> None:
    page = plots(RECORD)
    for path in re.findall(r' d="([^"]*)"', page):
        for x, y in re.findall(r"[ML]([\d.-]+) ([\d.-]+)", path):
            assert 0 <= float(x) <= WIDTH
            assert 0 <= float(y) <= HEIGHT
        for y in re.findall(r"V([\d.-]+)", path):
            assert 0 <= float(y) <= HEIGHT


def test_scales_are_round_and_reach_what_there_is() -> None:
    page = plots(RECORD)
    jitter = page[page.index(">Jitter") : page.index(">Delay")]
    assert [float(each) for each in re.findall(r'"end">([\d.-]+)<', jitter)][:3] == [0, 30, 60]


@pytest.mark.parametrize(
    "series",
    [{}, {"in": {}}, {"in": 3}, {"in": {"mos": []}, "out": {}}, {"in": {"mos": ["x", None]}}],
)
def test_a_record_without_or_with_odd_columns_has_no_plot_and_a_page(series: Any) -> None:
    record = CallRecord(id="call-1", series=series)
    assert "<figure>" not in plots(record)
    assert call_page(record)


def test_the_ladder_has_a_rung_a_message_in_its_direction() -> None:
    drawn = ladder(RECORD)
    assert re.findall(r'<li class="(\w+ \w+)">', drawn) == [
        "in request", "out failure", "in request",
    ]  # fmt: skip
    assert "486 Busy Here" in drawn
    assert "INVITE sip:a@b <em>SDP</em>" in drawn
    assert drawn.count('style="--from:0"') == 2
    assert drawn.count('style="--from:1"') == 1
    assert "3 more" in drawn


def test_what_strangers_wrote_is_text() -> None:
    page = call_page(RECORD)
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "\x1b" not in page
    assert "\u202e" not in page


def test_a_call_without_messages_has_no_ladder() -> None:
    assert ladder(CallRecord(id="x")) == ""


def test_the_figures_are_said_in_words() -> None:
    found = dict(
        quality_lines(
            {
                "mos": 2.4, "r": 47.0, "mos_worst": 1.2, "mos_out": 4.1, "received": 900.0,
                "lost": 100.0, "bursts": 3.0, "burst_ms": 120.0, "burst_density": 0.5,
                "gap_density": 0.01, "alarms_one-way": 1.0, "alarms_poor": 2.0,
                "media_ended_early_seconds": 4.2, "clock_drift_ppm": -55.0, "silence_in": 0.4,
                "speech_in_dbov": -23.0, "noise_in_dbov": -61.0, "clipped_in": 0.02,
            },
            20.0,
        )
    )  # fmt: skip
    assert found["score"] == "MOS 2.4 (R 47), 1.2 at the worst; what they heard: 4.1"
    assert found["alarms"] == (
        "a direction was dead; the quality was poor 2 times; media ended 4.2 s before the call"
    )
    assert found["bursts"] == "3, of 120 ms, with 50% lost in them and 1.0% between them"
    assert found["clock"] == "theirs runs 55 ppm slow"
    assert found["their sound"] == ("speech at -23 dBov, noise at -61, 40% silence, 2.0% clipped")
