"""Public names of a package that are imported when they are first used (PEP 562).

A package says where its names are; type checkers read the ordinary imports beside it::

    if TYPE_CHECKING:
        from .call import Call
    else:
        __getattr__ = lazily(__name__, {".call": ("Call",)})
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

__all__ = ["lazily"]


def lazily(package: str, names: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """A ``__getattr__`` for a package, of names by the module each is in.

    Modules are named relative to the package, with a leading dot.
    """
    homes = {name: module for module, listed in names.items() for name in listed}

    def find(name: str) -> Any:
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(home, package), name)
        setattr(sys.modules[package], name, value)  # the next time it is simply there
        return value

    return find
