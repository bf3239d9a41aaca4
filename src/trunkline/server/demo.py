"""``trunkline demo``: one whole phone call on this machine, watched as it happens.

Two nodes in one process, each with its media thread: one answers as the shop,
the other places the call and speaks as its caller. What is between them is SIP
and RTP over loopback sockets, nothing else; the caller is told what the agent
*said* (a person would understand it), but the agent has only what it hears.
"""

import asyncio
import json as json_module
import sys
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import uvloop
from rich.console import Console

from trunkline.agent.agent import Agent
from trunkline.agent.events import AgentSpoke, CallerTurn, TurnLatency
from trunkline.agent.manners import Phrases
from trunkline.agent.turns import TurnSettings
from trunkline.calls.call import Call
from trunkline.calls.records import RecordStore
from trunkline.calls.switchboard import Switchboard
from trunkline.errors import TrunklineError, UsageError
from trunkline.settings import Log, Media, Recording, Records, Settings, Sip, Speech, Streams
from trunkline.settings import Node as NodeSettings
from trunkline.speech import TextToSpeech, create

from .call_page import write_call_page
from .demo_caller import SyntheticCaller
from .demo_check import complaints
from .demo_report import print_report
from .demo_result import DemoResult
from .demo_screen import DemoScreen
from .demo_script import INSTRUCTIONS, Shop
from .logs import configure
from .node import Node

__all__ = ["DemoOptions", "Voice", "run_demo"]

Voice = Literal["best", "flite", "espeak"]

CALL_SECONDS = 300.0
"""A call that takes longer than this has gone wrong: it takes about 60."""
CALLER_NUMBER = "5551234"
CALLER_VOICES: dict[str, dict[str, Any]] = {"flite": {"voice": "rms"}}
AGENT_VOICES: dict[str, dict[str, Any]] = {
    "flite": {"voice": "slt"},
    "espeak": {"voice": "en-us+f3", "pitch": 55, "speed": 165},
}


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the command line asks for."""

    folder: Path = Path("demo-output")
    voice: Voice = "best"
    """Who speaks, for both sides; best: flite where the system has it, else espeak-ng."""
    json: bool = False
    log_level: Literal["debug", "info", "warning", "error"] = "error"


def run_demo(options: DemoOptions) -> int:
    """Play the call and show it; 0 only if it went as it should.

    Raises:
        MissingDependencyError: something needed to hear or speak is not installed.
        UsageError: the folder cannot be made.
    """
    folder = options.folder.resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}") from error
    # A terminal that is not UTF-8 shows question marks for bars rather than nothing at all.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    console = Console(stderr=options.json, highlight=False)
    log = configure(Log(level=options.log_level))
    result = DemoResult(folder)
    try:
        with DemoScreen(console) as screen:
            uvloop.run(_Demo(options, result, screen).play())
    finally:
        log.close()
    _conclude(result)
    print_report(console, result)
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


class _Demo:
    """The two nodes, the two voices and the call between them."""

    def __init__(self, options: DemoOptions, result: DemoResult, screen: DemoScreen) -> None:
        self._result = result
        self._screen = screen
        self._voice, self._caller_voice = _voices(options.voice)
        self._shop_board, self._caller_board = Switchboard(), Switchboard()
        self._shop = Node(_settings(result.folder, "shop", record=True), self._shop_board)
        self._caller = Node(
            _settings(result.folder, "caller", record=False),
            self._caller_board,
            keep_records=False,
        )
        self._agent = Agent(
            INSTRUCTIONS,
            tools=Shop().tools,
            tts=self._voice,
            # The script has its own words for silence and for what it did not understand.
            phrases=Phrases(greeting=None, no_input=None, unclear=None),
            turns=TurnSettings(idle_ms=12_000),
        )
        self._to_caller: Callable[[object], None] = lambda event: None
        self._shop_board.answer("shop")(self._bicycle_shop)

    async def play(self) -> None:
        """Run both nodes for as long as the call takes."""
        self._screen.begin(self._voice.name)
        async with aclosing(self._voice), aclosing(self._caller_voice), asyncio.TaskGroup() as run:
            nodes = [run.create_task(node.run()) for node in (self._shop, self._caller)]
            showing = run.create_task(self._screen.run())
            try:
                await asyncio.gather(self._shop.ready.wait(), self._caller.ready.wait())
                await asyncio.gather(
                    self._shop.engines.warm(), _warm(self._voice), _warm(self._caller_voice)
                )
                async with asyncio.timeout(CALL_SECONDS):
                    await self._call()
            except TimeoutError:
                self._problem(f"the call was not over after {CALL_SECONDS:.0f} s")
            finally:
                self._shop.stop()
                self._caller.stop()
                await asyncio.wait(nodes)
                showing.cancel()

    async def _call(self) -> None:
        """Place the call, speak, and wait for its end."""
        target = f"sip:shop@127.0.0.1:{self._shop.ports.sip}"
        self._screen.dialling(target, f"{CALLER_NUMBER}@127.0.0.1:{self._caller.ports.sip}")
        call = await self._caller_board.place(target, caller=CALLER_NUMBER)
        caller = SyntheticCaller(call, self._caller_voice, self._screen.caller_speaks)
        self._to_caller = caller.agent_event
        await caller.run()
        end = await call.wait_ended()
        self._screen.ended(end)
        if (end.reason, end.by) != ("hangup", "them"):
            self._problem(f"the call ended with {end.reason} by {end.by}, not by the agent's BYE")

    async def _bicycle_shop(self, call: Call) -> None:
        """The shop's application."""
        self._result.call_id = call.id
        self._screen.connected(call)
        call.observe(self._observe)
        self._result.conversation = await self._agent.talk(call)

    def _observe(self, event: object) -> None:
        if isinstance(event, TurnLatency):
            self._result.latencies.append(event)
        elif isinstance(event, AgentSpoke):
            self._result.spoken.append(event)
        elif isinstance(event, CallerTurn):
            self._result.understood[event.turn] = event.text
        self._screen.event(event)
        self._to_caller(event)

    def _problem(self, problem: str) -> None:
        self._result.problems.append(problem)


def _voices(name: Voice) -> tuple[TextToSpeech, TextToSpeech]:
    """The agent's and the caller's voice, different ones of one engine."""
    engine = create("tts", name).name
    agent: TextToSpeech = create("tts", engine, **AGENT_VOICES.get(engine, {}))
    caller: TextToSpeech = create("tts", engine, **CALLER_VOICES.get(engine, {}))
    return agent, caller


async def _warm(voice: TextToSpeech) -> None:
    warm = getattr(voice, "warm", None)
    if warm is not None:
        await warm()


def _conclude(result: DemoResult) -> None:
    """Write the call's page and judge everything that is left of the call."""
    try:
        result.record = RecordStore(result.records).get(result.call_id)
    except TrunklineError as error:
        result.problems.append(f"the call left no record: {error}")
    else:
        page = result.folder / f"{result.record.id}.html"
        try:
            write_call_page(result.record, page)
            result.page = page
        except OSError as error:
            result.problems.append(f"the call's page could not be written: {error}")
    result.problems += complaints(result)


def _as_json(result: DemoResult) -> dict[str, object]:
    record = result.record
    return {
        "ok": not result.problems,
        "problems": result.problems,
        "call": result.call_id,
        "recording": record.recording if record else None,
        "page": str(result.page) if result.page else None,
        "records": str(result.records),
        "latencies": [asdict(one) for one in result.latencies],
        "record": asdict(record) if record else None,
    }
