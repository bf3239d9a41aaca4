"""Who answers where no application says otherwise: the agent of the settings."""

from trunkline.agent.agent import Agent
from trunkline.agent.manners import Limits, Phrases
from trunkline.agent.turns import TurnSettings
from trunkline.calls.apps import echo
from trunkline.calls.call import Call
from trunkline.calls.switchboard import Switchboard
from trunkline.settings import Settings, Turns

from .demo_script import INSTRUCTIONS, Shop
from .talk import About

__all__ = ["SHOP_HINTS", "about", "default_board", "turn_settings"]

SHOP_HINTS = (
    "What are your opening hours?",
    "Is my bicycle ready?",
    "My ticket number is nine three two zero",
    "I would like to book a repair on Saturday at eleven o'clock",
    "Could you repeat that, please?",
    "No, thank you, that is everything",
)
"""What can be said to the bicycle shop's agent."""
SHOP_GREETING = "Copper Street Cycles, good morning. What can I do for you?"
_SHOP = "the bicycle shop's agent"


def default_board(settings: Settings, *, shop: bool = False) -> Switchboard:
    """A switchboard whose agent answers every call, as the settings describe it.

    Without a language model, or with ``shop``, it is the bicycle shop of the demo; a
    user called "echo" is the echo in any case.
    """
    board = Switchboard()
    board.answer("echo")(echo)
    agent = Agent(
        settings.agent.instructions,
        greeting=settings.agent.greeting,
        turns=turn_settings(settings.agent.turns),
        limits=_limits(settings),
    )

    @board.answer("*")
    async def agent_app(call: Call) -> None:
        if shop or not settings.llm.url:
            await _shop_agent(settings).talk(call)
        else:
            await agent.talk(call)

    return board


def _shop_agent(settings: Settings) -> Agent:
    """The bicycle shop's agent, with books of its own: each caller can book every hour."""
    said = Phrases(greeting=SHOP_GREETING)
    if not settings.llm.url:
        # The script has its own words for a caller who is silent or not understood.
        said = Phrases(greeting=None, no_input=None, unclear=None)
    return Agent(
        INSTRUCTIONS,
        tools=Shop().tools,
        phrases=said,
        turns=turn_settings(settings.agent.turns),
        limits=_limits(settings),
    )


def about(settings: Settings, *, shop: bool = False) -> About:
    """What the talk page says of the agent of `default_board`."""
    if not settings.llm.url:
        return About(_SHOP, SHOP_HINTS, user="shop")
    return About(_SHOP if shop else "", settings.speech.phrases, user="shop" if shop else "agent")


def turn_settings(turns: Turns) -> TurnSettings:
    """The configured turn-taking as the agent takes it."""
    return TurnSettings(
        threshold=turns.threshold,
        release=min(0.35, turns.threshold),
        speech_ms=turns.speech_ms,
        silence_ms=turns.silence_ms,
        barge_in=turns.barge_in,
        barge_in_ms=turns.barge_in_ms,
        max_turn_ms=turns.max_turn_ms,
        idle_ms=turns.idle_ms,
    )


def _limits(settings: Settings) -> Limits:
    """Time limits beyond the engines' own, so that theirs say what was wrong."""
    seconds = settings.speech.stt_options.get("timeout_seconds", 0)
    recognition = float(seconds) + 1 if isinstance(seconds, int | float) else 0.0
    return Limits(
        model_stall_seconds=settings.llm.timeout_seconds + 1,
        recognition_seconds=max(Limits().recognition_seconds, recognition),
    )
