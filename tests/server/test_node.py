"""A node begins, listens, and leaves nothing open."""

import asyncio
import resource
import socket
from pathlib import Path

import msgspec
import pytest

from trunkline.calls.apps import echo
from trunkline.calls.call import Call
from trunkline.calls.switchboard import Switchboard
from trunkline.errors import ConfigError, UsageError
from trunkline.server.node import Node
from trunkline.settings import Media, Records, Settings, Sip, Speech, Streams


def settings(folder: Path, **options: object) -> Settings:
    plain = Settings(
        sip=Sip(port=0), streams=Streams(port=0), records=Records(path=folder / "calls.db")
    )
    return msgspec.structs.replace(plain, **options)


def test_a_node_listens_on_ports_of_the_systems_choice_and_stops(tmp_path: Path) -> None:
    async def main() -> None:
        node = Node(settings(tmp_path), Switchboard())
        running = asyncio.create_task(node.run())
        await asyncio.wait_for(node.ready.wait(), 10)
        assert node.ports.sip and node.ports.streams and node.sip is not None
        assert len(node.media.engine) == 0
        port = node.ports.sip
        node.stop()
        await asyncio.wait_for(running, 10)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind(("127.0.0.1", port))

    asyncio.run(main())


def test_a_node_may_do_without_sip_streams_and_records(tmp_path: Path) -> None:
    async def main() -> None:
        node = Node(settings(tmp_path), Switchboard(), sip=False, streams=False, keep_records=False)
        node.stop()  # before it runs: nothing to stop
        running = asyncio.create_task(node.run())
        await asyncio.wait_for(node.ready.wait(), 10)
        assert (node.ports.sip, node.ports.streams, node.sip) == (0, 0, None)
        node.stop()
        await asyncio.wait_for(running, 10)

    asyncio.run(main())
    assert not (tmp_path / "calls.db").exists()


def test_a_port_that_is_taken_says_so_and_nothing_stays_open(tmp_path: Path) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            busy = settings(tmp_path, sip=Sip(port=taken.getsockname()[1]))
            with pytest.raises(UsageError, match=r"cannot listen on .*another program"):
                await asyncio.wait_for(Node(busy, Switchboard()).run(), 10)

    asyncio.run(main())


def test_music_that_cannot_be_played_is_told_before_anybody_is_held(tmp_path: Path) -> None:
    async def main(path: str) -> None:
        silent = settings(tmp_path, media=Media(hold_music=path))
        with pytest.raises(ConfigError, match=r"media\.hold_music cannot be played"):
            await asyncio.wait_for(Node(silent, Switchboard()).run(), 10)

    (tmp_path / "no.wav").write_bytes(b"no music")
    for path in ("no.wav", "none.wav"):
        asyncio.run(main(str(tmp_path / path)))


def test_an_address_of_another_machine_is_told_as_that(tmp_path: Path) -> None:
    async def main() -> None:
        elsewhere = settings(tmp_path, sip=Sip(host="192.0.2.1", port=0))
        with pytest.raises(UsageError, match=r"no such address \(sip.host\)"):
            await asyncio.wait_for(Node(elsewhere, Switchboard()).run(), 10)

    asyncio.run(main())


def test_a_node_may_open_as_many_files_as_the_system_lets_it(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
    try:

        async def main() -> None:
            node = Node(
                settings(tmp_path), Switchboard(), sip=False, streams=False, keep_records=False
            )
            running = asyncio.create_task(node.run())
            await asyncio.wait_for(node.ready.wait(), 10)
            node.stop()
            await asyncio.wait_for(running, 10)

        asyncio.run(main())
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        assert limit == hard or limit >= 1 << 16
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_saying_something_makes_the_voice_and_no_other_engine(tmp_path: Path) -> None:
    async def main() -> None:
        board = Switchboard()
        board.answer("*")(echo)
        speech = Speech(tts="standin", stt="not installed here")
        node = Node(settings(tmp_path, speech=speech), board, streams=False)
        running = asyncio.create_task(node.run())
        await asyncio.wait_for(node.ready.wait(), 10)
        said: list[bool] = []

        async def speak(call: Call) -> None:
            said.append(await call.say("hello"))

        call = await board.dial(f"sip:echo@127.0.0.1:{node.ports.sip}", app=speak, timeout=5)
        await asyncio.wait_for(call.wait_ended(), 10)
        node.stop()
        await asyncio.wait_for(running, 10)
        assert said == [True]

    asyncio.run(main())
