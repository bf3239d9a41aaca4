"""Any language model behind an OpenAI-compatible endpoint, streamed over HTTP.

vLLM, llama.cpp, Ollama, LM Studio, LiteLLM, OpenRouter, OpenAI and many more. The
connection is `trunkline.speech.endpoint`, its bytes are read by `sse`, their meaning by
`chat`; here are the timeouts and the second attempts. Needs the extra ``llm`` (httpx2).
"""

import asyncio
import json
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

from .chat import ReplyReader, request_body
from .endpoint import Endpoint
from .errors import (
    LanguageModelError,
    ReplyBroken,
    ReplyTimeout,
    RequestRefused,
    TemporaryFailure,
)
from .interfaces import Grammar, Message, Piece, ToolSpec
from .sse import EventStream, EventTooLarge

__all__ = ["OpenAIModel", "Patience"]

log = logging.getLogger(__name__)

USAGE_GRACE_SECONDS = 0.5
"""How long to wait for the token counts once the model has finished."""

DRAIN_SECONDS = 0.05
"""How long to wait for the end of the body after its last event."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a caller can be kept waiting for a model, and how often to ask it again."""

    connect_seconds: float = 3.0
    first_token_seconds: float = 8.0
    """From the request to the first word or tool call; reasoning does not count."""
    between_tokens_seconds: float = 5.0
    total_seconds: float = 12.0
    """All attempts together, up to the first token."""
    retries: int = 2
    """Attempts after the first, and only before the first token."""
    backoff_seconds: float = 0.25
    """Before the second attempt, doubled for each after it; up to half of it less by chance."""


class OpenAIModel:
    """A `LanguageModel` at ``url``; without a ``model`` the first one the server lists.

    ``options`` are added to every request (``temperature``, ``max_tokens``, ...).
    Nothing is opened before the first use; `warm_up` is one.

    Raises:
        ConfigError: the URL cannot be used.
        MissingDependencyError: httpx2 is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str | None = None,
        api_key: str | None = None,
        patience: Patience | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self._patience = patience or Patience()
        self._endpoint = Endpoint(url, api_key, connect_seconds=self._patience.connect_seconds)
        self.model = model
        self.name = f"openai:{model or '?'}"
        self._options = dict(options or {})
        self._discovering = asyncio.Lock()
        self._random = random.Random()  # spreads second attempts; nothing else depends on it
        self._counts_tokens = True

    def __repr__(self) -> str:
        return f"OpenAIModel({self._endpoint.url!r}, model={self.model!r})"

    async def warm_up(self) -> str:
        """Connect, so that the first caller need not wait for it; returns the model's name.

        Raises:
            LanguageModelError: the server cannot be used, or lists no model and none is set.
        """
        if self.model is None:
            return await self._discover()
        try:
            listed = await self._list_models()
        except RequestRefused as error:
            if error.status == 401:
                raise
            return self.model  # not every server lists its models, and a name is given
        if listed and self.model not in listed:
            log.warning("%s does not list the model %s", self._endpoint.url, self.model)
        return self.model

    def expects(self, messages: Sequence[Message]) -> Grammar | None:
        """Anything may be said."""
        return None

    async def reply(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> AsyncIterator[Piece]:
        """The reply as it is written. Closing the iterator closes the connection at once.

        Raises:
            RequestRefused: the key, the model or the request is wrong.
            TemporaryFailure: after the attempts `Patience` allows; or, with ``partial``,
                when a reply was cut off after it had begun: that is never tried again.
        """
        give_up = _now() + self._patience.total_seconds
        for attempt in range(self._patience.retries + 1):
            began = False
            try:
                async with aclosing(self._attempt(messages, tools, give_up)) as pieces:
                    async for piece in pieces:
                        began = True
                        yield piece
                return
            except TemporaryFailure as error:
                wait = self._backoff(attempt, error)
                last = attempt == self._patience.retries or _now() + wait >= give_up
                if began or last:
                    raise
                log.warning("asking the language model again in %.2f s: %s", wait, error)
                await asyncio.sleep(wait)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._endpoint.aclose()

    async def _attempt(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], give_up: float
    ) -> AsyncGenerator[Piece, None]:
        """One request and its reply; whatever goes wrong becomes a `LanguageModelError`."""
        begun = _now()
        first = min(begun + self._patience.first_token_seconds, give_up)
        reader = ReplyReader()
        try:
            async with asyncio.timeout_at(first):
                model = self.model or await self._discover()
                response = await self._send(model, messages, tools)
            try:
                async with aclosing(self._pieces(response, reader, first)) as pieces:
                    async for piece in pieces:
                        yield piece
            finally:
                await response.aclose()
        except LanguageModelError as error:
            error.partial = reader.text
            raise
        except EventTooLarge as error:
            raise ReplyBroken(str(error), partial=reader.text) from None
        except TimeoutError:
            what = "fell silent in its reply" if reader.progress else "did not begin to reply"
            message = f"the model at {self._endpoint.url} {what}, {_now() - begun:.1f} s after"
            raise ReplyTimeout(f"{message} the request", partial=reader.text) from None
        except self._endpoint.failures as error:
            failure = self._endpoint.failure(error)
            failure.partial = reader.text
            raise failure from None

    async def _send(
        self, model: str, messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> Any:
        body = request_body(model, messages, tools, self._options)
        if not self._counts_tokens:
            body.pop("stream_options", None)
        try:
            return await self._endpoint.request("POST", "/chat/completions", body)
        except RequestRefused as error:
            if not self._counts_tokens or "stream_options" not in str(error):
                raise
            self._counts_tokens = False  # an older server: ask again without the counts
            return await self._send(model, messages, tools)

    async def _pieces(
        self, response: Any, reader: ReplyReader, first: float
    ) -> AsyncGenerator[Piece, None]:
        """What the response's body says, each wait bounded."""
        if "text/event-stream" in response.headers.get("content-type", ""):
            async with aclosing(response.aiter_bytes()) as chunks:
                async with aclosing(self._events(chunks, reader, first)) as events:
                    async for data in events:
                        for piece in reader.feed(self._endpoint.without_key(data)):
                            yield piece
                await _drain(chunks)
        else:  # a server that knows no streaming
            async with asyncio.timeout_at(first):
                body = await self._endpoint.text(response)
            for piece in reader.whole(body):
                yield piece
        for piece in reader.finish():
            yield piece

    async def _events(
        self, chunks: AsyncGenerator[bytes, None], reader: ReplyReader, first: float
    ) -> AsyncGenerator[str, None]:
        """The data of the events in ``chunks``, until they end; `TimeoutError` if they stall."""
        stream = EventStream()
        deadline, progress = first, reader.progress
        while not reader.done:
            try:
                async with asyncio.timeout_at(deadline):
                    chunk = await anext(chunks, None)
            except TimeoutError:
                if reader.complete:
                    return  # all was said; only the token counts are missing
                raise
            if chunk is None:
                return
            for data in stream.feed(chunk):
                yield data
            if reader.complete:
                deadline = min(deadline, _now() + USAGE_GRACE_SECONDS)
            elif reader.progress != progress:
                progress = reader.progress
                deadline = _now() + self._patience.between_tokens_seconds

    async def _discover(self) -> str:
        """The server's first model, asked for once however many calls want to know."""
        async with self._discovering:
            if self.model is None:
                listed = await self._list_models()
                if not listed:
                    url = self._endpoint.url
                    raise RequestRefused(f"the server at {url} lists no model; name one")
                self.model = listed[0]
                self.name = f"openai:{self.model}"
                log.info("using the model %s, the first of %d", self.model, len(listed))
            return self.model

    async def _list_models(self) -> list[str]:
        url = f"{self._endpoint.url}/models"
        try:
            async with asyncio.timeout(self._patience.first_token_seconds):
                response = await self._endpoint.request("GET", "/models")
                body = await self._endpoint.text(response)
        except TimeoutError:
            raise ReplyTimeout(f"no answer from {url}") from None
        try:
            return [str(model["id"]) for model in json.loads(body)["data"]]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise RequestRefused(f"what is at {url} is no list of models") from None

    def _backoff(self, attempt: int, error: TemporaryFailure) -> float:
        if error.retry_after_seconds is not None:
            return error.retry_after_seconds
        return self._patience.backoff_seconds * 2.0**attempt * (1 - self._random.random() / 2)


async def _drain(chunks: AsyncGenerator[bytes, None]) -> None:
    """Read on to the body's end, which follows at once: only then is its connection reused."""
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            async for _ in chunks:
                pass


def _now() -> float:
    """Seconds on the running loop's clock, which `asyncio.timeout_at` uses too."""
    return asyncio.get_running_loop().time()
