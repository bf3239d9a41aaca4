"""``examples/stream_to_bot.py`` and ``bot.py``: a caller, the switchboard and a bot."""

import asyncio
import importlib.util
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.interop.kit import until

from .conftest import EXAMPLES, Run, Telephones


@pytest.fixture
def bot_url() -> Iterator[str]:
    """The bot of the example, running."""
    pytest.importorskip("websockets")
    from websockets.asyncio.server import serve

    specification = importlib.util.spec_from_file_location("bot", EXAMPLES / "bot.py")
    assert specification is not None and specification.loader is not None
    bot: Any = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(bot)
    loop = asyncio.new_event_loop()
    ports: list[int] = []
    stop = asyncio.Event()

    async def run() -> None:
        async with serve(bot.parrot, "127.0.0.1", 0) as server:
            ports.append(server.sockets[0].getsockname()[1])
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    until(lambda: ports)
    yield f"ws://127.0.0.1:{ports[0]}"
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    loop.close()


def test_the_bot_says_what_the_caller_said_once_the_caller_has_finished(
    bot_url: str, run: Run, telephone: Telephones, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOT_URL", bot_url)
    phone = telephone(run("stream_to_bot.py"))
    phone.dial()
    phone.speak(0.6)
    until(lambda: phone.media.received)
    assert not phone.sounds()  # it waits for the end
    until(phone.sounds)
    until(lambda: phone.loud_packets >= 29)  # 0.6 s are 30 packets
    phone.hang_up()


def test_a_call_without_a_bot_is_hung_up(
    run: Run, telephone: Telephones, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOT_URL", "ws://127.0.0.1:9")  # nobody listens on the discard port
    phone = telephone(run("stream_to_bot.py"))
    phone.dial()
    phone.wait_hung_up()
