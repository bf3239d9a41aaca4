"""One HTTP server of a model: its address, its key, and its failures by their right names.

Needs the extra ``llm`` (httpx2), which is imported only when an `Endpoint` is made.
"""

import json
import math
import ssl
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from trunkline.errors import ConfigError, MissingDependencyError

from .chat import error_of
from .errors import (
    LanguageModelError,
    ReplyBroken,
    ReplyTimeout,
    RequestRefused,
    TemporaryFailure,
)
from .hints import pip_install

__all__ = ["Endpoint", "base_url"]

MAX_BODY_BYTES = 4 * 1024 * 1024
"""Of a whole body; of an error report the first 64 KiB are read."""

MAX_CONNECTIONS = 1000
"""At once: one per reply that is being written. 64 are kept open in between."""

_HINTS = {401: "; check the API key", 404: "; are the base URL and the model's name right?"}


class Endpoint:
    """A server's base URL and key; connections are opened on first use and reused.

    The key is sent to the server and shown nowhere: not in reprs, logs or errors.

    Raises:
        ConfigError: the URL cannot be used.
        MissingDependencyError: httpx2 is not installed.
    """

    def __init__(self, url: str, api_key: str | None, *, connect_seconds: float) -> None:
        try:
            self._http = import_module("httpx2")
        except ModuleNotFoundError as error:
            raise MissingDependencyError(
                "a model over HTTP needs the package 'httpx2'; run: " + pip_install("httpx2>=2")
            ) from error
        self.url = base_url(url)
        self.failures: type[Exception] = self._http.HTTPError
        """What to catch around anything that reads from a response; see `failure`."""
        self._api_key = api_key
        self._connect_seconds = connect_seconds
        self._client: Any = None

    def __repr__(self) -> str:
        return f"Endpoint({self.url!r})"

    async def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        fields: Mapping[str, str] | None = None,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
    ) -> Any:
        """A successful response whose body is still to be read; the caller closes it.

        What is sent is ``body`` as JSON, or a form of ``fields`` and ``files`` (name,
        content and media type each) as multipart/form-data (RFC 7578).

        Raises:
            LanguageModelError: no connection, or the server answers with an error.
        """
        client = self._opened()
        headers = {"authorization": f"Bearer {self._api_key}"} if self._api_key else {}
        request = client.build_request(
            method, self.url + path, json=body, data=fields, files=files, headers=headers
        )
        try:
            response = await client.send(request, stream=True)
            if response.status_code != 200:
                raise await self._refusal(response)
        except self.failures as error:
            # Not chained: httpx's errors carry the request, and with it the key.
            raise self.failure(error) from None
        return response

    async def text(self, response: Any) -> str:
        """A response's whole body; the response is closed.

        Raises:
            ReplyBroken: the connection fails, or the body is longer than `MAX_BODY_BYTES`.
        """
        try:
            return await self._read(response, MAX_BODY_BYTES)
        except self.failures as error:
            raise self.failure(error) from None

    def failure(self, error: Exception) -> LanguageModelError:
        """One of httpx's errors by its right name."""
        told = self.without_key(str(error)) or type(error).__name__
        if isinstance(error, self._http.TimeoutException):
            return ReplyTimeout(f"cannot reach {self.url} in time: {told}")
        if _is_distrust(error):
            hint = "; SSL_CERT_FILE may name the file of your own authority"
            return RequestRefused(f"cannot trust {self.url}: {told}{hint}")
        if isinstance(error, self._http.ConnectError):
            return TemporaryFailure(f"cannot connect to {self.url}: {told}")
        return ReplyBroken(f"the connection to {self.url} failed: {told}")

    async def aclose(self) -> None:
        """Close the connections; the next request opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _opened(self) -> Any:
        if self._client is None:
            connect = self._connect_seconds
            limits = self._http.Limits(
                max_connections=MAX_CONNECTIONS, max_keepalive_connections=64
            )
            self._client = self._http.AsyncClient(
                # Reading has no limit here: who reads knows what it is waiting for.
                timeout=self._http.Timeout(connect, read=None),
                limits=limits,
                # A gateway that compresses holds words back until a block of them is full.
                headers={"accept-encoding": "identity"},
                # The system's authorities, or those SSL_CERT_FILE names; no proxies of the
                # environment: audio and text go where they were configured to go.
                verify=self._http.create_ssl_context(),
                trust_env=False,
                follow_redirects=False,
            )
        return self._client

    async def _refusal(self, response: Any) -> LanguageModelError:
        status, headers = response.status_code, response.headers
        body: object = await self._read(response, 65_536, cut=True)
        with suppress(ValueError, RecursionError):
            body = json.loads(str(body))
        if 300 <= status < 400:
            body = f"it is elsewhere, at {headers.get('location', '')}"
        error = error_of(body, status, _retry_after(headers))
        error.args = (self.without_key(str(error)) + _HINTS.get(status, ""),)
        return error

    async def _read(self, response: Any, limit: int, *, cut: bool = False) -> str:
        body = bytearray()
        try:
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > limit:
                    if cut:
                        break
                    raise ReplyBroken(f"the server's reply is longer than {limit} bytes")
        finally:
            await response.aclose()
        # Here and not in the errors made of it: those are cut, perhaps within the key.
        return self.without_key(body[:limit].decode("utf-8", "replace"))

    def without_key(self, text: str) -> str:
        """Text of the server's: servers repeat keys they do not know, and errors are logged."""
        return text.replace(self._api_key, "***") if self._api_key else text


def _is_distrust(error: BaseException | None) -> bool:
    """Whether a certificate was the reason: httpx wraps it twice."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None


def base_url(url: str) -> str:
    """The address requests are built on: ``http://host:port`` becomes ``.../v1``.

    A path is kept as it is, but for ``/chat/completions`` or ``/audio/transcriptions`` at
    its end.

    Raises:
        ConfigError: not an http(s) address, or one with a password, a query or a fragment.
    """
    try:
        parts = urlsplit(url.strip())
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # an unclosed bracket, or a port that is no port
        usable = False
    if not usable:
        raise ConfigError("a model's URL begins with http:// or https:// and a host")
    if "@" in parts.netloc:
        raise ConfigError("a model's URL holds no password; give the key as api_key")
    if parts.query or parts.fragment:
        raise ConfigError("a model's URL has no query and no fragment")
    path = parts.path.rstrip("/").removesuffix("/chat/completions")
    path = path.removesuffix("/audio/transcriptions")
    return f"{parts.scheme}://{parts.netloc}{path or '/v1'}"


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from Retry-After: a number or an HTTP date (RFC 9110, 10.2.3)."""
    value = headers.get("retry-after", "")
    with suppress(ValueError):
        seconds = float(value)
        return max(seconds, 0.0) if math.isfinite(seconds) else None
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    when = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    return max((when - datetime.now(UTC)).total_seconds(), 0.0)
