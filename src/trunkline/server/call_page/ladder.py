"""A call's SIP messages, drawn as a ladder; each opens to its text."""

from collections.abc import Mapping, Sequence
from typing import Any

from trunkline.calls.record import CallRecord
from trunkline.server.markup import safe

__all__ = ["ladder"]


def ladder(record: CallRecord) -> str:
    """A rung a message, between the far ends and us."""
    messages = record.ladder.get("messages", ())
    if not messages:
        return ""
    peers = list(dict.fromkeys(str(message.get("peer", "")) for message in messages))
    rungs = "".join(_rung(message, peers) for message in messages)
    heads = "".join(f"<b>{safe(peer)}</b>" for peer in peers)
    dropped = record.ladder.get("dropped")
    note = (
        f'<p class="soft">{safe(dropped)} more were too many, or too long to be kept whole.</p>'
        if dropped
        else ""
    )
    return f"""\
<section class="messages" aria-labelledby="ladder-heading">
<h2 id="ladder-heading">SIP messages</h2>
<p class="soft">Passwords and media keys are blanked. Open one to read it.</p>
<div class="ladder" style="--peers:{len(peers)}">
<p class="ends"><span>s</span>{heads}<b>Trunkline</b></p>
<ol>{rungs}</ol>
</div>
{note}</section>
"""


def _rung(message: Mapping[str, Any], peers: Sequence[str]) -> str:
    text = str(message.get("text", ""))
    line = text.partition("\r\n")[0]
    kind = _kind(line)
    place = peers.index(str(message.get("peer", "")))
    way = "out" if message.get("sent") else "in"
    described = " <em>SDP</em>" if "\r\n\r\nv=0" in text else ""
    # From the middle of the far end's column to the middle of ours.
    return (
        f'<li class="{way} {kind}"><details><summary>'
        f"<time>{float(message.get('at', 0.0)):.3f}</time>"
        f'<span class="arrow-row" style="--from:{place}"><span class="label">'
        f"{safe(_label(line))}{described}</span></span></summary>"
        f"<pre>{safe(text.replace(chr(13), '').rstrip())}</pre></details></li>"
    )


def _label(line: str) -> str:
    words = line.split(" ", 2)
    return " ".join(words[1:]) if line.startswith("SIP/2.0 ") else " ".join(words[:2])


def _kind(line: str) -> str:
    if not line.startswith("SIP/2.0 "):
        return "request"
    return {"1": "provisional", "2": "success"}.get(line[8:9], "failure")
