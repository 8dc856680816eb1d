"""Deadlines for providers: a stream that does not begin or does not go on raises instead of leaving silence."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import Any, Generic, TypeVar

from .errors import ProviderTimeout, describe
from .llm import ChatChunk, LLMStream
from .tokenize import SentenceSplitter
from .tts import ChunkedStream, SynthesizedAudio, SynthesizeStream

logger = logging.getLogger(__name__)

CLOSE_TIMEOUT = 2.0
FIRST_TIMEOUT = 10.0
STALL_TIMEOUT = 10.0

ItemT = TypeVar("ItemT")


class TimedStream(Generic[ItemT]):
    """Passes on what another stream gives, within deadlines. Iterate it once."""

    def __init__(
        self,
        items: AsyncIterable[ItemT],
        *,
        first_timeout: float,
        stall_timeout: float,
        provider: str,
        begins: Callable[[ItemT], bool] = lambda _item: True,
    ) -> None:
        """
        Args:
            items: iterated once.
            first_timeout: seconds until the first item.
            stall_timeout: seconds between one item and the next, or the end.
            provider: whom to name in the error.
            begins: whether an item is the first that counts; the time for it runs on over those that do not.
        """
        self._items = items
        self._first_timeout = first_timeout
        self._stall_timeout = stall_timeout
        self._provider = provider
        self._begins = begins
        self._scope: asyncio.Timeout | None = None
        self._stopped = False

    async def __aiter__(self) -> AsyncGenerator[ItemT, None]:
        """
        Raises:
            ProviderTimeout: a deadline passed. Only time spent waiting for the provider counts.
        """
        iterator = aiter(self._items)
        begun, waited = False, 0.0
        now = asyncio.get_running_loop().time
        try:
            while not self._stopped:
                limit = self._stall_timeout if begun else self._first_timeout
                started = now()
                scope = asyncio.timeout(limit if begun else limit - waited)
                try:
                    async with scope:
                        self._scope = scope
                        item = await anext(iterator)
                except StopAsyncIteration:
                    return
                except TimeoutError as error:
                    if self._was_stopped():
                        return
                    if not scope.expired():
                        raise
                    what = "stalled: it did not go on" if begun else "did not answer"
                    raise ProviderTimeout(
                        f"{self._provider} {what} within {limit:g} s", provider=self._provider
                    ) from error
                finally:
                    self._scope = None
                waited += now() - started
                begun = begun or self._begins(item)
                yield item
        finally:
            if isinstance(iterator, AsyncGenerator):
                await close_within(iterator.aclose(), self._provider)

    def stop(self) -> None:
        """End the iteration now, also one that waits for the provider."""
        self._stopped = True
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time())

    def _was_stopped(self) -> bool:
        return self._stopped


async def close_within(closing: Awaitable[Any], what: str, seconds: float = CLOSE_TIMEOUT) -> None:
    """Await a close that must hold up nobody: if it fails or takes too long, that is logged."""
    scope = asyncio.timeout(seconds)
    try:
        async with scope:
            await closing
    except Exception as error:  # whatever it is, the thing is given up anyway
        reason = f"took more than {seconds:g} s" if scope.expired() else f"failed: {describe(error)}"
        logger.warning("closing %s %s", what, reason)


async def cancel_all(tasks: Iterable[asyncio.Task[Any]], seconds: float = CLOSE_TIMEOUT) -> None:
    """Cancel tasks and wait until they have ended; their errors are dropped, those who wait for them get them."""
    running = set(tasks)
    for task in running:
        task.cancel()
    if not running:
        return
    done, late = await asyncio.wait(running, timeout=seconds)
    for task in done:
        if not task.cancelled():
            task.exception()  # marks it as seen
    for task in late:
        logger.warning("%s did not end within %g s of being cancelled", task.get_name(), seconds)


async def guard_llm_stream(
    stream: LLMStream,
    first_timeout: float = FIRST_TIMEOUT,
    stall_timeout: float = STALL_TIMEOUT,
    *,
    provider: str = "the language model",
) -> AsyncGenerator[ChatChunk, None]:
    """The chunks of `stream`, which is closed at the end.

    Raises:
        ProviderTimeout: no first chunk within `first_timeout` seconds, or no next one within `stall_timeout`.
    """
    chunks = aiter(
        TimedStream(stream, first_timeout=first_timeout, stall_timeout=stall_timeout, provider=provider)
    )
    try:
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk
    finally:
        await close_within(stream.aclose(), provider)


async def guard_tts_stream(
    stream: ChunkedStream | SynthesizeStream,
    first_timeout: float = FIRST_TIMEOUT,
    stall_timeout: float = STALL_TIMEOUT,
    *,
    provider: str = "the voice",
) -> AsyncGenerator[SynthesizedAudio, None]:
    """The audio of `stream`, which is closed at the end.

    For a `SynthesizeStream` whose text is still being written use `GuardedSynthesizeStream`, which does not blame
    the voice for waiting.

    Raises:
        ProviderTimeout: no first audio within `first_timeout` seconds, or no next within `stall_timeout`.
    """
    pieces = aiter(
        TimedStream(stream, first_timeout=first_timeout, stall_timeout=stall_timeout, provider=provider)
    )
    try:
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece
    finally:
        await close_within(stream.aclose(), provider)


class GuardedSynthesizeStream(SynthesizeStream):
    """A synthesis that raises `ProviderTimeout` when the voice owes audio and does not give it.

    Audio is owed once a whole sentence has been pushed and none of it has been heard, and, after `flush` or
    `end_input`, until the stream goes on or ends. Only time spent waiting for the voice counts.
    """

    def __init__(
        self,
        stream: SynthesizeStream,
        first_timeout: float = FIRST_TIMEOUT,
        stall_timeout: float = STALL_TIMEOUT,
        *,
        provider: str = "the voice",
    ) -> None:
        self._stream = stream
        self._first_timeout = first_timeout
        self._stall_timeout = stall_timeout
        self._provider = provider
        self._splitter = SentenceSplitter(min_length=0)
        self._text_waiting = False
        self._owed = False
        self._flushed = False
        self._ended = False
        self._heard = False
        self._scope: asyncio.Timeout | None = None

    def push_text(self, text: str) -> None:
        self._text_waiting = self._text_waiting or any(c.isalnum() for c in text)
        if self._splitter.push(text) and not self._heard:
            self._owed = True
        self._stream.push_text(text)
        self._arm()

    def flush(self) -> None:
        self._splitter.flush()
        self._flushed = self._flushed or self._text_waiting
        self._stream.flush()
        self._arm()

    def end_input(self) -> None:
        self._ended = True
        self._stream.end_input()
        self._arm()

    async def __aiter__(self) -> AsyncIterator[SynthesizedAudio]:
        iterator = aiter(self._stream)
        while True:
            try:
                async with asyncio.timeout(None) as scope:
                    self._scope = scope
                    self._arm()
                    piece = await anext(iterator)
            except StopAsyncIteration:
                return
            except TimeoutError as error:
                if not scope.expired():
                    raise
                raise self._late() from error
            finally:
                self._scope = None
            self._heard, self._owed, self._flushed = True, False, False
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()

    def _arm(self) -> None:
        """Start the deadline when audio becomes owed; one that runs already is left alone."""
        if self._scope is None or self._scope.when() is not None or self._scope.expired():
            return
        if self._owed or self._flushed or self._ended:
            limit = self._stall_timeout if self._heard else self._first_timeout
            self._scope.reschedule(asyncio.get_running_loop().time() + limit)

    def _late(self) -> ProviderTimeout:
        if self._heard:
            text = f"{self._provider} stalled: no more audio within {self._stall_timeout:g} s"
        else:
            text = f"{self._provider} gave no audio within {self._first_timeout:g} s"
        return ProviderTimeout(text, provider=self._provider)
