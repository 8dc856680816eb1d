"""Says a word when a reply is late, so that the caller does not wonder whether anybody is there."""

from __future__ import annotations

from dataclasses import dataclass

from ...turns import AgentState, UserState
from ..events import (
    AgentStateChanged,
    ConversationItemAdded,
    SessionEvent,
    UserStateChanged,
)
from ..speech_handle import SpeechHandle
from .controller import Controller


@dataclass(frozen=True)
class FillerOptions:
    """Which fillers are said, and when.

    Attributes:
        enabled: off unless asked for.
        after: seconds from the end of the user's turn without a sound of the reply.
        texts: said in turn.
    """

    enabled: bool = False
    after: float = 1.2
    texts: tuple[str, ...] = ("Let me see.", "One moment.", "Hm, just a second.")

    def __post_init__(self) -> None:
        if self.after <= 0:
            raise ValueError(f"filler: after is {self.after:g} s; it must be above 0")
        if self.enabled and not any(text.strip() for text in self.texts):
            raise ValueError("filler: enabled, but there is no text to say")


class FillerController(Controller):
    """Fills the wait for a late reply, once a turn, and never over the user.

    The reply follows the filler, or comes instead of it when it is ready first. Fillers are no part of the conversation
    that the model sees. In realtime mode the model speaks by itself, and this does nothing.
    """

    def __init__(self, options: FillerOptions | None = None, *, realtime: bool = False) -> None:
        super().__init__()
        self.options = options or FillerOptions()
        self._realtime = realtime
        self._said = 0
        self._filler: SpeechHandle | None = None

    def _attached(self) -> None:
        if self.options.enabled and not self._realtime:
            self._listen(SessionEvent.CONVERSATION_ITEM_ADDED, self._on_item)
            self._listen(SessionEvent.AGENT_STATE_CHANGED, self._on_agent)
            self._listen(SessionEvent.USER_STATE_CHANGED, self._on_user)

    def _on_item(self, event: ConversationItemAdded) -> None:
        if event.item.role == "user" and not self.suspended:
            self._set_timer("late", self._now() + self.options.after, self._fill)

    def _on_agent(self, event: AgentStateChanged) -> None:
        if event.new_state in (AgentState.SPEAKING, AgentState.IDLE):
            self._cancel_timer("late")

    def _on_user(self, event: UserStateChanged) -> None:
        if event.new_state is UserState.SPEAKING:
            self._cancel_timer("late")
            self._withdraw()

    def _fill(self) -> None:
        if self.session.agent_state is not AgentState.THINKING:
            return
        if self.session.user_state is UserState.SPEAKING:
            return
        text = self.options.texts[self._said % len(self.options.texts)]
        self._said += 1
        self._filler = self.session.say(text, add_to_chat_ctx=False, stopgap=True)

    def _withdraw(self) -> None:
        """A filler that was not heard yet is not wanted any more."""
        filler, self._filler = self._filler, None
        if filler is not None and not filler.done() and filler is not self.session.current_speech:
            filler.interrupt(force=True)

    def _suspend(self) -> None:
        self._cancel_timers()
        self._withdraw()
