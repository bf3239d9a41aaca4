"""The chain of a node's calls, over real sockets: who has one, and whose it is."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from trunkline.calls import AudioPath
from trunkline.calls.call import Call
from trunkline.calls.switchboard import Switchboard
from trunkline.errors import MissingDependencyError
from trunkline.media import ChainStages
from trunkline.server.node import Node
from trunkline.settings import load

ECHO_ALONE = ChainStages(echo="kalman", noise="off")


@contextlib.asynccontextmanager
async def running(folder: Path, board: Switchboard, **flags: object) -> AsyncIterator[Node]:
    dotted = {
        "sip.port": 0, "streams.port": 0, "node.drain_seconds": 0.5, "speech.stt": "standin",
        "speech.tts": "standin", "records.path": str(folder / "calls.db"),
        "recording.folder": str(folder),
    }  # fmt: skip
    dotted |= {key.replace("__", "."): value for key, value in flags.items()}
    node = Node(load(flags=dotted).settings, board, keep_records=False)
    async with asyncio.timeout(30):
        task = asyncio.create_task(node.run())
        await node.ready.wait()
        try:
            yield node
        finally:
            node.stop()
            await task


async def chains(node: Node) -> dict[str, ChainStages | None]:
    """The chain of each lane, ours and the far end's, by the direction of its leg."""

    def look() -> dict[str, ChainStages | None]:
        assert node.sip is not None
        legs = node.sip.legs.values()
        return {leg.direction: leg.lane.chain for leg in legs if leg.lane is not None}

    return await node.media.run(look)


async def asked_for(
    folder: Path,
    route: AudioPath | None = None,
    *,
    agent: bool,
    of: str = "inbound",
    **flags: object,
) -> ChainStages | None:
    """The chain of a SIP call to a board with one app, or of the call that placed it."""
    board = Switchboard()
    there = asyncio.Event()

    async def app(call: Call) -> None:
        if agent:
            call.agent_host()
        there.set()
        await call.wait_ended()

    board.answer("*", audio=route)(app)
    async with running(folder, board, **flags) as node:
        call = await board.dial(f"sip:100@127.0.0.1:{node.ports.sip}", timeout=5)
        await there.wait()
        found = await chains(node)
        assert found["outbound"] is None or flags  # who calls has no agent
        await call.hangup()
        while node.board.calls:
            await asyncio.sleep(0.01)
        assert await node.media.run(lambda: len(node.media.engine.chains)) == 0
        return found[of]


def test_an_agent_on_a_telephone_call_does_not_hear_itself(tmp_path: Path) -> None:
    assert asyncio.run(asked_for(tmp_path, agent=True)) == ECHO_ALONE


def test_a_relayed_call_is_left_as_it_is(tmp_path: Path) -> None:
    assert asyncio.run(asked_for(tmp_path, agent=False)) is None


def test_a_route_says_otherwise(tmp_path: Path) -> None:
    route = AudioPath(echo="off", noise="logmmse", strength=0.8)
    found = asyncio.run(asked_for(tmp_path, route, agent=True))
    assert found == ChainStages(echo="off", noise="logmmse", noise_strength=0.8)


def test_the_settings_say_otherwise(tmp_path: Path) -> None:
    found = asyncio.run(
        asked_for(
            tmp_path,
            agent=True,
            audio__agent_echo="nlms",
            audio__agent_noise="spectral",
            audio__agent_recogniser_noise=True,
            audio__noise_reduction_strength=0.3,
        )
    )
    assert found == ChainStages(
        echo="nlms", noise="spectral", noise_strength=0.3, recogniser_noise=True
    )


def test_a_trunk_says_otherwise(tmp_path: Path) -> None:
    trunks = {"127.0.0.0/8": {"echo": "off", "noise": "logmmse"}}
    found = asyncio.run(asked_for(tmp_path, agent=True, audio__trunks=trunks))
    assert found == ChainStages(echo="off", noise="logmmse")


@pytest.mark.parametrize("trunk", ["ourselves", "127.0.0.1"])
def test_a_trunk_is_who_is_called_as_well(trunk: str, tmp_path: Path) -> None:
    found = asyncio.run(
        asked_for(
            tmp_path,
            agent=False,
            of="outbound",
            outbound__username="ourselves",
            audio__trunks={trunk: {"noise": "logmmse"}},
        )
    )
    assert found == ChainStages(echo="off", noise="logmmse")


def test_a_relay_may_have_a_chain(tmp_path: Path) -> None:
    found = asyncio.run(asked_for(tmp_path, agent=False, audio__relay_noise="logmmse"))
    assert found == ChainStages(echo="off", noise="logmmse")


def test_an_engine_that_is_not_installed_is_told_before_there_are_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(kind: str, name: str, **options: object) -> None:
        raise MissingDependencyError(f"the {kind} engine {name!r} needs a package; run: pip")

    monkeypatch.setattr("trunkline.calls.audio.create", missing)

    settings = load(flags={"audio.relay_noise": "rnnoise", "sip.port": 0}).settings
    node = Node(settings, Switchboard(), streams=False, keep_records=False)
    with pytest.raises(MissingDependencyError, match="needs a package; run: pip"):
        asyncio.run(asyncio.wait_for(node.run(), 10))
