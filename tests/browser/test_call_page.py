"""A call's page in a real browser: it plays, follows, seeks, and runs nobody else's script."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trunkline.calls.record import CallRecord
from trunkline.media.wav import serialise_wav
from trunkline.server.call_page import write_call_page

from .chromium import CHROMIUM, Page, chromium, run

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]

SECONDS = 20.0
TURNS: list[Any] = [
    {"by": "agent", "text": "Good morning.", "started_seconds": 0.0, "ended_seconds": 2.0},
    {"by": "caller", "text": "when are you open", "started_seconds": 4.0, "ended_seconds": 6.0,
     "confidence": 0.31},
    {"by": "agent", "text": "From Monday", "unheard": " to Friday.", "started_seconds": 6.65,
     "ended_seconds": 11.0, "interrupted": True,
     "stages_ms": {"endpointing": 600.0, "recognition": 605.0, "first_token": 610.0,
                   "first_audio": 640.0, "first_packet": 650.0},
     "tools": [{"name": "hours", "arguments": "{}", "result": '{"open": true}'}]},
    {"by": "caller", "text": "<img src=x onerror=document.title='owned'>",
     "started_seconds": 10.7, "ended_seconds": 13.0, "confidence": 0.9},
    {"by": "agent", "text": "</script><script>document.title='owned'</script>",
     "started_seconds": 13.6, "ended_seconds": 18.0, "stages_ms": {"first_packet": 600.0}},
]  # fmt: skip
AT = "document.getElementById('audio').currentTime"
CURRENT = "[...document.querySelectorAll('.transcript li')].findIndex(li => li.ariaCurrent)"


def make_page(folder: Path) -> str:
    """The page of a call; its address."""
    times = np.arange(int(SECONDS * 8000)) / 8000
    stereo = np.zeros((len(times), 2), np.int16)
    for turn in TURNS:
        begins, ends = turn["started_seconds"], turn["ended_seconds"]
        spoken = (times >= begins) & (times < ends)
        stereo[spoken, int(turn["by"] == "agent")] = (
            6000 * np.sin(2 * np.pi * 300 * times[spoken])
        ).astype(np.int16)
    (folder / "call.wav").write_bytes(serialise_wav(stereo, 8000))
    record = CallRecord(
        id="call_1", direction="inbound", transport="sip", caller="5551234", callee="shop",
        state="ended", started_at=1e9, answered_at=1e9, ended_at=1e9 + SECONDS, recorded_at=1e9,
        end_reason="hangup", end_by="us", recording=str(folder / "call.wav"), turns=TURNS,
        quality={"received": 1000.0, "lost": 0.0},
    )  # fmt: skip
    write_call_page(record, folder / "call.html")
    return (folder / "call.html").as_uri()


def with_page(folder: Path, body: Any) -> None:
    async def browse() -> None:
        async with chromium() as page:
            await page.open(make_page(folder))
            await page.until("document.getElementById('audio').readyState >= 1")
            await body(page)
            assert page.complaints == []
            assert await page.run("document.title") != "owned"
            loaded = [url for url in page.requests if not url.startswith(("file:", "data:"))]
            assert loaded == []

    run(browse)


def test_it_plays_and_the_transcript_follows(tmp_path: Path) -> None:
    async def body(page: Page) -> None:
        assert await page.run(f"{AT} === 0")
        assert await page.run(CURRENT) == 0
        await page.click("#play")
        await page.until(f"{AT} > 0.4")
        await page.until("document.getElementById('play').ariaLabel === 'Pause'")
        assert await page.run("getComputedStyle(document.getElementById('timeline'))"
                              ".getPropertyValue('--at') > 0.01")  # fmt: skip
        await page.run("document.getElementById('audio').currentTime = 4.5")
        await page.until(f"{CURRENT} === 1")
        await page.click("#play")
        await page.until("document.getElementById('audio').paused")
        await page.until("document.getElementById('play').ariaLabel === 'Play'")
        assert (await page.text("#now")).startswith("0:04")

    with_page(tmp_path, body)


def test_a_click_on_the_waveform_or_a_turn_goes_there(tmp_path: Path) -> None:
    async def body(page: Page) -> None:
        await page.click(".wave.agent")
        await page.until(f"Math.abs({AT} - 10) < 0.1")
        assert await page.run(CURRENT) == 2
        await page.click(".transcript li:nth-child(2) p:last-child")
        await page.until(f"Math.abs({AT} - 4) < 0.05")
        assert await page.run("document.getElementById('audio').paused")
        assert await page.run("document.querySelector('.block.now').dataset.turn") == "1"
        await page.click(".waterfall li:nth-child(2)")
        await page.until(f"Math.abs({AT} - 13.6) < 0.05")
        await page.click(".transcript li:nth-child(1) .at")
        await page.until("!document.getElementById('audio').paused")

    with_page(tmp_path, body)


def test_everything_can_be_done_from_the_keyboard(tmp_path: Path) -> None:
    async def body(page: Page) -> None:
        for key, code, at in (
            ("ArrowRight", 39, 2), ("ArrowRight", 39, 4), ("ArrowLeft", 37, 2), ("Home", 36, 0),
            ("End", 35, SECONDS), ("Home", 36, 0),
        ):  # fmt: skip
            await page.press(key, code)
            await page.until(f"Math.abs({AT} - {at}) < 0.05")
        await page.press(" ", 32, " ")
        await page.until(f"{AT} > 0.2")
        await page.press(" ", 32, " ")
        await page.until("document.getElementById('audio').paused")
        await page.press("Tab", 9)
        assert await page.run("document.activeElement.id") == "play"
        await page.press(" ", 32, " ")
        await page.until("!document.getElementById('audio').paused")
        slider = "document.getElementById('timeline')"
        assert await page.run(f"{slider}.getAttribute('role')") == "slider"
        assert await page.run(f"{slider}.getAttribute('aria-valuemax')") == "20.0"
        assert float(await page.run(f"{slider}.getAttribute('aria-valuenow')")) > 0

    with_page(tmp_path, body)


def test_either_side_can_be_silenced(tmp_path: Path) -> None:
    async def body(page: Page) -> None:
        await page.click("#play")
        await page.click("[data-side='0']")
        assert await page.run("document.querySelector('[data-side=\"0\"]').ariaPressed") == "false"
        await page.until(f"{AT} > 0.3")

    with_page(tmp_path, body)


def test_the_silence_can_be_left_out_of_the_bars(tmp_path: Path) -> None:
    async def body(page: Page) -> None:
        assert "650 ms" in await page.text(".waterfall li:first-child")
        await page.click("#only-work")
        assert "50 ms" in await page.text(".waterfall li:first-child")
        assert "650" not in await page.text(".waterfall li:first-child")
        shown = "getComputedStyle(document.querySelector('.bar .stage-0')).display"
        assert await page.run(shown) == "none"

    with_page(tmp_path, body)


@pytest.mark.parametrize("width", [360, 390, 768, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_every_screen(tmp_path: Path, width: int, scheme: str) -> None:
    async def body(page: Page) -> None:
        media = [{"name": "prefers-color-scheme", "value": scheme}]
        await page.send("Emulation.setEmulatedMedia", features=media)
        await page.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=844,
            deviceScaleFactor=1, mobile=width < 700,
        )  # fmt: skip
        assert await page.run("document.documentElement.scrollWidth - innerWidth") <= 0
        background = await page.run("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(18, 23, 21)") == (scheme == "dark")
        await page.picture(f"call-{scheme}-{width}")

    with_page(tmp_path, body)


def test_without_its_script_it_still_reads_and_plays(tmp_path: Path) -> None:
    async def browse() -> None:
        async with chromium() as page:
            await page.send("Emulation.setScriptExecutionDisabled", value=True)
            await page.send("Page.enable")
            await page.send("Page.navigate", url=make_page(tmp_path))
            await page.until("document.readyState === 'complete'")
            assert await page.run("document.getElementById('audio').controls")
            assert await page.run("document.getElementById('audio').offsetHeight > 20")
            assert "when are you open" in await page.text(".transcript")

    run(browse)


def test_quality_and_messages_are_shown_and_a_message_opens(tmp_path: Path) -> None:
    columns = {"mos": [4.4, 1.9], "loss": [0.0, 0.2], "late": [0.0, 0.0], "level": [-20.0, -30.0]}
    text = "INVITE sip:a@b SIP/2.0\r\nSubject: <script>document.title='owned'</script>\r\n\r\n"
    record = CallRecord(
        id="call-1",
        series={"start": 0.0, "step": 5.0, "in": columns, "out": columns, "runs": {"1": 3}},
        ladder={
            "messages": [{"at": 0.0, "sent": False, "peer": "udp:192.0.2.1:5060", "text": text}]
        },
    )
    path = tmp_path / "call.html"
    write_call_page(record, path)

    async def body() -> None:
        async with chromium() as page:
            await page.open(path.as_uri())
            sizes = await page.run(
                "[...document.querySelectorAll('figure svg')].map(s => s.clientHeight)"
            )
            assert len(sizes) == 6
            assert min(sizes) > 40
            await page.run("document.querySelector('.ladder summary').scrollIntoView()")
            await page.click(".ladder summary")
            assert "Subject: <script>" in await page.text(".ladder pre")
            assert "owned" not in await page.run("document.title")
            assert await page.run("document.documentElement.scrollWidth <= innerWidth")
            assert page.complaints == []

    run(body)
