"""``trunkline talk``: talk to an agent, from a browser or a softphone."""

from typing import Annotated, Literal

from cyclopts import Parameter

from .arguments import Common, settled

__all__ = ["talk"]


def talk(
    *,
    common: Common | None = None,
    llm: str | None = None,
    model: str | None = None,
    own: Annotated[bool, Parameter(negative=())] = False,
    browser: bool = True,
    http_port: int | None = None,
    sip_port: int | None = None,
    log_level: Literal["debug", "info", "warning", "error"] = "warning",
) -> int:
    """Talk to the demo's agent, from a browser or a softphone on this machine.

    Opens a page with your microphone and loudspeaker, shows what is said, what was cut
    off and how fast each answer came. Ports that are taken are replaced by free ones.

    Examples: `trunkline talk`, `trunkline talk --llm http://127.0.0.1:11434/v1`,
    `trunkline talk --llm https://api.example.com/v1 --own`

    Parameters
    ----------
    llm
        The base URL of an OpenAI-compatible language model that plays the agent (llm.url).
    model
        That model's name (llm.model); without it the first one the server lists.
    own
        With --llm: be the agent of the settings (agent.instructions), not the demo's.
    browser
        Open the page in a browser; --no-browser only says where it is.
    http_port
        The TCP port for the page (http.port).
    sip_port
        The UDP port for softphones (sip.port).
    log_level
        Of the log on standard error.
    """
    flags = {
        "llm.url": llm,
        "llm.model": model,
        "http.port": http_port,
        "sip.port": sip_port,
        "log.level": log_level,
    }
    with settled(common, flags) as settings:
        from trunkline.server.talk_app import TalkOptions, run_talk

        return run_talk(settings, TalkOptions(browser=browser, shop=not own))
