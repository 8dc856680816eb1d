"""Weighs what the user says over the agent: by its words, and by whether the agent is just asking something.

"Yes" over an explanation means "go on"; over the end of "shall I do it now?" it is the answer, and the rest of the question
need not be heard.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..turns import Weight, weigh

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
        self._asked = False

    def speech_started(self) -> None:
        """The user begins to speak: what the agent is saying now is what the words will be about."""
        self._asked = self._is_being_asked()

    def weigh(self, text: str) -> Weight:
        """What a transcript means to the reply that is being heard."""
        overlap = self._conversation.driver.state.overlap
        if overlap is None or overlap.by_text:  # no voice activity said when it began
            self.speech_started()
        return weigh(text, language=self._listening.language, asked=self._asked)

    def _is_being_asked(self) -> bool:
        heard = self._conversation.audible_text()
        return heard is not None and is_finishing_question(self._conversation.audible_whole, heard[1])


def is_finishing_question(written: str, heard: str) -> bool:
    """Whether the last sentence of a reply is a question, and half of its words were heard.

    Args:
        written: the reply, as far as it is known.
        heard: the beginning of it that was heard.
    """
    last = _BETWEEN_SENTENCES.split(written.strip())[-1]
    left = len(written.split()) - len(heard.split())
    return bool(_ASKS.search(last)) and left <= len(last.split()) / 2
