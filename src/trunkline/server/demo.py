"""``trunkline demo``: one whole phone call on this machine, watched as it happens.

Two nodes in one process, each with its media thread: one answers as the shop,
the other places the call and speaks as its caller. What is between them is SIP
and RTP over loopback sockets, nothing else; the caller is told what the agent
*said* (a person would understand it), but the agent has only what it hears.
"""

import asyncio
import json as json_module
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console

from trunkline.agent.agent import Agent
from trunkline.agent.events import TurnLatency
from trunkline.agent.session import Conversation
from trunkline.agent.turns import TurnSettings
from trunkline.calls.call import Call
from trunkline.calls.record import CallRecord
from trunkline.calls.records import RecordStore
from trunkline.calls.switchboard import Switchboard
from trunkline.settings import Log, Media, Recording, Records, Settings, Sip, Speech, Streams
from trunkline.settings import Node as NodeSettings
from trunkline.speech import TextToSpeech, create

from .call_page import write_call_page
from .demo_caller import SyntheticCaller
from .demo_screen import DemoScreen
from .demo_script import INSTRUCTIONS, Shop, shortcomings
from .logs import configure
from .node import Node

__all__ = ["DemoOptions", "DemoResult", "run_demo"]

CALL_SECONDS = 240.0
"""A demo that takes longer than this has gone wrong."""
CALLER_VOICES = {"flite": {"voice": "rms"}, "espeak": {}}
AGENT_VOICES: dict[str, dict[str, Any]] = {
    "flite": {"voice": "slt"},
    "espeak": {"voice": "en-us+f3", "pitch": 55},
}


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the command line asks for."""

    folder: Path = Path("demo-output")
    json: bool = False
    log_level: str = "warning"


@dataclass(slots=True)
class DemoResult:
    """How it went."""

    problems: list[str] = field(default_factory=list)
    """What the conversation should have had and did not; empty: it went well."""
    conversation: Conversation | None = None
    record: CallRecord | None = None
    latencies: list[TurnLatency] = field(default_factory=list)
    page: Path | None = None


def run_demo(options: DemoOptions) -> int:
    """Play the call and show it; 0 only if it went as it should."""
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    log = configure(Log(level=options.log_level))  # type: ignore[arg-type]
    screen = DemoScreen(Console(stderr=options.json))
    try:
        result = uvloop.run(_play(folder, screen))
    finally:
        log.close()
    screen.show_result(result)
    if options.json:
        print(json_module.dumps(_as_json(result), indent=2))
    return 1 if result.problems else 0


def _settings(folder: Path, name: str, *, record: bool) -> Settings:
    """A node on free ports of loopback."""
    return Settings(
        node=NodeSettings(name=name, drain_seconds=2.0),
        sip=Sip(port=0),
        media=Media(first_port=20_000, last_port=29_999),
        streams=Streams(enabled=False),
        speech=Speech(),
        recording=Recording(enabled=record, folder=folder / "recordings"),
        records=Records(path=folder / "calls.db"),
    )


def _voices() -> tuple[TextToSpeech, TextToSpeech]:
    """The agent's and the caller's voice, different ones of the best engine there is."""
    engine = create("tts", "best").name
    agent: TextToSpeech = create("tts", engine, **AGENT_VOICES.get(engine, {}))
    caller: TextToSpeech = create("tts", engine, **CALLER_VOICES.get(engine, {}))
    return agent, caller


async def _play(folder: Path, screen: DemoScreen) -> DemoResult:
    result = DemoResult()
    agent_voice, caller_voice = _voices()
    screen.begin(agent_voice.name)
    shop_board, caller_board = Switchboard(), Switchboard()
    shop = Node(_settings(folder, "shop", record=True), shop_board)
    caller = Node(_settings(folder, "caller", record=False), caller_board, keep_records=False)
    to_caller: list[Callable[[object], None]] = []
    finished = asyncio.Event()
    agent = Agent(
        INSTRUCTIONS, tools=Shop().tools, tts=agent_voice, turns=TurnSettings(idle_ms=12_000)
    )

    @shop_board.answer("shop")
    async def bicycle_shop(call: Call) -> None:
        def tell(event: object) -> None:
            if isinstance(event, TurnLatency):
                result.latencies.append(event)
            screen.event(event)
            for one in to_caller:
                one(event)

        call.observe(tell)
        screen.connected(call)
        result.conversation = await agent.talk(call)
        finished.set()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(shop.run())
        tasks.create_task(caller.run())
        await asyncio.gather(shop.ready.wait(), caller.ready.wait())
        await asyncio.gather(shop.engines.warm(), _warm(agent_voice), _warm(caller_voice))
        try:
            async with asyncio.timeout(CALL_SECONDS):
                await _call_the_shop(shop, caller_board, caller_voice, to_caller, screen, result)
        except TimeoutError:
            result.problems.append(f"the call was not over after {CALL_SECONDS:.0f} s")
        finally:
            shop.stop()
            caller.stop()
    await asyncio.gather(_close(agent_voice), _close(caller_voice))
    _conclude(folder, result)
    return result


async def _call_the_shop(
    shop: Node,
    board: Switchboard,
    voice: TextToSpeech,
    to_caller: list[Callable[[object], None]],
    screen: DemoScreen,
    result: DemoResult,
) -> None:
    """Place the call, speak, and wait for its end."""
    target = f"sip:shop@127.0.0.1:{shop.ports.sip}"
    screen.dialling(target)
    call = await board.place(target, caller="5551234")
    synthetic = SyntheticCaller(call, voice, screen.caller_speaks)
    to_caller.append(synthetic.agent_event)
    await synthetic.run()
    end = await call.wait_ended()
    screen.ended(end)
    if end.reason != "hangup":
        result.problems.append(f"the call ended with {end.reason}")


def _conclude(folder: Path, result: DemoResult) -> None:
    """Judge the conversation and write its page."""
    if result.conversation is None:
        result.problems.append("there was no conversation")
    else:
        result.problems += shortcomings(result.conversation.messages)
    records = RecordStore(folder / "calls.db").list(limit=1)
    if not records:
        result.problems.append("the call left no record")
        return
    result.record = records[0]
    result.page = folder / f"{result.record.id}.html"
    write_call_page(result.record, result.page)


async def _warm(voice: TextToSpeech) -> None:
    warm = getattr(voice, "warm", None)
    if warm is not None:
        await warm()


async def _close(voice: TextToSpeech) -> None:
    await voice.aclose()


def _as_json(result: DemoResult) -> dict[str, object]:
    record = result.record
    return {
        "ok": not result.problems,
        "problems": result.problems,
        "record": asdict(record) if record else None,
        "page": str(result.page) if result.page else None,
        "written_at": time.time(),
    }
