"""Weighs what the user says over the agent: by its words, and by whether the agent is just asking something.

"Yes" over an explanation means "go on"; where "shall I do it now?" is about to be asked it is the answer, and the rest need
not be heard.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..turns import Asked, Weight, weigh

if TYPE_CHECKING:
    from .conversation import Conversation
    from .end_of_turn import EndOfTurn

_BETWEEN_SENTENCES = re.compile(r"(?<=[.!?…])[\"'”’)]*\s+")
_ASKS = re.compile(r"\?[\"'”’)]*\s*$|\b(?:say|answer|tell me) [\"“'‘]?(?:yes|no|ok|okay)\b", re.IGNORECASE)


class Interjections:
    """One session's."""

    def __init__(self, conversation: Conversation, listening: EndOfTurn) -> None:
        self._conversation = conversation
        self._listening = listening
        self._asked = Asked.NOT

    def speech_started(self) -> None:
        """The user begins to speak: what the agent is saying now is what the words will be about."""
        heard = self._conversation.audible_text()
        written = self._conversation.audible_whole
        self._asked = Asked.NOT if heard is None else question_of(written, heard[1])

    def weigh(self, text: str) -> Weight:
        """What a transcript means to the reply that is being heard."""
        overlap = self._conversation.driver.state.overlap
        if overlap is None or overlap.by_text:  # no voice activity said when it began
            self.speech_started()
        return weigh(text, language=self._listening.language, asked=self._asked)


def question_of(written: str, heard: str) -> Asked:
    """What a reply that ends with a question is asking at this moment.

    Args:
        written: the reply, as far as it is known.
        heard: the beginning of it that was heard.
    """
    last = _BETWEEN_SENTENCES.split(written.strip())[-1]
    if not _ASKS.search(last):
        return Asked.NOT
    count = len(written.split())
    left = count - len(heard.split())
    if left <= len(last.split()) / 2:
        return Asked.NOW
    return Asked.SOON if left <= count / 2 else Asked.NOT
