"""The ``trunkline`` command: one module a command, each loaded when it is used."""

from .main import main

__all__ = ["main"]
