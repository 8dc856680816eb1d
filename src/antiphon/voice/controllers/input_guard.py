"""Keeps noise and half-words from cutting a reply off right at its start."""

from __future__ import annotations

from dataclasses import dataclass

from ...turns import AgentState
from ..events import AgentStateChanged, SessionEvent
from ..speech_handle import SpeechHandle
from .controller import Controller


@dataclass(frozen=True)
class InputGuardOptions:
    """When barge-in is ignored.

    Attributes:
        window: seconds from the first sound of each reply; 0: never.
    """

    window: float = 0.0

    def __post_init__(self) -> None:
        if self.window < 0:
            raise ValueError(f"input guard: window is {self.window:g} s; it cannot be negative")


class InputGuard(Controller):
    """Ignores barge-in during the first moments of each reply.

    What the user says in them is not lost: it is a turn like any other and is answered after the reply. Speech that
    goes on past the window interrupts as usual.
    """

    def __init__(self, options: InputGuardOptions | None = None) -> None:
        super().__init__()
        self.options = options or InputGuardOptions()
        self._guarded: SpeechHandle | None = None
        self._seen: SpeechHandle | None = None

    def _attached(self) -> None:
        if self.options.window > 0:
            self._listen(SessionEvent.AGENT_STATE_CHANGED, self._on_state)
            if self.session.agent_state is AgentState.SPEAKING:
                self._guard()

    def _on_state(self, event: AgentStateChanged) -> None:
        if event.new_state is AgentState.SPEAKING:
            self._guard()

    def _guard(self) -> None:
        speech = self.session.current_speech
        if speech is None or speech is self._seen or self.suspended:
            return  # a reply that goes on after a pause or a tool has had its window
        self._lift()
        self._seen = self._guarded = speech
        speech.guarded = True
        self._set_timer("window", self._now() + self.options.window, self._lift)

    def _lift(self) -> None:
        speech, self._guarded = self._guarded, None
        if speech is not None and not speech.done():
            speech.guarded = False

    def _suspend(self) -> None:
        self._cancel_timers()
        self._lift()

    def _detach(self) -> None:
        if self.attached:
            self._lift()
        super()._detach()
