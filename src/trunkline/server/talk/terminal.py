"""What ``trunkline talk`` shows: where the agent is reached, and what is said in calls."""

import os
import sys
import webbrowser
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.text import Text

from trunkline.agent.events import AgentFailed, AgentSpoke, CallerTurn, ToolCalled
from trunkline.calls.call import Call
from trunkline.calls.events import CallEnded, CallStarted

from .service import About

__all__ = ["Screen", "browser_advice", "can_open_browser", "open_browser"]

_TRANSPORTS = {"browser": "a browser", "sip": "a phone", "twilio": "a media stream"}
_CONTAINERS = (Path("/.dockerenv"), Path("/run/.containerenv"))


class Screen:
    """Prints to a terminal; a switchboard's listener."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def welcome(self, about: About, page: str, phone: str, advice: str) -> None:
        """Say where the agent is, once it is there."""
        out = self._console
        out.print(f"\n[bold]Talk to {about.agent or 'the agent'}.[/]\n")
        out.print("  in a browser      ", Text(page, style="bold"), sep="")
        if phone:
            out.print("  with a softphone  ", Text(phone, style="bold"), sep="")
        if advice:
            out.print(Text(f"\n{advice}"))
        if about.hints:
            out.print("\nWhat you can say:\n")
            for hint in about.hints:
                out.print("  ", Text(hint), sep="")
            out.print("\nBreak in whenever you like.")
        out.print("\nCtrl-C ends it.\n")

    def remark(self, text: str) -> None:
        """Something to know."""
        self._console.print(Text(text, style="yellow"))

    def call_started(self, call: Call, app: str) -> None:
        """See ``switchboard.Listener``."""
        call.observe(lambda event: self._event(call, event))

    def _event(self, call: Call, event: object) -> None:
        match event:
            case CallStarted():
                self._line("", f"— {_TRANSPORTS.get(call.transport, call.transport)} calls —")
            case CallerTurn():
                self._line("caller", event.text or "(nothing understood)")
            case ToolCalled():
                self._line("", f"{event.name}({event.arguments}) -> {event.result}")
            case AgentSpoke() if event.heard or event.unheard:
                self._line("agent", event.heard, event.unheard if event.interrupted else "")
            case AgentFailed():
                self.remark(_harmless(f"{event.stage}: {event.message}"))
            case CallEnded():
                self._line("", f"— the call has ended ({event.reason}) —")

    def _line(self, who: str, said: str, cut_off: str = "") -> None:
        line = Text(f"{who:>8}  ", style="dim")
        line.append(_harmless(said), style="" if who else "dim")
        line.append(_harmless(cut_off), style="strike dim")
        self._console.print(line)


def can_open_browser(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a browser that is opened here would be seen by who asked for it."""
    if environ.get("SSH_CONNECTION") or environ.get("CI"):
        return False
    return (
        sys.platform == "darwin"
        or bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))
        or "WSL_DISTRO_NAME" in environ
    )


def open_browser(page: str) -> bool:
    """Open the page, if there is a browser; may take a second."""
    try:
        return webbrowser.open(page)
    except webbrowser.Error:
        return False


def browser_advice(
    port: int, environ: Mapping[str, str] = os.environ, *, container: bool | None = None
) -> str:
    """How to reach the page from where the person is; empty where it is plain."""
    if environ.get("SSH_CONNECTION"):
        host = environ["SSH_CONNECTION"].split()[2:3]
        return (
            "Browsers let a page use the microphone on localhost or over HTTPS only. On your own\n"
            f"machine run   ssh -N -L {port}:127.0.0.1:{port} {host[0] if host else 'HOST'}   "
            "and open the address there."
        )
    if any(path.exists() for path in _CONTAINERS) if container is None else container:
        return (
            "This seems to be a container: the address is the container's own. Run it with\n"
            "--network host, so that it is your machine's, and open the address there."
        )
    return ""


def _harmless(text: str) -> str:
    """Text of strangers without what drives a terminal."""
    return "".join(char if char.isprintable() else " " for char in text)
