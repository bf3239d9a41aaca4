"""Finds the command, runs it, and says in one line what went wrong.

Data goes to standard output, everything else to standard error. Exit status:
0 it went well, 1 it did not, 2 it was asked for wrongly (flags, configuration).
"""

import contextlib
import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Final

from cyclopts import App, CycloptsError

from trunkline import __version__
from trunkline.errors import TrunklineError, UsageError

from .arguments import given

__all__ = ["COMMANDS", "build", "main"]

_HELP = """\
An open, self-hosted switchboard for voice AI.

Phones and media streams come in, voice agents answer: `trunkline demo` plays a call,
`trunkline talk` lets you talk to an agent, `trunkline up` runs a node.
"""

COMMANDS: Final = {
    "up": ("trunkline.cli.up:up", "Run a node: answer calls until it is stopped."),
    "talk": (
        "trunkline.cli.talk:talk",
        "Talk to the demo's agent, from a browser or a softphone on this machine.",
    ),
    "call": ("trunkline.cli.call:call", "Place one call and say how it went."),
    "demo": ("trunkline.cli.demo:demo", "Play a whole phone call on this machine."),
    "calls": ("trunkline.cli.calls:app", "The calls there were, and are."),
    "recordings": (
        "trunkline.cli.recordings:app",
        "The recordings of calls: list, verify, decrypt, upload.",
    ),
    "trunks": ("trunkline.cli.trunks:app", "The trunks of a running node: state and figures."),
    "blocked": ("trunkline.cli.blocked:app", "Who a running node does not listen to, and why."),
    "reload": ("trunkline.cli.reload:reload", "Have a running node read its settings again."),
    "audio": ("trunkline.cli.audio:app", "The audio path: what it makes of a file."),
    "config": ("trunkline.cli.config:app", "The settings: a sample, a check, the effect."),
    "setup": ("trunkline.cli.setup:app", "Install what hearing and speaking need."),
    "version": ("trunkline.cli.version:version", "The version of Trunkline and of its parts."),
}
"""Where each command is, loaded only when it is used, and what the list says of it."""


_ARITHMETIC: Final = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
"""Threads that numpy's arithmetic may start. The blocks of a tick are small: a second
thread doubles their CPU time and saves none. Read when numpy is first imported."""
_NOT_WRITTEN: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What a write to standard output fails with where it is a file on a full disk, say."""


def build(tokens: Sequence[str]) -> App:
    """The command line. What the list says is left out where a command's own help is asked."""
    app = App(
        name="trunkline",
        help=_HELP,
        help_format="markdown",
        version=__version__,
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    for name, (place, summary) in COMMANDS.items():
        app.command(place, name=name, help=None if name in tokens else summary)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    for library in _ARITHMETIC:
        os.environ.setdefault(library, "1")
    with given(tokens), _stopped_like_ctrl_c() as stops:
        try:
            result = build(tokens)(tokens, exit_on_error=False, print_error=True)
            # Here and not by the interpreter at its exit, which could only print a traceback.
            sys.stdout.flush()
        except CycloptsError:  # printed already
            return 2
        except UsageError as error:
            return _complain(error, 2)
        except TrunklineError as error:
            return _complain(error, 1)
        except KeyboardInterrupt:
            return 128 + (stops[0] if stops else signal.SIGINT)  # as a shell reports it
        except BrokenPipeError:
            _write_no_more()  # whoever read our output has enough (`| head`)
            return 0
        except PermissionError as error:
            return _complain(f"{error.filename or 'a file'}: {error.strerror}", 1)
        except OSError as error:
            if error.filename is not None or error.errno not in _NOT_WRITTEN:
                raise
            _write_no_more()
            return _complain(f"the output could not be written: {error.strerror}", 1)
    return result if isinstance(result, int) else 0


@contextlib.contextmanager
def _stopped_like_ctrl_c() -> Iterator[list[int]]:
    """Let SIGTERM and SIGHUP end a command as Ctrl-C does: a call is hung up, its record closed.

    Yields the signals that came. A node has its own ways with them, and replaces these.
    """
    came: list[int] = []

    def interrupt(number: int, _: object) -> None:
        came.append(number)
        handler = signal.getsignal(signal.SIGINT)
        if not callable(handler):  # a shell's background job, which ignores SIGINT
            raise KeyboardInterrupt
        handler(signal.SIGINT, None)

    changed = []
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:  # nohup has a SIGHUP ignored
                signal.signal(number, interrupt)
                changed.append(number)
    try:
        yield came
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)


def _write_no_more() -> None:
    """Nothing more can be written, not even by the interpreter when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(error: Exception | str, status: int) -> int:
    print(f"trunkline: {error}", file=sys.stderr)
    return status
