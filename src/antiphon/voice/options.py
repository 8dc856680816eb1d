"""Settings of a session beyond turn-taking. All durations in seconds."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from ..models.errors import ConfigurationError
from ..models.stt import STT
from ..models.vad import VAD
from ..turns import TurnDetection, TurnOptions

APOLOGY = "I'm sorry, I'm having trouble right now. Could you say that again?"
FAREWELL = "I'm sorry, something is not working on our side. Please try again later. Goodbye."


@dataclass(frozen=True)
class SessionOptions:
    """How a session behaves when all is well, and when a provider is not.

    Attributes:
        turns: see `TurnOptions`.
        language: what is spoken, as in "en" or "de-AT", until the recogniser says; None: unknown.
        max_tool_steps: rounds of tool calls per reply; then one last answer with tools off.
        llm_first_token_timeout: a model that says nothing for so long has failed.
        llm_stall_timeout: the same between two tokens.
        tts_timeout: the same for a voice that has text to speak.
        transcription_timeout: after speech ended, an interim transcript counts as final.
        tool_timeout: a tool without a time-out of its own is given up after this.
        hook_timeout: `on_enter`, `on_exit` and prewarming are given up after this.
        close_timeout: for each step of closing.
        max_unrecoverable_errors: failed replies in a row after which the session says goodbye and closes.
        apology: spoken when a reply fails; empty: nothing is said.
        farewell: spoken before closing after too many failures.
    """

    turns: TurnOptions = field(default_factory=TurnOptions)
    language: str | None = None
    max_tool_steps: int = 3
    llm_first_token_timeout: float = 8.0
    llm_stall_timeout: float = 8.0
    tts_timeout: float = 8.0
    transcription_timeout: float = 2.0
    tool_timeout: float = 60.0
    hook_timeout: float = 10.0
    close_timeout: float = 2.0
    max_unrecoverable_errors: int = 3
    apology: str = APOLOGY
    farewell: str = FAREWELL


_TURN_OPTIONS = frozenset(field.name for field in fields(TurnOptions))
_SESSION_OPTIONS = frozenset(field.name for field in fields(SessionOptions)) - {"turns"}


def read_options(
    given: dict[str, Any], *, turn_detection: TurnDetection | None, vad: VAD | None, stt: STT | None
) -> SessionOptions:
    """The options of a session from any fields of `TurnOptions` and `SessionOptions`.

    Args:
        given: the fields by name.
        turn_detection: what ends a turn; None: silence or, where nothing hears it, final transcripts.
        vad: the session's voice activity detector.
        stt: its recogniser.

    Raises:
        ConfigurationError: there is no such option.
    """
    unknown = sorted(set(given) - _TURN_OPTIONS - _SESSION_OPTIONS)
    if unknown:
        known = ", ".join(sorted(_TURN_OPTIONS | _SESSION_OPTIONS))
        raise ConfigurationError(f"AgentSession has no option {', '.join(unknown)}; it has: {known}")
    turns = {name: value for name, value in given.items() if name in _TURN_OPTIONS}
    if turn_detection is not None:
        turns["turn_detection"] = turn_detection
    elif vad is None and stt is not None:
        turns["turn_detection"] = "stt"
    if vad is not None:
        turns.setdefault("speech_update_interval", vad.capabilities.update_interval)
    rest = {name: value for name, value in given.items() if name in _SESSION_OPTIONS}
    return SessionOptions(turns=TurnOptions(**turns), **rest)
