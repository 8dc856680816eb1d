"""A voice that takes whole texts only, made to take text as it is written."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from .deadlines import cancel_all, close_within
from .errors import ProviderError
from .tokenize import SentenceSplitter, Splitter
from .tts import TTS, ChunkedStream, SynthesizedAudio, SynthesizeStream, TTSCapabilities


class TTSStreamAdapter(TTS):
    """Speaks streamed text sentence by sentence.

    While one sentence is being received the next is asked for already, so that no gap is heard between them.
    """

    def __init__(
        self,
        tts: TTS,
        splitter_factory: Callable[[], Splitter] = SentenceSplitter,
        *,
        look_ahead: int = 1,
    ) -> None:
        """
        Args:
            tts: the voice.
            splitter_factory: makes what cuts the text of one stream into sentences.
            look_ahead: requests that may run besides the one being heard.
        """
        super().__init__(
            sample_rate=tts.sample_rate,
            num_channels=tts.num_channels,
            capabilities=TTSCapabilities(streaming=True, word_timestamps=tts.capabilities.word_timestamps),
        )
        self._tts = tts
        self._splitter_factory = splitter_factory
        self._look_ahead = look_ahead

    @property
    def label(self) -> str:
        return self._tts.label

    def synthesize(self, text: str) -> ChunkedStream:
        return self._tts.synthesize(text)

    def stream(self) -> SynthesizeStream:
        return SentenceStream(self._tts, self._splitter_factory(), self._look_ahead)

    async def prewarm(self) -> None:
        await self._tts.prewarm()

    async def update_options(self, *, voice: str | None = None, model: str | None = None) -> None:
        await self._tts.update_options(voice=voice, model=model)

    async def aclose(self) -> None:
        await self._tts.aclose()


class _Request:
    """One sentence at the provider; `pieces` ends with None, and `error` says if that was too early."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.pieces: asyncio.Queue[SynthesizedAudio | None] = asyncio.Queue()
        self.begun = False
        self.error: Exception | None = None


class SentenceStream(SynthesizeStream):
    """Text in, audio of one sentence after the other out, each asked for with `TTS.synthesize`.

    The first piece of each sentence carries its text. A sentence that has words but gets no audio is an error.
    """

    def __init__(self, tts: TTS, splitter: Splitter, look_ahead: int = 1) -> None:
        self._tts = tts
        self._splitter = splitter
        self._look_ahead = look_ahead
        self._sentences: deque[str] = deque()
        self._requests: deque[_Request] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._iterated = False
        self._ended = False
        self._closed = False

    def push_text(self, text: str) -> None:
        """
        Raises:
            RuntimeError: after `end_input`.
        """
        if self._closed:
            return
        if self._ended:
            raise RuntimeError("push_text after end_input")
        self._add(self._splitter.push(text))

    def flush(self) -> None:
        if not self._closed:
            self._add(self._splitter.flush())

    def end_input(self) -> None:
        self.flush()
        self._ended = True
        self._changed.set()

    async def __aiter__(self) -> AsyncIterator[SynthesizedAudio]:
        if self._iterated:
            raise RuntimeError("a synthesis can be iterated once only")
        self._iterated = True
        try:
            while (request := await self._next_request()) is not None:
                async for piece in self._receive(request):
                    yield piece
                self._requests.popleft()
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        self._closed = True
        self._sentences.clear()
        self._changed.set()
        await cancel_all(self._tasks)

    def _add(self, sentences: list[str]) -> None:
        self._sentences.extend(s for s in sentences if any(c.isalnum() for c in s))
        self._start_requests()

    def _start_requests(self) -> None:
        """Start what may run: the next sentence only once the one before has its first audio, which matters most."""
        while self._iterated and self._sentences and len(self._requests) <= self._look_ahead:
            if self._requests and not self._requests[-1].begun:
                return
            request = _Request(self._sentences.popleft())
            task = asyncio.create_task(self._fetch(request), name=f"tts {self._tts.label}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            self._requests.append(request)
            self._changed.set()

    async def _next_request(self) -> _Request | None:
        while not self._closed:
            self._start_requests()
            if self._requests:
                return self._requests[0]
            if self._ended:
                return None
            self._changed.clear()
            await self._changed.wait()
        return None

    async def _receive(self, request: _Request) -> AsyncIterator[SynthesizedAudio]:
        first, said = True, ""
        while (piece := await request.pieces.get()) is not None:
            text = piece.text or (request.text if first else "")
            # A voice may name the text with every piece of its audio; it is said once.
            yield replace(piece, text="" if text == said else text)
            first, said = False, text or said
        if self._closed:
            return
        if request.error is not None:
            raise request.error
        if first:
            raise ProviderError(
                f"{self._tts.label} gave no audio for a text of {len(request.text)} characters",
                provider=self._tts.label,
            )

    async def _fetch(self, request: _Request) -> None:
        stream: ChunkedStream | None = None
        try:
            stream = self._tts.synthesize(request.text)
            async for piece in stream:
                if not piece.frame.samples.size:
                    continue
                request.pieces.put_nowait(piece)
                if not request.begun:
                    request.begun = True
                    self._start_requests()
        except Exception as error:  # raised from the iteration, in its turn
            request.error = error
        finally:
            request.begun = True
            request.pieces.put_nowait(None)
            if stream is not None:
                await close_within(stream.aclose(), self._tts.label)
