"""The server: the node that joins all layers, its supervisor, the demo, the pages."""

from typing import TYPE_CHECKING

from trunkline.lazy import lazily

if TYPE_CHECKING:
    from .app import run_node
    from .app_file import load_board
    from .node import Node, Ports
else:
    # `trunkline up` supervises from here, without numpy, uvloop and the models.
    __getattr__ = lazily(
        __name__,
        {
            ".app": ("run_node",),
            ".app_file": ("load_board",),
            ".node": ("Node", "Ports"),
        },
    )

__all__ = ["Node", "Ports", "load_board", "run_node"]


def __dir__() -> list[str]:
    return sorted(__all__)
