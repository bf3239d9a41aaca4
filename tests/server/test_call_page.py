"""A call's page: one file, complete, in time with its recording, and safe to open."""

import base64
import hashlib
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trunkline.calls.record import CallRecord
from trunkline.calls.recording_convert import convert
from trunkline.calls.recording_manifest import Manifest
from trunkline.calls.wav import header
from trunkline.media.errors import WavError
from trunkline.media.wav import serialise_wav
from trunkline.server.call_page import Sound, call_page, recording_starts, write_call_page
from trunkline.server.call_page.conversation import spans
from trunkline.server.call_page.sound import STEPS, outline
from trunkline.server.markup import duration, moment, safe, words

from .demo_material import RECORDED_AFTER, SECONDS, STARTED, TURNS, a_record, a_recording

HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"' onmouseover='alert(1)",
    "&lt;b&gt; $title ${style} %s {0}",
    "--><!-- ]]> <![CDATA[",
    "\x00\x1b[31m\u202egnp.exe\u2066",
    "\ud800 half of a pair",
    "javascript:alert(1)",
)


class Reader(HTMLParser):
    """What a page has: its elements, and the text in them."""

    VOID = frozenset(("meta", "input", "link", "br", "img", "path"))

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.text += data

    def all(self, tag: str, css_class: str = "") -> list[dict[str, str]]:
        return [
            attributes
            for name, attributes in self.elements
            if name == tag and (not css_class or css_class in attributes.get("class", "").split())
        ]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[CallRecord, Path]:
    record = a_record()
    return record, a_recording(tmp_path_factory.mktemp("call") / "call.wav", record)


@pytest.fixture(scope="module")
def page(recorded: tuple[CallRecord, Path]) -> str:
    return call_page(*recorded)


# One file, complete


def test_it_is_a_well_formed_document(page: str) -> None:
    assert page.startswith("<!doctype html>")
    reader = Reader(page)
    assert reader.open == []
    ids = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    labels = [
        attributes["aria-labelledby"]
        for _, attributes in reader.elements
        if "aria-labelledby" in attributes
    ]
    assert set(labels) <= set(ids)


def test_nothing_comes_from_elsewhere(page: str) -> None:
    without_audio = re.sub(r"data:audio/wav;base64,[A-Za-z0-9+/=]+", "", page)
    assert not re.search(r"https?:|url\(|@import|<link|<iframe|\bfetch\(|import\(", without_audio)
    reader = Reader(page)
    assert [name for name, attributes in reader.elements if "src" in attributes] == ["audio"]
    assert not any("href" in attributes for _, attributes in reader.elements)


def test_only_its_own_script_may_run(page: str) -> None:
    policy = next(
        attributes["content"]
        for name, attributes in Reader(page).elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    script = page.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert not any(
        name.startswith("on") for _, attributes in Reader(page).elements for name in attributes
    )


def test_the_recording_is_inside_bit_by_bit(recorded: tuple[CallRecord, Path], page: str) -> None:
    source = Reader(page).all("audio")[0]["src"]
    assert base64.b64decode(source.removeprefix("data:audio/wav;base64,")) == (
        recorded[1].read_bytes()
    )


def test_it_has_everything_there_is_to_know(page: str) -> None:
    text = Reader(page).text
    for expected in (
        "5551234 → shop", "hangup by our side", "24 s",
        "what are your opening hours", "From Monday to Friday. On", "Sundays never.",
        "31% sure", "cut off", 'repair_status(ticket="9320") → status: "ready"', "1 ms",
        "after 650 ms", "Median 650 ms, of it\n40 ms work",
        "1,200 received, none lost, 3 too late (0.2%), 1,190 sent",
        "bicycle_shop", "abc@127.0.0.1", "north", "a phone", "call_0123456789abcdef",
        "2026-11-18 11:06:40 UTC",
    ):  # fmt: skip
        assert expected in text, expected


# In time with the recording


def test_turns_lie_where_they_are_in_the_recording(page: str) -> None:
    items = [each for each in Reader(page).all("li") if "data-start" in each]
    assert len(items) == len(TURNS)
    for item, turn in zip(items, TURNS, strict=True):
        assert float(item["data-start"]) == pytest.approx(turn["started_seconds"] - RECORDED_AFTER)
        assert item["class"] == turn["by"]
    assert float(items[-1]["data-end"]) <= SECONDS


def test_blocks_lie_under_their_sound(page: str) -> None:
    blocks = Reader(page).all("span", "block")
    assert len(blocks) == len(TURNS)
    by_turn = {int(block["data-turn"]): block["style"] for block in blocks}
    assert by_turn[1] == f"left:{2.5 / SECONDS * 100:.3f}%;width:{1.0 / SECONDS * 100:.3f}%"
    assert len(Reader(page).all("span", "cut")) == 2  # the block, and the remark in words
    assert len(Reader(page).all("span", "tool")) == 3
    assert len(Reader(page).all("span", "wait")) == 7


@pytest.mark.parametrize(
    ("changes", "starts"),
    [
        ({}, RECORDED_AFTER),
        ({"recorded_at": None}, 0.6),
        ({"recorded_at": None, "ended_at": None}, 0.0),
        ({"recorded_at": STARTED - 1}, 0.0),
    ],
)
def test_where_the_recording_begins(changes: dict[str, Any], starts: float) -> None:
    assert recording_starts(a_record(**changes), SECONDS) == pytest.approx(starts)


def test_turns_never_lie_outside_of_the_recording() -> None:
    record = a_record(
        turns=[
            {"by": "caller", "text": "early", "started_seconds": 0.0, "ended_seconds": 0.1},
            {"by": "agent", "text": "late", "started_seconds": 90.0, "ended_seconds": 95.0},
            {"by": "agent", "text": "odd", "started_seconds": 5.0, "ended_seconds": 2.0},
            {"text": "bare"},
        ]
    )
    found = [(span.by, span.start, span.end) for span in spans(record, 1.0, 10.0)]
    assert found == [
        ("caller", 0.0, 0.0),
        ("agent", 10.0, 10.0),
        ("agent", 4.0, 4.0),
        ("agent", 0.0, 0.0),
    ]


def test_the_waterfall_has_a_bar_an_answer(page: str) -> None:
    bars = Reader(page).all("div", "bar")
    assert len(bars) == 7
    assert bars[0]["aria-label"] == (
        "silence until the turn counts as over 610 ms, recognition 4 ms, "
        "first word of the answer 2 ms, first sound of it 24 ms, first packet of it 10 ms"
    )
    assert "--total:650.0;--work:40.0" in bars[0]["style"]


def test_an_answer_to_nothing_understood_says_so() -> None:
    turns = [TURNS[1], TURNS[2], TURNS[4]]
    text = Reader(call_page(a_record(turns=turns))).text
    assert "(not understood)" in text


# Safe


@pytest.mark.parametrize("text", HOSTILE)
def test_what_strangers_say_stays_text(tmp_path: Path, text: str) -> None:
    turns: list[Any] = [
        {"by": "caller", "text": text, "started_seconds": 1.0, "ended_seconds": 2.0,
         "confidence": 0.2},
        {"by": "agent", "text": text, "unheard": text, "started_seconds": 2.6,
         "ended_seconds": 3.0, "interrupted": True, "stages_ms": {"endpointing": 600.0, text: 1.0},
         "tools": [{"name": text, "arguments": text, "result": text, "duration_ms": 1.0},
                   {"name": "f", "arguments": '{"a": "</script>"}', "result": '{"b": "<i>"}'}]},
    ]  # fmt: skip
    record = a_record(
        id=text, caller=text, callee=text, app=text, sip_call_id=text, node=text, turns=turns,
        headers={text: text}, quality={text: 1.0, "received": 3.0}, end_reason=text, end_by=text,
        direction=text, transport=text,
        recording=str(a_recording(tmp_path / "call.wav", a_record())),
    )  # fmt: skip
    harmless = call_page(a_record(**{**_fields(record), **_HARMLESS(turns)}))
    page = call_page(record)
    ours, theirs = Reader(harmless), Reader(page)
    assert [name for name, _ in theirs.elements] == [name for name, _ in ours.elements]
    assert [sorted(attributes) for _, attributes in theirs.elements] == [
        sorted(attributes) for _, attributes in ours.elements
    ]
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", page)
    write_call_page(record, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page


def _fields(record: CallRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in CallRecord.__dataclass_fields__}


def _HARMLESS(turns: Sequence[Any]) -> dict[str, Any]:  # noqa: N802
    """The same record with plain words in place of every hostile one."""
    caller, agent = turns
    return {
        **dict.fromkeys(
            ("id", "caller", "callee", "app", "sip_call_id", "node", "end_reason", "end_by",
             "direction", "transport"), "word"),
        "headers": {"word": "word"},
        "quality": {"word": 1.0, "received": 3.0},
        "turns": [
            {**caller, "text": "word"},
            {**agent, "text": "word", "unheard": "word",
             "stages_ms": {"endpointing": 600.0, "word": 1.0},
             "tools": [{**agent["tools"][0], "name": "word", "arguments": "word",
                        "result": "word"}, agent["tools"][1]]},
        ],
    }  # fmt: skip


def test_text_is_shown_as_it_is() -> None:
    assert safe("<b> & \"quoted\" 'text'") == "&lt;b&gt; &amp; &quot;quoted&quot; &#x27;text&#x27;"
    assert safe("line\nand\ttab") == "line\nand\ttab"
    assert safe("\x07\u202e\ud83d") == "���"
    assert safe("grüße 你好 👩‍🔧 می‌خواهم") == "grüße 你好 👩‍🔧 می‌خواهم"
    assert words(" I will look that up.Good news. v1.2 U.S.A ") == (
        "I will look that up. Good news. v1.2 U.S.A"
    )


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.0, "0:00.0"), (4.25, "0:04.2"), (59.96, "1:00.0"), (754.3, "12:34.3"),
     (3661.5, "1:01:01.5"), (-1.0, "0:00.0")],
)  # fmt: skip
def test_moments(seconds: float, shown: str) -> None:
    assert moment(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(58.2, "58 s"), (200.0, "3 min 20 s"), (3720.0, "1 h 2 min")]
)
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


# The sound


def test_an_outline_follows_the_sound() -> None:
    pcm = np.zeros(80_000, np.int16)
    pcm[40_000:60_000] = np.tile([8000, -4000], 10_000)
    drawn = [tuple(map(float, point.split())) for point in
             outline(pcm, 8000.0).strip("MZ").split("L")]  # fmt: skip
    assert len(drawn) == 2 * STEPS
    tops, bottoms = drawn[:STEPS], drawn[STEPS:]
    assert all(y == 49.4 for x, y in tops if x < 590)
    assert all(y == 0.0 for x, y in tops if 605 < x < 895)
    assert all(y == 75.0 for x, y in bottoms if 605 < x < 895)
    assert [x for x, _ in tops] == sorted(x for x, _ in tops)


@pytest.mark.parametrize("samples", [1, 5, STEPS - 1, STEPS + 1])
def test_an_outline_of_little_sound(samples: int) -> None:
    assert outline(np.full(samples, -32768, np.int16), 32768.0).count("L") == (
        2 * min(samples, STEPS) - 1
    )


def test_a_quiet_side_looks_quiet(tmp_path: Path) -> None:
    stereo = np.zeros((8000, 2), np.int16)
    stereo[:, 0], stereo[:, 1] = 200, 20_000
    (tmp_path / "a.wav").write_bytes(serialise_wav(stereo, 8000))
    quiet, loud = Sound.load(tmp_path / "a.wav", "a.wav").outlines
    assert quiet.startswith("M0 49.4")
    assert loud.startswith("M0 0.0")


def test_a_recording_too_long_to_embed_is_linked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trunkline.server.call_page.sound.EMBEDDED_SECONDS", 10.0)
    folder = tmp_path / "of #1"
    folder.mkdir()
    record = a_record(recording=str(a_recording(folder / "call?.wav", a_record())))
    write_call_page(record, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert len(page) < 200_000
    audio = Reader(page).all("audio")[0]
    assert audio["src"] == "of%20%231/call%3F.wav"
    assert "data-embedded" not in audio
    assert "too long" in Reader(page).text
    assert Reader(call_page(record)).all("audio")[0]["src"].startswith("file:///")


@pytest.mark.parametrize("content", [None, b"", b"RIFF\x00\x00\x00\x00WAVE", b"junk" * 100])
def test_a_recording_that_cannot_be_read_is_told(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a<b>.wav"
    if content is not None:
        path.write_bytes(content)
    page = call_page(a_record(recording=str(path)))
    reader = Reader(page)
    assert "cannot be shown" in reader.text
    assert not reader.all("audio")
    assert len([each for each in reader.all("li") if "data-start" in each]) == len(TURNS)
    assert len(reader.all("span", "block")) == len(TURNS)


def test_an_empty_recording_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(serialise_wav(np.zeros((0, 2), np.int16), 8000))
    with pytest.raises(WavError, match="empty"):
        Sound.load(tmp_path / "a.wav", "")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "This call was not recorded."),
        ({"turns": ()}, "Nothing was said"),
        ({"state": "live", "ended_at": None}, "the call is up"),
        ({"state": "crashed"}, "the node died during the call"),
        ({"caller": "", "callee": ""}, "unknown → unknown"),
        ({"end_by": "them", "end_code": 486, "end_reason": "busy"}, "busy by the other side (486)"),
        (
            {"turns": (), "answered_at": None, "ended_at": None, "quality": {}, "headers": {}},
            "5551",
        ),
    ],
)
def test_calls_of_every_kind_have_a_page(changes: dict[str, Any], told: str) -> None:
    reader = Reader(call_page(a_record(**changes)))
    assert told in reader.text
    assert reader.open == []


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    write_call_page(a_record(), tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("format", "kind"), [("flac", "audio/flac"), ("opus", "audio/ogg")])
def test_a_recording_in_another_format_is_shown_and_played(
    tmp_path: Path, format: Any, kind: str
) -> None:
    path = tmp_path / "a.wav"
    tone = np.rint(9000 * np.sin(np.arange(16_000) / 3)).astype("<i2")
    samples = np.stack([tone, np.zeros_like(tone)], axis=1)
    path.write_bytes(header(8000, samples.nbytes) + samples.tobytes())
    made = convert(tmp_path / "a.json", Manifest(file="a.wav", wanted_format=format))
    sound = Sound.load(made, "a")
    assert sound.duration_seconds == pytest.approx(2.0, abs=0.03)
    assert len(sound.outlines) == 2 and sound.source.startswith(f"data:{kind};base64,")
    made.write_bytes(b"noise")
    with pytest.raises(WavError, match="cannot be decoded"):
        Sound.load(made, "a")
