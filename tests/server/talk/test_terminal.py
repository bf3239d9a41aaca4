"""What `trunkline talk` shows in the terminal."""

import io
import webbrowser
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from trunkline.agent.events import AgentFailed, AgentSpoke, CallerTurn, ToolCalled
from trunkline.calls.events import CallEnded, CallStarted
from trunkline.server.talk import About
from trunkline.server.talk.terminal import (
    Screen,
    browser_advice,
    can_open_browser,
    open_browser,
)


class Terminal:
    def __init__(self) -> None:
        self.out = io.StringIO()
        self.screen = Screen(Console(file=self.out, width=200, highlight=False))

    @property
    def text(self) -> str:
        return self.out.getvalue()

    def call(self, *events: object) -> None:
        observers: list[Any] = []
        call = SimpleNamespace(transport="browser", observe=observers.append)
        self.screen.call_started(call, "agent")  # type: ignore[arg-type]
        for event in events:
            observers[0](event)


def test_the_welcome_says_where_and_what() -> None:
    terminal = Terminal()
    hinted = About("the shop's agent", ("Are you open?",))
    terminal.screen.welcome(hinted, "http://127.0.0.1:8080/", "sip:shop@127.0.0.1:5060", "Hm.")
    for part in ("the shop's agent", "http://127.0.0.1:8080/", "sip:shop@127.0.0.1:5060",
                 "Are you open?", "Hm.", "Ctrl-C"):  # fmt: skip
        assert part in terminal.text


def test_a_call_is_written_down_as_it_happens() -> None:
    terminal = Terminal()
    terminal.call(
        CallStarted("call_1", 0.0),
        CallerTurn(1.0, 1, "are you open", 0.9, 800, 0.1, 0.9),
        ToolCalled(1.0, "look", "{}", "yes", 0.1),
        AgentSpoke(2.0, 1, "We are ", "open all day.", True, True),
        AgentFailed(2.0, "model", "no\x1b[2J answer"),
        CallerTurn(3.0, 2, "", 0.0, 800, 0.1, 0.9),
        CallEnded("call_1", 4.0, "hangup", "them", None),
        object(),
    )
    lines = [line.strip() for line in terminal.text.splitlines()]
    assert lines == [
        "— a browser calls —",
        "caller  are you open",
        "look({}) -> yes",
        "agent  We are open all day.",
        "model: no [2J answer",
        "caller  (nothing understood)",
        "— the call has ended (hangup) —",
    ]


@pytest.mark.parametrize(
    ("environ", "possible"),
    [
        ({"DISPLAY": ":0"}, True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, True),
        ({"WSL_DISTRO_NAME": "Debian"}, True),
        ({"DISPLAY": ":0", "SSH_CONNECTION": "1 2 3 4"}, False),
        ({"DISPLAY": ":0", "CI": "1"}, False),
        ({}, False),
    ],
)
def test_a_browser_is_opened_only_where_somebody_would_see_it(
    environ: dict[str, str], possible: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    assert can_open_browser(environ) is possible


def test_no_browser_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(page: str) -> bool:
        raise webbrowser.Error("none")

    monkeypatch.setattr(webbrowser, "open", fail)
    assert not open_browser("http://127.0.0.1/")


def test_over_ssh_the_tunnel_is_spelled_out() -> None:
    advice = browser_advice(8080, {"SSH_CONNECTION": "10.0.0.2 5000 10.0.0.1 22"})
    assert "ssh -N -L 8080:127.0.0.1:8080 10.0.0.1" in advice


def test_a_container_is_told_how_to_be_reached() -> None:
    assert "--network host" in browser_advice(8080, {}, container=True)
    assert browser_advice(8080, {}, container=False) == ""
