"""Whether a request really comes from who it says: webhook signatures.

Twilio signs with HMAC-SHA1 over the full URL it was configured with, followed
by every form field's name and value in the order of the names. The URL must be
rebuilt from configuration: behind a proxy the ``Host`` header says something
else. Source: Twilio, "Webhooks security", and its published test vector.
"""

import hmac
from base64 import b64encode
from collections.abc import Iterable, Mapping
from hashlib import sha256
from urllib.parse import parse_qs, urlsplit

__all__ = ["Form", "twilio_signature", "twilio_signature_is_valid"]

Form = Mapping[str, str | Iterable[str]]
"""Form fields; a repeated field has several values."""

_DEFAULT_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


def twilio_signature(token: str, url: str, form: Form | None = None) -> str:
    """The value of ``X-Twilio-Signature`` for a URL and its form fields."""
    parts = [url]
    for name in sorted(form or {}):
        values = (form or {})[name]
        several = (values,) if isinstance(values, str) else sorted(set(values))
        parts.extend(name + value for value in several)
    message = "".join(parts).encode("utf-8", "surrogatepass")
    return b64encode(hmac.digest(token.encode(), message, "sha1")).decode()


def twilio_signature_is_valid(
    token: str,
    signature: str,
    url: str,
    form: Form | None = None,
    body: bytes | None = None,
) -> bool:
    """Whether a request was signed with this token. Never raises for its contents.

    ``url`` is the public URL, ``wss://`` for a media stream's upgrade. Twilio
    is inconsistent about the default port, so the URL is tried as it is, with
    and without it. ``body`` is a JSON request's raw body: its hash is a query
    parameter of the signed URL (``bodySHA256``) and must match.
    """
    if body is not None and not _body_matches(url, body):
        return False
    given = signature.encode("utf-8", "surrogatepass")
    valid = False
    for candidate in _spellings(url):  # every one of them, so that time tells nothing
        expected = twilio_signature(token, candidate, form).encode()
        valid |= hmac.compare_digest(expected, given)
    return valid


def _body_matches(url: str, body: bytes) -> bool:
    try:
        query = parse_qs(urlsplit(url).query)
    except ValueError:
        return False
    claimed = query.get("bodySHA256", [""])[0].lower()
    return hmac.compare_digest(
        sha256(body).hexdigest().encode(), claimed.encode("utf-8", "surrogatepass")
    )


def _spellings(url: str) -> list[str]:
    """The URL as given, and with the default port added or left out."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return [url]
    default = _DEFAULT_PORTS.get(parts.scheme)
    if default is None or not parts.hostname:
        return [url]
    credentials, at, host = parts.netloc.rpartition("@")
    if port is None:
        other = f"{credentials}{at}{host.removesuffix(':')}:{default}"
    elif port == default:
        other = credentials + at + host.rpartition(":")[0]
    else:
        return [url]
    start = url.index("//") + 2  # replaced in place: parsing and joining would tidy the rest
    return [url, url[:start] + other + url[start + len(parts.netloc) :]]
