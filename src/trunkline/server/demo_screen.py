"""The demo's terminal: who speaks, what was recognised, what was cut off."""

from typing import TYPE_CHECKING

from rich.console import Console

from trunkline.agent.events import (
    AgentFailed,
    AgentSaying,
    AgentSpoke,
    BargeIn,
    CallerTurn,
    ToolCalled,
)
from trunkline.calls.call import Call
from trunkline.calls.events import CallEnded

from .demo_caller import CallerSpoke

if TYPE_CHECKING:
    from .demo import DemoResult

__all__ = ["DemoScreen"]


class DemoScreen:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._began: float | None = None

    def begin(self, engine: str) -> None:
        self._console.print(f"voices: {engine}")

    def dialling(self, target: str) -> None:
        self._console.print(f"calling {target}")

    def connected(self, call: Call) -> None:
        self._began = call.started_monotonic

    def caller_speaks(self, event: CallerSpoke) -> None:
        self._line(
            event.at, "caller says", event.text + (" [breaks in]" if event.breaks_in else "")
        )

    def event(self, event: object) -> None:
        match event:
            case CallerTurn():
                self._line(event.at, "understood", f"{event.text!r} {event.confidence:.2f}")
            case AgentSaying():
                self._line(event.at, "agent", event.text)
            case AgentSpoke() if event.interrupted:
                self._line(
                    event.at, "cut off", f"heard: {event.heard!r}; not heard: {event.unheard!r}"
                )
            case ToolCalled():
                self._line(event.at, "tool", f"{event.name}({event.arguments}) -> {event.result}")
            case AgentFailed():
                self._line(event.at, "failed", f"{event.stage}: {event.message}")
            case BargeIn():
                self._line(event.at, "barge-in", "")

    def ended(self, end: CallEnded) -> None:
        self._line(end.at, "ended", f"{end.reason} by {end.by}")

    def show_result(self, result: "DemoResult") -> None:
        for latency in result.latencies:
            self._console.print(latency)
        if result.record:
            self._console.print(dict(result.record.quality))
        self._console.print(result.problems or "went well", result.page)

    def _line(self, at: float, who: str, text: str) -> None:
        seconds = at - (self._began or at)
        self._console.print(f"{seconds:7.2f}  {who:12} {text}", highlight=False, markup=False)
