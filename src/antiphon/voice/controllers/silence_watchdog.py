"""Asks whether the caller is still there, and ends a call that nobody takes part in."""

from __future__ import annotations

from dataclasses import dataclass

from ...turns import AgentState, UserState
from ..events import (
    AgentStateChanged,
    CloseReason,
    ConversationItemAdded,
    RunningToolsChanged,
    SessionEvent,
    UserInputTranscribed,
    UserStateChanged,
)
from ..speech_handle import SpeechHandle
from .controller import Controller
from .hang_up import HangUp


@dataclass(frozen=True)
class SilenceWatchdogOptions:
    """When and what is asked. Durations in seconds.

    Attributes:
        interval: of silence on both sides before each reprompt, and before the goodbye.
        reprompts: how many before the goodbye.
        texts: said in turn, the last one again and again; in the language of the call.
        instruction: the model writes the reprompts by this instead.
        goodbye: said before the hang-up; empty: nothing.
        deadline: for the goodbye to be heard.
    """

    interval: float = 10.0
    reprompts: int = 2
    texts: tuple[str, ...] = ("Are you still there?", "I can't hear you. Are you still on the line?")
    instruction: str | None = None
    goodbye: str = "I can't hear anything, so I'll end the call now. Goodbye."
    deadline: float = 15.0

    def __post_init__(self) -> None:
        if self.interval <= 0:
            raise ValueError(f"silence watchdog: interval is {self.interval:g} s; it must be above 0")
        if self.reprompts < 0:
            raise ValueError(f"silence watchdog: reprompts is {self.reprompts}; it cannot be negative")
        if self.reprompts and not self.instruction and not any(text.strip() for text in self.texts):
            raise ValueError("silence watchdog: reprompts need texts or an instruction")


class SilenceWatchdog(Controller):
    """Counts silence from when the agent has finished and the user is silent.

    Time in which the agent thinks or speaks, a tool runs or the call is on hold is no silence. Words of the user begin
    everything anew, and call a goodbye off; noise without words only delays what is due until it ends.
    """

    def __init__(self, options: SilenceWatchdogOptions | None = None) -> None:
        super().__init__()
        self.options = options or SilenceWatchdogOptions()
        self._since: float | None = None
        self._prompts = 0
        self._goodbye: SpeechHandle | None = None
        self._heard = False

    @property
    def prompts(self) -> int:
        """Reprompts since the user last said something."""
        return self._prompts

    def _attached(self) -> None:
        self._listen(SessionEvent.AGENT_STATE_CHANGED, self._on_agent)
        self._listen(SessionEvent.USER_STATE_CHANGED, self._on_user)
        self._listen(SessionEvent.RUNNING_TOOLS_CHANGED, self._on_tools)
        self._listen(SessionEvent.USER_INPUT_TRANSCRIBED, self._on_words)
        self._listen(SessionEvent.CONVERSATION_ITEM_ADDED, self._on_item)
        self._watch()

    # -- what happens ----------------------------------------------------------------------------------------------

    def _on_agent(self, event: AgentStateChanged) -> None:
        if event.new_state not in (AgentState.IDLE, AgentState.LISTENING):
            self._since = None
        self._watch()

    def _on_user(self, _event: UserStateChanged) -> None:
        self._watch()

    def _on_tools(self, _event: RunningToolsChanged) -> None:
        self._since = None
        self._watch()

    def _on_words(self, event: UserInputTranscribed) -> None:
        if event.transcript.strip():
            self._user_is_there()

    def _on_item(self, event: ConversationItemAdded) -> None:
        if event.item.role == "user":
            self._user_is_there()

    def _user_is_there(self) -> None:
        self._since, self._prompts, self._heard = None, 0, True
        self._watch()

    def _suspend(self) -> None:
        self._cancel_timers()
        self._since = None

    def _resume(self) -> None:
        self._watch()

    # -- what is done about it -------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Wait for what is left of the silence, if it is silent now."""
        if self.suspended or not self.attached or self._goodbye is not None:
            return
        session = self.session
        quiet = (
            session.agent_state is AgentState.IDLE
            and session.user_state is not UserState.SPEAKING
            and not session.running_tools
        )
        if not quiet:
            self._cancel_timer("silence")
            return
        if self._since is None:
            self._since = self._now()
        self._set_timer("silence", self._since + self.options.interval, self._act)

    def _act(self) -> None:
        self._since = None
        if self._prompts < self.options.reprompts:
            self._prompts += 1
            self._reprompt().add_done_callback(self._reprompted)
        elif self.options.goodbye:
            self._heard = False
            self._set_timer("goodbye", self._now() + self.options.deadline, self._hang_up)
            self._goodbye = self.session.say(self.options.goodbye)
            self._goodbye.add_done_callback(self._said_goodbye)
        else:
            self._hang_up()

    def _reprompt(self) -> SpeechHandle:
        options = self.options
        if options.instruction:
            return self.session.generate_reply(instructions=options.instruction, tool_choice="none")
        return self.session.say(options.texts[min(self._prompts, len(options.texts)) - 1])

    def _reprompted(self, handle: SpeechHandle) -> None:
        if handle.outcome == "held":
            self._prompts = max(0, self._prompts - 1)
        self._watch()

    def _said_goodbye(self, handle: SpeechHandle) -> None:
        self._cancel_timer("goodbye")
        self._goodbye = None
        if not self.attached:
            return
        speaking = self.session.user_state is UserState.SPEAKING
        if self._heard or self.suspended or speaking or handle.outcome in ("interrupted", "held"):
            self._watch()
        else:
            self._hang_up()

    def _hang_up(self) -> None:
        HangUp(reason=CloseReason.SILENCE_TIMEOUT).attach(self.session)
