"""The talk page in a real browser, by itself.

The node is our own server with an app that sends back what it hears and shows a
scripted conversation; test_talk_call.py has the page and a whole node.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
import pytest

from trunkline.media.engine import Engine
from trunkline.media.lane import Heard, Lane, Window
from trunkline.server.talk import static_pages
from trunkline.transports.browser import BrowserLeg, BrowserServer
from trunkline.transports.leg import Digit, Ended, Leg, LegEvent, LegObserver
from trunkline.transports.media_thread import MediaThread
from trunkline.transports.websocket_server import Reply, WebSocketServer

from .chromium import CHROMIUM, TONE_HZ, Page, chromium, run, until

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]


class EchoEar:
    """Sends back what it hears, 40 ms later, and keeps it."""

    def __init__(self, engine: Engine, lane: Lane) -> None:
        self._engine, self._lane = engine, lane
        self.heard: list[np.ndarray[Any, Any]] = []
        self.echoing = True

    def hear(self, frame: np.ndarray[Any, Any], windows: Sequence[Window], now: float) -> None:
        self.heard.append(frame.copy())
        if self.echoing:
            self._engine.push(self._lane, frame, self._lane.playout.floor)

    def started(self, generation: int, now: float) -> None:
        pass

    def drained(self, heard: Heard, now: float) -> None:
        pass


class Node:
    """What answers the page: a real media thread and a real server."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.media = MediaThread(self.engine, asyncio.get_running_loop(), watch=False)
        self.server = WebSocketServer("127.0.0.1", 0)
        self.browser = BrowserServer(self.server, self.media, self._receive)
        self.legs: list[BrowserLeg] = []
        self.ears: list[EchoEar] = []
        self.events: list[LegEvent] = []
        for path, page in static_pages().items():
            self.server.page(path, page)
        self.server.page("/about.json", Reply(200, b"{}", "application/json"))

    def _receive(self, leg: Leg, now: float) -> LegObserver:
        assert isinstance(leg, BrowserLeg)
        assert leg.lane is not None
        leg.answer()
        ear = EchoEar(self.engine, leg.lane)
        leg.lane.ears.append(ear)
        self.ears.append(ear)
        self.legs.append(leg)
        return lambda leg, event, now: self.events.append(event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}/"

    def tell(self, type: str, **data: Any) -> None:
        self.media.call(self.legs[-1].tell, type, data)

    async def start(self) -> None:
        self.media.start()
        await self.media.run_async(self.server.start)

    async def close(self) -> None:
        await self.media.run_async(self.server.close)
        await self.media.stop()


@contextlib.asynccontextmanager
async def talking(*flags: str) -> AsyncIterator[tuple[Node, Page]]:
    """A node and a browser that shows its page."""
    node = Node()
    await node.start()
    try:
        async with chromium(*(flags or ("--use-fake-ui-for-media-stream",))) as page:
            await page.open(node.url)
            yield node, page
    finally:
        await node.close()


def strongest_hz(frames: list[np.ndarray[Any, Any]]) -> float:
    audio = np.concatenate(frames).astype(float)
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio))))
    return float(np.argmax(spectrum) * 8000 / len(audio))


CONVERSATION: list[tuple[str, dict[str, Any]]] = [
    ("bot-output", {"reply": 1, "text": "Good morning, this is the bicycle shop. ",
                    "spoken_status": "new"}),
    ("bot-started-speaking", {"reply": 1}),
    ("bot-output", {"reply": 1, "spoken_status": "completed", "spoken_progress": {
        "accumulated_text": "Good morning, this is the bicycle shop. ", "remaining_text": ""}}),
    ("user-started-speaking", {"turn": 1}),
    ("user-transcription", {"turn": 1, "text": "when do you <b>open</b>"}),
    ("metrics", {"turn": 1, "stages": {
        "endpointing_ms": 200, "recognition_ms": 290, "first_token_ms": 340,
        "first_audio_ms": 430, "first_packet_ms": 441}}),
    ("llm-function-call-stopped", {"function_name": "opening_hours", "result": "nine to six"}),
    ("bot-output", {"reply": 2, "text": "We open at nine and close at six. ",
                    "spoken_status": "new"}),
    ("bot-output", {"reply": 2, "text": "On Saturdays we close at two.", "spoken_status": "new"}),
    ("user-started-speaking", {"turn": 2}),
    ("bot-interrupted", {}),
    ("bot-output", {"reply": 2, "spoken_status": "completed", "interrupted": True,
                    "spoken_progress": {
        "accumulated_text": "We open at nine and close ",
        "remaining_text": "at six. On Saturdays we close at two."}}),
    ("user-transcription", {"turn": 2, "text": "thanks that is all"}),
    ("metrics", {"turn": 2, "stages": {
        "endpointing_ms": 210, "recognition_ms": 260, "first_token_ms": 265,
        "first_audio_ms": 300, "first_packet_ms": 308}}),
    ("error", {"error": "synthesis: the voice did not answer", "fatal": False}),
]  # fmt: skip


def test_sound_goes_up_comes_back_and_is_played() -> None:
    async def body() -> None:
        async with talking() as (node, page):
            await page.call()
            ear, leg = node.ears[0], node.legs[0]
            await until(lambda: len(ear.heard) > 150)
            loud = [frame for frame in ear.heard if np.abs(frame).max() > 3000]
            assert len(loud) > 30
            # The browser's own noise suppression may chew on a tone, but not move it.
            assert abs(strongest_hz(loud[:20]) - TONE_HZ) < 30
            assert leg.lane is not None
            lane = leg.lane
            await until(lambda: lane.played_samples > 8000)
            sent = lane.playout.sent_samples
            assert lane.played_generation == 0
            assert sent - lane.played_samples < 8000
            await page.until("document.getElementById('level-you').value > -40")
            await page.until("document.getElementById('level-agent').value > -40")

            ear.echoing = False
            node.media.call(lane.clear, 1)
            await page.until("document.getElementById('level-agent').value === -60")
            assert leg.statistics()["messages_ignored"] == 0
            assert leg.statistics()["messages_dropped"] == 0

            await page.click("#call")
            await until(lambda: any(isinstance(event, Ended) for event in node.events))
            assert node.events[-1] == Ended("hangup", "them")
            assert await page.text("#state") == "The call has ended"
            assert page.complaints == []

    run(body)


def test_the_conversation_is_shown_with_what_was_cut_off() -> None:
    async def body() -> None:
        async with talking() as (node, page):
            await page.call()
            for type, data in CONVERSATION:
                node.tell(type, **data)
            await page.until("document.querySelectorAll('#transcript li').length === 6")
            said = await page.run(
                "[...document.querySelectorAll('#transcript .text')].map(e => e.textContent)"
            )
            assert said[0] == "Good morning, this is the bicycle shop. "
            assert said[1] == "when do you <b>open</b>"
            assert said[2] == "opening_hours: nine to six"
            assert said[4] == "thanks that is all"
            assert said[5] == "Problem: synthesis: the voice did not answer"
            assert await page.text("#transcript s") == "at six. On Saturdays we close at two."
            assert "We open at nine and close" in said[3]
            totals = await page.run(
                "[...document.querySelectorAll('#waterfall strong')].map(e => e.textContent)"
            )
            assert totals == ["441 ms", "308 ms"]
            label = await page.run("document.querySelector('.bar').getAttribute('aria-label')")
            assert label == (
                "end of turn: 200 ms, recognition: 90 ms, first token: 50 ms, "
                "first audio: 90 ms, first packet: 11 ms"
            )
            widths = await page.run(
                "[...document.querySelectorAll('#waterfall li:last-child .bar span')]"
                ".map(e => e.style.flexGrow)"
            )
            assert widths == ["210", "50", "5", "35", "8", "133"]
            assert await page.run("document.getElementById('empty').hidden")
            await until(lambda: len(node.ears[0].heard) > 30)
            for scheme in ("light", "dark"):
                media = [{"name": "prefers-color-scheme", "value": scheme}]
                await page.send("Emulation.setEmulatedMedia", features=media)
                await page.picture(f"talk-{scheme}")
            await page.send(
                "Emulation.setDeviceMetricsOverride", width=390, height=844,
                deviceScaleFactor=2, mobile=True,
            )  # fmt: skip
            await page.picture("talk-phone")
            overflow = await page.run("document.documentElement.scrollWidth - innerWidth")
            assert overflow <= 0
            assert page.complaints == []

    run(body)


def test_nothing_is_loaded_from_elsewhere() -> None:
    async def body() -> None:
        async with talking() as (node, page):
            await page.call()
            ours = (node.url, node.url.replace("http", "ws"))
            assert len(page.requests) >= 6
            assert all(url.startswith(ours) for url in page.requests), page.requests

    run(body)


def test_everything_can_be_done_from_the_keyboard() -> None:
    async def body() -> None:
        async with talking() as (node, page):
            await page.press("Tab", 9)
            assert await page.run("document.activeElement.id") == "call"
            await page.press("Enter", 13, "\r")
            await page.until("document.getElementById('state').dataset.state === 'live'")
            await page.press("Tab", 9)
            assert await page.run("document.activeElement.id") == "mute"
            await page.press(" ", 32, " ")
            assert await page.run("document.activeElement.getAttribute('aria-pressed')") == "true"
            ear = node.ears[0]
            mark = len(ear.heard) + 20
            await until(lambda: len(ear.heard) > mark + 110)
            assert not np.concatenate(ear.heard[mark:]).any()
            await page.run("document.querySelector('.keypad').open = true")
            await page.run("document.querySelectorAll('#keys button')[11].focus()")
            await page.press("Enter", 13, "\r")
            await until(lambda: Digit("#", 0) in node.events)
            await page.run("document.getElementById('call').focus()")
            await page.press("Enter", 13, "\r")
            await until(lambda: isinstance(node.events[-1], Ended))

    run(body)


def test_a_refused_microphone_is_explained() -> None:
    async def body() -> None:
        async with talking("--deny-permission-prompts") as (node, page):
            await page.click("#call")
            await page.until("document.getElementById('state').dataset.state === 'error'")
            assert "The microphone was not allowed" in await page.text("#error")
            assert await page.text("#call") == "Start talking"
            assert not node.legs
            await page.picture("talk-refused")

    run(body)


def test_browsers_that_cannot_are_told_why() -> None:
    async def body() -> None:
        async with talking() as (node, page):
            for missing, words in (
                ("WebSocket", "no WebSockets"),
                ("AudioWorkletNode", "no AudioWorklet"),
            ):
                script = f"delete window.{missing}"
                added = await page.send("Page.addScriptToEvaluateOnNewDocument", source=script)
                await page.open(node.url)
                await page.until("document.getElementById('state').dataset.state === 'error'")
                assert words in await page.text("#error")
                assert await page.run("document.getElementById('call').disabled")
                await page.send(
                    "Page.removeScriptToEvaluateOnNewDocument", identifier=added["identifier"]
                )

    run(body)


def test_the_end_of_the_call_and_of_the_node_are_told_apart() -> None:
    async def body() -> None:
        async with talking() as (node, page):
            await page.call()
            node.media.call(node.legs[-1].hangup)
            await page.until("document.getElementById('state').dataset.state === 'idle'")
            assert await page.text("#state") == "The agent has hung up"
            await page.call()
            assert len(node.legs) == 2
            await node.media.run_async(node.server.close)
            await page.until("document.getElementById('state').dataset.state === 'error'")
            assert "shutting down" in await page.text("#error")
            await page.click("#call")
            await page.until("document.getElementById('error').textContent.includes('reached')")

    run(body)


def test_another_web_site_cannot_talk_to_the_node() -> None:
    async def body() -> None:
        async with talking() as (node, page):
            other = Node()
            other.server.page("/other", Reply(200, b"<h1>another site</h1>", "text/html"))
            await other.start()
            try:
                await page.open(other.url + "other")
                outcome = await page.run(
                    "new Promise(done => { const socket = new WebSocket("
                    f"'ws://127.0.0.1:{node.server.port}/talk'); socket.onopen = () => done('in');"
                    " socket.onerror = () => done('refused'); })"
                )
                assert outcome == "refused"
                assert node.server.refused == 1
                assert not node.legs
            finally:
                await other.close()

    run(body)
