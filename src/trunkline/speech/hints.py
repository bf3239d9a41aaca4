"""The commands that install what is missing, as they work from where this runs.

With this Python, whether its ``bin`` is on the path or not, and without the package's
name: in a checkout there is nothing of that name to be had from an index.
"""

import shlex
import sys

__all__ = ["pip_install", "setup_speech"]


def pip_install(*requirements: str) -> str:
    """The command that installs packages beside this one."""
    return shlex.join([sys.executable, "-m", "pip", "install", *requirements])


def setup_speech(*flags: str) -> str:
    """The command that installs the embedded engines."""
    return shlex.join([sys.executable, "-m", "trunkline", "setup", "speech", *flags])
