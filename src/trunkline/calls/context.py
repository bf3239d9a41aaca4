"""Which call the code that runs now is about, for every line it logs.

The switchboard sets it in the task that runs an application; everything the
application awaits or starts (agent, models, tools) inherits it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["current_call", "in_call"]

current_call: ContextVar[str] = ContextVar("current_call", default="")
"""The call's id; empty outside of any call."""


@contextmanager
def in_call(call_id: str) -> Iterator[None]:
    """Run a block as part of a call."""
    token = current_call.set(call_id)
    try:
        yield
    finally:
        current_call.reset(token)
