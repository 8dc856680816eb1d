"""The audio of one part of a reply, kept until the listener may hear it, and the text that goes with it."""

from __future__ import annotations

from collections.abc import Callable

from ..audio import AudioFrame
from ..models.chat_context import ChatMessage
from ..models.stt import WordInfo
from ..rooms import AudioOutput
from .heard_text import HeardText
from .text_feed import TextFeed


class SpeechSegment:
    """What a reply says between two tool calls.

    Audio is pushed while it is synthesised; `attach` lets it flow to the output. A segment without audio is text only.

    Attributes:
        feed: its text as it is written.
        heard: its text aligned with its audio.
        message: its entry in the conversation, once it has one.
        log: whether it belongs in the conversation at all.
        on_cut: told the seconds and words that were heard, if that is not all.
    """

    def __init__(self, feed: TextFeed, *, log: bool = True) -> None:
        self.feed = feed
        self.heard = HeardText()
        self.message: ChatMessage | None = None
        self.log = log
        self.on_cut: Callable[[float, str], None] | None = None
        self.has_audio = False
        self.complete = False
        self.over = False
        self._waiting: list[AudioFrame] = []
        self._output: AudioOutput | None = None

    @property
    def ready(self) -> bool:
        """Whether the listener could begin to hear it."""
        return not self.over and (self.has_audio or (self.complete and bool(self.text)))

    @property
    def text(self) -> str:
        """All that was written for it so far."""
        return self.feed.text.strip()

    def heard_text(self, position: float | None = None) -> str:
        """What was heard of it at `position` seconds; all of it when None."""
        if not self.has_audio:
            return self.text if position is None else ""
        self.heard.set_text(self.text)
        return self.heard.text if position is None else self.heard.heard(position)

    def push(self, frame: AudioFrame, text: str = "", words: list[WordInfo] | None = None) -> None:
        """Add audio in the output's format; `text` begins with it."""
        if self.over:
            return
        self.heard.add(frame.duration, text, words)
        if not frame.samples.size:
            return
        self.has_audio = True
        if self._output is not None:
            self._output.push(frame)
        else:
            self._waiting.append(frame)

    def end(self) -> None:
        """All of it has been pushed."""
        if self.complete:
            return
        self.complete = True
        self.heard.end()
        if self._output is not None and not self.over:
            self._output.flush()

    def attach(self, output: AudioOutput) -> None:
        """Let it be heard."""
        self._output = output
        waiting, self._waiting = self._waiting, []
        for frame in waiting:
            output.push(frame)
        if self.complete:
            output.flush()

    def cut(self, position: float, heard: str) -> None:
        """It was stopped at `position` seconds, when the listener had heard these words of it."""
        on_cut, self.on_cut = self.on_cut, None
        if on_cut is not None:
            on_cut(position, heard)

    def close(self) -> None:
        """It is over: what is still pushed goes nowhere."""
        self.over = True
        self._waiting.clear()
        self._output = None
