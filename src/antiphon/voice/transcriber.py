"""Keeps a recogniser's stream alive for a session: one that dies is reopened and hears the utterance again."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..audio import AudioFrame
from ..models.errors import ProviderError, ProviderTimeout
from ..models.stt import RecognizeStream, SpeechEvent, SpeechEventType
from .agent import ModelSettings, overrides
from .audio_feed import AudioFeed
from .nodes import open_stt_stream

if TYPE_CHECKING:
    from .agent_session import AgentSession
    from .conversation import Conversation

logger = logging.getLogger(__name__)

REPLAY_SECONDS = 30.0  # audio kept for a stream that has to be reopened
LEAD_SECONDS = 1.0  # of it, kept while nobody speaks
FIRST_RETRY = 0.1  # seconds; doubled with each failure in a row
LONGEST_RETRY = 5.0
MAX_FAILURES = 6  # in a row, about six seconds with the delays between them
SPOKEN = 0.8  # speech this long should bring some result
ANSWER_TIMEOUT = 5.0  # and within this time after its end


class Transcriber:
    """Feeds one caller's audio to the session's recogniser and passes its events on."""

    def __init__(
        self, session: AgentSession[Any], conversation: Conversation, on_event: Callable[[SpeechEvent], None]
    ) -> None:
        self.stream: RecognizeStream | None = None
        self._session = session
        self._conversation = conversation
        self._on_event = on_event
        self._channel: AudioFeed | None = None
        self._task: asyncio.Task[None] | None = None
        self._replay: deque[AudioFrame] = deque()
        self._replay_seconds = 0.0
        self._speaking = False
        self._speech_seconds = 0.0
        self._answer_due: asyncio.TimerHandle | None = None
        self._unanswered = 0
        self._flush_pending = False
        self._base = 0.0

    def start(self) -> None:
        self._task = self._conversation.scope.spawn(self._run(), name="transcriber")

    async def change_node(self) -> None:
        """Restart on the agent in charge, without losing the utterance in progress."""
        node_is_custom = overrides(self._session.current_agent, "stt_node")
        if node_is_custom or self._channel is not None:
            await self._stop()
            self.start()

    async def aclose(self) -> None:
        if self._answer_due is not None:
            self._answer_due.cancel()
        await self._stop()

    async def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=self._session.options.close_timeout)

    # -- audio in --------------------------------------------------------------------------------------------------

    def push_frame(self, frame: AudioFrame) -> None:
        seconds = frame.duration
        self._replay.append(frame)
        self._replay_seconds += seconds
        if self._speaking:
            self._speech_seconds += seconds
        self._forget()
        if self._channel is not None:
            self._channel.put(frame)
        elif self.stream is not None:
            self.stream.push_frame(frame)

    def _forget(self) -> None:
        """Keep no more audio than a stream that is reopened should hear."""
        limit = REPLAY_SECONDS if self._speaking or self._answer_due is not None else LEAD_SECONDS
        while self._replay_seconds > limit:
            self._replay_seconds -= self._replay.popleft().duration

    def speech_started(self, at: float) -> None:
        """The caller began to speak, `at` seconds into their audio."""
        self._speaking = True
        self._speech_seconds = 0.0
        if self.stream is not None:
            self.stream.speech_started(max(0.0, at - self._base))

    def speech_ended(self, at: float) -> None:
        """The caller stopped, `at` seconds into their audio: have the utterance finished."""
        self._speaking = False
        if self.stream is not None:
            self.stream.speech_ended(max(0.0, at - self._base))
            self.stream.flush()
        else:
            self._flush_pending = True
        if self._speech_seconds >= SPOKEN and self._answer_due is None:
            loop = asyncio.get_running_loop()
            self._answer_due = loop.call_later(ANSWER_TIMEOUT, self._no_answer)

    def _no_answer(self) -> None:
        """Noise may rightly bring no words; twice in a row the recogniser is taken for dead."""
        self._answer_due = None
        self._unanswered += 1
        if self._unanswered >= 2 and self._task is not None:
            self._unanswered = 0
            self._task.cancel("no result")

    # -- events out ------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        """Read the recogniser's events; reopen it, with what it should have heard, when it fails."""
        delay = FIRST_RETRY
        while True:
            began = self._conversation.clock.now()
            try:
                await self._read()
                error: BaseException = ProviderError("the recogniser ended its stream")
            except asyncio.CancelledError as cancelled:
                if cancelled.args != ("no result",):
                    raise
                if (task := asyncio.current_task()) is not None:
                    task.uncancel()
                error = ProviderTimeout("the recogniser gave no result for what was said")
            except Exception as failure:
                error = failure
            if self._conversation.clock.now() - began > LONGEST_RETRY:
                delay = FIRST_RETRY
            farewell = self._conversation.health.failed("stt", error, limit=MAX_FAILURES)
            if farewell:
                self._session.say(farewell, allow_interruptions=False)
                return
            await asyncio.sleep(delay)
            delay = min(LONGEST_RETRY, delay * 2)

    async def _read(self) -> None:
        agent = self._session.current_agent
        if overrides(agent, "stt_node"):
            self._channel = channel = AudioFeed()
            for frame in self._replay:
                channel.put(frame)
            try:
                async for event in agent.stt_node(channel.__aiter__(), ModelSettings()):
                    self._take(event)
            finally:
                channel.close()
                self._channel = self.stream = None
            return
        stt = self._session.stt
        assert stt is not None
        stream = open_stt_stream(stt, self._session.vad)
        self._base = self._conversation.clock.received - self._replay_seconds
        for frame in self._replay:
            stream.push_frame(frame)
        self.stream = stream
        if self._flush_pending:
            self._flush_pending = False
            stream.flush()
        try:
            async for event in stream:
                self._take(event)
        finally:
            self.stream = None
            await _close(stream, self._session.options.close_timeout)

    def _take(self, event: SpeechEvent) -> None:
        if event.type in (SpeechEventType.INTERIM, SpeechEventType.FINAL):
            self._conversation.health.worked("stt")
            self._unanswered = 0
            if self._answer_due is not None:
                self._answer_due.cancel()
                self._answer_due = None
        if event.type is SpeechEventType.FINAL and not self._speaking:
            self._replay.clear()
            self._replay_seconds = 0.0
        if event.end_at is not None:
            event = replace(event, end_at=event.end_at + self._base)
        self._on_event(event)


async def _close(stream: RecognizeStream, timeout: float) -> None:
    try:
        async with asyncio.timeout(timeout):
            await stream.aclose()
    except TimeoutError:
        logger.warning("the recogniser did not close its stream within %g s", timeout)
