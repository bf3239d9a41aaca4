"""Text as HTML: everything that came from a caller, a peer or a model goes through here."""

import base64
import hashlib
import html
import re
import unicodedata

__all__ = ["duration", "head", "moment", "safe", "words"]

_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Marks that turn the direction of the text after them, and so could disguise it."""
_BREAKS = re.compile(r"(?<=[a-z0-9][.!?])(?=[A-Z][a-z])")


def safe(value: object) -> str:
    """A value as HTML text or as a quoted attribute's value.

    What cannot be shown (controls, marks that turn the direction of what follows,
    halves of surrogate pairs) becomes a replacement character.
    """
    shown = "".join("�" if _unshown(char) else char for char in str(value))
    return html.escape(shown, quote=True)


def _unshown(char: str) -> bool:
    if char in "\n\t":
        return False
    return char in _TURNING or unicodedata.category(char) in ("Cc", "Cs")


def words(text: str) -> str:
    """What somebody said, as HTML text."""
    # Replies that called a tool in the middle are joined without a space.
    return safe(_BREAKS.sub(" ", text).strip())


def moment(seconds: float) -> str:
    """A place in the call: 0:04.2, or 1:02:03.4."""
    tenths = round(max(0.0, seconds) * 10)
    minutes, rest = divmod(tenths, 600)
    clock = f"{minutes % 60:02}" if minutes >= 60 else f"{minutes}"
    hours = f"{minutes // 60}:" if minutes >= 60 else ""
    return f"{hours}{clock}:{rest // 10:02}.{rest % 10}"


def duration(seconds: float) -> str:
    """How long something took: 58 s, 3 min 20 s, 1 h 2 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def head(title: str, style: str, script: str) -> str:
    """What stands in the head of a page that is one file; the script is its own, at its end."""
    return f"""<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_policy(script)}">
<meta name="referrer" content="no-referrer">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="Trunkline">
<title>{safe(title)}</title>
<style>{style}</style>"""


def _policy(script: str) -> str:
    """A page's content policy: its own script runs, and nothing is loaded but a recording."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "media-src data: file: 'self'; img-src data:; base-uri 'none'; form-action 'none'"
    )
