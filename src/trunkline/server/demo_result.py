"""What is known of the demo's call when it is over."""

from dataclasses import dataclass, field
from pathlib import Path

from trunkline.agent.events import AgentSpoke, TurnLatency
from trunkline.agent.session import Conversation
from trunkline.calls.record import CallRecord

__all__ = ["DemoResult"]


@dataclass(slots=True)
class DemoResult:
    """How it went."""

    folder: Path
    problems: list[str] = field(default_factory=list)
    """What the call should have had and did not; empty: it went well."""
    call_id: str = ""
    """As the shop's side knows it."""
    conversation: Conversation | None = None
    spoken: list[AgentSpoke] = field(default_factory=list)
    """The agent's replies, in order."""
    latencies: list[TurnLatency] = field(default_factory=list)
    understood: dict[int, str] = field(default_factory=dict)
    """The caller's words as the agent understood them, by turn."""
    record: CallRecord | None = None
    page: Path | None = None

    @property
    def records(self) -> Path:
        """Where the record is."""
        return self.folder / "calls.db"
