"""The talk page and a whole node: a spoken conversation through a real browser.

The fake microphone plays what a voice says at set times; the node's own recogniser
hears it and its agent answers.
"""

from pathlib import Path

import pytest

from trunkline.agent.events import AgentSpoke, AgentStarted, CallerTurn, TurnLatency
from trunkline.calls.events import CallEnded
from trunkline.speech import flite

from . import real_node
from .chromium import CHROMIUM, Page, chromium, run, until

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
    pytest.mark.skipif(not flite.is_installed(), reason="flite is not installed"),
]
ALLOWED = "--use-fake-ui-for-media-stream"

# Seconds from when the page opens the microphone. The greeting takes 4, the opening
# hours 14: the third is said into them.
CALLER = [
    (6.0, "when are you open"),
    (14.0, "hold on please is my bicycle ready"),
    (22.0, "my ticket number is nine three two zero"),
    (33.0, "no thank you that is everything"),
]

# Counts what the loudspeaker's worklet really plays: its level reports, 20 a second.
COUNT_LEVELS = """
window.played = { reports: 0, loud: 0, first: 0 };
const meter = document.getElementById('level-agent');
new MutationObserver(() => {
  window.played.reports++;
  if (meter.value > -50) { window.played.loud++; window.played.first ||= performance.now(); }
}).observe(meter, { attributes: true });
"""


async def said(page: Page, who: str) -> list[str]:
    texts: list[str] = await page.run(
        f"[...document.querySelectorAll('#transcript .{who} .text')].map(e => e.textContent)"
    )
    return texts


def test_a_spoken_conversation_is_heard_answered_and_shown(tmp_path: Path) -> None:
    async def body() -> None:
        await real_node.speech(tmp_path / "caller.wav", CALLER, 45)
        async with (
            real_node.running(real_node.settings(tmp_path)) as (node, watcher),
            chromium(ALLOWED, microphone=tmp_path / "caller.wav") as page,
        ):
            await page.open(real_node.address(node))
            await page.until("document.querySelectorAll('#hints li').length > 3")
            assert f"sip:shop@127.0.0.1:{node.ports.sip}" == await page.text("#phone")
            await page.picture("call-before")
            await page.run(COUNT_LEVELS)
            clicked = await page.run("performance.now()")
            await page.call()
            # The greeting is played, not only sent.
            await page.until("window.played.loud > 5")
            first_ms = await page.run("window.played.first") - clicked
            print(f"first sound {first_ms:.0f} ms after the click")
            await page.until("document.querySelectorAll('#waterfall li').length >= 1")
            await page.until("document.querySelector('#transcript s') !== null")
            await page.picture("call-live")
            await until(lambda: bool(watcher.of(CallEnded)))
            await page.until("document.getElementById('state').dataset.state === 'idle'")
            for scheme in ("light", "dark"):
                media = [{"name": "prefers-color-scheme", "value": scheme}]
                await page.send("Emulation.setEmulatedMedia", features=media)
                await page.picture(f"call-after-{scheme}")
            await check(page, watcher)
            assert page.complaints == []

    async def check(page: Page, watcher: real_node.Watcher) -> None:
        turns = [event for event in watcher.events if isinstance(event, CallerTurn)]
        assert [turn.text for turn in turns] == [text for _, text in CALLER]
        assert await said(page, "you") == [text for _, text in CALLER]
        spoken = [event for event in watcher.events if isinstance(event, AgentSpoke)]
        cut = next(one for one in spoken if one.interrupted)
        assert "Monday to Friday" in cut.heard
        assert "the yard" in cut.unheard
        assert cut.exact  # the page's marks say what was played
        assert (await page.text("#transcript s")).strip() == cut.unheard.strip()
        assert "green touring bicycle" in " ".join(await said(page, "agent"))
        assert await page.text("#state") == "The agent has hung up"
        latencies = [one for one in watcher.events if isinstance(one, TurnLatency)]
        totals = await page.run(
            "[...document.querySelectorAll('#waterfall strong')].map(e => e.textContent)"
        )
        assert totals == [f"{js_round(one.first_packet_ms)} ms" for one in latencies]
        (end,) = watcher.of(CallEnded)
        assert isinstance(end, CallEnded)
        assert (end.reason, end.by) == ("hangup", "us")
        overflow = await page.run("document.documentElement.scrollHeight - innerHeight")
        assert overflow <= 0

    run(body, seconds=180)


def js_round(value: float) -> int:
    return int(value + 0.5)


def test_every_tab_is_a_call_and_leaving_the_page_ends_it(tmp_path: Path) -> None:
    async def body() -> None:
        await real_node.speech(tmp_path / "caller.wav", [], 30)
        async with (
            real_node.running(real_node.settings(tmp_path)) as (node, watcher),
            chromium(ALLOWED, microphone=tmp_path / "caller.wav") as page,
        ):
            await page.open(real_node.address(node))
            await page.call()
            await until(lambda: len(watcher.of(AgentSpoke)) + len(watcher.of(AgentStarted)) > 0)
            async with page.another() as tab:
                await tab.open(real_node.address(node))
                await tab.call()
                await until(lambda: len(node.board.calls) == 2)
                assert len({call.leg_id for call in watcher.calls}) == 2
                await tab.send("Page.reload")
                await until(lambda: len(watcher.of(CallEnded)) == 1)
                assert watcher.calls[1].is_over
                assert not watcher.calls[0].is_over
                assert await page.text("#state") == "Connected"
            await page.send("Page.navigate", url="about:blank")
            await until(lambda: len(watcher.of(CallEnded)) == 2)
            await until(lambda: not node.board.calls)
            await until(lambda: len(node.media.engine) == 0)

    run(body)


def test_a_token_is_asked_for_and_another_site_is_kept_out(tmp_path: Path) -> None:
    async def body() -> None:
        made = real_node.settings(tmp_path, http__token="abc d&/")
        async with real_node.running(made) as (node, watcher), chromium(ALLOWED) as page:
            await page.open(real_node.address(node))
            await page.click("#call")
            await page.until("!document.getElementById('token-form').hidden")
            assert "give it here" in await page.text("#error")
            await page.picture("call-token")
            await page.run("document.getElementById('token').value = 'wrong'")
            await page.click("#call")
            await page.until("document.getElementById('error').textContent.includes('right one')")
            assert not watcher.calls
            await page.run("document.getElementById('token').value = 'abc d&/'")
            await page.call()
            await until(lambda: len(watcher.calls) == 1)
            await page.click("#call")
            await until(lambda: bool(watcher.of(CallEnded)))
            await page.open(real_node.address(node) + "#abc%20d%26%2F")
            await page.send("Page.reload")
            await page.until("document.readyState === 'complete'")
            await page.call()
            await until(lambda: len(watcher.calls) == 2)

    run(body)
