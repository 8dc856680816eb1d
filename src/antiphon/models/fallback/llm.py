"""Several language models as one that fails less often."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from ..chat_context import ChatContext, ChatMessage
from ..deadlines import STALL_TIMEOUT, TimedStream, close_within
from ..errors import ProviderError
from ..llm import LLM, ChatChunk, LLMCapabilities, LLMStream, ToolChoice, ask
from ..tools import FunctionTool
from .chain import Attempt, BackOff, OnAvailabilityChanged, ProviderChain, as_provider_error

ATTEMPT_TIMEOUT = 5.0


class LLMFallbackAdapter(LLM):
    """Asks the next model when one fails, hangs or says nothing.

    Only until something of a reply was passed on: then a failure is raised, because a second model's answer must not
    be glued to the first one's beginning. Tool calls count; white space is held back and does not.
    """

    def __init__(
        self,
        providers: Sequence[LLM],
        *,
        attempt_timeout: float = ATTEMPT_TIMEOUT,
        stall_timeout: float = STALL_TIMEOUT,
        back_off: BackOff | None = None,
        on_availability_changed: OnAvailabilityChanged | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """
        Args:
            providers: in order of preference.
            attempt_timeout: seconds until a model has begun its reply.
            stall_timeout: seconds between one piece of a reply and the next.
            back_off: how long a model that failed is left out.
            on_availability_changed: called when a model fails and when it works again; it must not block.
            clock: seconds, instead of the event loop's.

        Raises:
            ConfigurationError: no providers were given.
        """
        self._chain: ProviderChain[LLM] = ProviderChain(
            providers,
            attempt_timeout=attempt_timeout,
            back_off=back_off,
            on_availability_changed=on_availability_changed,
            clock=clock,
        )
        self._stall_timeout = stall_timeout

    @property
    def label(self) -> str:
        return self._chain.label

    @property
    def capabilities(self) -> LLMCapabilities:
        """What every one of the models can do."""
        every = [provider.capabilities for provider in self._chain.providers]
        return LLMCapabilities(
            streaming=all(each.streaming for each in every),
            function_calling=all(each.function_calling for each in every),
            vision=all(each.vision for each in every),
        )

    def chat(
        self,
        chat_ctx: ChatContext | list[ChatMessage],
        tools: Sequence[FunctionTool] | None = None,
        temperature: float = 0.7,
        *,
        tool_choice: ToolChoice = "auto",
    ) -> LLMStream:
        request = _Request(chat_ctx, tools, temperature, tool_choice)
        return LLMFallbackStream(self._chain, request, self._stall_timeout)

    async def prewarm(self) -> None:
        await self._chain.prewarm()

    async def aclose(self) -> None:
        await self._chain.aclose()


@dataclass(frozen=True)
class _Request:
    chat_ctx: ChatContext | list[ChatMessage]
    tools: Sequence[FunctionTool] | None
    temperature: float
    tool_choice: ToolChoice

    def send(self, llm: LLM) -> LLMStream:
        return ask(llm, self.chat_ctx, self.tools, temperature=self.temperature, tool_choice=self.tool_choice)


class LLMFallbackStream(LLMStream):
    """A reply of the first model that gives one.

    Raises:
        AllProvidersFailed: no model began a reply.
        ProviderError: the model failed after it had begun.
    """

    def __init__(self, chain: ProviderChain[LLM], request: _Request, stall_timeout: float) -> None:
        self._chain = chain
        self._request = request
        self._stall_timeout = stall_timeout
        self._current: LLMStream | None = None
        self._timed: TimedStream[ChatChunk] | None = None
        self._delivered = False
        self._closed = False

    async def __aiter__(self) -> AsyncIterator[ChatChunk]:
        causes: list[BaseException] = []
        for attempt in self._chain.attempts():
            if self._is_closed():
                return
            try:
                async with aclosing(self._reply_of(attempt)) as chunks:
                    async for chunk in chunks:
                        yield chunk
                if self._delivered:
                    self._chain.worked(attempt.provider)
                return
            except Exception as error:  # whatever a vendor's code raises, the next vendor may do better
                if self._is_closed():
                    return
                self._chain.failed(attempt.provider, error)
                failure = as_provider_error(error, attempt.provider.label)
                if self._delivered:
                    raise failure from error
                causes.append(failure)
        raise self._chain.all_failed("gave a reply", causes)

    async def aclose(self) -> None:
        self._closed = True
        if self._timed is not None:
            self._timed.stop()
        if self._current is not None:
            await close_within(self._current.aclose(), self._chain.label)

    def _is_closed(self) -> bool:
        return self._closed

    async def _reply_of(self, attempt: Attempt[LLM]) -> AsyncGenerator[ChatChunk, None]:
        label = attempt.provider.label
        held_back: list[ChatChunk] = []
        stream = self._current = self._request.send(attempt.provider)
        timed = self._timed = TimedStream(
            stream,
            first_timeout=attempt.timeout,
            stall_timeout=self._stall_timeout,
            provider=label,
            begins=_says_something,
        )
        try:
            async with aclosing(aiter(timed)) as chunks:
                async for chunk in chunks:
                    if not self._delivered and not _says_something(chunk):
                        held_back.append(chunk)
                        continue
                    self._delivered = True
                    for earlier in held_back:
                        yield earlier
                    held_back.clear()
                    yield chunk
            if not self._delivered and not self._is_closed():
                raise ProviderError(f"{label} gave an empty reply", provider=label)
        finally:
            await close_within(stream.aclose(), label)


def _says_something(chunk: ChatChunk) -> bool:
    return bool(chunk.tool_calls) or bool(chunk.delta.strip())
