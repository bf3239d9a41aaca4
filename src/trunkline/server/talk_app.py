"""What ``trunkline talk`` runs: a node on this machine, to be talked to at once."""

import asyncio
import contextlib
import socket
from dataclasses import dataclass
from urllib.parse import quote

import msgspec
from rich.console import Console

from trunkline.errors import MissingDependencyError
from trunkline.settings import Settings

from .app import serve
from .default_board import about, default_board
from .node import Node
from .talk.terminal import Screen, browser_advice, can_open_browser, open_browser

__all__ = ["TalkOptions", "run_talk"]

DRAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class TalkOptions:
    """What the command line asks for."""

    browser: bool = True
    """Open the page, where that makes sense."""
    shop: bool = True
    """Be the bicycle shop, with a language model too."""


def run_talk(settings: Settings, options: TalkOptions) -> int:
    """Serve the talk page and a softphone until Ctrl-C; the exit status.

    Raises:
        MissingDependencyError: something needed to hear or speak is not installed.
        TrunklineError: it cannot run as the settings say.
    """
    screen = Screen(Console(highlight=False, soft_wrap=True))
    settings = _local(settings, screen)
    said = about(settings, shop=options.shop)
    node = Node(
        settings,
        default_board(settings, shop=options.shop),
        streams=False,
        talk=said,
        listeners=[screen],
    )
    _make_engines(node)

    async def announce() -> None:
        await node.ready.wait()
        for problem in await node.engines.warm():
            screen.remark(f"Note: {problem}.")
        ports, host = node.ports, settings.http.host
        page = f"http://{_shown(host)}:{ports.http}/"
        phone = said.phone(_shown(settings.sip.host), ports.sip)
        screen.welcome(said, page, phone, browser_advice(ports.http))
        if options.browser and can_open_browser():
            # After the #, which no server is told.
            token = settings.http.token.reveal()
            await asyncio.to_thread(open_browser, page + (f"#{quote(token)}" if token else ""))

    return serve(node, announce)


def _make_engines(node: Node) -> None:
    """See now and not in the first call that there is all it takes."""
    engines = node.engines
    _ = engines.llm
    try:
        engines.make()
    except MissingDependencyError as error:
        raise MissingDependencyError(
            f"{error}\n(all that hearing and speaking need: trunkline setup speech)"
        ) from error


def _local(settings: Settings, screen: Screen) -> Settings:
    """The settings with ports that are free, and no long good-bye."""
    replace = msgspec.structs.replace
    sip, http = settings.sip, settings.http
    if not _is_free(sip.host, sip.port, socket.SOCK_DGRAM):
        screen.remark(f"SIP port {sip.port} is taken: another one is used.")
        sip = replace(sip, port=0)
    if not _is_free(http.host, http.port, socket.SOCK_STREAM):
        screen.remark(f"Port {http.port} is taken: the page is on another one.")
        http = replace(http, port=0)
    node = replace(settings.node, drain_seconds=DRAIN_SECONDS)
    return replace(settings, node=node, sip=sip, http=replace(http, enabled=True))


def _is_free(host: str, port: int, kind: socket.SocketKind) -> bool:
    """Whether a port could be bound now. False only where somebody else has it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.closing(socket.socket(family, kind)) as probe:
        if kind is socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _shown(host: str) -> str:
    """An address as it is written in a URL, from this machine."""
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
