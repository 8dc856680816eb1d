"""The end of a call from our side: last words, then the session closes, whatever happens meanwhile."""

from __future__ import annotations

import asyncio

from ..events import CloseReason, SessionEvent, SpeechCreated
from ..speech_handle import SpeechHandle
from .controller import Controller


class HangUp(Controller):
    """Says `words`, which nobody can interrupt, and closes the session once they were heard.

    Once it begins nothing else is said: what was queued is dropped, and so are answers to what the user still says.
    Without words, on hold, or when the words cannot be spoken, it closes at once.
    """

    def __init__(
        self,
        words: str = "",
        *,
        reason: CloseReason = CloseReason.AGENT_HANGUP,
        deadline: float = 15.0,
        after: SpeechHandle | None = None,
    ) -> None:
        """Prepare a hang-up.

        Args:
            words: what is said last; empty: nothing.
            reason: what the session tells as its reason.
            deadline: seconds from `attach` after which it closes even if the words were not heard.
            after: begin when this is over, heard or interrupted; None: at once.
        """
        super().__init__()
        self._words = words
        self._reason = reason
        self._deadline = deadline
        self._after = after
        self._last: SpeechHandle | None = None

    def _attached(self) -> None:
        self._set_timer("deadline", self._now() + self._deadline, self._close)
        if self._after is None:
            self._begin()
        else:
            self._after.add_done_callback(self._begin_soon)

    def _begin_soon(self, _handle: SpeechHandle) -> None:
        asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        if not self.attached:
            return
        self.session.interrupt(force=True)
        if not self._words:
            self._close()
            return
        self._listen(SessionEvent.SPEECH_CREATED, self._on_speech)
        self._last = self.session.say(self._words, allow_interruptions=False)
        self._last.add_done_callback(lambda _handle: self._close())

    def _on_speech(self, event: SpeechCreated) -> None:
        """Drop it as soon as it exists: listeners are told while it is being made."""
        handle = event.speech_handle
        if self._last is not None and handle is not self._last:
            asyncio.get_running_loop().call_soon(self._silence, handle)

    def _silence(self, handle: SpeechHandle) -> None:
        if self.attached:
            handle.interrupt(force=True)

    def _close(self) -> None:
        if not self.attached:
            return
        session = self.session
        self._detach()
        session.hold(True)  # while the session closes, nothing is heard or said any more
        session.shutdown(drain=False, reason=self._reason)
