"""Realtime models: one connection that listens, answers and, if it can, speaks.

A `RealtimeSession` keeps the conversation at the vendor. It is told what happened elsewhere (`add_messages`, `truncate`)
and asked for each reply: it answers nothing by itself. What is asked of it is queued in order and never blocks.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..audio import AudioFrame
from .chat_context import ChatMessage
from .label import label_of
from .llm import ChatChunk, ToolChoice

if TYPE_CHECKING:
    from .tools import FunctionTool


@dataclass(frozen=True)
class RealtimeCapabilities:
    """What a realtime model does, as it was set up.

    Attributes:
        audio_output: it speaks; otherwise it answers in text.
        turn_detection: it can tell by itself when the user speaks.
        input_transcription: it reports what the user said.
        prompt_transcription: it does so soon after each utterance; otherwise only with its answer.
        live_updates: `update` works on a session; otherwise a change of instructions or tools takes a new one.
    """

    audio_output: bool = True
    turn_detection: bool = True
    input_transcription: bool = True
    prompt_transcription: bool = True
    live_updates: bool = True


@dataclass(frozen=True)
class InputSpeechStarted:
    """The user began to speak, `at` seconds into the audio pushed. Only with turn detection."""

    at: float


@dataclass(frozen=True)
class InputSpeechStopped:
    """The user stopped, `at` seconds into the audio pushed; what they said is the utterance of that name."""

    at: float
    utterance: str


@dataclass(frozen=True)
class InputTranscription:
    """What the user said in an utterance, so far or, when `is_final`, in all; empty: no words."""

    utterance: str
    text: str
    is_final: bool = True


@dataclass(frozen=True)
class RealtimeError:
    """Something went wrong and the session goes on."""

    error: BaseException


RealtimeEvent = InputSpeechStarted | InputSpeechStopped | InputTranscription | RealtimeError


class RealtimeGeneration:
    """One thing the model says. Iterate it once, for chunks of text and audio, and at the end the tools it wants.

    The session's side calls `put`, then `end` or `fail`.
    """

    def __init__(self, on_cancel: Callable[[], None], on_cut: Callable[[float, str], None]) -> None:
        """
        Args:
            on_cancel: called once if it is given up before its end.
            on_cut: called with the seconds and words that were heard of it, when that is not all.
        """
        self.done = False
        self._on_cancel = on_cancel
        self._on_cut = on_cut
        self._chunks: deque[ChatChunk] = deque()
        self._error: BaseException | None = None
        self._changed = asyncio.Event()
        self._cut = False

    def put(self, chunk: ChatChunk) -> None:
        if not self.done:
            self._chunks.append(chunk)
            self._changed.set()

    def end(self) -> None:
        self.done = True
        self._changed.set()

    def fail(self, error: BaseException) -> None:
        """End it with an error, which the reader gets after what came before. Nothing happens when it is over."""
        if not self.done:
            self._error = error
            self.end()

    def cancel(self) -> None:
        """Stop generating; what has come stands."""
        if not self.done:
            self.end()
            self._on_cancel()

    def cut(self, heard_seconds: float, heard: str) -> None:
        """The listener heard only so much: stop generating, and have the model know. Only the first call counts."""
        if not self._cut:
            self._cut = True
            self.cancel()
            self._on_cut(heard_seconds, heard)

    async def __aiter__(self) -> AsyncIterator[ChatChunk]:
        while True:
            while self._chunks:
                yield self._chunks.popleft()
            if self._error is not None:
                raise self._error
            if self.done:
                return
            self._changed.clear()
            await self._changed.wait()


class RealtimeModel(ABC):
    """A realtime model of a vendor, set up for one way of using it."""

    def __init__(
        self,
        *,
        capabilities: RealtimeCapabilities | None = None,
        input_sample_rate: int = 24000,
        output_sample_rate: int = 24000,
    ) -> None:
        self._capabilities = capabilities or RealtimeCapabilities()
        self.input_sample_rate = input_sample_rate
        self.output_sample_rate = output_sample_rate

    @property
    def capabilities(self) -> RealtimeCapabilities:
        return self._capabilities

    @property
    def label(self) -> str:
        """The name shown in errors and metrics, as in `"openai/gpt-realtime"`."""
        return label_of(self)

    @abstractmethod
    def session(
        self, *, turn_detection: bool, instructions: str = "", tools: Sequence[FunctionTool] = ()
    ) -> RealtimeSession:
        """A session that is not connected yet.

        Args:
            turn_detection: the model reports when the user speaks; otherwise `commit_audio` ends each utterance.
            instructions: the first ones.
            tools: likewise.
        """

    async def aclose(self) -> None:
        """Free what the model holds; safe to call twice."""


class RealtimeSession(ABC):
    """One connection to a realtime model. Iterate it for events until it is over."""

    @abstractmethod
    async def connect(self) -> None:
        """Open the connection.

        Raises:
            ProviderError: it could not be opened; not `retryable` when trying again cannot help.
        """

    @abstractmethod
    def push_audio(self, frame: AudioFrame) -> None:
        """Add the user's next audio, mono at `input_sample_rate`."""

    @abstractmethod
    def commit_audio(self) -> str:
        """What was pushed since the last commit is an utterance of the user. Returns its name."""

    @abstractmethod
    def clear_audio(self) -> None:
        """Forget what was pushed since the last commit."""

    def update(self, instructions: str, tools: Sequence[FunctionTool]) -> None:
        """Change the instructions and tools of the replies to come. Only with `live_updates`."""
        raise NotImplementedError(f"{type(self).__name__} takes instructions and tools at its start only")

    @abstractmethod
    def add_messages(self, messages: Sequence[ChatMessage]) -> None:
        """Add to the conversation what the model did not hear or say itself, tool results among it."""

    @abstractmethod
    def generate_reply(
        self, *, instructions: str | None = None, tool_choice: ToolChoice = "auto"
    ) -> RealtimeGeneration:
        """Ask for the next reply.

        Args:
            instructions: instead of those of the session, for this reply only.
            tool_choice: whether tools may, must or must not be called.
        """

    @abstractmethod
    def speak(self, text: str) -> RealtimeGeneration:
        """Have the model say a given text, outside the conversation. Only with `audio_output`."""

    @abstractmethod
    def __aiter__(self) -> AsyncIterator[RealtimeEvent]:
        """Ends, or raises `ProviderError`, when the connection is over; running generations fail with it."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close the connection; safe to call twice."""
