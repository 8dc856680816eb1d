"""Ends the call when the agent has said the phrase that ends it."""

from __future__ import annotations

from dataclasses import dataclass

from ..events import CloseReason, ConversationItemAdded, SessionEvent
from .controller import Controller
from .hang_up import HangUp


@dataclass(frozen=True)
class EndPhraseOptions:
    """What ends a call.

    Attributes:
        phrases: in the agent's words; case and punctuation make no difference.
        message: said before the hang-up; empty: nothing.
        deadline: seconds for the message to be heard.
    """

    phrases: tuple[str, ...] = ()
    message: str = ""
    deadline: float = 15.0

    def __post_init__(self) -> None:
        if any(not _words(phrase).strip() for phrase in self.phrases):
            raise ValueError("end phrase: a phrase without a word would end every call; leave it out")


class EndPhraseController(Controller):
    """Hangs up after a message of the agent that was heard whole and has one of the phrases in it."""

    def __init__(self, options: EndPhraseOptions | None = None) -> None:
        super().__init__()
        self.options = options or EndPhraseOptions()
        self._phrases = [_words(phrase) for phrase in self.options.phrases]

    def _attached(self) -> None:
        if self._phrases:
            self._listen(SessionEvent.CONVERSATION_ITEM_ADDED, self._on_item)

    def _on_item(self, event: ConversationItemAdded) -> None:
        item = event.item
        if item.role != "assistant" or item.interrupted or self.suspended:
            return
        words = _words(item.content)
        if any(phrase in words for phrase in self._phrases):
            self._set_timer("hang up", self._now(), self._hang_up)  # not from inside the playout that ends

    def _hang_up(self) -> None:
        options = self.options
        session = self.session
        self._detach()  # the message may have the phrase in it as well
        HangUp(options.message, reason=CloseReason.AGENT_HANGUP, deadline=options.deadline).attach(session)


def _words(text: str) -> str:
    """The words alone, each between two spaces."""
    return f" {' '.join(''.join(c if c.isalnum() else ' ' for c in text.casefold()).split())} "
