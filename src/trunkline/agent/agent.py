"""An agent: what it is told, what it can do, which engines it hears and speaks with."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, runtime_checkable

from trunkline.errors import TrunklineError
from trunkline.speech import LanguageModel, SpeechToText, TextToSpeech, ToolSpec, create

from .endpointing import Endpointer
from .errors import NoEngineError
from .events import Observer, Observers
from .line import Line
from .manners import Limits, Phrases
from .session import Conversation, Engines, Manner, Session
from .speaking import SpeakingSettings
from .tools import Tool, Toolbox, ToolError, tool
from .turns import TurnSettings

__all__ = ["Agent", "Host", "Hosted"]

TRANSFER_SECONDS = 75.0
"""What a caller waits for a transfer: a telephone rings for a minute, then it is given up."""


@dataclass(frozen=True, slots=True)
class Host:
    """What a call offers an agent besides the line."""

    llm: LanguageModel | None = None
    """The engines of agents that name none."""
    stt: SpeechToText | None = None
    tts: TextToSpeech | None = None
    hangup: Callable[[], None] | None = None
    """Ends the call; called on the application's loop. With it the agent has a tool
    ``hang_up``; without it, `Agent.talk` returning is all that happens."""
    send_dtmf: Callable[[str], None] | None = None
    """Presses keys towards the far end. With it the agent has a tool ``send_dtmf``."""
    observers: Sequence[Observer] = ()
    transfer: Callable[[str], Awaitable[object]] | None = None
    """Hands the far end to somebody else, after which the call is over. With it an agent
    that was given ``transfers`` has a tool ``transfer``."""


@runtime_checkable
class Hosted(Protocol):
    """A line that brings its own host: a call."""

    def agent_host(self) -> Host:
        """What the call offers."""
        ...


class Agent:
    """A voice agent. One agent may talk on any number of lines at once.

    Args:
        instructions: what the language model is told about its work.
        tools: functions the model may call; see `tools.tool`.
        transfers: whom the model may hand the caller to, by the name it knows them by:
            ``{"workshop": "sip:workshop@pbx.example"}``.
        greeting: said first; None lets the model begin, "" the caller.
        llm, stt, tts: engines, or names known to `trunkline.speech.registry`; None is
            what the call's node is configured with.
        turns: when a turn is over, what interrupts.
        phrases: what is said without asking the model.
        limits: time limits and choices.
        speaking: how text becomes speech.
        endpointer: makes a conversation's endpointer; None ends turns by silence.
        observers: are told what happens in every conversation.

    Raises:
        UsageError: two tools have one name, or a function cannot be a tool.
    """

    def __init__(
        self,
        instructions: str = "",
        *,
        tools: Sequence[Tool | Callable[..., Any]] = (),
        transfers: Mapping[str, str] | None = None,
        greeting: str | None = None,
        llm: LanguageModel | str | None = None,
        stt: SpeechToText | str | None = None,
        tts: TextToSpeech | str | None = None,
        turns: TurnSettings | None = None,
        phrases: Phrases | None = None,
        limits: Limits | None = None,
        speaking: SpeakingSettings | None = None,
        endpointer: Callable[[], Endpointer] | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        said = phrases or Phrases()
        self.manner = Manner(
            instructions,
            said if greeting is None else replace(said, greeting=greeting),
            limits or Limits(),
            turns or TurnSettings(),
            speaking or SpeakingSettings(),
        )
        self._tools = [one if isinstance(one, Tool) else tool(one) for one in tools]
        Toolbox(self._tools)  # so that a mistake shows here and not in a call
        self._transfers = dict(transfers or {})
        self._wanted: dict[str, Any] = {"llm": llm, "stt": stt, "tts": tts}
        self._made: dict[str, Any] = {}
        self._endpointer = endpointer
        self._observers = tuple(observers)

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        """The agent's own tools, as a model is told of them."""
        return tuple(one.spec for one in self._tools)

    async def talk(
        self, line: Line, host: Host | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> Conversation:
        """Hold a conversation; returns when the line has ended or the agent has hung up.

        ``host`` is taken from the line where that is a call. Nothing of a conversation
        outlives this: cancelling it ends it at once.

        Raises:
            NoEngineError: neither the agent nor the host has an engine that is needed.
        """
        if host is None:
            host = line.agent_host() if isinstance(line, Hosted) else Host()
        engines = Engines(
            self._engine("llm", host.llm),
            self._engine("stt", host.stt),
            self._engine("tts", host.tts),
        )
        session: Session | None = None

        def leave() -> None:
            if session is not None:
                session.leave()

        session = Session(
            line,
            engines,
            Toolbox([*self._tools, *self._call_tools(host, leave)]),
            self.manner,
            tell=Observers((*self._observers, *host.observers)),
            endpointer=self._endpointer() if self._endpointer is not None else None,
            hangup=host.hangup,
            clock=clock,
        )
        return await session.run()

    async def aclose(self) -> None:
        """Close the engines that were made from names."""
        made, self._made = self._made, {}
        for engine in made.values():
            await engine.aclose()

    def _engine(self, kind: str, default: Any) -> Any:
        """The agent's engine of a kind, made if it is a name; else the host's."""
        engine = self._wanted[kind]
        if isinstance(engine, str):
            if kind not in self._made:
                self._made[kind] = create(kind, engine)
            engine = self._made[kind]
        if engine is None:
            engine = default
        if engine is None:
            raise NoEngineError(
                f"this agent has no {kind} engine: give it one, as in Agent({kind}=...), "
                "or talk on a call whose node is configured with one"
            )
        return engine

    def _call_tools(self, host: Host, leave: Callable[[], None]) -> list[Tool]:
        """The tools that act on the call, unless the agent has its own of that name."""
        made: list[Tool] = []
        if host.hangup is not None:
            made.append(_hang_up_tool(leave))
        if host.send_dtmf is not None:
            made.append(_send_dtmf_tool(host.send_dtmf))
        if host.transfer is not None and self._transfers:
            made.append(_transfer_tool(host.transfer, self._transfers))
        own = {one.spec.name for one in self._tools}
        return [one for one in made if one.spec.name not in own]


def _hang_up_tool(leave: Callable[[], None]) -> Tool:
    async def hang_up() -> str:
        """End the call. Say goodbye in the same reply; it is heard before the call ends."""
        leave()
        return "The call ends as soon as your goodbye has been heard."

    return tool(hang_up)


def _send_dtmf_tool(send_dtmf: Callable[[str], None]) -> Tool:
    async def send_dtmf_keys(digits: str) -> str:
        """Press keys on the telephone, towards the other side.

        Args:
            digits: what to press: 0-9, *, #, A-D.
        """
        send_dtmf(digits)
        return "Pressed."

    return tool(name="send_dtmf")(send_dtmf_keys)


def _transfer_tool(
    transfer: Callable[[str], Awaitable[object]], targets: Mapping[str, str]
) -> Tool:
    async def transfer_call(to: str) -> str:
        """Hand the caller to somebody else. Say so first; you are gone once they answer.

        Args:
            to: who is to take over.
        """
        try:
            await transfer(targets[to])
        except TrunklineError as error:
            code = getattr(error, "code", None)
            status = f" (SIP status {code})" if code else ""
            raise ToolError(
                f"{to} could not be reached{status}; the caller is still here"
            ) from error
        return "Done: the call is over for you."

    # The names are known now and not when this was written.
    transfer_call.__annotations__["to"] = Literal[tuple(targets)]
    return tool(name="transfer", timeout_seconds=TRANSFER_SECONDS)(transfer_call)
