"""Loads an application file, as in ``trunkline up shop.py``."""

import importlib.util
import sys
from pathlib import Path

from trunkline.calls.switchboard import Switchboard
from trunkline.errors import UsageError

__all__ = ["load_board"]

MODULE = "trunkline_app"


def load_board(path: Path) -> Switchboard:
    """Run a Python file and return the switchboard it makes.

    The one called ``board`` if there are several. Raises `UsageError` with what
    to do when the file is missing, fails, or makes none.
    """
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    specification = importlib.util.spec_from_file_location(MODULE, path)
    if specification is None or specification.loader is None:
        raise UsageError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(specification)
    sys.modules[MODULE] = module
    # The file's neighbours can be imported by it, as when it is run by itself.
    sys.path.insert(0, str(path.resolve().parent))
    try:
        specification.loader.exec_module(module)
    except SystemExit as error:
        raise UsageError(
            f"{path} ends by itself (sys.exit): put what it does as a program under "
            'if __name__ == "__main__":'
        ) from error
    except Exception as error:
        place = _last_place(error, path)
        raise UsageError(f"{path} failed{place}: {type(error).__name__}: {error}") from error
    boards = {name: value for name, value in vars(module).items() if isinstance(value, Switchboard)}
    if not boards:
        raise UsageError(f"{path} makes no Switchboard; add: board = Switchboard()")
    if len(set(map(id, boards.values()))) == 1:
        return next(iter(boards.values()))
    if "board" not in boards:
        raise UsageError(f"{path} makes several switchboards; call the one to run 'board'")
    return boards["board"]


def _last_place(error: Exception, path: Path) -> str:
    """The line of the file where it failed."""
    line = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f" in line {line}" if line else ""
