"""The user's utterances as a realtime model hears them: audio to the model, and what was said to the conversation.

A reply does not wait for the transcript: the model has heard the user. Until the transcript is there, a token stands for
the utterance. Only while the agent is heard, or about to be, does it matter what was said before anything is decided:
then words interrupt and noise does not.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..audio import AudioFrame
from ..models.audio_history import AudioHistory
from ..models.chat_context import ChatMessage
from ..models.realtime import InputTranscription
from ..models.stt import RecognizeStream
from ..turns import CommitTurn, Final, Interim, Weight
from .events import ConversationItemAdded, SessionEvent, UserInputTranscribed
from .realtime_link import RealtimeLink
from .turn_answers import TurnAnswers
from .turn_log import HEARD_BY_MODEL

if TYPE_CHECKING:
    from .agent_session import AgentSession
    from .conversation import Conversation

LEAD = 0.3  # seconds before the first sample of speech that the model hears too
HISTORY = 30.0  # seconds of an utterance in progress that a new connection hears again
LATE_TRANSCRIPT = 5.0  # seconds after the turn; then it stands with the words there are
_TOKEN = re.compile("\ue000([^\ue000]*)\ue000")


@dataclass
class _Utterance:
    """`undecided`: whether it takes the turn depends on its words."""

    text: str = ""
    complete: bool = False
    undecided: bool = False
    deadline: asyncio.TimerHandle | None = None


@dataclass
class _LateMessage:
    """A user's message in the conversation whose words are still to come."""

    message: ChatMessage
    template: str
    deadline: asyncio.TimerHandle


class RealtimeListener:
    """Takes the place of the recogniser in `Recognition`."""

    def __init__(self, session: AgentSession[Any], conversation: Conversation, link: RealtimeLink) -> None:
        self.stream: RecognizeStream | None = None
        self._session = session
        self._conversation = conversation
        self._link = link
        self._history = AudioHistory(HISTORY)
        self._speaking = False
        self._began = 0.0
        self._pushed = 0.0
        self._utterances: dict[str, _Utterance] = {}
        self._late: list[_LateMessage] = []

    def start(self) -> None:
        self._link.on_transcription = self._transcribed
        self._link.on_connected = self._connected
        answers = self._conversation.answers
        if isinstance(answers, RealtimeAnswers):
            answers.listener = self

    async def change_node(self) -> None:
        """The model goes on listening, whoever is in charge."""

    async def aclose(self) -> None:
        """Let go. Messages whose words never came stand with those that did."""
        self._link.on_transcription = self._link.on_connected = None
        for utterance in self._utterances.values():
            if utterance.deadline is not None:
                utterance.deadline.cancel()
        for late in tuple(self._late):
            self._settle(late)

    # -- audio in --------------------------------------------------------------------------------------------------

    def push_frame(self, frame: AudioFrame) -> None:
        self._history.push(frame)
        if self._speaking or self._link.detects_turns:
            self._push(frame)

    def _push(self, frame: AudioFrame) -> None:
        self._link.push_audio(frame)
        self._pushed = self._history.end

    def _push_since(self, at: float) -> None:
        for frame in self._history.frames_since(at):
            self._push(frame)

    def _connected(self) -> None:
        """Have a new connection hear what is being said, from its beginning."""
        if self._speaking and not self._link.detects_turns:
            self._push_since(self._began - LEAD)

    def speech_started(self, at: float) -> None:
        """The user began to speak, `at` seconds into their audio."""
        self._speaking, self._began = True, at
        if not self._link.detects_turns:
            self._push_since(max(at - LEAD, self._pushed))

    def speech_ended(self, at: float) -> None:
        """The user stopped: what they said is an utterance."""
        self._speaking = False
        name = self._link.take_utterance()
        if name is None:  # not connected: the model will hear of it when it is too late to answer
            return
        known = self._utterances.setdefault(name, _Utterance())
        waits = self._conversation.driver.state.floor_is_wanted
        if waits and self._waits_for_words and not known.complete:
            known.undecided = True
            known.deadline = asyncio.get_running_loop().call_later(
                self._session.options.transcription_timeout, self._decide, name
            )
        else:
            self._decide(name)

    @property
    def _waits_for_words(self) -> bool:
        capabilities = self._link.model.capabilities
        return capabilities.input_transcription and capabilities.prompt_transcription

    def discard(self) -> None:
        """Forget the speech in progress, as on hold."""
        if self._speaking:
            self._speaking = False
            self._link.clear_audio()

    def _decide(self, name: str) -> None:
        """Somebody spoke; as far as can be known they meant something."""
        utterance = self._utterances[name]
        utterance.undecided = False
        if utterance.text or not utterance.complete:
            self._conversation.driver.dispatch(Final(f"\ue000{name}\ue000"))

    # -- words -----------------------------------------------------------------------------------------------------

    def _transcribed(self, event: InputTranscription) -> None:
        utterance = self._utterances.setdefault(event.utterance, _Utterance())
        utterance.text = event.text.strip()
        if utterance.text:
            heard = UserInputTranscribed(utterance.text, is_final=event.is_final)
            self._session.emit(SessionEvent.USER_INPUT_TRANSCRIBED, heard)
        if not event.is_final:
            if utterance.undecided and utterance.text:
                self._conversation.driver.dispatch(Interim(utterance.text, self._weigh(utterance.text)))
            return
        utterance.complete = True
        if utterance.undecided:
            utterance.undecided = False
            if utterance.deadline is not None:
                utterance.deadline.cancel()
            if utterance.text:
                weight = self._weigh(utterance.text)
                self._conversation.driver.dispatch(Final(utterance.text, weight=weight))
        for late in tuple(self._late):
            if self._is_complete(late.template):
                self._settle(late)

    def _weigh(self, text: str) -> Weight:
        return self._conversation.answers.interjections.weigh(text)

    def words_of(self, text: str) -> str:
        """A machine's text with what is known of the utterances in it."""

        def known(match: re.Match[str]) -> str:
            utterance = self._utterances.get(match[1])
            return utterance.text if utterance is not None else ""

        return " ".join(_TOKEN.sub(known, text).split())

    def _is_complete(self, text: str) -> bool:
        return all(self._utterances[name].complete for name in _TOKEN.findall(text))

    # -- the conversation ------------------------------------------------------------------------------------------

    def log(self, text: str) -> ChatMessage:
        """Give a turn its place in the conversation; listeners hear of it when its words are there."""
        message = self._conversation.log.add_user(self.words_of(text))
        message.extra[HEARD_BY_MODEL] = True
        deadline = asyncio.get_running_loop().call_later(LATE_TRANSCRIPT, self._settle_message, message)
        late = _LateMessage(message, text, deadline)
        self._late.append(late)
        if self._is_complete(text) or not self._link.model.capabilities.input_transcription:
            self._settle(late)
        return message

    def _settle_message(self, message: ChatMessage) -> None:
        for late in tuple(self._late):
            if late.message is message:
                self._settle(late)

    def _settle(self, late: _LateMessage) -> None:
        late.deadline.cancel()
        self._late.remove(late)
        late.message.content = self.words_of(late.template)
        if late.message.content:
            self._conversation.emit(SessionEvent.CONVERSATION_ITEM_ADDED, ConversationItemAdded(late.message))


class RealtimeAnswers(TurnAnswers):
    """Answers turns that the model has heard and nobody has written down yet."""

    listener: RealtimeListener | None = None

    def words_of(self, text: str) -> str:
        return self.listener.words_of(text) if self.listener is not None else text

    def log_turn(self, turn: CommitTurn) -> ChatMessage:
        if self.listener is None or turn.spoken_end is None:
            return super().log_turn(turn)
        return self.listener.log(turn.text)
