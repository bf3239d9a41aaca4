"""``trunkline version``."""

import platform
import sys
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of

from trunkline import __version__

from .output import print_json

__all__ = ["version"]

_PARTS = ("numpy", "uvloop", "picows", "msgspec", "onnxruntime", "pocketsphinx", "httpx2")


def version(*, json: bool = False) -> None:
    """The version of Trunkline and of its parts.

    Example: `trunkline version --json`

    Parameters
    ----------
    json
        As JSON.
    """
    # Here and not above: both need numpy.
    from trunkline.speech.g722 import find_g722
    from trunkline.speech.opus import find_opus

    parts = {"trunkline": __version__, "python": platform.python_version()}
    parts["platform"] = f"{sys.platform} {platform.machine()}"
    parts |= {name: _installed(name) for name in _PARTS}
    opus, g722 = find_opus(), find_g722()
    parts["opus"] = opus.version if opus else ""
    parts["g722"] = g722.name if g722 else "built in, slow"
    if json:
        print_json({name: value or None for name, value in parts.items()})
        return
    for name, value in parts.items():
        print(f"{name:14}{value or 'not installed'}")


def _installed(name: str) -> str:
    try:
        return version_of(name)
    except PackageNotFoundError:
        return ""
