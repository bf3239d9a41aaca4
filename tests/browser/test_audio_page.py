"""An inspection's page in a real browser: one cursor for all sounds, and no foreign script."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trunkline.media.network_pattern import NetworkPattern
from trunkline.media.wav import serialise_wav
from trunkline.server.audio_page import InspectionOptions, inspect_audio, write_inspection

from .chromium import CHROMIUM, Page, chromium, run

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]

SOUND = "document.getElementById('{}')"
PLAYING = "['before', 'after'].filter(id => !document.getElementById(id).paused).join()"
PRESSED = "document.querySelector('#choice [aria-pressed=true]').dataset.sound"


def make_page(folder: Path) -> str:
    """The page of an inspection; its address."""
    tone = (6000 * np.sin(2 * np.pi * 300 * np.arange(10 * 8000) / 8000)).astype(np.int16)
    path = folder / "<img src=x onerror=document.title=1>.wav"
    path.write_bytes(serialise_wav(tone, 8000))
    write_inspection(
        inspect_audio(InspectionOptions(path, network=NetworkPattern(0.1))), folder / "page.html"
    )
    return (folder / "page.html").as_uri()


def with_page(folder: Path, body: Any) -> None:
    async def browse() -> None:
        async with chromium() as page:
            await page.open(make_page(folder))
            await page.until(f"{SOUND.format('after')}.readyState >= 1")
            await body(page)
            assert page.complaints == []
            assert await page.run("document.title") != "1"
            loaded = [url for url in page.requests if not url.startswith(("file:", "data:"))]
            assert loaded == []

    run(browse)


def test_what_is_heard_changes_and_the_place_does_not(tmp_path: Path) -> None:
    async def body(page: Page) -> None:
        assert await page.run(PRESSED) == "after"
        await page.click("#play")
        await page.until(f"{SOUND.format('after')}.currentTime > 0.4")
        assert await page.run(PLAYING) == "after"
        await page.click("#choice [data-sound=before]")
        await page.until(f"{PLAYING} === 'before'")
        assert await page.run(PRESSED) == "before"
        assert await page.run(f"{SOUND.format('before')}.currentTime") > 0.35
        await page.run("document.dispatchEvent(new KeyboardEvent('keydown', {key: 'b'}))")
        await page.until(f"{PLAYING} === 'after'")
        await page.click("#play")
        await page.until(f"{PLAYING} === ''")
        await page.until("document.getElementById('play').ariaLabel === 'Play'")

    with_page(tmp_path, body)


def test_a_click_and_keys_move_the_cursor(tmp_path: Path) -> None:
    async def body(page: Page) -> None:
        await page.click("#timeline")
        middle = await page.run("Number(document.getElementById('timeline').ariaValueNow)")
        assert middle == pytest.approx(5, abs=0.3)
        await page.press("ArrowRight", 39)
        await page.until(f"document.getElementById('timeline').ariaValueNow > {middle + 0.8}")
        await page.press("End", 35)
        await page.until("document.getElementById('now').textContent.startsWith('0:10')")
        await page.press("Home", 36)
        await page.until("document.getElementById('now').textContent === '0:00.0'")

    with_page(tmp_path, body)
