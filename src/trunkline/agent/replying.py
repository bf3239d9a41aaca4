"""One reply: ask the model, call its tools, hand its text on as it comes."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from trunkline.speech import LanguageModel, ModelFailed, Piece, TextDelta, ToolCall
from trunkline.speech.errors import LanguageModelError

from .dialogue import Dialogue
from .events import AgentFailed, AgentSpoke, Observers, Stage, ToolCalled
from .foreign import closable, is_cancelled
from .latency import Stopwatch
from .manners import Limits, Phrases
from .speaking import Speech
from .tools import Toolbox

__all__ = ["Mind", "Reply"]

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Reply:
    """A reply on its way from the model to the caller."""

    number: int
    """The turn machine's number for it."""
    speech: Speech
    watch: Stopwatch | None = None
    """Of a reply to a turn of the caller."""
    task: asyncio.Task[None] | None = None
    answers: bool = False
    """True once the caller's words are in the dialogue."""
    leaving: bool = False
    """True: the agent hangs up when this has been heard."""
    broken: bool = False
    """True: the synthesiser failed, so not all of it was said."""
    started_at: float | None = None
    drained: asyncio.Event = field(default_factory=asyncio.Event)

    def spoke(self, now: float, samples: int, *, cut: bool, exact: bool) -> AgentSpoke:
        """What became of it, once it is over."""
        if cut or self.broken:
            told = self.speech.told(samples)
            return AgentSpoke(now, self.number, told.heard, told.unheard, cut, exact)
        return AgentSpoke(now, self.number, self.speech.text, "", False, exact)


class Mind:
    """The thinking part of one conversation: a model, its tools and the dialogue."""

    def __init__(
        self,
        model: LanguageModel,
        toolbox: Toolbox,
        dialogue: Dialogue,
        *,
        phrases: Phrases,
        limits: Limits,
        tell: Observers,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._toolbox = toolbox
        self._dialogue = dialogue
        self._phrases = phrases
        self._limits = limits
        self._tell = tell
        self._clock = clock

    def say(self, reply: Reply, text: str) -> None:
        """Say something without asking the model."""
        self._dialogue.write(text)
        reply.speech.write(text)

    def failed(self, stage: Stage, error: BaseException) -> None:
        """Tell the observers what went wrong."""
        message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        log.warning("%s failed: %s", stage, message)
        self._tell(AgentFailed(self._clock(), stage, message))

    async def answer(self, reply: Reply) -> None:
        """Let the model answer, with as many rounds of tools as it may have.

        Never raises because of a model or a tool: the caller gets an apology.
        """
        for left in range(self._limits.tool_rounds, -1, -1):
            calls = await self._ask(reply, with_tools=left > 0)
            if not calls:
                return
            reply.speech.next_round()  # what was said before the tool is said meanwhile
            self._dialogue.call(calls)
            async with asyncio.TaskGroup() as group:
                for call in calls:
                    group.create_task(self._call(call))
            self._dialogue.next_round()
            if reply.leaving and reply.speech.text.strip():
                return  # goodbye has been said

    async def _ask(self, reply: Reply, *, with_tools: bool) -> Sequence[ToolCall]:
        """One answer of the model; its text is passed on, its tool calls returned."""
        for attempt in range(self._limits.retries + 1):
            calls: list[ToolCall] = []
            written = 0
            try:
                async with aclosing(self._pieces(with_tools=with_tools)) as pieces:
                    async for piece in pieces:
                        if isinstance(piece, ToolCall):
                            calls.append(piece)
                        elif isinstance(piece, TextDelta) and piece.text:
                            written += 1
                            if reply.watch is not None:
                                reply.watch.token(self._clock())
                            self.say(reply, piece.text)
                return calls if with_tools else ()
            except (Exception, asyncio.CancelledError) as error:
                if is_cancelled():
                    raise
                self.failed("model", error)
                # A client of a server has asked as often as that can help.
                final = isinstance(error, LanguageModelError)
                if written or final or attempt == self._limits.retries:
                    self.say(reply, " " + self._phrases.failed if written else self._phrases.failed)
                    return ()
        return ()

    async def _pieces(self, *, with_tools: bool) -> AsyncGenerator[Piece, None]:
        """The model's pieces; fails when it stalls."""
        specs = self._toolbox.specs if with_tools else ()
        stream = self._model.reply(self._dialogue.messages, specs)
        seconds = self._limits.model_stall_seconds
        async with aclosing(closable(stream)) as pieces:
            while True:
                try:
                    async with asyncio.timeout(seconds):
                        piece = await anext(pieces)
                except StopAsyncIteration:
                    return
                except TimeoutError as error:
                    name = self._model.name
                    raise ModelFailed(f"{name} wrote nothing for {seconds:g} s") from error
                yield piece

    async def _call(self, call: ToolCall) -> None:
        """Call one tool and keep its result."""
        began = self._clock()
        message = await self._toolbox.call(call)
        self._dialogue.result(message)
        now = self._clock()
        self._tell(ToolCalled(now, call.name, call.arguments, message.content, now - began))
