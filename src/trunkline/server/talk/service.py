"""Serves the talk page, and shows it what happens in the calls that come from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from trunkline.calls.call import Call
from trunkline.errors import ConfigError
from trunkline.settings import Http
from trunkline.transports.browser import BrowserServer
from trunkline.transports.leg import LegReceiver
from trunkline.transports.media_thread import MediaThread
from trunkline.transports.websocket_server import Reply, WebSocketServer

from .messages import page_messages
from .pages import static_pages

__all__ = ["About", "TalkService"]


@dataclass(frozen=True, slots=True)
class About:
    """What the page says of the agent before a call."""

    agent: str = ""
    """Who answers, to complete "Talk to ..."; empty for the agent."""
    hints: tuple[str, ...] = ()
    """What can be said to it."""
    user: str = "agent"
    """Whom a telephone calls to reach it."""

    def phone(self, host: str, port: int) -> str:
        """The SIP address that reaches it; empty without a port."""
        return f"sip:{self.user}@{host}:{port}" if port else ""


class TalkService:
    """The talk page on a port of its own, and a switchboard's listener.

    `start` runs on the media loop; the server is closed with the media thread.
    """

    def __init__(
        self, settings: Http, media: MediaThread, receiver: LegReceiver, about: About
    ) -> None:
        """``receiver`` gets the pages' calls.

        Raises:
            ConfigError: the address is wider than loopback and there is no token.
        """
        self._media = media
        self._about = about
        self._server = WebSocketServer(settings.host, settings.port)
        self._browsers = BrowserServer(
            self._server,
            media,
            receiver,
            token=settings.token.reveal(),
            origins=settings.origins,
        )

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.port

    async def start(self, phone: str = "") -> None:
        """Listen; ``phone`` is the SIP address that reaches the same agent.

        Raises:
            ConfigError: the port cannot be had; says what to do.
        """
        for path, page in static_pages().items():
            self._server.page(path, page)
        about = {"agent": self._about.agent, "hints": self._about.hints, "phone": phone}
        self._server.page("/about.json", _json(about))
        try:
            await self._server.start()
        except ConfigError as error:
            raise ConfigError(
                f"{error}; choose another port for the web page with http.port "
                "(--http-port 0 takes a free one), or set http.enabled = false"
            ) from error
        self._media.on_close(self._server.close)

    def call_started(self, call: Call, app: str) -> None:
        """See ``switchboard.Listener``: a page is told what happens in its call."""
        if call.transport == "browser":
            call.observe(lambda event: self._tell(call, event))

    def _tell(self, call: Call, event: object) -> None:
        for type, data in page_messages(event):
            self._media.to_media.post(self._browsers.tell, call.leg_id, type, data)


def _json(data: Mapping[str, Any]) -> Reply:
    headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    return Reply(200, msgspec.json.encode(data), "application/json", headers)
