"""A SIP message for other eyes: passwords' digests and media keys blanked, the rest as it was."""

import re

__all__ = ["blanked"]

_CREDENTIALS = re.compile(
    rb"^((?:proxy-)?authorization[ \t]*:[ \t]*[\w-]*)[^\r\n]*(?:\r?\n[ \t]+[^\r\n]*)*",
    re.IGNORECASE | re.MULTILINE,
)
_KEYS = re.compile(
    rb"^(a=crypto:[^\r\n]*?inline:|a=key-mgmt:|k=)[^\r\n]*", re.IGNORECASE | re.MULTILINE
)
_SHOWN = (b"username", b"realm", b"algorithm", b"uri")
_PARAMETER = re.compile(rb'(\w+)[ \t]*=[ \t]*("(?:[^"\\]|\\.)*"|[^\s,;]+)')


def blanked(data: bytes) -> bytes:
    """The message without credentials (RFC 8760 digests, bearer tokens) and SRTP keys.

    Who authenticated, for which realm and address, stays. Headers of any case and folded
    over lines are found; what is no SIP message is treated alike.
    """
    folded = data.lower()
    if b"authorization" in folded:
        data = _CREDENTIALS.sub(_without_digest, data)
    if b"inline:" in folded or b"key-mgmt" in folded or b"\nk=" in folded:
        data = _KEYS.sub(rb"\1[blanked]", data)
    return data


def _without_digest(match: re.Match[bytes]) -> bytes:
    kept = [
        name + b"=" + value
        for name, value in _PARAMETER.findall(match[0][len(match[1]) :])
        if name.lower() in _SHOWN
    ]
    return match[1] + b" " + b", ".join([*kept, b"[blanked]"])
