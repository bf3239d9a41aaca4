"""``trunkline reload``: have a running node read its settings again."""

from pathlib import Path
from typing import Any

from trunkline.server.control_socket import ask

from .arguments import Common
from .output import console

__all__ = ["asked", "reload"]


def asked(common: Common | None, command: str, **arguments: Any) -> Any:
    """What the node of these settings answers to a command; raises `UsageError`."""
    settings = (common or Common()).load().settings
    path = settings.control.path
    if path == Path():
        path = settings.records.path.with_suffix(".sock")
    return ask(path.expanduser(), command, **arguments)


def reload(*, common: Common | None = None) -> None:
    """Have a running node read its settings again.

    It takes over what they say of trunks, routing and protection; all else takes a start.
    Calls that are up stay as they are. A file with a mistake changes nothing.

    Example: `trunkline reload`
    """
    names = asked(common, "reload")
    trunks = ", ".join(names) or "none"
    console().print(f"The node has read its settings again; trunks: {trunks}", markup=False)
