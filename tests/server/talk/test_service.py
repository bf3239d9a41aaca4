"""The talk page served: what it says of the agent, and what a call's page is told."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from trunkline.agent.events import CallerStarted
from trunkline.errors import ConfigError
from trunkline.media.engine import Engine
from trunkline.server.talk import About, TalkService
from trunkline.settings import Http
from trunkline.transports.media_thread import MediaThread


async def get(port: int, path: str) -> tuple[int, dict[str, str], bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, body


def test_the_page_learns_who_answers_and_where() -> None:
    async def run() -> None:
        media = MediaThread(Engine(), asyncio.get_running_loop(), watch=False)
        media.start()
        try:
            about = About("<b>the shop</b>", ('say "hi"',), user="shop")
            service = TalkService(Http(port=0), media, lambda *_: lambda *_: None, about)
            await media.run_async(lambda: service.start("sip:shop@127.0.0.1:5060"))
            status, headers, body = await get(service.port, "/about.json")
            assert (status, headers["Content-Type"]) == (200, "application/json")
            assert json.loads(body) == {
                "agent": "<b>the shop</b>",
                "hints": ['say "hi"'],
                "phone": "sip:shop@127.0.0.1:5060",
            }
            assert (await get(service.port, "/"))[0] == 200
            assert (await get(service.port, "/etc/passwd"))[0] == 404
            taken = TalkService(Http(port=service.port), media, lambda *_: lambda *_: None, about)
            with pytest.raises(ConfigError, match=r"http\.port .*http\.enabled") as caught:
                await media.run_async(taken.start)
            assert str(caught.value).count("http.port") == 1
        finally:
            await media.stop()

    asyncio.run(run())


def test_a_wide_address_without_a_token_is_refused() -> None:
    with pytest.raises(ConfigError, match="token"):
        TalkService(
            Http(host="0.0.0.0", port=0),
            SimpleNamespace(),  # type: ignore[arg-type]
            lambda *_: lambda *_: None,
            About(),
        )


def test_only_pages_are_told_of_their_calls() -> None:
    told: list[Any] = []
    media: Any = SimpleNamespace(to_media=SimpleNamespace(post=lambda *args: told.append(args[1:])))
    service = TalkService(Http(port=0), media, lambda *_: lambda *_: None, About())
    observers: list[Any] = []
    for transport in ("sip", "browser", "twilio"):
        call: Any = SimpleNamespace(
            transport=transport, leg_id="browser-7", observe=observers.append
        )
        service.call_started(call, "agent")
    assert len(observers) == 1
    observers[0](CallerStarted(1.0, 3))
    observers[0](object())
    assert told == [("browser-7", "user-started-speaking", {"turn": 3})]
